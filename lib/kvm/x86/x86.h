/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_KVM_X86_H
#define CPR_KVM_X86_H

#include "kvm/host.h"
#include "kvm/ioctl.h"
#include "kvm/x86/script.h"

/* Shared by the files of this room. */

/* Linux 6.18, asm/kvm.h: a register that is no MSR. */
#define CPR_KVM_REG_SSP (KVM_REG_X86 | KVM_REG_SIZE_U64 | 3ULL << 32)

/* Asks the kernel for what doesn't change in a running vCPU, for a preflight and, where that is
 * kept, for cpr_kvm_vcpu_get(). @offered: see cpr_kvm_cpuid_get_offered(). Failure leaves out the
 * rest. */
bool cpr_kvm_vcpu_probe (CprKvmVcpu *vcpu, const CprKvmCpuid *offered);
/* The same for a VM. */
void cpr_kvm_machine_probe (CprKvmVm *vm);

/* The script that reads it. What doesn't change must be known. */
void cpr_kvm_vcpu_write_script (const CprKvmVcpu *vcpu, CprKvmScript *script);
void cpr_kvm_vm_write_script (const CprKvmVm *vm, CprKvmScript *script);
/* Takes in what such a script has told another process, over a state that was read before. */
bool cpr_kvm_vcpu_take_late (CprKvmVcpu *vcpu, const CprKvmScript *script, GError **error);
bool cpr_kvm_vm_take_late (CprKvmVm *vm, const CprKvmScript *script, GError **error);

/* Whether the VMM made the VM, or the vCPU, without such a part. */
bool cpr_kvm_vcpu_lacks_lapic (const CprKvmVcpu *vcpu);
bool cpr_kvm_vm_lacks_irqchip (const CprKvmVm *vm);
bool cpr_kvm_vm_lacks_pit (const CprKvmVm *vm);

#define CPR_KVM_LAPIC_HINT "KVM_CREATE_IRQCHIP or KVM_CAP_SPLIT_IRQCHIP comes before KVM_CREATE_VCPU"

/* The features of a CPU that KVM can back, as a CPUID. */
bool cpr_kvm_cpuid_get_offered (int kvm_fd, CprKvmCpuid *offered, GError **error);
/* Notes those that are in @offered and that the vCPU has. A VMM may give it more than KVM offers:
 * that is its own business, wherever the guest runs. */
void cpr_kvm_cpuid_note_backed (CprKvmVcpu *vcpu, const CprKvmCpuid *offered);
/* Calls @func with each register of a leaf that has bits in @backed and not in @offered. */
void
cpr_kvm_cpuid_find_lacks (const CprKvmCpuid *backed, const CprKvmCpuid *offered, CprKvmLackFunc func, void *user_data);
/* Whether KVM here backs all that backed the vCPU's features before. */
bool cpr_kvm_cpuid_check (const CprKvmVcpu *vcpu, GError **error);

/* The MSRs: all but the TSC, where that has an offset. A list of uint32_t, in the order in which
 * they are set. */
GArray *cpr_kvm_msrs_list (int kvm_fd, bool has_tsc_offset, GError **error);
/* Whether it is of a machine check bank. Those aren't listed. */
bool cpr_kvm_msr_is_of_bank (const CprKvmVcpu *vcpu, uint32_t index);
/* Reads them, with the TSC, and finds out which can be read. */
bool cpr_kvm_msrs_get (CprKvmVcpu *vcpu, GError **error);
/* The same in a script, if it is known which can be read. Else, and where one can't be read any
 * more, cpr_kvm_msrs_take() reads them all. */
uint32_t cpr_kvm_msrs_get_room (const CprKvmVcpu *vcpu);
void cpr_kvm_msrs_add (const CprKvmVcpu *vcpu, CprKvmScript *script);
bool cpr_kvm_msrs_take_late (CprKvmVcpu *vcpu, const CprKvmScript *script, GError **error);
bool cpr_kvm_msrs_take (CprKvmVcpu *vcpu, const CprKvmScript *script, GError **error);
/* Those that say what the CPU is, which have to be set before all else, and the others. */
bool cpr_kvm_msrs_set_early (CprKvmVcpu *vcpu, GError **error);
bool cpr_kvm_msrs_set (CprKvmVcpu *vcpu, GError **error);
/* Whether the guest has a kvmclock that KVM keeps right. */
bool cpr_kvm_msrs_have_clock (const CprKvmVcpu *vcpu);
/* One MSR; *there: whether it can be read. */
bool cpr_kvm_msr_read (const CprKvmVcpu *vcpu, uint32_t index, uint64_t *data, bool *there, GError **error);

bool cpr_kvm_tsc_get_khz (CprKvmVcpu *vcpu, GError **error);
/* Its offset, in a script. */
void cpr_kvm_tsc_add (const CprKvmVcpu *vcpu, CprKvmScript *script);
void cpr_kvm_tsc_take (CprKvmVcpu *vcpu, const CprKvmScript *script);
bool cpr_kvm_tsc_set (CprKvmVcpu *vcpu, GError **error);

#endif
