/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_UNIT_KVM_ARM64_H
#define TESTS_UNIT_KVM_ARM64_H

#include "kvm-calls.h"
#include "kvm/vm.h"
#include "programs.h"

#ifdef __aarch64__

#  include "kvm/arm64/arm64.h"

/* VMs of the real KVM on AArch64, read and changed without the library. */

#  define ARM_VCPUS      2
#  define ARM_RAM        0x40000000
#  define ARM_RAM_SIZE   (2 * 1024 * 1024)
#  define ARM_GICD       0x08000000
#  define ARM_GICR       0x080a0000
#  define ARM_ITS        0x08080000
#  define ARM_INTERRUPTS 96

typedef struct
{
  uint32_t features;    /* of KVM_ARM_VCPU_INIT, without PSCI 0.2, which all have */
  uint32_t second_more; /* of the second vCPU only */
  unsigned n_its;
  uint32_t n_interrupts; /* 0: no GIC */
  uint64_t gicd;         /* its address */
  uint8_t *ram;          /* NULL: memory of its own */
} ArmOptions;

typedef struct
{
  ArmOptions options;
  int kvm, vm, vcpus[ARM_VCPUS], gic, its[2];
  uint8_t *ram;
  bool owns_ram;
} ArmMachine;

/* With all parts. */
#  define ARM_OPTIONS                                              \
    (ArmOptions)                                                   \
    {                                                              \
      .n_its = 1, .n_interrupts = ARM_INTERRUPTS, .gicd = ARM_GICD \
    }

void arm_machine_init (ArmMachine *machine, ArmOptions options);
void arm_machine_clear (ArmMachine *machine);
/* The features that this KVM has. */
uint32_t arm_get_features (void);

/* The VM as a device, with its vCPUs, GIC and ITSs. */
CprKvmVm *arm_add (const ArmMachine *machine, CprDeviceTable *devices, unsigned flags);

uint64_t arm_get (int vcpu, uint64_t id);
void arm_set (int vcpu, uint64_t id, uint64_t value);
uint64_t arm_gic_get (const ArmMachine *machine, uint32_t group, uint64_t attr);
void arm_gic_set (const ArmMachine *machine, uint32_t group, uint64_t attr, uint64_t value);
/* The affinity of a vCPU, as the upper half of an attribute. */
uint64_t arm_get_affinity (const ArmMachine *machine, unsigned vcpu);

/* Two VMs with the same memory, each in a program of its own: one saves, and the other loads. */
typedef struct
{
  ArmMachine from, to;
  Programs programs;
  CprKvmVm *saved, *loaded;
} ArmPair;

void arm_pair_init (ArmPair *pair, ArmOptions was, ArmOptions is, unsigned flags);
void arm_pair_clear (ArmPair *pair);

/* KVM behind the library's table of system calls, with other answers. */
typedef struct
{
  unsigned calls, fail_at; /* the n-th fails with ENOMEM; 0: none */
  uint64_t changed_id;     /* a register that has this value; 0: none */
  uint64_t changed_value;
  uint64_t unlisted_id;             /* that KVM doesn't have; 0: none */
  int changed_fd;                   /* on this fd; -1: on all */
  int capability, capability_is;    /* another answer of KVM_CHECK_EXTENSION; 0: none */
  int missing_device;               /* that KVM_CREATE_DEVICE doesn't know; 0: none */
  unsigned long counted, n_counted; /* how often that ioctl came */
} ArmKernel;

extern ArmKernel arm_kernel;

/* Until cpr_sys is the real one again. */
void arm_kernel_begin (void);

#endif

#endif
