/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_KVM_STATE_H
#define CPR_KVM_STATE_H

#include <linux/kvm.h>

#include "registry/device/device.h"

/* The state that the kernel keeps for a VM and for a vCPU, and what the room of this architecture
 * (x86/ or arm64/) does with it. */

typedef struct _CprKvmVcpu CprKvmVcpu;
typedef struct _CprKvmCpuid CprKvmCpuid;

#define CPR_KVM_ROUTES_MAX 4096

#if defined(__x86_64__)

#  define CPR_KVM_MSRS_MAX   1024
#  define CPR_KVM_CPUID_MAX  256
#  define CPR_KVM_XSAVE_MIN  sizeof (struct kvm_xsave)
#  define CPR_KVM_XSAVE_MAX  (1024 * 1024)
#  define CPR_KVM_NESTED_MAX (1024 * 1024)
#  define CPR_KVM_N_IRQCHIPS 3

/* These two are laid out as struct kvm_msrs and struct kvm_cpuid2, but with room. */
typedef struct
{
  uint32_t count;
  uint32_t pad;
  struct kvm_msr_entry entries[CPR_KVM_MSRS_MAX];
} CprKvmMsrs;

struct _CprKvmCpuid
{
  uint32_t count;
  uint32_t pad;
  struct kvm_cpuid_entry2 entries[CPR_KVM_CPUID_MAX];
};

/* The abilities of KVM here, asked once. */
typedef struct
{
  bool is_known;
  uint32_t xsave_size; /* of KVM_GET_XSAVE2; 0: only KVM_GET_FPU */
  bool has_xsave2, has_sregs2, has_xcrs, has_tsc_offset, has_kvmclock_ctrl, has_one_reg, has_set_realtime;
  uint32_t nested_size; /* 0: no nested state */
  GArray *msrs;         /* uint32_t: those that there may be, in the order in which they are set */
} CprKvmAbilities;

#elif defined(__aarch64__)

#  define CPR_KVM_REGISTERS_MAX 2048
#  define CPR_KVM_WIDE_MAX      256
#  define CPR_KVM_WIDE_SIZE_MAX (CPR_KVM_WIDE_MAX * 256)
#  define CPR_KVM_GIC_MAX       (1024 * 1024)
#  define CPR_KVM_ITS_MAX       64

/* A register of up to 64 bits. */
typedef struct
{
  uint64_t id, value;
} CprKvmRegister;

/* A register of the GIC or of an ITS, or another attribute of these devices: `group` is that of the
 * device's attributes, and `owner` the affinity of the vCPU, or the number of the ITS or region. */
typedef struct
{
  uint32_t group, owner, offset;
  uint64_t value;
} CprKvmGicEntry;

/* The abilities of KVM here, asked once. */
typedef struct
{
  bool is_known;
  bool has_events;
} CprKvmAbilities;

#else
#  error "libcpr knows what KVM keeps on x86-64 and on AArch64"
#endif

typedef struct
{
  int fd;
  uint32_t gsi;
  int resample_fd; /* -1: none */
} CprKvmIrqfd;

struct _CprKvmVm
{
  CprSession *session;
  CprDeviceTable *devices;
  char *name;
  int kvm_fd, fd;
  unsigned flags;
  bool is_deferred; /* loading only notes the state: the late one is set over it */
  GPtrArray *vcpus;   /* CprKvmVcpu */
  GArray *device_fds; /* int: of KVM devices that are parts of the VM; the VMM's */
  CprKvmAbilities can;

  GMutex lock;    /* of the next seven, and of `vcpus`, which only one thread changes */
  GArray *irqfds; /* CprKvmIrqfd */
  bool irqfds_are_on;
  GPtrArray *vfio; /* CprVfioDevice; borrowed */
  int vfio_fd;     /* KVM's VFIO device; -1: none yet, or this kernel has none */
  bool vfio_is_on;
  uint8_t *current_routes; /* struct kvm_irq_routing_entry; NULL: the VMM sees to them */
  uint32_t current_routes_size;

  /* The fields. */
  uint8_t *routes; /* the current ones when they were last saved: a preflight may read these at any time */
  uint32_t routes_size;
#ifdef __x86_64__
  bool has_tsc_shift; /* what the first vCPU's TSC offset was changed by in a load; no field */
  uint64_t tsc_shift;
  CprKvmMsrs batch; /* room for one call, of one vCPU after the other; no field */
  uint64_t clock_ns;
  uint32_t clock_flags;
  uint64_t clock_realtime_ns;
  uint64_t taken_ns, at_ns; /* when: the same twice, unless CLOCK_MONOTONIC began again */
  bool has_irqchip;
  struct kvm_irqchip irqchips[CPR_KVM_N_IRQCHIPS];
  bool has_pit;
  struct kvm_pit_state2 pit;
#elif defined(__aarch64__)
  int gic_fd;        /* -1: none */
  GArray *its_fds;   /* int, in the order of adding; no field */
  GArray *known_gic; /* CprKvmGicEntry: what the kernel has already; NULL: that isn't known; no field */
  GArray *gic;       /* CprKvmGicEntry, in the order in which they are set; NULL or empty: there is no GIC */
  bool has_counters;
  uint32_t counter_hz;
  uint64_t counter;          /* the guest's, virtual */
  uint64_t physical_counter; /* 0: KVM didn't tell it */
  uint64_t host_counter;     /* the host's at the same instant */
  uint64_t taken_ns, at_ns;  /* when: the same twice, unless CLOCK_MONOTONIC began again */
#endif
};

