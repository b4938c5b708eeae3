/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The public functions of the fd table, and of the fds that a guardian holds. The VMM calls
 * them. */
#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/sys.h"
#include "handoff/transfer/channel.h"
#include "session/core.h"

/* The public header promises this. */
#define LISTENER_BACKLOG 16

static bool
find_held (const CprSession *session, int fd, guint *at)
{
  for (*at = 0; *at < session->held->len; (*at)++)
    if (g_array_index (session->held, int, *at) == fd)
      return true;
  return false;
}

static bool
add_fd (CprSession *session, const char *name, int index, int fd, GError **error)
{
  guint at;

  if (find_held (session, fd, &at))
    return cpr_throw (error, CPR_ERROR_EXISTS, "fd '%s' %d: fd %d is held for the guardian", name, index, fd);
  return cpr_fd_table_add (&session->fds, name, index, fd, error);
}

bool
cpr_fd_add (CprSession *session, const char *name, int index, int fd, GError **error)
{
  g_return_val_if_fail (session != NULL && name != NULL, false);

  return cpr_session_check_call (session, CPR_CALL_FD_ADD, error) && cpr_fd_table_check_name (name, index, error) &&
         add_fd (session, name, index, fd, error);
}

int
cpr_fd_take (CprSession *session, const char *name, int index, GError **error)
{
  g_return_val_if_fail (session != NULL && name != NULL, -1);

  if (!cpr_session_check_call (session, CPR_CALL_FD_TAKE, error) || !cpr_fd_table_check_name (name, index, error))
    return -1;
  return cpr_fd_table_take (&session->fds, name, index, error);
}

static bool
take_one (CprSession *session, const CprFdEntry *found, CprFdTaken taken, void *user_data, GError **error)
{
  CprFdEntry *entry = cpr_fd_table_find (&session->fds, found->name, found->index);
  GError *reason = NULL;

  if (entry == NULL || entry->claimed) /* a callback before this one removed or took it */
    return true;
  entry->claimed = true;
  return taken (found->name, found->index, entry->fd, user_data, &reason) ||
         cpr_throw_callback (error, reason, "fd '%s' %d: its callback failed", found->name, found->index);
}

bool
cpr_fd_take_all (CprSession *session, const char *prefix, CprFdTaken taken, void *user_data, GError **error)
{
  g_autoptr (GPtrArray) found = NULL;

  g_return_val_if_fail (session != NULL && prefix != NULL && taken != NULL, false);

  if (!cpr_session_check_call (session, CPR_CALL_FD_TAKE_ALL, error))
    return false;
  found = cpr_fd_table_copy_unclaimed (&session->fds, prefix);
  for (guint i = 0; i < found->len; i++)
    if (!take_one (session, found->pdata[i], taken, user_data, error))
      return false;
  return true;
}

/* In a rehearsal, in place of the VMM's callback. */
static int
open_stand_in (const char *name G_GNUC_UNUSED, int index G_GNUC_UNUSED, void *user_data G_GNUC_UNUSED, GError **error)
{
  int fd = cpr_rehearsal_open_fd ();

  if (fd < 0)
    cpr_throw_errno (error, errno, "rehearsal: eventfd");
  return fd;
}

static int
open_and_add (CprSession *session, const char *name, int index, CprFdOpen open, void *user_data, GError **error)
{
  GError *reason = NULL;
  int fd = open (name, index, user_data, &reason);

  if (fd < 0)
    {
      cpr_throw_callback (error, reason, "fd '%s' %d: its open callback failed", name, index);
      return -1;
    }
  return add_fd (session, name, index, fd, error) ? fd : -1; /* an fd that can't be added has another owner */
}

static int
open_fd (
    CprSession *session, CprCall call, const char *name, int index, CprFdOpen open, void *user_data, GError **error)
{
  const CprFdEntry *entry;

  if (!cpr_session_check_call (session, call, error) || !cpr_fd_table_check_name (name, index, error))
    return -1;
  entry = cpr_fd_table_find (&session->fds, name, index);
  if (entry != NULL && !entry->claimed)
    return cpr_fd_table_take (&session->fds, name, index, error);
  if (entry != NULL) /* before the callback has any effect */
    {
      cpr_throw (error, CPR_ERROR_EXISTS, "fd '%s' %d: it is in the table already", name, index);
      return -1;
    }
  return open_and_add (session, name, index, session->rehearsal != NULL ? open_stand_in : open, user_data, error);
}

