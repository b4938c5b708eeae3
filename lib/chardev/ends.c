/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The fds of a character device: made or taken over at its start, and connections that come and go.
 * Called by api.c. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/sys.h"
#include "chardev/device.h"
#include "chardev/open.h"

#define CONNECT_MS   10000
#define TURN_AWAY_NS UINT64_C (100000000)

/* ---- Fds that are there from the start. */

static int
open_fd (const CprChardev *chardev, int index, GError **error)
{
  bool is_first = !cpr_session_is_incoming (chardev->session);

  switch (index)
    {
    case CPR_CHARDEV_FD_FILE:
      return cpr_chardev_open_file (&chardev->spec, chardev->name, is_first && !chardev->spec.append, error);
    case CPR_CHARDEV_FD_PTY:
      return cpr_chardev_open_pty (chardev->name, error);
    case CPR_CHARDEV_FD_LISTENER:
      return cpr_chardev_open_listener (&chardev->spec, chardev->name, error);
    case CPR_CHARDEV_FD_IN:
      return cpr_chardev_open_pipe (&chardev->spec, chardev->name, ".in", error);
    default:
      return cpr_chardev_open_pipe (&chardev->spec, chardev->name, ".out", error);
    }
}

typedef struct
{
  const CprChardev *chardev;
  int fd; /* -1: none was opened */
} Opening;

static int
open_callback (const char *name G_GNUC_UNUSED, int index, void *user_data, GError **error)
{
  Opening *opening = user_data;

  opening->fd = open_fd (opening->chardev, index, error);
  return opening->fd;
}

static bool
open_end (CprChardev *chardev, int index, int *fd, GError **error)
{
  Opening opening = { chardev, -1 };

  *fd = cpr_fd_open (chardev->session, chardev->name, index, open_callback, &opening, error);
  if (*fd < 0)
    cpr_fd_clear (&opening.fd); /* one that couldn't be added */
  return *fd >= 0;
}

static bool
open_both (CprChardev *chardev, int index, GError **error)
{
  if (!open_end (chardev, index, &chardev->in.fd, error))
    return false;
  chardev->out = chardev->in;
  return true;
}

/* A file of the VMM's that has got the number of a closed stream isn't one; it is close-on-exec. */
static bool
is_stream (int fd)
{
  int flags = cpr_sys->fcntl (fd, F_GETFD, 0);

  return flags >= 0 && (flags & FD_CLOEXEC) == 0;
}

static bool
open_streams (CprChardev *chardev, GError **error)
{
  if (!is_stream (STDOUT_FILENO))
    return cpr_throw (error, CPR_ERROR_INVALID, "chardev '%s': the standard output is closed", chardev->name);
  chardev->out = (CprEnd){ STDOUT_FILENO, true, 0, -1 };
  if (is_stream (STDIN_FILENO))
    chardev->in = (CprEnd){ STDIN_FILENO, true, 0, -1 };
  return true;
}

/* ---- Connections. */

static void
use_connection (CprChardev *chardev, int fd)
{
  chardev->in = chardev->out = (CprEnd){ fd, false, S_IFSOCK, -1 };
  chardev->has_ended = chardev->is_broken = false;
}

/* Takes @fd. */
static bool
add_connection (CprChardev *chardev, int fd, GError **error)
{
  if (!cpr_fd_add (chardev->session, chardev->fd_name, chardev->connection_index, fd, error))
    {
      cpr_sys->close (fd);
      return false;
    }
  use_connection (chardev, fd);
  return true;
}

/* A connection that the old program had goes on, and a lost one stays lost. */
static bool
take_connection (CprChardev *chardev)
{
  int fd;

  if (cpr_session_get_state (chardev->session) != CPR_SESSION_STATE_INCOMING)
    return false;
  fd = cpr_fd_take (chardev->session, chardev->fd_name, chardev->connection_index, NULL);
  if (fd >= 0)
    use_connection (chardev, fd);
  return fd >= 0 || cpr_session_takes_over (chardev->session) || cpr_session_is_rehearsal (chardev->session);
}

static bool
connect_now (CprChardev *chardev, GError **error)
{
  int fd = cpr_chardev_begin_connect (&chardev->spec);

  if (fd < 0 || !cpr_chardev_end_connect (&chardev->spec, fd, CONNECT_MS))
    {
      cpr_throw_errno (error, errno == EINPROGRESS ? ETIMEDOUT : errno, "chardev '%s': %s", chardev->name,
                       chardev->spec.where);
      cpr_fd_clear (&fd);
      return false;
    }
  return add_connection (chardev, fd, error);
}

static bool
open_client (CprChardev *chardev, GError **error)
{
  bool is_settled = take_connection (chardev);

  if (chardev->spec.reconnect_ms == 0)
    return is_settled || connect_now (chardev, error);
  chardev->next_try_ns = 1; /* long ago */
  return true;
}

