/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The state of a KVM VM and its vCPUs, for kvm.c: two device types, in the order that KVM wants. */
#include "accel/kvm-state.h"

#include <string.h>
#include <sys/ioctl.h>

#include "support/clock.h"
#include "support/error.h"

#define MSR_IA32_TSC 0x10

G_STATIC_ASSERT (offsetof (KvmMsrs, entries) == offsetof (struct kvm_msrs, entries));
G_STATIC_ASSERT (sizeof ((KvmVcpuState *) 0)->xsave == sizeof (struct kvm_xsave));
G_STATIC_ASSERT (offsetof (KvmCpuid, entries) == offsetof (struct kvm_cpuid2, entries));

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

#define SEGMENT(member) CPR_FIELD_STRUCT (struct kvm_sregs, member, struct kvm_segment, segment_struct)
#define DTABLE(member)  CPR_FIELD_STRUCT (struct kvm_sregs, member, struct kvm_dtable, dtable_struct)
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
  CPR_FIELD (struct kvm_sregs, cr0),
  CPR_FIELD (struct kvm_sregs, cr2),
  CPR_FIELD (struct kvm_sregs, cr3),
  CPR_FIELD (struct kvm_sregs, cr4),
  CPR_FIELD (struct kvm_sregs, cr8),
  CPR_FIELD (struct kvm_sregs, efer),
  CPR_FIELD (struct kvm_sregs, apic_base),
  CPR_FIELD_ARRAY (struct kvm_sregs, interrupt_bitmap),
  CPR_FIELD_END,
};
static const CprStruct sregs_struct = { "kvm_sregs", sizeof (struct kvm_sregs), sregs_fields };

static const CprField msr_fields[] = {
  CPR_FIELD (struct kvm_msr_entry, index),
  CPR_FIELD (struct kvm_msr_entry, data),
  CPR_FIELD_END,
};
static const CprStruct msr_struct = { "kvm_msr_entry", sizeof (struct kvm_msr_entry), msr_fields };

static const CprField msrs_fields[] = {
  CPR_FIELD_STRUCT_COUNTED (KvmMsrs, entries, count, struct kvm_msr_entry, msr_struct),
  CPR_FIELD_END,
};
static const CprStruct msrs_struct = { "KvmMsrs", sizeof (KvmMsrs), msrs_fields };

static const CprField cpuid_entry_fields[] = {
  CPR_FIELD (struct kvm_cpuid_entry2, function), CPR_FIELD (struct kvm_cpuid_entry2, index),
  CPR_FIELD (struct kvm_cpuid_entry2, flags),    CPR_FIELD (struct kvm_cpuid_entry2, eax),
  CPR_FIELD (struct kvm_cpuid_entry2, ebx),      CPR_FIELD (struct kvm_cpuid_entry2, ecx),
  CPR_FIELD (struct kvm_cpuid_entry2, edx),      CPR_FIELD_END,
};
static const CprStruct cpuid_entry_struct = { "kvm_cpuid_entry2", sizeof (struct kvm_cpuid_entry2),
                                              cpuid_entry_fields };

static const CprField cpuid_fields[] = {
  CPR_FIELD_STRUCT_COUNTED (KvmCpuid, entries, count, struct kvm_cpuid_entry2, cpuid_entry_struct),
  CPR_FIELD_END,
};
static const CprStruct cpuid_struct = { "KvmCpuid", sizeof (KvmCpuid), cpuid_fields };

