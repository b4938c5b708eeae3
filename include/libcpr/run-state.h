/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBCPR_RUN_STATE_H
#define LIBCPR_RUN_STATE_H

#if !defined(LIBCPR_INSIDE) && !defined(LIBCPR_H)
#  error "include <libcpr/libcpr.h> and nothing else"
#endif

#include <libcpr/session.h>

G_BEGIN_DECLS

/**
 * SECTION:run-state
 * @title: Run state
 *
 * The guest's owner can pause it, and a guest can go to sleep. Both outlast an update.
 */

/**
 * CprRunState:
 * @CPR_RUN_STATE_RUNNING: the vCPUs execute
 * @CPR_RUN_STATE_PAUSED: the guest is stopped because its owner wants it so
 * @CPR_RUN_STATE_SUSPENDED: the guest is stopped because it went to sleep (ACPI S3) until something
 *     wakes it
 * @CPR_RUN_STATE_PAUSED_SUSPENDED: both: its owner paused a sleeping guest; nothing wakes it before
 *     the owner resumes it
 *
 * The run state: whether the guest runs, and who stopped it. The owner can stop it, and the guest
 * can stop itself. The library keeps the two apart: the guest runs when neither wants it stopped.
 * The run state survives an update, whether that succeeds or fails. A paused guest is paused
 * afterwards; a sleeping guest still sleeps and can be woken.
 *
 * This is what cpr_session_pause(), cpr_session_resume(), cpr_session_suspend() and
 * cpr_session_wakeup() do in each run state. A dash is a call that changes nothing and succeeds.
 *
 * | from | pause | resume | suspend | wakeup |
 * |---|---|---|---|---|
 * | running | paused, @stop | - | suspended, @stop | - |
 * | paused | - | running, @start | paused and suspended | - |
 * | suspended | paused and suspended | - | - | running, @start |
 * | paused and suspended | - | suspended | - | paused |
 *
 * So the library calls @stop and @start of #CprSessionConfig once for each time that the guest
 * really stops or runs again, whoever stopped it, and closes and opens its @gate. The guest's
 * clocks stand still in between.
 *
 * Since: 0.1
 */
typedef enum
{
  CPR_RUN_STATE_RUNNING = 0,
  CPR_RUN_STATE_PAUSED = 1,
  CPR_RUN_STATE_SUSPENDED = 2,
  CPR_RUN_STATE_PAUSED_SUSPENDED = 3
} CprRunState;

/**
 * cpr_session_pause:
 * @session: a session
 * @error: where an error goes, or %NULL
 *
 * Pauses the guest for its owner. Stops it by @gate and @stop of the config, unless the guest
 * sleeps and is stopped already. Does nothing when the guest is paused already. See #CprRunState.
 *
 * Errors: what cpr_gate_close() or @stop reports, %CPR_ERROR_CALLBACK, %CPR_ERROR_STATE.
 *
 * After failure: the guest runs.
 *
 * Permitted states: ACTIVE.
 *
 * Returns: %TRUE on success
 *
 * Since: 0.1
 */
CPR_API bool cpr_session_pause (CprSession *session, GError **error);

/**
 * cpr_session_resume:
 * @session: a session
 * @error: where an error goes, or %NULL
 *
 * Ends the pause that the owner wanted. Calls @start of the config, unless the guest is suspended
 * as well: then it sleeps on and can be woken. Does nothing when the guest isn't paused. See
 * #CprRunState.
 *
 * Errors: %CPR_ERROR_STATE.
 *
 * Permitted states: ACTIVE.
 *
 * Returns: %TRUE on success
 *
 * Since: 0.1
 */
CPR_API bool cpr_session_resume (CprSession *session, GError **error);

/**
 * cpr_session_suspend:
 * @session: a session
 * @error: where an error goes, or %NULL
 *
 * Records that the guest has put itself to sleep (ACPI S3). Stops it like cpr_session_pause(),
 * unless the guest is stopped already. Does nothing when the guest is suspended already. A guest
 * that its owner has paused in the meantime is paused and suspended afterwards. See #CprRunState.
 *
 * Errors: what cpr_gate_close() or @stop reports, %CPR_ERROR_CALLBACK, %CPR_ERROR_STATE.
 *
 * After failure: the guest runs.
 *
 * Permitted states: ACTIVE.
 *
 * Returns: %TRUE on success
 *
 * Since: 0.1
 */
CPR_API bool cpr_session_suspend (CprSession *session, GError **error);

/**
 * cpr_session_wakeup:
 * @session: a session
 * @error: where an error goes, or %NULL
 *
 * Wakes a sleeping guest, for an RTC's alarm, a key or its owner. Calls @start of the config,
 * unless the guest is paused as well: then it is awake, but runs only after cpr_session_resume().
 * Does nothing when the guest isn't suspended. See #CprRunState.
 *
 * Errors: %CPR_ERROR_STATE.
 *
 * Permitted states: ACTIVE.
 *
 * Returns: %TRUE on success
 *
 * Since: 0.1
 */
CPR_API bool cpr_session_wakeup (CprSession *session, GError **error);

/**
 * cpr_session_get_run_state:
 * @session: a session
 *
 * Gets the run state. Before cpr_session_start() it is the run state that the guest will have once
 * it is started. In HANDED_OVER and LOST it is the one that the guest last had in this program.
 *
 * Permitted states: all.
 *
 * Returns: the run state
 *
 * Since: 0.1
 */
CPR_API CprRunState cpr_session_get_run_state (const CprSession *session);

G_END_DECLS

#endif
