/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The Unix socket of a transfer's conversation: the parsing of its address, connecting and
 * listening. Called by transfer.c and arrival.c. */
#include "handoff/transfer/channel.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/sys.h"

/* How often to look whether a listener has room for one more connection. */
#define CONNECT_LOOK_MS 10

bool
cpr_channel_parse (const char *uri, const char **path, int *fd, GError **error)
{
  gint64 number;

  *path = NULL;
  *fd = -1;
  if (g_str_has_prefix (uri, CPR_CHANNEL_SCHEME ":"))
    *path = uri + strlen (CPR_CHANNEL_SCHEME ":");
  else if (!g_str_has_prefix (uri, CPR_CHANNEL_SCHEME_FD ":") ||
           !g_ascii_string_to_signed (uri + strlen (CPR_CHANNEL_SCHEME_FD ":"), 10, STDERR_FILENO + 1, G_MAXINT,
                                      &number, NULL))
    return cpr_throw (error, CPR_ERROR_INVALID, "'%s': neither %s:PATH nor %s:N with an fd from 3 up", uri,
                      CPR_CHANNEL_SCHEME, CPR_CHANNEL_SCHEME_FD);
  else
    *fd = (int) number;
  return true;
}

static bool
make_address (const char *path, struct sockaddr_un *address, GError **error)
{
  *address = (struct sockaddr_un){ .sun_family = AF_UNIX };
  if (path[0] == '\0')
    return cpr_throw (error, CPR_ERROR_INVALID, "socket: its path is empty");
  if (g_strlcpy (address->sun_path, path, sizeof address->sun_path) >= sizeof address->sun_path)
    return cpr_throw (error, CPR_ERROR_INVALID, "socket '%s': its path has more than %zu bytes", path,
                      sizeof address->sun_path - 1);
  return true;
}

static int
open_socket (int flags)
{
  return cpr_fd_above_std (cpr_sys->socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0));
}

/* A listener that accepts nobody has room for a few connections. Once they are used up, a
 * blocking connect() would wait for ever. */
int
cpr_channel_connect (const char *path, uint64_t deadline_ns, int cancel_fd, GError **error)
{
  struct pollfd cancel = { cancel_fd, POLLIN, 0 };
  struct sockaddr_un address;
  int fd;

  if (!make_address (path, &address, error))
    return -1;
  fd = open_socket (SOCK_NONBLOCK);
  while (fd >= 0)
    {
      if (cpr_sys->connect (fd, (const struct sockaddr *) &address, sizeof address) == 0)
        return fd;
      if (errno != EAGAIN || (deadline_ns != 0 && cpr_now_ns () >= deadline_ns))
        break;
      if (cpr_sys->poll (&cancel, 1, CONNECT_LOOK_MS) > 0)
        {
          cpr_throw (error, CPR_ERROR_ROLLED_BACK, "update: cancelled while connecting to the socket '%s'", path);
          cpr_fd_clear (&fd);
          return -1;
        }
    }
  if (errno == EAGAIN)
    cpr_throw (error, CPR_ERROR_ROLLED_BACK, "socket '%s': nobody accepted the connection in time", path);
  else
    cpr_throw_errno (error, errno, "socket '%s': connecting", path);
  cpr_fd_clear (&fd);
  return -1;
}

/* Sets the mode before bind(), which gives it to the file: so there is no instant in which other
 * users may connect. */
static bool
listen_at (int fd, const struct sockaddr_un *address, int backlog)
{
  return cpr_sys->fchmod (fd, 0600) == 0 &&
         cpr_sys->bind (fd, (const struct sockaddr *) address, sizeof *address) == 0 &&
         cpr_sys->listen (fd, backlog) == 0;
}

/* The socket gets its name only when it listens. So a program that waits for the file can
 * connect at its first try. */
int
cpr_channel_listen (const char *path, int backlog, GError **error)
{
  g_autofree char *made = g_strconcat (path, "~", NULL);
  struct sockaddr_un address, first;
  int fd;

  if (strlen (path) >= sizeof address.sun_path - 1)
    {
      cpr_throw (error, CPR_ERROR_INVALID, "socket '%s': its path has more than %zu bytes", path,
                 sizeof address.sun_path - 2);
      return -1;
    }
  if (!make_address (path, &address, error) || !make_address (made, &first, error))
    return -1;
  cpr_fd_remove_stale_socket (&address);
  cpr_fd_remove_stale_socket (&first);
  fd = open_socket (0);
  if (fd >= 0 && listen_at (fd, &first, backlog) && cpr_sys->link (made, path) == 0)
    {
      cpr_sys->unlink (made);
      return fd;
    }
  if (errno == EEXIST)
    cpr_error_set_errno (error, CPR_ERROR_EXISTS, EEXIST, "socket '%s': a program listens there, or it is no socket",
                         path);
  else
    cpr_throw_errno (error, errno, "socket '%s': listening", path);
  cpr_sys->unlink (made);
  cpr_fd_clear (&fd);
  return -1;
}
