/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_KVM_ARM64_H
#define CPR_KVM_ARM64_H

#include "kvm/host.h"
#include "kvm/ioctl.h"

/* Shared by the files of this room. */

/* ---- Registers of a vCPU. All functions take a vCPU's fd. */

#define CPR_KVM_REGISTER_SIZE_MAX 256

/* Numbers of system registers: op0, op1, CRn, CRm, op2. */
#define CPR_KVM_MPIDR   ARM64_SYS_REG (3, 0, 0, 0, 5)
#define CPR_KVM_PMCR    ARM64_SYS_REG (3, 3, 9, 12, 0)
#define CPR_KVM_APIAKEY ARM64_SYS_REG (3, 0, 2, 1, 0)
#define CPR_KVM_HCR_EL2 ARM64_SYS_REG (3, 4, 1, 1, 0)

#define CPR_KVM_SVE     (1u << KVM_ARM_VCPU_SVE)
#define CPR_KVM_PMU     (1u << KVM_ARM_VCPU_PMU_V3)
#define CPR_KVM_PTRAUTH (1u << KVM_ARM_VCPU_PTRAUTH_ADDRESS | 1u << KVM_ARM_VCPU_PTRAUTH_GENERIC)

uint32_t cpr_kvm_register_get_size (uint64_t id);
/* "SCTLR_EL1 (S3_0_C1_C0_0)", "x3", "z0". */
char *cpr_kvm_register_get_name (uint64_t id);
/* "0x1f", from the highest byte to the lowest. */
char *cpr_kvm_register_format (const void *value, uint32_t size);
/* A guest can't tell a register that KVM doesn't have from one that was never set. */
bool cpr_kvm_register_is_zero (uint64_t id, const void *value);
/* Whether it says what the CPU is, or which of the library's calls it has, and not what the guest
 * does. */
bool cpr_kvm_register_is_identity (uint64_t id);
/* The features that the VMM has to ask KVM_ARM_VCPU_INIT for so that there is such a register, as a
 * bit set; 0: none. */
uint32_t cpr_kvm_register_get_features (uint64_t id);
/* The names of the flags, for a message. */
const char *cpr_kvm_features_get_name (uint32_t features);

/* -1 with errno, or 0. */
int cpr_kvm_register_read (int fd, uint64_t id, void *value);
int cpr_kvm_register_write (int fd, uint64_t id, const void *value);
/* NULL with errno. */
struct kvm_reg_list *cpr_kvm_register_list (int fd);

/* Reads all, sets all. */
bool cpr_kvm_registers_get (CprKvmVcpu *vcpu, GError **error);
bool cpr_kvm_registers_set (CprKvmVcpu *vcpu, GError **error);
/* The features that the registers tell of: those of a state, and those of a vCPU; false: errno. */
uint32_t cpr_kvm_registers_get_features (const CprKvmVcpu *vcpu);
bool cpr_kvm_register_list_get_features (int fd, uint32_t *features);
/* Whether the values have the sizes that the ids say. */
bool cpr_kvm_registers_check (const CprKvmVcpu *vcpu);
/* Calls @func with each register that is in the state. */
typedef void (*CprKvmRegisterFunc) (uint64_t id, const void *value, void *user_data);
void cpr_kvm_registers_foreach (const CprKvmVcpu *vcpu, CprKvmRegisterFunc func, void *user_data);

/* ---- A vCPU to try things with. */

typedef struct
{
  int vm_fd, vcpu_fd;        /* -1: none */
  uint32_t features;         /* of KVM_ARM_VCPU_INIT */
  struct kvm_reg_list *list; /* its registers */
} CprKvmScratch;

/* Makes a VM, without a vCPU so far. */
bool cpr_kvm_scratch_init (CprKvmScratch *scratch, int kvm_fd, GError **error);
void cpr_kvm_scratch_clear (CprKvmScratch *scratch);
/* Makes the vCPU. @lengths: of its vectors, as KVM_REG_ARM64_SVE_VLS; NULL: all that KVM has. */
bool cpr_kvm_scratch_add_vcpu (CprKvmScratch *scratch, uint32_t features, const void *lengths, GError **error);

/* ---- The counters, which all vCPUs have in common. */

bool cpr_kvm_counters_get (CprKvmVm *vm, GError **error);
bool cpr_kvm_counters_set (CprKvmVm *vm, GError **error);
/* The frequency of the host's counter, which is the guest's too. */
uint32_t cpr_kvm_counters_get_hz (void);

/* ---- The GIC and its ITSs. */

extern const CprList cpr_kvm_gic_list;

/* Reads all. @with_tables: also has KVM write the tables of LPIs to the guest's memory. */
bool cpr_kvm_gic_get (CprKvmVm *vm, bool with_tables, GError **error);
bool cpr_kvm_gic_set (CprKvmVm *vm, GError **error);
/* How many interrupts, and how many ITSs, the state's GIC has; 0: it has no GIC. */
uint32_t cpr_kvm_gic_count_interrupts (const CprKvmVm *vm);
uint32_t cpr_kvm_gic_count_its (const CprKvmVm *vm);
/* "GICD_CTLR", "GICR_CTLR of the redistributor 0x1". */
char *cpr_kvm_gic_entry_get_name (const CprKvmGicEntry *entry);
/* One attribute of the GIC, or of an ITS: -1 with errno, or 0. */
int cpr_kvm_gic_entry_read (const CprKvmVm *vm, CprKvmGicEntry *entry);
int cpr_kvm_gic_entry_write (const CprKvmVm *vm, const CprKvmGicEntry *entry);
/* Appends the entries that there are, without their values, in the order in which they are set. */
bool cpr_kvm_gic_list_entries (const CprKvmVm *vm, GArray *entries, GError **error);
/* Whether the entry can't be set: both sides must have the same. */
bool cpr_kvm_gic_entry_is_fixed (const CprKvmGicEntry *entry);

#endif
