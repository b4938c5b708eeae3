/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A listening Unix socket, for whoever takes commands. */
#include "support/listen.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "support/error.h"

/* A socket that nobody listens at is a dead VM's; any other file is none of our business. */
static bool
remove_stale_socket (const char *who, const struct sockaddr_un *address, GError **error)
{
  int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return throw_errno (error, "%s: socket", who);
  bool used = connect (fd, (const struct sockaddr *) address, sizeof *address) == 0;
  bool stale = !used && errno == ECONNREFUSED;
  close (fd);
  if (used)
    return throw_error (error, "%s: %s is in use", who, address->sun_path);
  if (stale)
    unlink (address->sun_path);
  return true;
}

char *
listen_get_path (int fd)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  socklen_t len = sizeof address;
  getsockname (fd, (struct sockaddr *) &address, &len);
  return g_strndup (address.sun_path, sizeof address.sun_path);
}

int
listen_at (const char *who, const char *path, int backlog, GError **error)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  if (g_strlcpy (address.sun_path, path, sizeof address.sun_path) >= sizeof address.sun_path)
    {
      throw_error (error, "%s: the path %s is too long", who, path);
      return -1;
    }
  if (!remove_stale_socket (who, &address, error))
    return -1;

  int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0 || bind (fd, (const struct sockaddr *) &address, sizeof address) < 0 || listen (fd, backlog) < 0)
    {
      throw_errno (error, "%s: %s", who, path);
      if (fd >= 0)
        close (fd);
      return -1;
    }
  return fd;
}