static const CprField vcpu_fields[] = {
  CPR_FIELD_STRUCT (KvmVcpuState, cpuid, KvmCpuid, cpuid_struct),
  CPR_FIELD_STRUCT (KvmVcpuState, msrs, KvmMsrs, msrs_struct),
  CPR_FIELD_STRUCT (KvmVcpuState, regs, struct kvm_regs, regs_struct),
  CPR_FIELD_STRUCT (KvmVcpuState, sregs, struct kvm_sregs, sregs_struct),
  CPR_FIELD (KvmVcpuState, has_xsave),
  CPR_FIELD_BYTES (KvmVcpuState, xsave),
  CPR_FIELD_BYTES (KvmVcpuState, fpu),
  CPR_FIELD_BYTES (KvmVcpuState, xcrs),
  CPR_FIELD (KvmVcpuState, has_lapic),
  CPR_FIELD_BYTES (KvmVcpuState, lapic),
  CPR_FIELD_BYTES (KvmVcpuState, events),
  CPR_FIELD_BYTES (KvmVcpuState, mp_state),
  CPR_FIELD_BYTES (KvmVcpuState, debugregs),
  CPR_FIELD (KvmVcpuState, has_tsc_offset),
  CPR_FIELD (KvmVcpuState, tsc_offset),
  CPR_FIELD_END,
};

static const CprField vm_fields[] = {
  CPR_FIELD (KvmVmState, clock_ns),
  CPR_FIELD (KvmVmState, clock_taken_ns), /* all that the first programs know: no use over a reboot of the host */
  CPR_FIELD_TIME (KvmVmState, clock_at_ns, CPR_IGNORABLE),
  CPR_FIELD (KvmVmState, has_irqchip),
  CPR_FIELD_BYTES (KvmVmState, irqchips),
  CPR_FIELD (KvmVmState, has_pit),
  CPR_FIELD_BYTES (KvmVmState, pit),
  CPR_FIELD_END,
};

