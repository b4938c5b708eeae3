/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_KVM_HOST_H
#define CPR_KVM_HOST_H

#include "kvm/state.h"

/* The offer of KVM on this host to any VM, as far as /dev/kvm tells; there may be no VM here yet.
 * The architecture's room has these functions; needs/ calls them. */
typedef struct _CprKvmHost CprKvmHost;

CprKvmHost *cpr_kvm_host_new (int kvm_fd, GError **error);
void cpr_kvm_host_free (CprKvmHost *host);

/* Calls @func with each thing that a vCPU, or a VM, of a state needs, and that isn't here. @here:
 * the one that this program has made; NULL: none yet. */
typedef void (*CprKvmLackFunc) (const char *lack, void *user_data);
void cpr_kvm_host_find_lacks_of_vcpu (const CprKvmHost *host,
                                      const CprKvmVcpu *vcpu,
                                      unsigned index,
                                      const CprKvmVcpu *here,
                                      CprKvmLackFunc func,
                                      void *user_data);
void cpr_kvm_host_find_lacks_of_vm (
    const CprKvmHost *host, const CprKvmVm *vm, const CprKvmVm *here, CprKvmLackFunc func, void *user_data);

#endif
