/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_KVM_IOCTL_H
#define CPR_KVM_IOCTL_H

#include <errno.h>

#include "base/error.h"
#include "base/sys.h"
#include "kvm/state.h"

/* One ioctl; the error names the VM, the vCPU and the ioctl. */
#define cpr_kvm_vcpu_call(vcpu, request, argument, error) \
  (cpr_sys->ioctl ((vcpu)->fd, request, (void *) (argument)) >= 0 || cpr_kvm_vcpu_throw (vcpu, errno, #request, error))
#define cpr_kvm_vm_call(vm, request, argument, error)              \
  (cpr_sys->ioctl ((vm)->fd, request, (void *) (argument)) >= 0 || \
   cpr_throw_errno (error, errno, "KVM VM '%s': " #request, (vm)->name))

/* Whether the VM has a part here if it had that in the state. @hint: what ends the error. */
bool cpr_kvm_check_part (const CprKvmVm *vm, bool was, bool is, const char *what, const char *hint, GError **error);

bool cpr_kvm_vcpu_throw (const CprKvmVcpu *vcpu, int errnum, const char *what, GError **error);

#endif
