/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_KVM_NEEDS_HOST_H
#define CPR_KVM_NEEDS_HOST_H

#include "kvm/vm.h"

#ifdef __x86_64__

/* The offer of KVM here to any VM, as far as /dev/kvm tells. */
typedef struct
{
  CprKvmCpuid offered;
  GArray *msrs; /* uint32_t */
  uint32_t xsave_size;
  uint32_t n_banks; /* of machine checks */
  uint64_t mcg_cap;
  uint32_t vcpu_ids_max;
  bool has_irqchip, has_pit, has_routing, has_nested;
} CprKvmHost;

bool cpr_kvm_host_ask (CprKvmHost *host, int kvm_fd, GError **error);
void cpr_kvm_host_clear (CprKvmHost *host);

/* Calls @func with each thing that a vCPU, or a VM, of a state needs, and that isn't here. */
void
cpr_kvm_host_find_lacks_of_vcpu (const CprKvmHost *host, const CprKvmVcpu *vcpu, CprKvmLackFunc func, void *user_data);
void cpr_kvm_host_find_lacks_of_vm (const CprKvmHost *host, const CprKvmVm *vm, CprKvmLackFunc func, void *user_data);

#endif

#endif
