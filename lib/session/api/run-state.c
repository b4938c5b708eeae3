/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The public functions that pause the guest, put it to sleep, and let it run again. The VMM calls
 * them. */
#include "session/core.h"
#include "session/parts/run-state.h"

static bool
change (CprSession *session, CprCall call, GError **error)
{
  bool was_live, is_live;
  CprRunState next;

  if (!cpr_session_check_call (session, call, error))
    return false;
  next = cpr_run_state_after (session->run_state, call);
  was_live = cpr_run_state_is_live (session->run_state);
  is_live = cpr_run_state_is_live (next);
  if (was_live && !is_live && !cpr_run_state_stop (&session->config, error))
    return false;
  session->run_state = next; /* the start callback may ask for it */
  if (is_live && !was_live)
    cpr_run_state_start (&session->config);
  return true;
}

bool
cpr_session_pause (CprSession *session, GError **error)
{
  g_return_val_if_fail (session != NULL, false);

  return change (session, CPR_CALL_PAUSE, error);
}

bool
cpr_session_resume (CprSession *session, GError **error)
{
  g_return_val_if_fail (session != NULL, false);

  return change (session, CPR_CALL_RESUME, error);
}

bool
cpr_session_suspend (CprSession *session, GError **error)
{
  g_return_val_if_fail (session != NULL, false);

  return change (session, CPR_CALL_SUSPEND, error);
}

bool
cpr_session_wakeup (CprSession *session, GError **error)
{
  g_return_val_if_fail (session != NULL, false);

  return change (session, CPR_CALL_WAKEUP, error);
}

CprRunState
cpr_session_get_run_state (const CprSession *session)
{
  g_return_val_if_fail (session != NULL, CPR_RUN_STATE_PAUSED);

  return session->run_state;
}
