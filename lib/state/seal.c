/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memfds that nobody can change any more: states, and the messages of a preflight. */
#include "state/seal.h"

#include <errno.h>
#include <fcntl.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/sys.h"

bool
cpr_stream_is_sealed (int fd)
{
  int seals = cpr_sys->fcntl (fd, F_GET_SEALS, 0);

  return seals >= 0 && (seals & CPR_STATE_SEALS) == CPR_STATE_SEALS;
}

int
cpr_memfd_seal (const char *name, const void *data, size_t len)
{
  int fd = cpr_memfd_new (name, 0), errnum;

  if (fd >= 0 && cpr_fd_write_all (fd, data, len) && cpr_sys->fcntl (fd, F_ADD_SEALS, CPR_STATE_SEALS) == 0)
    return fd;
  errnum = errno;
  cpr_fd_clear (&fd);
  errno = errnum;
  return -1;
}

bool
cpr_stream_seal (int fd, CprWriter *writer, GError **error)
{
  if (!cpr_writer_finish (writer))
    return cpr_throw_errno (error, errno, "state: writing its end");
  return cpr_sys->fcntl (fd, F_ADD_SEALS, CPR_STATE_SEALS) == 0 ||
         cpr_throw_errno (error, errno, "state: sealing its memfd");
}
