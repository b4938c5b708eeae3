/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBCPR_EVENT_H
#define LIBCPR_EVENT_H

#if !defined(LIBCPR_INSIDE) && !defined(LIBCPR_H)
#  error "include <libcpr/libcpr.h> and nothing else"
#endif

#include <libcpr/update.h>

G_BEGIN_DECLS

/**
 * SECTION:event
 * @title: Blockers and notifiers
 *
 * A blocker is a named reason why a mode isn't possible now: a device that can't be saved, an
 * operation that must not be torn apart. An update that is blocked is refused before anything has
 * happened, with all the reasons. The library has blockers of its own, which come and go with their
 * cause: a RAM block that can't survive, a kernel that lacks what a mode needs, an update that is
 * under way.
 *
 * A VMM that promises to be updatable says so in the `required_modes` of #CprSessionConfig. Then
 * what would block such a mode is refused when it is added, and not at the next security update.
 *
 * A notifier is a callback on the events of an update.
 */

/**
 * cpr_blocker_add:
 * @session: a session
 * @modes: or-ed #CprModes that aren't possible while the blocker is there; at least one
 * @reason: why, for whoever wants to update: the object first, as in `vGPU 'gpu0': its state can't
 *     be saved`; copied; not %NULL or empty. Line ends and other control characters become spaces
 * @error: where an error goes, or %NULL
 *
 * Blocks one or more modes until cpr_blocker_remove(). Reasons may be equal; each blocker is one of
 * its own.
 *
 * A blocker that was added holds: no update in such a mode stops the guest before it is removed.
 * Updates look at the blockers twice, at first and again when the notifiers have been told
 * %CPR_EVENT_SETUP, with the guest running both times; one that is added in between still keeps the
 * update back. After the second look none can be added until the update has failed: what the caller
 * wanted to protect would be torn apart. It may try again later; if the update succeeds, its thread
 * ends with the old program.
 *
 * Blockers are this program's: they aren't handed over. The new program adds its own.
 *
 * Errors: %CPR_ERROR_INVALID (no mode or an unknown one, an empty reason), %CPR_ERROR_BLOCKED (a
 * mode is in `required_modes`; the message has the mode and @reason), %CPR_ERROR_STATE (an update
 * is under way; a forked child).
 *
 * Threads: safe, as long as no other thread frees the session. Handoff and fork: not in a forked
 * child. Permitted states: all.
 *
 * Returns: a number for cpr_blocker_remove(), which is never used again in this session, or 0
 *
 * Since: 0.1
 */
CPR_API uint64_t cpr_blocker_add (CprSession *session, unsigned modes, const char *reason, GError **error);

/**
 * cpr_blocker_remove:
 * @session: a session
 * @blocker: what cpr_blocker_add() returned
 * @error: where an error goes, or %NULL
 *
 * Removes a blocker. It may be done while an update is under way: that has looked at the blockers
 * already.
 *
 * Errors: %CPR_ERROR_NOT_FOUND, %CPR_ERROR_STATE (a forked child).
 *
 * Threads: safe, as long as no other thread frees the session. Handoff and fork: not in a forked
 * child. Permitted states: all.
 *
 * Returns: %TRUE on success
 *
 * Since: 0.1
 */
CPR_API bool cpr_blocker_remove (CprSession *session, uint64_t blocker, GError **error);

/**
 * CprBlockerFunc:
 * @blocker: its number, or 0 for one of the library's own, which can't be removed
 * @modes: or-ed #CprModes
 * @reason: why; valid during the call
 * @user_data: what was passed to cpr_blocker_foreach()
 *
 * Gets one blocker.
 *
 * Since: 0.1
 */
typedef void (*CprBlockerFunc) (uint64_t blocker, unsigned modes, const char *reason, void *user_data);

/**
 * cpr_blocker_foreach:
 * @session: a session
 * @modes: or-ed #CprModes: those that block one of them are shown; %CPR_MODES_ALL for all
 * @func: called with each of them; not %NULL. It may add and remove blockers
 * @user_data: passed to @func
 *
 * Shows the blockers as they are at this moment, in the order in which they were added.
 *
 * Threads: safe, as long as no other thread frees the session. Handoff and fork: a forked child is
 * shown none. Permitted states: all.
 *
 * Since: 0.1
 */
CPR_API void cpr_blocker_foreach (const CprSession *session, unsigned modes, CprBlockerFunc func, void *user_data);

