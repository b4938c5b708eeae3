/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_KVM_STATE_H
#define CPR_KVM_STATE_H

#include <linux/kvm.h>

#include "registry/device/device.h"

/* The state that the kernel keeps for a VM and for a vCPU. */

typedef struct _CprKvmVcpu CprKvmVcpu;

#ifdef __x86_64__

#  define CPR_KVM_MSRS_MAX   1024
#  define CPR_KVM_CPUID_MAX  256
#  define CPR_KVM_XSAVE_MIN  sizeof (struct kvm_xsave)
#  define CPR_KVM_XSAVE_MAX  (1024 * 1024)
#  define CPR_KVM_NESTED_MAX (1024 * 1024)
#  define CPR_KVM_ROUTES_MAX 4096
#  define CPR_KVM_N_IRQCHIPS 3

/* These two are laid out as struct kvm_msrs and struct kvm_cpuid2, but with room. */
typedef struct
{
  uint32_t count;
  uint32_t pad;
  struct kvm_msr_entry entries[CPR_KVM_MSRS_MAX];
} CprKvmMsrs;

typedef struct
{
  uint32_t count;
  uint32_t pad;
  struct kvm_cpuid_entry2 entries[CPR_KVM_CPUID_MAX];
} CprKvmCpuid;

/* The abilities of KVM here, asked once. */
typedef struct
{
  bool is_known;
  uint32_t xsave_size; /* of KVM_GET_XSAVE2; 0: only KVM_GET_FPU */
  bool has_xsave2, has_sregs2, has_xcrs, has_tsc_offset, has_kvmclock_ctrl, has_one_reg, has_set_realtime;
  uint32_t nested_size; /* 0: no nested state */
  GArray *msrs;         /* uint32_t: those that there may be, in the order in which they are set */
} CprKvmAbilities;

typedef struct
{
  int fd;
  uint32_t gsi;
  int resample_fd; /* -1: none */
} CprKvmIrqfd;

struct _CprKvmVm
{
  CprSession *session;
  uint64_t notifier; /* the session's */
  CprDeviceTable *devices;
  char *name;
  int kvm_fd, fd;
  unsigned flags;
  GPtrArray *vcpus; /* CprKvmVcpu */
  CprKvmAbilities can;
  bool has_tsc_shift; /* what the first vCPU's TSC offset was changed by in a load */
  uint64_t tsc_shift;
  CprKvmMsrs batch; /* room for one call, of one vCPU after the other */

  GMutex lock;    /* of the next seven */
  GArray *irqfds; /* CprKvmIrqfd */
  bool irqfds_are_on;
  GPtrArray *vfio; /* CprVfioDevice; borrowed */
  int vfio_fd;     /* KVM's VFIO device; -1: none yet, or this kernel has none */
  bool vfio_is_on;
  uint8_t *current_routes; /* struct kvm_irq_routing_entry; NULL: the VMM sees to them */
  uint32_t current_routes_size;

  /* The fields. */
  uint64_t clock_ns;
  uint32_t clock_flags;
  uint64_t clock_realtime_ns;
  uint64_t taken_ns, at_ns; /* when: the same twice, unless CLOCK_MONOTONIC began again */
  bool has_irqchip;
  struct kvm_irqchip irqchips[CPR_KVM_N_IRQCHIPS];
  bool has_pit;
  struct kvm_pit_state2 pit;
  uint8_t *routes; /* the current ones when they were last saved: a preflight may read these at any time */
  uint32_t routes_size;
};

struct _CprKvmVcpu
{
  CprKvmVm *vm;
  unsigned index;
  int fd;
  char *name;        /* of the device */
  bool knows_msrs;   /* which can be read */
  bool knows_config; /* what doesn't change while the guest runs: cpuid, tsc_khz, has_lapic, has_ssp */
  CprKvmVcpu *known; /* what the kernel has already; NULL: that isn't known */

  /* The fields. */
  CprKvmCpuid cpuid;
  CprKvmCpuid backed; /* of the features in there: those that KVM offered */
  CprKvmMsrs msrs;
  uint32_t skipped[CPR_KVM_MSRS_MAX]; /* MSRs that can't be read */
  uint32_t n_skipped;
  uint64_t mcg_cap;
  struct kvm_regs regs;
  struct kvm_sregs2 sregs;
  uint8_t *xsave;
  uint32_t xsave_size; /* 0: fpu instead */
  struct kvm_fpu fpu;
  struct kvm_xcrs xcrs;
  struct kvm_debugregs debugregs;
  struct kvm_vcpu_events events;
  struct kvm_mp_state mp_state;
  bool has_lapic;
  struct kvm_lapic_state lapic;
  uint8_t *nested; /* struct kvm_nested_state and what follows it */
  uint32_t nested_size;
  bool has_ssp;
  uint64_t ssp; /* shadow stack pointer */
  uint32_t tsc_khz;
  bool has_tsc_offset;
  uint64_t tsc_offset;
  uint64_t tsc;
  uint64_t tsc_taken_ns, tsc_at_ns; /* when, as that of the VM's clock */
};

