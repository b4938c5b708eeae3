/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opens what is at the other end of a character device. Called by device.c. */
#include "chardev/open.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/sys.h"
#include "chardev/terminal.h"

#define BACKLOG 16

static int
report (int fd, const char *name, const char *what, GError **error)
{
  if (fd < 0)
    cpr_throw_errno (error, errno, "chardev '%s': %s", name, what);
  return fd;
}

int
cpr_chardev_open_pty (const char *name, GError **error)
{
  return report (cpr_terminal_new_pty (), name, "pseudo terminal", error);
}

int
cpr_chardev_open_file (const CprChardevSpec *spec, const char *name, bool truncate, GError **error)
{
  int flags = O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | (truncate ? O_TRUNC : 0);

  return report (cpr_fd_above_std (cpr_sys->open (spec->path, flags, 0666)), name, spec->path, error);
}

/* For reading and writing: so it is open whether or not somebody is at the other end, and stays so
 * when that one leaves. */
int
cpr_chardev_open_pipe (const CprChardevSpec *spec, const char *name, const char *suffix, GError **error)
{
  g_autofree char *path = g_strconcat (spec->path, suffix, NULL);
  int fd = report (cpr_fd_above_std (cpr_sys->open (path, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0)), name, path,
                   error);
  struct stat st;

  if (fd < 0 || (cpr_sys->fstat (fd, &st) == 0 && S_ISFIFO (st.st_mode)))
    return fd;
  cpr_throw (error, CPR_ERROR_INVALID, "chardev '%s': %s should be a pipe, and is another file", name, path);
  cpr_fd_clear (&fd);
  return -1;
}

/* ---- Sockets. */

static const struct sockaddr *
get_address (const CprChardevSpec *spec)
{
  return (const struct sockaddr *) &spec->address;
}

static int
open_socket (const CprChardevSpec *spec)
{
  return cpr_fd_above_std (cpr_sys->socket (spec->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

/* Bytes go at once, one by one too: somebody types. A failure doesn't matter. */
static void
hurry (const CprChardevSpec *spec, int fd)
{
  const int on = 1;
  int errnum = errno;

  if (spec->nodelay)
    cpr_sys->setsockopt (fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  errno = errnum;
}

static bool
listen_at (int fd, const CprChardevSpec *spec)
{
  const int on = 1;

  if (spec->path == NULL && cpr_sys->setsockopt (fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
    return false;
  return cpr_sys->bind (fd, get_address (spec), spec->address_len) == 0 && cpr_sys->listen (fd, BACKLOG) == 0;
}

int
cpr_chardev_open_listener (const CprChardevSpec *spec, const char *name, GError **error)
{
  int fd;

  if (spec->path != NULL)
    cpr_fd_remove_stale_socket ((const struct sockaddr_un *) &spec->address);
  fd = open_socket (spec);
  if (fd >= 0 && !listen_at (fd, spec))
    cpr_fd_clear (&fd);
  return report (fd, name, spec->where, error);
}

int
cpr_chardev_accept (const CprChardevSpec *spec, int listener)
{
  int fd = cpr_fd_above_std (cpr_sys->accept4 (listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK));

  if (fd >= 0)
    hurry (spec, fd);
  return fd;
}

int
cpr_chardev_begin_connect (const CprChardevSpec *spec)
{
  int fd = open_socket (spec);

  if (fd < 0)
    return -1;
  if (cpr_sys->connect (fd, get_address (spec), spec->address_len) < 0 && errno != EINPROGRESS)
    cpr_fd_clear (&fd);
  return fd;
}

bool
cpr_chardev_end_connect (const CprChardevSpec *spec, int fd, int timeout_ms)
{
  struct pollfd ready = { fd, POLLOUT, 0 };
  int errnum = 0, n = cpr_sys->poll (&ready, 1, timeout_ms);
  socklen_t len = sizeof errnum;

  if (n == 0)
    errno = EINPROGRESS;
  if (n <= 0 || cpr_sys->getsockopt (fd, SOL_SOCKET, SO_ERROR, &errnum, &len) < 0)
    return false;
  if (errnum == 0)
    hurry (spec, fd);
  errno = errnum;
  return errnum == 0;
}