bool
cpr_chardev_open_ends (CprChardev *chardev, GError **error)
{
  chardev->listener = chardev->connecting = -1;
  chardev->in = chardev->out = CPR_END_NONE;
  switch (chardev->spec.kind)
    {
    case CPR_CHARDEV_NULL:
      return true;
    case CPR_CHARDEV_STDIO:
      return open_streams (chardev, error);
    case CPR_CHARDEV_PTY:
      return open_both (chardev, CPR_CHARDEV_FD_PTY, error);
    case CPR_CHARDEV_FILE:
      return open_end (chardev, CPR_CHARDEV_FD_FILE, &chardev->out.fd, error);
    case CPR_CHARDEV_PIPE:
      return open_end (chardev, CPR_CHARDEV_FD_IN, &chardev->in.fd, error) &&
             open_end (chardev, CPR_CHARDEV_FD_OUT, &chardev->out.fd, error);
    case CPR_CHARDEV_SERVER:
      take_connection (chardev);
      return open_end (chardev, CPR_CHARDEV_FD_LISTENER, &chardev->listener, error);
    case CPR_CHARDEV_CLIENT:
      return open_client (chardev, error);
    case CPR_CHARDEV_ACCEPTED:
      take_connection (chardev);
      return true;
    }
  g_return_val_if_reached (false);
}

static void
close_fd (const CprChardev *chardev, int index, int *fd)
{
  if (*fd >= 0)
    cpr_fd_remove (chardev->session, chardev->fd_name, index, NULL);
  cpr_fd_clear (fd);
}

void
cpr_chardev_hang_up (CprChardev *chardev)
{
  int fd = chardev->in.fd;

  close_fd (chardev, chardev->connection_index, &fd);
  chardev->in = chardev->out = CPR_END_NONE;
  chardev->has_ended = chardev->is_broken = false;
  chardev->n_output = 0;
  if (chardev->spec.reconnect_ms > 0)
    chardev->next_try_ns = cpr_now_ns () + chardev->spec.reconnect_ms * UINT64_C (1000000);
}

void
cpr_chardev_close_ends (CprChardev *chardev)
{
  int in = chardev->in.fd, out = chardev->out.fd;

  switch (chardev->spec.kind)
    {
    case CPR_CHARDEV_PTY:
      close_fd (chardev, CPR_CHARDEV_FD_PTY, &in);
      break;
    case CPR_CHARDEV_FILE:
      close_fd (chardev, CPR_CHARDEV_FD_FILE, &out);
      break;
    case CPR_CHARDEV_PIPE:
      close_fd (chardev, CPR_CHARDEV_FD_IN, &in);
      close_fd (chardev, CPR_CHARDEV_FD_OUT, &out);
      break;
    case CPR_CHARDEV_SERVER:
    case CPR_CHARDEV_CLIENT:
    case CPR_CHARDEV_ACCEPTED:
      close_fd (chardev, chardev->connection_index, &in);
      close_fd (chardev, CPR_CHARDEV_FD_LISTENER, &chardev->listener);
      cpr_fd_clear (&chardev->connecting);
      break;
    default:
      break;
    }
  cpr_end_forget (&chardev->in);
  cpr_end_forget (&chardev->out);
}

/* Whatever the client before had sent is read first. */
CprChardev *
cpr_chardev_find_place (const CprChardev *server)
{
  if (server->clients == NULL)
    return server->in.fd < 0 ? (CprChardev *) server : NULL;
  for (guint i = 0; i < server->clients->len; i++)
    {
      CprChardev *client = server->clients->pdata[i];

      if (client->in.fd < 0 && client->n_input == 0)
        return client;
    }
  return NULL;
}

static void
accept_client (CprChardev *server)
{
  CprChardev *client = cpr_chardev_find_place (server);
  g_autoptr (GError) error = NULL;
  int fd;

  if (client == NULL || cpr_now_ns () < server->next_try_ns)
    return;
  fd = cpr_chardev_accept (&server->spec, server->listener);
  server->next_try_ns = 0;
  if (fd < 0 && errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
    server->next_try_ns = cpr_now_ns () + TURN_AWAY_NS; /* it waits, and poll() would say so all the time */
  if (fd >= 0 && !add_connection (client, fd, &error))
    cpr_session_log (server->session, CPR_LOG_WARNING, "a client was turned away: %s", error->message);
}

static void
try_later (CprChardev *chardev)
{
  cpr_fd_clear (&chardev->connecting);
  chardev->next_try_ns = cpr_now_ns () + chardev->spec.reconnect_ms * UINT64_C (1000000);
}

static void
reconnect (CprChardev *chardev)
{
  g_autoptr (GError) error = NULL;
  int fd;

  if (chardev->connecting < 0 && (chardev->next_try_ns == 0 || cpr_now_ns () < chardev->next_try_ns))
    return;
  if (chardev->connecting < 0)
    chardev->connecting = cpr_chardev_begin_connect (&chardev->spec);
  if (chardev->connecting < 0 || !cpr_chardev_end_connect (&chardev->spec, chardev->connecting, 0))
    {
      if (chardev->connecting < 0 || errno != EINPROGRESS)
        try_later (chardev);
      return;
    }
  fd = chardev->connecting;
  chardev->connecting = -1;
  if (!add_connection (chardev, fd, &error))
    {
      cpr_session_log (chardev->session, CPR_LOG_WARNING, "a connection was given up: %s", error->message);
      try_later (chardev);
    }
}

void
cpr_chardev_look_for_connection (CprChardev *chardev)
{
  if (chardev->listener >= 0)
    accept_client (chardev);
  else if (chardev->spec.kind == CPR_CHARDEV_CLIENT && chardev->in.fd < 0)
    reconnect (chardev);
}