/**
 * CprEvent:
 * @CPR_EVENT_SETUP: an update begins; the guest runs. The preflight has passed and nothing has been
 *     made yet. A callback that returns %FALSE vetoes the update
 * @CPR_EVENT_STOPPED: the guest stands still, whether the update stopped it or it did so before;
 *     nothing is saved yet
 * @CPR_EVENT_SAVED: its state is saved and can't be changed any more; the execve is next
 * @CPR_EVENT_FAILED: the update that began has failed, was vetoed, rolled back or rescued; the
 *     guest is as it was before, and cpr_session_get_update_info() knows the reason
 * @CPR_EVENT_DONE: the update is committed and the guest is as it was before, in the new program
 *
 * The events of an update. Which program is told what:
 *
 * | event | in | order |
 * |---|---|---|
 * | SETUP, STOPPED, SAVED | the old program | lower priority first |
 * | DONE | the new program | lower priority first |
 * | FAILED, before the execve | the old program: those that were told SETUP, whoever vetoed
 * included | the reverse |
 * | FAILED, after the execve | the old program executed again, in its cpr_session_start() | the
 * reverse |
 *
 * Whoever was told of a beginning is told of its end, exactly once. After the execve that holds for
 * the program that has the guest: its notifiers, those added before cpr_session_start(), are told
 * how the update ended that it came out of; a new program that failed before the commit is told
 * nothing. Nor is one whose session is LOST or HANDED_OVER: the guest runs elsewhere and must not
 * be touched.
 *
 * Since: 0.1
 */
typedef enum
{
  CPR_EVENT_SETUP = 1,
  CPR_EVENT_STOPPED = 2,
  CPR_EVENT_SAVED = 3,
  CPR_EVENT_FAILED = 4,
  CPR_EVENT_DONE = 5
} CprEvent;

/**
 * CprNotifierFunc:
 * @session: the session
 * @event: what happens
 * @mode: how the update travels
 * @user_data: what was passed to cpr_notifier_add()
 * @error: where the reason of a veto goes
 *
 * Is told of an event, on the thread that called cpr_session_update(), or cpr_session_start() in
 * the program that came out of it.
 *
 * In SETUP, FAILED and DONE the session is ACTIVE and may be used: what is registered in SETUP is
 * handed over, though the preflight was asked before. In STOPPED and SAVED it is UPDATING: device
 * state may be put in order in STOPPED, but nothing registered. cpr_session_update() is refused in
 * all of them, and cpr_session_free() isn't permitted. STOPPED and SAVED are on the pause.
 *
 * A notifier that is added in a callback is told of the next update; one that is removed is told
 * nothing more, not even the end.
 *
 * Returns: after %CPR_EVENT_SETUP: %TRUE, or %FALSE with @error set to veto the update; after
 * others it doesn't matter
 *
 * Since: 0.1
 */
typedef bool (*CprNotifierFunc) (CprSession *session, CprEvent event, CprMode mode, void *user_data, GError **error);

/**
 * cpr_notifier_add:
 * @session: a session
 * @modes: or-ed #CprModes of whose updates it is to be told; at least one
 * @priority: any number: those with a lower one are told first; among equals, those added first. At
 *     failure the other way round
 * @func: what to call; not %NULL
 * @user_data: passed to @func
 * @error: where an error goes, or %NULL
 *
 * Adds a notifier. To be told how the update ended by which this program came to the guest, it must
 * be there before cpr_session_start().
 *
 * Errors: %CPR_ERROR_INVALID (no mode or an unknown one), %CPR_ERROR_STATE.
 *
 * Permitted states: FRESH, INCOMING, LOADED, ACTIVE.
 *
 * Returns: a number for cpr_notifier_remove(), which is never used again in this session, or 0
 *
 * Since: 0.1
 */
CPR_API uint64_t cpr_notifier_add (
    CprSession *session, unsigned modes, int priority, CprNotifierFunc func, void *user_data, GError **error);

/**
 * cpr_notifier_remove:
 * @session: a session
 * @notifier: what cpr_notifier_add() returned
 * @error: where an error goes, or %NULL
 *
 * Removes a notifier, also from inside a callback. It isn't called again.
 *
 * Errors: %CPR_ERROR_NOT_FOUND, %CPR_ERROR_STATE.
 *
 * Permitted states: FRESH, INCOMING, LOADED, ACTIVE, LOST, HANDED_OVER.
 *
 * Returns: %TRUE on success
 *
 * Since: 0.1
 */
CPR_API bool cpr_notifier_remove (CprSession *session, uint64_t notifier, GError **error);

G_END_DECLS

#endif