struct _CprKvmVcpu
{
  CprKvmVm *vm;
  unsigned index;
  int fd;
  char *name;        /* of the device */
  void *parked;      /* CprLateVcpu: what it did while no program had the guest, for its exits' handler; or NULL */
  CprKvmVcpu *known; /* what the kernel has already; NULL: that isn't known */

  /* The fields. */
  struct kvm_vcpu_events events;
  struct kvm_mp_state mp_state;
#ifdef __x86_64__
  bool knows_msrs;   /* which can be read; no field */
  bool knows_config; /* what a running guest doesn't change: cpuid, tsc_khz, mcg_cap, has_lapic, has_ssp; no field */
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
#elif defined(__aarch64__)
  bool knows_registers;      /* which there are; no field */
  CprKvmRegister registers[CPR_KVM_REGISTERS_MAX];
  uint32_t n_registers;
  uint64_t wide_ids[CPR_KVM_WIDE_MAX]; /* of those of more than 64 bits */
  uint32_t n_wide;
  uint8_t *wide; /* their values, one after the other */
  uint32_t wide_size;
#endif
};

extern const CprField cpr_kvm_vm_fields[], cpr_kvm_vcpu_fields[];

/* ---- The architecture's room has these. */

/* The callbacks of the two types. */
bool cpr_kvm_vm_get (void *vm, GError **error);
bool cpr_kvm_vm_set (void *vm, uint32_t version, GError **error);
bool cpr_kvm_vcpu_get (void *vcpu, GError **error);
bool cpr_kvm_vcpu_set (void *vcpu, uint32_t version, GError **error);

/* Asks what KVM can do, unless that is known. */
bool cpr_kvm_vm_learn (CprKvmVm *vm, GError **error);

/* Gives the architecture's members of a new VM values other than 0. */
void cpr_kvm_vm_init (CprKvmVm *vm);

/* Whether the VMM has made the vCPU ready, so that its state can be read. */
bool cpr_kvm_vcpu_check (const CprKvmVcpu *vcpu, GError **error);

/* Takes in an interrupt controller that is a KVM device of its own. */
bool cpr_kvm_vm_add_gic (CprKvmVm *vm, int fd, GError **error);
bool cpr_kvm_vm_add_its (CprKvmVm *vm, int fd, GError **error);

/* Why no program but this one could ever run the VM; NULL: nothing is in the way. */
char *cpr_kvm_vm_describe_obstacle (const CprKvmVm *vm);
/* The same once there is a vCPU; *modes: those in which that is in the way. */
char *cpr_kvm_vcpu_describe_obstacle (const CprKvmVcpu *vcpu, unsigned *modes);

/* Finds out, for a preflight, what doesn't change any more in vCPUs that don't run yet and load no
 * state; and which parts of their state can be read, so that no update needs to. The update finds
 * again whatever fails here. @only: NULL: all vCPUs. */
void cpr_kvm_vm_probe (CprKvmVm *vm, const CprKvmVcpu *only);

/* Asks the kernel for all of the VM's state, as far as that saves time later. */
void cpr_kvm_vm_learn_state (CprKvmVm *vm);
/* Asks the kernel for all of a vCPU's state, for vcpu->known; and frees that. */
bool cpr_kvm_vcpu_learn (CprKvmVcpu *vcpu, GError **error);
void cpr_kvm_vcpu_forget (CprKvmVcpu *known);

/* Frees what the architecture's members point to. */
void cpr_kvm_vm_clear (CprKvmVm *vm);
void cpr_kvm_vcpu_clear (CprKvmVcpu *vcpu);

/* ---- For the architecture's room. */

/* The routing: noted for the state, when that is saved; and set again. */
void cpr_kvm_vm_get_routes (CprKvmVm *vm);
bool cpr_kvm_vm_set_routes (CprKvmVm *vm, GError **error);

/* Whether an instant was taken with the clock that this program has, and what has passed since. */
bool cpr_kvm_clock_is_same (uint64_t taken_ns, uint64_t at_ns);
uint64_t cpr_kvm_get_elapsed_ns (const CprKvmVm *vm, uint64_t at_ns);
/* The same by a counter that makes so many ticks in @unit_ns. */
uint64_t cpr_kvm_get_elapsed_ticks (const CprKvmVm *vm, uint64_t at_ns, uint32_t ticks, uint64_t unit_ns);

#endif
