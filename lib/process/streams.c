/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The standard streams, recorded before an update and put back for a way back. surroundings.c
 * records them, and exec mode's guardian.c puts them back. The code makes only calls that a
 * signal handler may make. */
#include "process/streams.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/sys.h"

static CprStream
read_stream (int fd)
{
  int flags = cpr_sys->fcntl (fd, F_GETFD, 0), status;
  struct stat st;

  if (flags < 0)
    return (CprStream){ .is_known = errno == EBADF };
  if ((flags & FD_CLOEXEC) != 0)
    return (CprStream){ .is_known = true };
  status = cpr_sys->fcntl (fd, F_GETFL, 0);
  if (status < 0 || cpr_sys->fstat (fd, &st) < 0)
    return (CprStream){ .is_known = false };
  return (CprStream){ true, true, (unsigned) status & O_ACCMODE, 0, st.st_dev, st.st_ino };
}

void
cpr_streams_read (CprStream streams[CPR_STREAMS])
{
  for (int fd = 0; fd < CPR_STREAMS; fd++)
    streams[fd] = read_stream (fd);
}

bool
cpr_streams_have (const CprStream *wanted, int fd)
{
  CprStream here = read_stream (fd);

  return wanted->is_known && here.is_known && here.is_open == wanted->is_open && here.access == wanted->access &&
         here.device == wanted->device && here.inode == wanted->inode;
}

static bool
fetch (const CprStream *wanted, int fd, int guardian)
{
  int copy = cpr_fd_above_std (cpr_sys->pidfd_getfd (guardian, fd));
  bool ok = copy >= 0 && cpr_sys->dup3 (copy, fd, 0) == fd;

  cpr_fd_clear (&copy);
  return ok && cpr_streams_have (wanted, fd);
}

bool
cpr_streams_restore (const CprStream wanted[CPR_STREAMS], pid_t guardian)
{
  bool ok = true;
  int pidfd = -1;

  for (int fd = 0; fd < CPR_STREAMS && ok; fd++)
    {
      if (!wanted[fd].is_known || cpr_streams_have (&wanted[fd], fd))
        continue;
      if (!wanted[fd].is_open)
        {
          ok = cpr_fd_set_cloexec (fd, true);
          continue;
        }
      if (pidfd < 0)
        pidfd = cpr_fd_above_std (cpr_sys->pidfd_open (guardian));
      ok = pidfd >= 0 && fetch (&wanted[fd], fd, pidfd);
    }
  cpr_fd_clear (&pidfd);
  return ok;
}
