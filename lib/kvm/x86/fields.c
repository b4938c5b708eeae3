/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The tables of fields, which make a vCPU's and a VM's state into a stream. Used by the device
 * types in vm.c. */
#include "kvm/state.h"

G_STATIC_ASSERT (offsetof (CprKvmMsrs, entries) == offsetof (struct kvm_msrs, entries));
G_STATIC_ASSERT (offsetof (CprKvmCpuid, entries) == offsetof (struct kvm_cpuid2, entries));

static const CprField regs_fields[] = {
  CPR_FIELD (struct kvm_regs, rax),
  CPR_FIELD (struct kvm_regs, rbx),
  CPR_FIELD (struct kvm_regs, rcx),
  CPR_FIELD (struct kvm_regs, rdx),
  CPR_FIELD (struct kvm_regs, rsi),
  CPR_FIELD (struct kvm_regs, rdi),
  CPR_FIELD (struct kvm_regs, rsp),
  CPR_FIELD (struct kvm_regs, rbp),
  CPR_FIELD (struct kvm_regs, r8),
  CPR_FIELD (struct kvm_regs, r9),
  CPR_FIELD (struct kvm_regs, r10),
  CPR_FIELD (struct kvm_regs, r11),
  CPR_FIELD (struct kvm_regs, r12),
  CPR_FIELD (struct kvm_regs, r13),
  CPR_FIELD (struct kvm_regs, r14),
  CPR_FIELD (struct kvm_regs, r15),
  CPR_FIELD (struct kvm_regs, rip),
  CPR_FIELD (struct kvm_regs, rflags),
  CPR_FIELD_END,
};
static const CprStruct regs_struct = { "kvm_regs", sizeof (struct kvm_regs), regs_fields };

static const CprField segment_fields[] = {
  CPR_FIELD (struct kvm_segment, base),
  CPR_FIELD (struct kvm_segment, limit),
  CPR_FIELD (struct kvm_segment, selector),
  CPR_FIELD (struct kvm_segment, type),
  CPR_FIELD (struct kvm_segment, present),
  CPR_FIELD (struct kvm_segment, dpl),
  CPR_FIELD (struct kvm_segment, db),
  CPR_FIELD (struct kvm_segment, s),
  CPR_FIELD (struct kvm_segment, l),
  CPR_FIELD (struct kvm_segment, g),
  CPR_FIELD (struct kvm_segment, avl),
  CPR_FIELD (struct kvm_segment, unusable),
  CPR_FIELD_END,
};
static const CprStruct segment_struct = { "kvm_segment", sizeof (struct kvm_segment), segment_fields };

static const CprField dtable_fields[] = {
  CPR_FIELD (struct kvm_dtable, base),
  CPR_FIELD (struct kvm_dtable, limit),
  CPR_FIELD_END,
};
static const CprStruct dtable_struct = { "kvm_dtable", sizeof (struct kvm_dtable), dtable_fields };

#define SEGMENT(member) CPR_FIELD_STRUCT (struct kvm_sregs2, member, struct kvm_segment, segment_struct)
#define DTABLE(member)  CPR_FIELD_STRUCT (struct kvm_sregs2, member, struct kvm_dtable, dtable_struct)
static const CprField sregs_fields[] = {
  SEGMENT (cs),
  SEGMENT (ds),
  SEGMENT (es),
  SEGMENT (fs),
  SEGMENT (gs),
  SEGMENT (ss),
  SEGMENT (tr),
  SEGMENT (ldt),
  DTABLE (gdt),
  DTABLE (idt),
  CPR_FIELD (struct kvm_sregs2, cr0),
  CPR_FIELD (struct kvm_sregs2, cr2),
  CPR_FIELD (struct kvm_sregs2, cr3),
  CPR_FIELD (struct kvm_sregs2, cr4),
  CPR_FIELD (struct kvm_sregs2, cr8),
  CPR_FIELD (struct kvm_sregs2, efer),
  CPR_FIELD (struct kvm_sregs2, apic_base),
  CPR_FIELD (struct kvm_sregs2, flags),
  CPR_FIELD_ARRAY (struct kvm_sregs2, pdptrs, CPR_OPTIONAL),
  CPR_FIELD_END,
};
static const CprStruct sregs_struct = { "kvm_sregs2", sizeof (struct kvm_sregs2), sregs_fields };

static const CprField msr_fields[] = {
  CPR_FIELD (struct kvm_msr_entry, index),
  CPR_FIELD (struct kvm_msr_entry, data),
  CPR_FIELD_END,
};
static const CprStruct msr_struct = { "kvm_msr_entry", sizeof (struct kvm_msr_entry), msr_fields };

static const CprField msrs_fields[] = {
  CPR_FIELD_STRUCT_COUNTED (CprKvmMsrs, entries, count, struct kvm_msr_entry, msr_struct),
  CPR_FIELD_END,
};
static const CprStruct msrs_struct = { "KvmMsrs", sizeof (CprKvmMsrs), msrs_fields };

