/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_UNIT_KVM_KERNEL_H
#define TESTS_UNIT_KVM_KERNEL_H

#include "kvm-machine.h"

#ifdef __x86_64__

/* The real KVM behind the library's table of system calls, where one ioctl fails, or is answered in
 * another way. */
typedef struct
{
  unsigned calls, fail_at; /* the n-th fails with ENOMEM; 0: none */
  unsigned long failed;    /* which that was */
  int on;                  /* and its fd */
  unsigned long missing;   /* always fails with EINVAL; 0: none */
  bool is_old;             /* it lacks what came late */
  uint32_t refused_msr;    /* 0: none */
  unsigned more_msrs;      /* that it lists and doesn't have */
  bool has_tsc;            /* the vCPUs' TSC is this one, with an offset */
  uint64_t tsc, offsets[KVM_VCPUS];
  int second[2]; /* the fds of vCPUs 1 */
} KvmKernel;

extern KvmKernel kvm_kernel;

/* Until cpr_sys is the real one again. */
void kvm_kernel_begin (int second, int other_second);
const char *kvm_name_of (unsigned long request);

#endif

#endif
