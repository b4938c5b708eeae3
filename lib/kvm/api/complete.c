/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cpr_kvm_complete(): ends what a vCPU is in the middle of. Called by the VMM, on the vCPU's
 * thread. */
#include <errno.h>

#include <linux/kvm.h>

#include "base/error.h"
#include "base/sys.h"

/* KVM finishes the access in the next KVM_RUN, which `immediate_exit` ends before the guest
 * executes anything. It stays set: clearing it could undo what another thread has just set. */
bool
cpr_kvm_complete (int vcpu_fd, struct kvm_run *run, bool *more, GError **error)
{
  int result;

  g_return_val_if_fail (run != NULL && more != NULL, false);

  __atomic_store_n (&run->immediate_exit, 1, __ATOMIC_SEQ_CST);
  result = cpr_sys->ioctl (vcpu_fd, KVM_RUN, NULL);
  *more = result >= 0;
  return result >= 0 || errno == EINTR || errno == EAGAIN ||
         cpr_throw_errno (error, errno, "vCPU: KVM_RUN to complete its last exit");
}
