/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MINIVMM_KVM_H
#define MINIVMM_KVM_H

#include <linux/kvm.h>

#include "accel/accel.h"
#include "accel/kvm-vfio.h"

typedef struct
{
  int fd;
  struct kvm_run *run;
} KvmVcpu;

/* The VM of kvm.c. */
typedef struct
{
  AccelConfig config;
  int fd;
  int vm_fd;
  CprKvmVm *vm;
  bool has_irqchip;
  int gic_fd; /* on AArch64; -1: none */
  int its_fd;
  size_t run_size;
  uint64_t counter_khz;
  KvmVfio *vfio;    /* NULL: none */
  unsigned n_added; /* slots of memory that was plugged in */
  KvmVcpu vcpus[];
} Kvm;

/* What follows differs from one architecture to another: it is in kvm-x86.c and in kvm-arm64.c, of
 * which only the one for the host is built. In the order in which they are called. */

const GuestKind *kvm_arch_get_guests (void);

bool kvm_arch_begin (Kvm *kvm, GError **error);       /* the VM has no memory yet */
bool kvm_arch_add_irqchip (Kvm *kvm, GError **error); /* it has all of its memory, and no vCPU */
bool kvm_arch_set_up_vcpu (const Kvm *kvm, unsigned index, GError **error);
bool kvm_arch_complete (Kvm *kvm, GError **error); /* all vCPUs are there */
uint64_t kvm_arch_get_counter_khz (const Kvm *kvm);

/* In a fresh VM: the vCPU's first state. */
bool kvm_arch_reset (const Kvm *kvm, unsigned index, const GuestEntry *entry, GError **error);

/* The routes that the kernel makes by itself for an irqchip: with one of ours all are set anew. */
#define KVM_ARCH_ROUTES_MAX 1024
void kvm_arch_add_routes (struct kvm_irq_routing *routing);

/* False: the exit isn't one that only this architecture has. */
bool kvm_arch_handle_exit (Kvm *kvm, struct kvm_run *run);
uint64_t kvm_arch_get_pc (const KvmVcpu *vcpu);

void kvm_arch_clear (Kvm *kvm);

#endif
