/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_UNIT_KVM_MACHINE_H
#define TESTS_UNIT_KVM_MACHINE_H

#include "kvm-calls.h"
#include "kvm/vm.h"
#include "programs.h"

#ifdef __x86_64__

/* VMs of the real KVM, read and changed without the library. */

#  define KVM_VCPUS 2
#  define KVM_RAM   (64 * 1024)
#  define KVM_MSRS  512
#  define KVM_CODE  0x1000 /* where a guest's code is loaded to */

typedef enum
{
  IRQCHIP_FULL,
  IRQCHIP_SPLIT,
  IRQCHIP_NONE
} Irqchip;

typedef struct
{
  int kvm, vm, vcpus[KVM_VCPUS];
  struct kvm_run *runs[KVM_VCPUS];
  size_t run_size;
  uint8_t *ram;
  Irqchip irqchip;
} KvmMachine;

/* What the kernel has for a vCPU, each part as its own ioctl gives it. */
typedef struct
{
  CprKvmCpuid cpuid;
  struct kvm_regs regs;
  struct kvm_sregs2 sregs;
  uint8_t xsave[sizeof (struct kvm_xsave)];
  struct kvm_xcrs xcrs;
  struct kvm_debugregs debugregs;
  struct kvm_vcpu_events events;
  struct kvm_mp_state mp_state;
  struct kvm_lapic_state lapic;
  uint32_t n_msrs;
  struct kvm_msr_entry msrs[KVM_MSRS];
  uint64_t tsc_offset;
  int tsc_khz;
} KvmSnapshot;

void kvm_machine_init (KvmMachine *machine, Irqchip irqchip);
void kvm_machine_clear (KvmMachine *machine);

void kvm_snapshot (const KvmMachine *machine, unsigned vcpu, KvmSnapshot *snapshot);
/* What KVM can do here, as the CPUID of a vCPU. */
void kvm_set_cpuid (const KvmMachine *machine, unsigned vcpu);
/* Gives every part another value than the default. */
void kvm_stir (const KvmMachine *machine);
/* Each part of each vCPU, and of the VM, is the same in both. */
void kvm_assert_same (const KvmMachine *a, const KvmMachine *b);
/* All are other than those of a VM that has just been made. */
void kvm_assert_stirred (const KvmMachine *machine);

/* Has the first vCPU begin with this code in real mode, with @base as that of its data. */
void kvm_boot (const KvmMachine *on, const uint8_t *code, size_t size, uint64_t base);
/* Another VM with the same RAM; and the state of all that the first one has. */
CprKvmVm *kvm_make_next (const KvmMachine *machine, KvmMachine *next, CprDeviceTable *devices);
void kvm_carry (CprKvmVm *saved, CprKvmVm *loaded);

bool kvm_read_msr (int vcpu, uint32_t index, uint64_t *data);
bool kvm_write_msr (int vcpu, uint32_t index, uint64_t data);

#endif

#endif
