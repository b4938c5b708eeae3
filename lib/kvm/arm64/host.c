/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Asks what KVM offers on this host, and finds those needs of a state that it can't meet. Called by
 * needs/. */
#include "kvm/host.h"

#include "kvm/ioctl.h"

struct _CprKvmHost
{
  int nothing;
};

CprKvmHost *
cpr_kvm_host_new (int kvm_fd, GError **error)
{
  return g_new0 (CprKvmHost, 1);
}

void
cpr_kvm_host_free (CprKvmHost *host)
{
  g_free (host);
}

void
cpr_kvm_host_find_lacks_of_vcpu (const CprKvmHost *host,
                                 const CprKvmVcpu *vcpu,
                                 unsigned index,
                                 const CprKvmVcpu *here,
                                 CprKvmLackFunc func,
                                 void *user_data)
{
}

void
cpr_kvm_host_find_lacks_of_vm (
    const CprKvmHost *host, const CprKvmVm *vm, const CprKvmVm *here, CprKvmLackFunc func, void *user_data)
{
}
