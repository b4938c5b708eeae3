/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The run state: whether the guest runs, is paused or sleeps. Called by the order of steps, and by
 * the public functions that change it. */
#include "session/parts/run-state.h"

#include "base/error.h"

#define STOP_TIMEOUT_MS 5000

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
cpr_run_state_stop (const CprSessionConfig *config, GError **error)
{
  const unsigned timeout_ms = config->stop_timeout_ms != 0 ? config->stop_timeout_ms : STOP_TIMEOUT_MS;
  GError *reason = NULL;

  if (config->gate != NULL && !cpr_gate_close (config->gate, timeout_ms, error))
    return false;
  if (config->stop == NULL || config->stop (config->user_data, &reason))
    return true;
  if (config->gate != NULL)
    cpr_gate_open (config->gate);
  return cpr_throw_callback (error, reason, "VM '%s': its stop callback failed", config->name);
}

void
cpr_run_state_start (const CprSessionConfig *config)
{
  if (config->start != NULL)
    config->start (config->user_data);
  if (config->gate != NULL)
    cpr_gate_open (config->gate);
}
