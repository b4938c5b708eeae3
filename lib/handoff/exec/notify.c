/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tells a supervisor that speaks sd_notify(3) which process is the VM's. exec.c opens the socket,
 * and the guardian sends messages around a rescue. */
#include "handoff/exec/notify.h"

#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <glib.h>

#include "base/fd.h"
#include "base/sys.h"

#define VARIABLE "NOTIFY_SOCKET"

bool
cpr_notify_is_expected (void)
{
  return g_getenv (VARIABLE) != NULL;
}

int
cpr_notify_open (void)
{
  const char *path = g_getenv (VARIABLE);
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  size_t len = path != NULL ? strlen (path) : 0;
  int fd;

  if (len < 2 || len >= sizeof address.sun_path || (path[0] != '/' && path[0] != '@'))
    {
      errno = EINVAL;
      return -1;
    }
  memcpy (address.sun_path, path, len);
  if (path[0] == '@')
    address.sun_path[0] = '\0'; /* an abstract socket, whose name begins with a zero byte */
  fd = cpr_fd_above_std (cpr_sys->socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (fd >= 0 && cpr_sys->connect (fd, (struct sockaddr *) &address,
                                   (socklen_t) (offsetof (struct sockaddr_un, sun_path) + len)) < 0)
    {
      int errnum = errno;

      cpr_fd_clear (&fd);
      errno = errnum;
    }
  return fd;
}

bool
cpr_notify_main_pid (int fd, pid_t pid)
{
  char text[32];
  int len = g_snprintf (text, sizeof text, "MAINPID=%d", pid);

  return cpr_sys->write (fd, text, (size_t) len) == len;
}
