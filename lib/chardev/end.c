/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads and writes one end of a character device without waiting, whatever file it is and whoever
 * shares it. Called by device.c. */
#include "chardev/end.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <glib.h>

#include "base/fd.h"
#include "base/sys.h"

/* Regular files and disks have no other end that could be waited for, but they have an offset. */
static bool
never_waits (const CprEnd *end)
{
  return S_ISREG (end->type) || S_ISBLK (end->type);
}

/* Finds out what a file is, once. A shared pipe or terminal is opened a second time, for an
 * O_NONBLOCK that is ours alone. Where that isn't permitted, a look at the first one has to do. */
static bool
examine (CprEnd *end, int access)
{
  struct stat st;
  char path[64];

  if (end->type != 0)
    return true;
  if (cpr_sys->fstat (end->fd, &st) < 0)
    return false;
  end->type = st.st_mode & S_IFMT;
  if (!end->is_shared || never_waits (end) || S_ISSOCK (end->type))
    return true;
  g_snprintf (path, sizeof path, "/proc/self/fd/%d", end->fd);
  end->own = cpr_fd_above_std (cpr_sys->open (path, access | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0));
  return true;
}

/* The fd to use; -1 with EAGAIN. */
static int
choose_fd (const CprEnd *end, short event)
{
  struct pollfd look = { end->fd, event, 0 };

  if (!end->is_shared || never_waits (end))
    return end->fd;
  if (end->own >= 0)
    return end->own;
  if (cpr_sys->poll (&look, 1, 0) == 1)
    return end->fd;
  errno = EAGAIN;
  return -1;
}

ssize_t
cpr_end_read (CprEnd *end, void *data, size_t size)
{
  int fd;

  if (!examine (end, O_RDONLY))
    return -1;
  fd = choose_fd (end, POLLIN);
  return fd < 0 ? -1 : cpr_sys->read (fd, data, size);
}

ssize_t
cpr_end_write (CprEnd *end, const void *data, size_t size)
{
  struct iovec part = { (void *) data, size };
  const struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
  int fd;

  if (!examine (end, O_WRONLY))
    return -1;
  if (S_ISSOCK (end->type))
    return cpr_sys->sendmsg (end->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  fd = choose_fd (end, POLLOUT);
  if (fd == end->fd && end->is_shared)
    size = MIN (size, PIPE_BUF); /* a pipe that can be written has room for that */
  return fd < 0 ? -1 : cpr_fd_write_some (fd, data, size);
}

void
cpr_end_forget (CprEnd *end)
{
  cpr_fd_clear (&end->own);
  *end = CPR_END_NONE;
}
