/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keeps the connection of whoever asked for an update. The order of steps offers it in the old
 * program and adopts it in the new one, or in the old one again. */
#include "session/parts/reply.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/error.h"
#include "base/sys.h"

#define NAME CPR_FD_INTERNAL "reply"

bool
cpr_reply_begin (CprReply *reply, int given, GError **error)
{
  cpr_fd_clear (&reply->fd);
  if (given == 0 || given == -1)
    return true;
  if (given <= STDERR_FILENO)
    return cpr_throw (error, CPR_ERROR_INVALID,
                      "update: reply_fd should be 3 or more, or 0 where there is none, and is %d", given);
  reply->fd = cpr_sys->fcntl (given, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  return reply->fd >= 0 || cpr_throw_errno (error, errno, "update: reply_fd %d", given);
}

bool
cpr_reply_offer (const CprReply *reply, CprFdTable *fds, GError **error)
{
  return reply->fd < 0 || cpr_fd_table_add (fds, NAME, 0, reply->fd, error);
}

void
cpr_reply_withdraw (CprFdTable *fds)
{
  CprFdEntry *entry = cpr_fd_table_find (fds, NAME, 0);

  if (entry != NULL)
    cpr_fd_table_remove (fds, entry);
}

void
cpr_reply_adopt (CprReply *reply, CprFdTable *fds)
{
  CprFdEntry *entry = cpr_fd_table_find (fds, NAME, 0);

  if (entry == NULL)
    return;
  reply->fd = entry->fd;
  cpr_fd_table_remove (fds, entry);
}
