/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A KVM VM whose fd number isn't that of an earlier program's VM. Called by lib/session. */
#include <fcntl.h>

#include <linux/kvm.h>

#include "base/error.h"
#include "base/signals.h"
#include "base/sys.h"
#include "kvm/vm.h"

/* How many numbers are taken, so that each update makes the same calls; and how many at most: among
 * lower numbers there are gaps of all sizes. */
#define SPARE_MIN 16
#define SPARE_MAX 64

typedef struct
{
  int fds[SPARE_MAX];
  unsigned n;
} Spare;

static void
spare_close (Spare *spare, unsigned i)
{
  cpr_sys->close (spare->fds[i]);
  spare->fds[i] = spare->fds[--spare->n];
}

static void
spare_clear (Spare *spare)
{
  while (spare->n > 0)
    spare_close (spare, spare->n - 1);
}

/* Takes the lowest numbers that are free, and gives back one of @class. Where there is no room for
 * enough of them all are given back: no number is worth a VM that isn't made. */
static void
spare_init (Spare *spare, int kvm_fd, unsigned class)
{
  unsigned found = SPARE_MAX;
  int fd = 0;

  spare->n = 0;
  while (fd >= 0 && spare->n < SPARE_MAX && (spare->n < SPARE_MIN || found == SPARE_MAX))
    {
      fd = cpr_sys->fcntl (kvm_fd, F_DUPFD_CLOEXEC, 0);
      if (fd >= 0 && found == SPARE_MAX && (unsigned) fd % CPR_KVM_N_CLASSES == class)
        found = spare->n;
      if (fd >= 0)
        spare->fds[spare->n++] = fd;
    }
  if (found < SPARE_MAX)
    spare_close (spare, found);
  else if (fd < 0)
    spare_clear (spare);
}

/* A new fd has the least number that is free. */
static int
create_at (int kvm_fd, unsigned long type, unsigned class)
{
  Spare spare;
  int fd, errnum;

  spare_init (&spare, kvm_fd, class);
  fd = cpr_sys->ioctl (kvm_fd, KVM_CREATE_VM, GSIZE_TO_POINTER (type));
  errnum = errno;
  spare_clear (&spare);
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
