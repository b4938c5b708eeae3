/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The public functions of an update. The VMM calls them. */
#include <errno.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/sys.h"
#include "base/text.h"
#include "base/versioned.h"
#include "session/parts/request.h"
#include "session/update.h"

#define NS_PER_MS 1e6
/* How long the answer to an update may take; the public header promises it. */
#define REPLY_NS (UINT64_C (1) * 1000000000)

bool
cpr_session_update (CprSession *session, const CprUpdate *update, GError **error)
{
  CprRequest request;
  bool ok;

  g_return_val_if_fail (session != NULL && update != NULL, false);

  if (!cpr_session_check_call (session, CPR_CALL_UPDATE, error))
    return false;
  ok = cpr_request_read (&request, update, session->program.argv, error) &&
       cpr_session_run_update (session, &request.update, error);
  cpr_request_clear (&request);
  return ok;
}

void
cpr_session_cancel (CprSession *session)
{
  static const uint64_t one = 1;
  int errnum = errno;

  g_return_if_fail (session != NULL);

  if (cpr_session_is_mine (session) && session->cancel_fd >= 0 && write (session->cancel_fd, &one, sizeof one) < 0)
    errno = errnum; /* it is readable already */
}

/* Before the commit, and where another process has the guest, it is for another program to
 * answer. */
static bool
may_answer (const CprSession *session)
{
  return cpr_session_is_mine (session) &&
         (session->state == CPR_SESSION_STATE_ACTIVE || session->state == CPR_SESSION_STATE_HANDED_OVER);
}

int
cpr_session_take_reply_fd (CprSession *session, CprUpdateStatus *status, const char **reason)
{
  int fd;

  g_return_val_if_fail (session != NULL, -1);

  fd = may_answer (session) ? session->reply.fd : -1;
  if (fd >= 0)
    session->reply.fd = -1;
  if (status != NULL)
    *status = fd >= 0 ? session->timeline.status : CPR_UPDATE_NONE;
  if (reason != NULL)
    *reason = fd >= 0 ? session->timeline.error : NULL;
  return fd;
}

/* The rest of the line after the status. */
static char *
describe_end (const CprSession *session)
{
  CprUpdateInfo info = { .size = sizeof info };

  if (session->timeline.error != NULL)
    return cpr_text_make_line (session->timeline.error, strlen (session->timeline.error));
  if (session->state == CPR_SESSION_STATE_HANDED_OVER)
    return g_strdup (session->timeline.mode == CPR_MODE_REBOOT ? "the guest is saved" : "the guest was handed over");
  cpr_session_get_update_info (session, &info);
  if (info.pause_ns == 0)
    return g_strdup ("the guest was stopped already");
  return g_strdup_printf ("the guest stood still for %.2f ms", (double) info.pause_ns / NS_PER_MS);
}

bool
cpr_session_reply (CprSession *session)
{
  g_autofree char *end = NULL, *line = NULL;
  CprUpdateStatus status;
  bool ok;
  int fd;

  g_return_val_if_fail (session != NULL, false);

  fd = cpr_session_take_reply_fd (session, &status, NULL);
  if (fd < 0)
    return false;
  end = describe_end (session);
  line = g_strdup_printf ("%s: %s\n", cpr_update_status_get_name (status), end);
  ok = cpr_fd_write_until (fd, line, strlen (line), cpr_now_ns () + REPLY_NS);
  cpr_fd_clear (&fd);
  return ok;
}

const char *
cpr_update_status_get_name (CprUpdateStatus status)
{
  static const char *const names[] = { "none", "completed", "failed", "rolled-back", "rescued" };

  return (unsigned) status < G_N_ELEMENTS (names) ? names[status] : NULL;
}

void
cpr_session_get_update_info (const CprSession *session, CprUpdateInfo *info)
{
  CprUpdateInfo own = { .size = sizeof own };
  bool has_finish;

  g_return_if_fail (session != NULL && info != NULL);

  has_finish = session->finish != NULL && session->timeline.status != CPR_UPDATE_FAILED;
  cpr_timeline_fill (&session->timeline, has_finish ? cpr_finish_get_end (session->finish) : 0, &own);
  cpr_versioned_write (CPR_VERSIONED_UPDATE_INFO, info, &own);
}
