/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The errors of a failed ioctl on a vCPU, and of a part that a VM lacks. Called by the rest of this
 * room. */
#include "kvm/ioctl.h"

bool
cpr_kvm_vcpu_throw (const CprKvmVcpu *vcpu, int errnum, const char *what, GError **error)
{
  return cpr_throw_errno (error, errnum, "KVM VM '%s': vCPU %u: %s", vcpu->vm->name, vcpu->index, what);
}

bool
cpr_kvm_check_part (const CprKvmVm *vm, bool was, bool is, const char *what, const char *hint, GError **error)
{
  return was == is || cpr_throw (error, CPR_ERROR_MISMATCH, "KVM VM '%s': it %s %s in the state, and %s one here%s",
                                 vm->name, was ? "has" : "hasn't", what, is ? "has" : "hasn't", hint);
}
