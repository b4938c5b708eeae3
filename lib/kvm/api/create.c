/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A KVM VM whose fd number isn't that of an earlier program's VM. Called by lib/session. */
#include <fcntl.h>

#include <linux/kvm.h>

#include "base/error.h"
#include "base/signals.h"
#include "base/sys.h"
#include "kvm/vm.h"

/* How many numbers are taken at most on the way to the one that is wanted: among lower numbers
 * there are gaps of all sizes. */
#define SPARE_MAX 64

/* A new fd has the least number that is free. So those before the one that is wanted are taken
 * meanwhile. Where none is left, any number does. */
static int
create_at (int kvm_fd, unsigned long type, unsigned class)
{
  int spare[SPARE_MAX], fd, errnum;
  unsigned n = 0;

  do
    spare[n] = cpr_sys->fcntl (kvm_fd, F_DUPFD_CLOEXEC, 0);
  while (spare[n] >= 0 && (unsigned) spare[n] % CPR_KVM_N_CLASSES != class && ++n < SPARE_MAX);

  if (n < SPARE_MAX && spare[n] >= 0)
    cpr_sys->close (spare[n]);
  fd = cpr_sys->ioctl (kvm_fd, KVM_CREATE_VM, GSIZE_TO_POINTER (type));
  errnum = errno;
  while (n-- > 0)
    cpr_sys->close (spare[n]);
  errno = errnum;
  return fd;
}

/* A signal ends KVM_CREATE_VM with EINTR, and where one comes every millisecond trying again is of
 * little help. */
int
cpr_kvm_create_fd (int kvm_fd, unsigned long type, unsigned class, GError **error)
{
  sigset_t old;
  int fd;

  cpr_signals_block_all (&old);
  fd = create_at (kvm_fd, type, class);
  if (fd < 0)
    cpr_throw_errno (error, errno, "KVM: KVM_CREATE_VM of type %lu", type);
  cpr_signals_restore (&old);
  return fd;
}
