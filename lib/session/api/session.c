/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The public functions of a session's life, from its making to its end. The VMM calls them. */
#include "base/error.h"
#include "session/load.h"

CprSession *
cpr_session_new (const CprSessionConfig *config, GError **error)
{
  g_return_val_if_fail (config != NULL, NULL);

  return cpr_session_make (config, error);
}

bool
cpr_session_load (CprSession *session, GError **error)
{
  g_return_val_if_fail (session != NULL, false);

  return cpr_session_check_call (session, CPR_CALL_LOAD, error) && cpr_session_load_state (session, error);
}

bool
cpr_session_start (CprSession *session, GError **error)
{
  g_return_val_if_fail (session != NULL, false);

  return cpr_session_check_call (session, CPR_CALL_START, error) && cpr_session_take_guest (session, error);
}

static bool
can_go_back (const CprSession *session)
{
  return session->incoming != NULL || session->rehearsal != NULL;
}

bool
cpr_session_abort (CprSession *session, const GError *reason, GError **error)
{
  g_return_val_if_fail (session != NULL && reason != NULL, false);

  if (!cpr_session_check_call (session, CPR_CALL_ABORT, error))
    return false;
  if (!can_go_back (session))
    return cpr_throw (error, CPR_ERROR_STATE, "cpr_session_abort: the session didn't take up a state");
  return cpr_session_give_back (session, g_error_copy (reason), error);
}

bool
cpr_session_set_argv (CprSession *session, char *const *argv, GError **error)
{
  g_return_val_if_fail (session != NULL && argv != NULL, false);

  if (!cpr_session_check_call (session, CPR_CALL_SET_ARGV, error))
    return false;
  if (argv[0] == NULL)
    return cpr_throw (error, CPR_ERROR_INVALID, "program: its argv is empty, it could never be executed again");
  g_strfreev (session->program.argv);
  session->program.argv = g_strdupv ((char **) argv);
  return true;
}

bool
cpr_session_defer (CprSession *session, bool deferred, GError **error)
{
  g_return_val_if_fail (session != NULL, false);

  return cpr_session_check_call (session, CPR_CALL_DEFER, error) &&
         (session->incoming == NULL || cpr_incoming_defer (session->incoming, deferred, error));
}

char *const *
cpr_session_get_argv (const CprSession *session)
{
  g_return_val_if_fail (session != NULL, NULL);

  return session->program.argv;
}

CprSessionState
cpr_session_get_state (const CprSession *session)
{
  g_return_val_if_fail (session != NULL, CPR_SESSION_STATE_LOST);

  return session->state;
}

bool
cpr_session_is_incoming (const CprSession *session)
{
  g_return_val_if_fail (session != NULL, false);

  return session->was_incoming;
}

void
cpr_session_set_reason (CprSession *session, const char *reason)
{
  if (session != NULL && cpr_session_is_mine (session) && session->start_up != NULL)
    cpr_start_up_set_reason (session->start_up, reason);
}

bool
cpr_session_is_rehearsal (const CprSession *session)
{
  g_return_val_if_fail (session != NULL, false);

  return session->rehearsal != NULL;
}

void
cpr_session_free (CprSession *session)
{
  if (session == NULL)
    return;
  g_return_if_fail (cpr_call_is_permitted (CPR_CALL_FREE, session->state, false));
  g_return_if_fail (!cpr_notifiers_are_told (session->notifiers));

  if (cpr_session_is_mine (session) && can_go_back (session) && session->state != CPR_SESSION_STATE_LOST)
    cpr_session_leave (session, session->rehearsal != NULL ? "the session was freed before cpr_session_load()"
                                                           : "the new program ended before it started the guest");
  cpr_session_dispose (session);
}
