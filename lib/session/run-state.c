/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether the guest runs, is paused or sleeps, before and after an update. The order of steps
 * asks. */
#include "session/run-state.h"

#include "base/error.h"
#include "session/private.h"

/* Each wish to stop the guest is a bit of its own, so that taking one back leaves the other. */
#define OWNER ((unsigned) CPR_RUN_STATE_PAUSED)
#define GUEST ((unsigned) CPR_RUN_STATE_SUSPENDED)

G_STATIC_ASSERT (CPR_RUN_STATE_RUNNING == 0);
G_STATIC_ASSERT (CPR_RUN_STATE_PAUSED_SUSPENDED == (OWNER | GUEST));

bool
cpr_run_state_is_live (CprRunState state)
{
  return state == CPR_RUN_STATE_RUNNING;
}

CprRunState
cpr_run_state_after (CprRunState state, CprCall call)
{
  switch (call)
    {
    case CPR_CALL_PAUSE:
      return (CprRunState) (state | OWNER);
    case CPR_CALL_RESUME:
      return (CprRunState) (state & ~OWNER);
    case CPR_CALL_SUSPEND:
      return (CprRunState) (state | GUEST);
    case CPR_CALL_WAKEUP:
      return (CprRunState) (state & ~GUEST);
    default:
      return state;
    }
}

bool
cpr_session_call_stop (CprSession *session, GError **error)
{
  GError *reason = NULL;

  if (session->config.stop (session->config.user_data, &reason))
    return true;
  if (reason == NULL)
    return cpr_throw (error, CPR_ERROR_CALLBACK, "VM '%s': its stop callback failed without a reason", session->name);
  g_propagate_error (error, reason);
  return false;
}

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
  if (was_live && !is_live && !cpr_session_call_stop (session, error))
    return false;
  session->run_state = next; /* the start callback may ask for it */
  if (is_live && !was_live)
    session->config.start (session->config.user_data);
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
