/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The public functions of blockers and notifiers. The VMM calls them, those of blockers from any
 * thread. */
#include "base/error.h"
#include "session/core.h"
#include "session/parts/mode.h"

uint64_t
cpr_blocker_add (CprSession *session, unsigned modes, const char *reason, GError **error)
{
  g_return_val_if_fail (session != NULL && reason != NULL, 0);

  if (!cpr_session_check_process (session, "cpr_blocker_add", error) || !cpr_modes_check ("blocker", modes, error))
    return 0;
  if (reason[0] == '\0')
    return cpr_throw (error, CPR_ERROR_INVALID, "blocker: its reason is empty");
  return cpr_blockers_add (session->blockers, NULL, modes, reason, error);
}

bool
cpr_blocker_remove (CprSession *session, uint64_t blocker, GError **error)
{
  g_return_val_if_fail (session != NULL, false);

  return cpr_session_check_process (session, "cpr_blocker_remove", error) &&
         cpr_blockers_remove (session->blockers, blocker, error);
}

void
cpr_blocker_foreach (const CprSession *session, unsigned modes, CprBlockerFunc func, void *user_data)
{
  g_return_if_fail (session != NULL && func != NULL);

  if (cpr_session_is_mine (session)) /* in a forked child the lock may be held for ever */
    cpr_blockers_foreach (session->blockers, modes, func, user_data);
}

uint64_t
cpr_notifier_add (
    CprSession *session, unsigned modes, int priority, CprNotifierFunc func, void *user_data, GError **error)
{
  g_return_val_if_fail (session != NULL && func != NULL, 0);

  if (!cpr_session_check_call (session, CPR_CALL_NOTIFIER_ADD, error) || !cpr_modes_check ("notifier", modes, error))
    return 0;
  return cpr_notifiers_add (session->notifiers, modes, priority, func, user_data);
}

bool
cpr_notifier_remove (CprSession *session, uint64_t notifier, GError **error)
{
  g_return_val_if_fail (session != NULL, false);

  return cpr_session_check_call (session, CPR_CALL_NOTIFIER_REMOVE, error) &&
         cpr_notifiers_remove (session->notifiers, notifier, error);
}