#else

struct _CprKvmVm
{
  CprSession *session;
  uint64_t notifier;
};

struct _CprKvmVcpu
{
  unsigned index;
};

#endif

extern const CprField cpr_kvm_vm_fields[], cpr_kvm_vcpu_fields[];

/* The callbacks of the two types. */
bool cpr_kvm_vm_get (void *vm, GError **error);
bool cpr_kvm_vm_set (void *vm, uint32_t version, GError **error);
bool cpr_kvm_vcpu_get (void *vcpu, GError **error);
bool cpr_kvm_vcpu_set (void *vcpu, uint32_t version, GError **error);

/* Asks the kernel for what doesn't change in a running vCPU, for a preflight and, where that is
 * kept, for cpr_kvm_vcpu_get(). @offered: see cpr_kvm_cpuid_get_offered(). Failure leaves out the
 * rest. */
bool cpr_kvm_vcpu_probe (CprKvmVcpu *vcpu, const CprKvmCpuid *offered);
/* The same for a VM. */
void cpr_kvm_machine_probe (CprKvmVm *vm);

/* Whether the VMM made the VM, or the vCPU, without such a part. */
bool cpr_kvm_vcpu_lacks_lapic (const CprKvmVcpu *vcpu);
bool cpr_kvm_vm_lacks_irqchip (const CprKvmVm *vm);
bool cpr_kvm_vm_lacks_pit (const CprKvmVm *vm);

#define CPR_KVM_LAPIC_HINT "KVM_CREATE_IRQCHIP or KVM_CAP_SPLIT_IRQCHIP comes before KVM_CREATE_VCPU"

/* Asks the kernel for all of a vCPU's state, for vcpu->known; and frees that. */
bool cpr_kvm_vcpu_learn (CprKvmVcpu *vcpu, GError **error);
void cpr_kvm_vcpu_forget (CprKvmVcpu *known);

/* Sets the routing, and keeps it for the state. */
bool cpr_kvm_vm_route (CprKvmVm *vm, const struct kvm_irq_routing *routing, GError **error);

/* Asks what KVM can do, unless that is known. */
bool cpr_kvm_vm_learn (CprKvmVm *vm, GError **error);

/* The features of a CPU that KVM can back, as a CPUID. */
bool cpr_kvm_cpuid_get_offered (int kvm_fd, CprKvmCpuid *offered, GError **error);
/* Notes those that are in @offered and that the vCPU has. A VMM may give it more than KVM offers:
 * that is its own business, wherever the guest runs. */
void cpr_kvm_cpuid_note_backed (CprKvmVcpu *vcpu, const CprKvmCpuid *offered);
/* Calls @func with each register of a leaf that has bits in @backed and not in @offered. */
typedef void (*CprKvmLackFunc) (const char *lack, void *user_data);
void
cpr_kvm_cpuid_find_lacks (const CprKvmCpuid *backed, const CprKvmCpuid *offered, CprKvmLackFunc func, void *user_data);
/* Whether KVM here backs all that backed the vCPU's features before. */
bool cpr_kvm_cpuid_check (const CprKvmVcpu *vcpu, GError **error);

/* The MSRs: all but the TSC, where that has an offset. A list of uint32_t, in the order in which
 * they are set. */
GArray *cpr_kvm_msrs_list (int kvm_fd, bool has_tsc_offset, GError **error);
/* Whether it is of a machine check bank. Those aren't listed. */
bool cpr_kvm_msr_is_of_bank (const CprKvmVcpu *vcpu, uint32_t index);
/* Also reads the TSC. */
bool cpr_kvm_msrs_get (CprKvmVcpu *vcpu, GError **error);
/* Those that say what the CPU is, which have to be set before all else, and the others. */
bool cpr_kvm_msrs_set_early (CprKvmVcpu *vcpu, GError **error);
bool cpr_kvm_msrs_set (CprKvmVcpu *vcpu, GError **error);
/* Whether the guest has a kvmclock that KVM keeps right. */
bool cpr_kvm_msrs_have_clock (const CprKvmVcpu *vcpu);
/* One MSR; *there: whether it can be read. */
bool cpr_kvm_msr_read (const CprKvmVcpu *vcpu, uint32_t index, uint64_t *data, bool *there, GError **error);

bool cpr_kvm_tsc_get (CprKvmVcpu *vcpu, GError **error);
bool cpr_kvm_tsc_set (CprKvmVcpu *vcpu, GError **error);
/* Whether an instant was taken with the clock that this program has, and what has passed since. */
bool cpr_kvm_clock_is_same (uint64_t taken_ns, uint64_t at_ns);
uint64_t cpr_kvm_get_elapsed_ns (const CprKvmVm *vm, uint64_t at_ns);

#endif