static const CprField cpuid_entry_fields[] = {
  CPR_FIELD (struct kvm_cpuid_entry2, function), CPR_FIELD (struct kvm_cpuid_entry2, index),
  CPR_FIELD (struct kvm_cpuid_entry2, flags),    CPR_FIELD (struct kvm_cpuid_entry2, eax),
  CPR_FIELD (struct kvm_cpuid_entry2, ebx),      CPR_FIELD (struct kvm_cpuid_entry2, ecx),
  CPR_FIELD (struct kvm_cpuid_entry2, edx),      CPR_FIELD_END,
};
static const CprStruct cpuid_entry_struct = { "kvm_cpuid_entry2", sizeof (struct kvm_cpuid_entry2),
                                              cpuid_entry_fields };

static const CprField cpuid_fields[] = {
  CPR_FIELD_STRUCT_COUNTED (CprKvmCpuid, entries, count, struct kvm_cpuid_entry2, cpuid_entry_struct),
  CPR_FIELD_END,
};
static const CprStruct cpuid_struct = { "KvmCpuid", sizeof (CprKvmCpuid), cpuid_fields };

static const CprField debugregs_fields[] = {
  CPR_FIELD_ARRAY (struct kvm_debugregs, db),
  CPR_FIELD (struct kvm_debugregs, dr6),
  CPR_FIELD (struct kvm_debugregs, dr7),
  CPR_FIELD (struct kvm_debugregs, flags),
  CPR_FIELD_END,
};
static const CprStruct debugregs_struct = { "kvm_debugregs", sizeof (struct kvm_debugregs), debugregs_fields };

/* Optional fields aren't there on every machine, or came later to the kernel. */
const CprField cpr_kvm_vcpu_fields[] = {
  CPR_FIELD_STRUCT (CprKvmVcpu, cpuid, CprKvmCpuid, cpuid_struct),
  CPR_FIELD_STRUCT (CprKvmVcpu, backed, CprKvmCpuid, cpuid_struct),
  CPR_FIELD_STRUCT (CprKvmVcpu, msrs, CprKvmMsrs, msrs_struct),
  CPR_FIELD_COUNTED (CprKvmVcpu, skipped, n_skipped, CPR_IGNORABLE),
  CPR_FIELD_OPTIONAL (CprKvmVcpu, mcg_cap, 0),
  CPR_FIELD_STRUCT (CprKvmVcpu, regs, struct kvm_regs, regs_struct),
  CPR_FIELD_STRUCT (CprKvmVcpu, sregs, struct kvm_sregs2, sregs_struct),
  CPR_FIELD_HEAP_BYTES (CprKvmVcpu, xsave, xsave_size, CPR_KVM_XSAVE_MAX, CPR_OPTIONAL),
  CPR_FIELD_BYTES (CprKvmVcpu, fpu, CPR_OPTIONAL),
  CPR_FIELD_BYTES (CprKvmVcpu, xcrs, CPR_OPTIONAL),
  CPR_FIELD_STRUCT (CprKvmVcpu, debugregs, struct kvm_debugregs, debugregs_struct),
  CPR_FIELD_BYTES (CprKvmVcpu, events),
  CPR_FIELD_BYTES (CprKvmVcpu, mp_state),
  CPR_FIELD (CprKvmVcpu, has_lapic),
  CPR_FIELD_BYTES (CprKvmVcpu, lapic, CPR_OPTIONAL),
  CPR_FIELD_HEAP_BYTES (CprKvmVcpu, nested, nested_size, CPR_KVM_NESTED_MAX, CPR_OPTIONAL),
  CPR_FIELD_OPTIONAL (CprKvmVcpu, has_ssp, false),
  CPR_FIELD_OPTIONAL (CprKvmVcpu, ssp, 0),
  CPR_FIELD_OPTIONAL (CprKvmVcpu, tsc_khz, 0),
  CPR_FIELD_OPTIONAL (CprKvmVcpu, has_tsc_offset, false),
  CPR_FIELD_OPTIONAL (CprKvmVcpu, tsc_offset, 0),
  CPR_FIELD (CprKvmVcpu, tsc),
  CPR_FIELD (CprKvmVcpu, tsc_taken_ns),
  CPR_FIELD_TIME (CprKvmVcpu, tsc_at_ns),
  CPR_FIELD_END,
};

const CprField cpr_kvm_vm_fields[] = {
  CPR_FIELD (CprKvmVm, clock_ns),
  CPR_FIELD_OPTIONAL (CprKvmVm, clock_flags, 0),
  CPR_FIELD_OPTIONAL (CprKvmVm, clock_realtime_ns, 0),
  CPR_FIELD (CprKvmVm, taken_ns),
  CPR_FIELD_TIME (CprKvmVm, at_ns),
  CPR_FIELD (CprKvmVm, has_irqchip),
  CPR_FIELD_BYTES (CprKvmVm, irqchips, CPR_OPTIONAL),
  CPR_FIELD (CprKvmVm, has_pit),
  CPR_FIELD_BYTES (CprKvmVm, pit, CPR_OPTIONAL),
  CPR_FIELD_HEAP_BYTES (
      CprKvmVm, routes, routes_size, CPR_KVM_ROUTES_MAX * sizeof (struct kvm_irq_routing_entry), CPR_OPTIONAL),
  CPR_FIELD_END,
};