int
cpr_fd_open (CprSession *session, const char *name, int index, CprFdOpen open, void *user_data, GError **error)
{
  g_return_val_if_fail (session != NULL && name != NULL && open != NULL, -1);

  return open_fd (session, CPR_CALL_FD_OPEN, name, index, open, user_data, error);
}

static int
open_listener (const char *name G_GNUC_UNUSED, int index G_GNUC_UNUSED, void *path, GError **error)
{
  int fd = cpr_channel_listen (path, LISTENER_BACKLOG, error);

  if (fd >= 0 && cpr_sys->fcntl (fd, F_SETFL, O_NONBLOCK) < 0)
    {
      cpr_throw_errno (error, errno, "socket '%s'", (const char *) path);
      cpr_sys->unlink (path);
      cpr_fd_clear (&fd);
    }
  return fd;
}

int
cpr_fd_open_listener (CprSession *session, const char *name, int index, const char *path, GError **error)
{
  g_return_val_if_fail (session != NULL && name != NULL && path != NULL, -1);

  return open_fd (session, CPR_CALL_FD_OPEN_LISTENER, name, index, open_listener, (void *) path, error);
}

static int
open_eventfd (const char *name, int index, void *user_data G_GNUC_UNUSED, GError **error)
{
  int fd = cpr_fd_above_std (cpr_sys->eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK));

  if (fd < 0)
    cpr_throw_errno (error, errno, "fd '%s' %d: eventfd", name, index);
  return fd;
}

int
cpr_fd_open_eventfd (CprSession *session, const char *name, int index, GError **error)
{
  g_return_val_if_fail (session != NULL && name != NULL, -1);

  return open_fd (session, CPR_CALL_FD_OPEN_EVENTFD, name, index, open_eventfd, NULL, error);
}

int
cpr_fd_get (const CprSession *session, const char *name, int index)
{
  const CprFdEntry *entry;

  g_return_val_if_fail (session != NULL && name != NULL, -1);

  entry = g_str_has_prefix (name, CPR_FD_INTERNAL) ? NULL : cpr_fd_table_find (&session->fds, name, index);
  return entry != NULL && entry->claimed ? entry->fd : -1;
}

bool
cpr_fd_remove (CprSession *session, const char *name, int index, GError **error)
{
  CprFdEntry *entry;

  g_return_val_if_fail (session != NULL && name != NULL, false);

  if (!cpr_session_check_call (session, CPR_CALL_FD_REMOVE, error) || !cpr_fd_table_check_name (name, index, error))
    return false;
  entry = cpr_fd_table_find (&session->fds, name, index);
  if (entry == NULL)
    return cpr_throw (error, CPR_ERROR_NOT_FOUND, "fd '%s' %d: it isn't in the table", name, index);
  cpr_fd_table_remove (&session->fds, entry);
  return true;
}

void
cpr_fd_foreach (const CprSession *session, CprFdFunc func, void *user_data)
{
  g_return_if_fail (session != NULL && func != NULL);

  for (guint i = 0; i < session->fds.entries->len; i++)
    {
      const CprFdEntry *entry = session->fds.entries->pdata[i];

      if (!g_str_has_prefix (entry->name, CPR_FD_INTERNAL))
        func (entry->name, entry->index, entry->fd, entry->claimed, user_data);
    }
}

bool
cpr_session_hold_fd (CprSession *session, int fd, GError **error)
{
  guint at;

  g_return_val_if_fail (session != NULL, false);

  if (!cpr_session_check_call (session, CPR_CALL_HOLD_FD, error))
    return false;
  if (fd < 0)
    return cpr_throw (error, CPR_ERROR_INVALID, "held fd %d: it isn't one", fd);
  if (find_held (session, fd, &at) || cpr_fd_table_has_fd (&session->fds, fd))
    return cpr_throw (error, CPR_ERROR_EXISTS, "held fd %d: it is held, or in the fd table", fd);
  if (!cpr_fd_set_cloexec (fd, true))
    return cpr_throw_errno (error, errno, "held fd %d", fd);
  g_array_append_val (session->held, fd);
  return true;
}

bool
cpr_session_release_fd (CprSession *session, int fd, GError **error)
{
  guint at;

  g_return_val_if_fail (session != NULL, false);

  if (!cpr_session_check_call (session, CPR_CALL_RELEASE_FD, error))
    return false;
  if (!find_held (session, fd, &at))
    return cpr_throw (error, CPR_ERROR_NOT_FOUND, "held fd %d: it isn't held", fd);
  g_array_remove_index (session->held, at);
  return true;
}
