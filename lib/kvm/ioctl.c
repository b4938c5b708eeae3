/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The error of a failed ioctl on a vCPU. Called by the rest of this room. */
#include "kvm/ioctl.h"

bool
cpr_kvm_vcpu_throw (const CprKvmVcpu *vcpu, int errnum, const char *what, GError **error)
{
  return cpr_throw_errno (error, errnum, "KVM VM '%s': vCPU %u: %s", vcpu->vm->name, vcpu->index, what);
}
