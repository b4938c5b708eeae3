/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MINIVMM_KVM_STATE_H
#define MINIVMM_KVM_STATE_H

#include <linux/kvm.h>

#include <libcpr/libcpr.h>

/* The state that KVM keeps for a vCPU and for the VM, as libcpr device types. `pre_save` gets it
 * from the kernel, and `post_load` gives it to a KVM VM that was built anew, because a KVM VM
 * belongs to the address space that made it. */

#define KVM_MSRS_MAX  512
#define KVM_CPUID_MAX 256

/* These two are laid out as struct kvm_msrs and struct kvm_cpuid2, but with room. */
typedef struct
{
  uint32_t count;
  uint32_t pad;
  struct kvm_msr_entry entries[KVM_MSRS_MAX];
} KvmMsrs;

typedef struct
{
  uint32_t count;
  uint32_t pad;
  struct kvm_cpuid_entry2 entries[KVM_CPUID_MAX];
} KvmCpuid;

typedef struct _KvmVcpuState KvmVcpuState;

struct _KvmVcpuState
{
  int fd; /* the vCPU; not state */
  unsigned index;
  KvmVcpuState *known; /* what the kernel has already, not state; NULL: that isn't known */
  KvmMsrs msrs_to_set; /* room for those that it hasn't, not state */

  KvmCpuid cpuid;
  KvmMsrs msrs;
  struct kvm_regs regs;
  struct kvm_sregs sregs;
  bool has_xsave;
  uint32_t xsave[1024]; /* struct kvm_xsave without its variable part */
  struct kvm_fpu fpu;
  struct kvm_xcrs xcrs;
  bool has_lapic;
  struct kvm_lapic_state lapic;
  struct kvm_vcpu_events events;
  struct kvm_mp_state mp_state;
  struct kvm_debugregs debugregs;
  bool has_tsc_offset;
  uint64_t tsc_offset;
};

typedef struct
{
  int fd; /* the VM; not state */

  uint64_t clock_ns;
  uint64_t clock_taken_ns, clock_at_ns; /* when, the same twice */
  bool has_irqchip;
  struct kvm_irqchip irqchips[3];
  bool has_pit;
  struct kvm_pit_state2 pit;
} KvmVmState;

extern const CprDeviceType kvm_vcpu_type;
extern const CprDeviceType kvm_vm_type;

/* In a fresh VM: finds out which MSRs can be read and whether there is a TSC offset; both go
 * along in the state. */
bool kvm_vcpu_state_probe (KvmVcpuState *state, int kvm_fd, GError **error);

/* While the guest still runs elsewhere: asks the kernel for all of it, so that what it has
 * already needn't be set when there is less time. */
bool kvm_vcpu_state_prepare (KvmVcpuState *state, int kvm_fd, GError **error);
void kvm_vcpu_state_clear (KvmVcpuState *state);

#endif