/* One ioctl on a vCPU; the error names both. */
#define VCPU_IOCTL(state, request, argument, error) \
  (ioctl ((state)->fd, request, argument) >= 0 || throw_errno (error, "vCPU %u: " #request, (state)->index))
#define VM_IOCTL(state, request, argument, error) \
  (ioctl ((state)->fd, request, argument) >= 0 || throw_errno (error, "KVM VM: " #request))

static void
forget_msr (KvmMsrs *msrs, unsigned position)
{
  msrs->count--;
  memmove (&msrs->entries[position], &msrs->entries[position + 1], (msrs->count - position) * sizeof msrs->entries[0]);
}

/* Fills in the data of all that are listed, in one go; those that can't be read are forgotten,
 * so that happens once. */
static bool
get_msrs (KvmVcpuState *state, GError **error)
{
  for (;;)
    {
      int done = ioctl (state->fd, KVM_GET_MSRS, &state->msrs);
      if (done < 0)
        return throw_errno (error, "vCPU %u: KVM_GET_MSRS", state->index);
      if ((unsigned) done == state->msrs.count)
        return true;
      forget_msr (&state->msrs, done);
    }
}

/* Only those that the kernel hasn't got. */
static void
choose_msrs (KvmVcpuState *state)
{
  const KvmMsrs *known = state->known ? &state->known->msrs : NULL;
  KvmMsrs *chosen = &state->msrs_to_set;

  chosen->count = 0;
  for (unsigned i = 0; i < state->msrs.count; i++)
    if (!known || i >= known->count || memcmp (&known->entries[i], &state->msrs.entries[i], sizeof known->entries[i]))
      chosen->entries[chosen->count++] = state->msrs.entries[i];
}

static bool
set_msrs (KvmVcpuState *state, GError **error)
{
  const KvmMsrs *msrs = &state->msrs_to_set;

  choose_msrs (state);
  if (!msrs->count)
    return true;
  int done = ioctl (state->fd, KVM_SET_MSRS, msrs);
  if (done < 0)
    return throw_errno (error, "vCPU %u: KVM_SET_MSRS", state->index);
  if ((unsigned) done < msrs->count)
    return throw_error (error, "vCPU %u: MSR %#x: the kernel refuses its value", state->index,
                        msrs->entries[done].index);
  return true;
}

static int
tsc_offset_ioctl (KvmVcpuState *state, unsigned long request)
{
  const struct kvm_device_attr attribute = {
    .group = KVM_VCPU_TSC_CTRL,
    .attr = KVM_VCPU_TSC_OFFSET,
    .addr = (uintptr_t) &state->tsc_offset,
  };
  return ioctl (state->fd, request, &attribute);
}

bool
kvm_vcpu_state_probe (KvmVcpuState *state, int kvm_fd, GError **error)
{
  g_autofree struct kvm_msr_list *list = g_malloc0 (sizeof *list + KVM_MSRS_MAX * sizeof list->indices[0]);
  list->nmsrs = KVM_MSRS_MAX;
  if (ioctl (kvm_fd, KVM_GET_MSR_INDEX_LIST, list) < 0)
    return throw_errno (error, "KVM_GET_MSR_INDEX_LIST");

  /* The host's TSC is the same after the update, so with the offset kept the guest's goes on
   * without a seam. Its value would be old by the time that it is written. */
  state->has_tsc_offset = tsc_offset_ioctl (state, KVM_GET_DEVICE_ATTR) == 0;
  state->msrs.count = 0;
  for (unsigned i = 0; i < list->nmsrs; i++)
    if (list->indices[i] != MSR_IA32_TSC || !state->has_tsc_offset)
      state->msrs.entries[state->msrs.count++].index = list->indices[i];
  return get_msrs (state, error);
}

static bool
vcpu_pre_save (void *device, GError **error)
{
  KvmVcpuState *state = device;

  /* First, because KVM_GET_MP_STATE takes pending INITs and SIPIs in, which changes CS and RIP. */
  if (!VCPU_IOCTL (state, KVM_GET_MP_STATE, &state->mp_state, error) ||
      !VCPU_IOCTL (state, KVM_GET_REGS, &state->regs, error) ||
      !VCPU_IOCTL (state, KVM_GET_SREGS, &state->sregs, error))
    return false;

  state->has_xsave = ioctl (state->fd, KVM_GET_XSAVE, state->xsave) == 0;
  if (!state->has_xsave && !VCPU_IOCTL (state, KVM_GET_FPU, &state->fpu, error))
    return false;
  if (ioctl (state->fd, KVM_GET_XCRS, &state->xcrs) < 0)
    state->xcrs.nr_xcrs = 0;
  if (state->has_tsc_offset && tsc_offset_ioctl (state, KVM_GET_DEVICE_ATTR) < 0)
    return throw_errno (error, "vCPU %u: TSC offset", state->index);
  if (state->has_lapic && !VCPU_IOCTL (state, KVM_GET_LAPIC, &state->lapic, error))
    return false;
  return get_msrs (state, error) && VCPU_IOCTL (state, KVM_GET_VCPU_EVENTS, &state->events, error) &&
         VCPU_IOCTL (state, KVM_GET_DEBUGREGS, &state->debugregs, error);
}

bool
kvm_vcpu_state_prepare (KvmVcpuState *state, int kvm_fd, GError **error)
{
  if (!kvm_vcpu_state_probe (state, kvm_fd, error) || !vcpu_pre_save (state, error))
    return false;
  state->known = g_memdup2 (state, sizeof *state);
  return true;
}

void
kvm_vcpu_state_clear (KvmVcpuState *state)
{
  g_clear_pointer (&state->known, g_free);
}

/* Sets a part of the state, unless the kernel has it already: on some machines a call on a vCPU
 * takes as long as everything else. */
#define IS_KNOWN(state, member) \
  ((state)->known && !memcmp (&(state)->known->member, &(state)->member, sizeof (state)->member))
#define SET(state, request, member, error) \
  (IS_KNOWN (state, member) || VCPU_IOCTL (state, request, &(state)->member, error))

static bool
vcpu_post_load (void *device, uint32_t version, GError **error)
{
  KvmVcpuState *state = device;

  /* CPUID first: it says which values the registers can have. */
  if (!SET (state, KVM_SET_CPUID2, cpuid, error) || !VCPU_IOCTL (state, KVM_SET_SREGS, &state->sregs, error) ||
      !VCPU_IOCTL (state, KVM_SET_REGS, &state->regs, error))
    return false;

  if (state->xcrs.nr_xcrs && !SET (state, KVM_SET_XCRS, xcrs, error))
    return false;
  if (state->has_xsave ? !SET (state, KVM_SET_XSAVE, xsave, error) : !SET (state, KVM_SET_FPU, fpu, error))
    return false;
  if (state->has_tsc_offset && tsc_offset_ioctl (state, KVM_SET_DEVICE_ATTR) < 0)
    return throw_errno (error, "vCPU %u: TSC offset", state->index);

  /* The LAPIC before the MSRs: a TSC deadline is only taken by a LAPIC whose timer is in that
   * mode. A write to the LAPIC's base, with KVM_SET_SREGS, can reset the LAPIC. */
  const bool same_base = state->known && state->known->sregs.apic_base == state->sregs.apic_base;
  if (state->has_lapic && !(same_base && IS_KNOWN (state, lapic)) &&
      !VCPU_IOCTL (state, KVM_SET_LAPIC, &state->lapic, error))
    return false;
  return set_msrs (state, error) && SET (state, KVM_SET_VCPU_EVENTS, events, error) &&
         SET (state, KVM_SET_DEBUGREGS, debugregs, error) &&
         (!state->has_lapic || SET (state, KVM_SET_MP_STATE, mp_state, error));
}

const CprDeviceType kvm_vcpu_type = {
  .size = sizeof (CprDeviceType),
  .name = "kvm-vcpu",
  .version = 1,
  .minimum_version = 1,
  .state = { "KvmVcpuState", sizeof (KvmVcpuState), vcpu_fields },
  .pre_save = vcpu_pre_save,
  .post_load = vcpu_post_load,
};

static bool
vm_pre_save (void *device, GError **error)
{
  KvmVmState *state = device;
  struct kvm_clock_data clock = { 0 };

  if (!VM_IOCTL (state, KVM_GET_CLOCK, &clock, error))
    return false;
  state->clock_ns = clock.clock;
  state->clock_taken_ns = state->clock_at_ns = get_monotonic_ns ();

  for (unsigned i = 0; state->has_irqchip && i < G_N_ELEMENTS (state->irqchips); i++)
    {
      state->irqchips[i].chip_id = i;
      if (!VM_IOCTL (state, KVM_GET_IRQCHIP, &state->irqchips[i], error))
        return false;
    }
  return !state->has_pit || VM_IOCTL (state, KVM_GET_PIT2, &state->pit, error);
}

static bool
vm_post_load (void *device, uint32_t version, GError **error)
{
  KvmVmState *state = device;

  /* The guest's clock doesn't stand still in an update, as its TSC doesn't. */
  const uint64_t at_ns = state->clock_at_ns ? state->clock_at_ns : state->clock_taken_ns;
  const struct kvm_clock_data clock = { .clock = state->clock_ns + get_monotonic_ns () - at_ns };
  if (!VM_IOCTL (state, KVM_SET_CLOCK, &clock, error))
    return false;

  for (unsigned i = 0; state->has_irqchip && i < G_N_ELEMENTS (state->irqchips); i++)
    if (!VM_IOCTL (state, KVM_SET_IRQCHIP, &state->irqchips[i], error))
      return false;
  return !state->has_pit || VM_IOCTL (state, KVM_SET_PIT2, &state->pit, error);
}

const CprDeviceType kvm_vm_type = {
  .size = sizeof (CprDeviceType),
  .name = "kvm-vm",
  .version = 1,
  .minimum_version = 1,
  .state = { "KvmVmState", sizeof (KvmVmState), vm_fields },
  .pre_save = vm_pre_save,
  .post_load = vm_post_load,
};
