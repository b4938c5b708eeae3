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
 * A blocker is a named reason why a mode isn't possible now: a device that can't be saved, or an
 * operation that must not be interrupted. A blocked update is refused before anything has happened,
 * and the error has all the reasons. The library has blockers of its own, which come and go with
 * their cause: a RAM block that can't survive, a kernel that lacks what a mode needs, an update
 * that is under way.
 *
 * A VMM that promises to stay updatable names the modes in `required_modes` of #CprSessionConfig.
 * Then anything that would block such a mode fails when it is added, and not at the next security
 * update.
 *
 * A notifier is a callback for the events of an update.
 */

/**
 * cpr_blocker_add:
 * @session: a session
 * @modes: or-ed #CprModes that aren't possible while the blocker exists; at least one
 * @reason: the reason, for the person who wants to update, with the object first, as in `vGPU
 *     'gpu0': its device state can't be saved`; copied; not %NULL or empty. Line ends and other
 *     control characters become spaces
 * @error: where an error goes, or %NULL
 *
 * Blocks one or more modes until cpr_blocker_remove(). Two blockers may have the same reason.
 *
 * Once the call has returned, no update in such a mode stops the guest before the blocker is
 * removed. An update looks at the blockers twice, with the guest running: first of all, and again
 * after the notifiers have been told %CPR_EVENT_SETUP. A blocker that is added in between still
 * stops the update. After the second look none can be added until the update has failed, because
 * the update would interrupt the caller's operation. The caller may try again later. If the update
 * succeeds in exec mode, the caller's thread ends with the old program.
 *
 * Blockers belong to this program and aren't handed over. The new program adds its own.
 *
 * Errors: %CPR_ERROR_INVALID (no mode or an unknown one, an empty reason), %CPR_ERROR_BLOCKED (a
 * mode is in `required_modes`; the message has the mode and @reason), %CPR_ERROR_STATE (an update
 * has looked for the second time and is still under way; a forked child).
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
 * @blocker: the number that cpr_blocker_add() returned
 * @error: where an error goes, or %NULL
 *
 * Removes a blocker. The call is permitted while an update is under way, which has looked at the
 * blockers already.
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
 * @modes: or-ed #CprModes that it blocks
 * @reason: the reason; valid during the call
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
 * @modes: or-ed #CprModes: a blocker of any of them is shown; %CPR_MODES_ALL for all
 * @func: called with each of these blockers; not %NULL. It may add and remove blockers
 * @user_data: passed to @func
 *
 * Shows the blockers that exist at this moment, in the order in which they were added. One of the
 * library's own isn't shown: assigned devices block reboot mode unless the guest is suspended.
 *
 * Threads: safe, as long as no other thread frees the session. Handoff and fork: a forked child is
 * shown none. Permitted states: all.
 *
 * Since: 0.1
 */
CPR_API void cpr_blocker_foreach (const CprSession *session, unsigned modes, CprBlockerFunc func, void *user_data);

/**
 * CprEvent:
 * @CPR_EVENT_SETUP: an update begins; the guest runs, no preflight has been made for it yet and
 *     nothing has changed. A callback that returns %FALSE vetoes the update. A veto without an
 *     @error becomes %CPR_ERROR_CALLBACK
 * @CPR_EVENT_STOPPED: the guest is stopped, by the update or before it; nothing is saved yet
 * @CPR_EVENT_SAVED: the state is saved and can't be changed any more; the execve, or the mode's
 *     handing over, is next
 * @CPR_EVENT_FAILED: the update that began has failed, was vetoed, rolled back or rescued. The
 *     guest is as it was before, and cpr_session_get_update_info() has the reason
 * @CPR_EVENT_DONE: the update is committed, and the guest is as it was before, in the new program
 *
 * The events of an update, and the program that is told of each:
 *
 * | event | program | order |
 * |---|---|---|
 * | SETUP, STOPPED, SAVED | the old program | lower priority first |
 * | DONE | the new program | lower priority first |
 * | FAILED, without an execve | the old program | higher priority first |
 * | FAILED, after an execve | the old program, executed again | higher priority first |
 *
 * FAILED without an execve is told to the notifiers that were told SETUP, also to the one that
 * vetoed. DONE, and FAILED after an execve, are told from inside cpr_session_start().
 *
 * A notifier that was told of a beginning is told of its end, exactly once. After an execve this
 * holds for the program that has the guest. Its notifiers, as far as they were added before
 * cpr_session_start(), are told how the update ended. A new program that failed before the commit
 * is told nothing. A program whose session is LOST or HANDED_OVER is told nothing either: the guest
 * belongs to another process and must not be touched.
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
 * @mode: the mode of the update
 * @user_data: what was passed to cpr_notifier_add()
 * @error: where the reason of a veto goes
 *
 * Is told of an event, on the thread that called cpr_session_update(), or cpr_session_start() in
 * the program that came out of the update.
 *
 * In SETUP, FAILED and DONE the session is ACTIVE and may be used. An object that is registered in
 * SETUP is handed over. In STOPPED and SAVED the session is UPDATING, and nothing can be
 * registered; in STOPPED the callback may still change device state. Time spent in STOPPED and
 * SAVED is part of the pause. cpr_session_update() is refused in all of them, and
 * cpr_session_free() isn't permitted.
 *
 * A notifier that is added in a callback is told of the next update. A notifier that is removed is
 * told nothing more, not even the end.
 *
 * Returns: after %CPR_EVENT_SETUP: %TRUE, or %FALSE with @error set to veto the update; after
 * others the value doesn't matter
 *
 * Since: 0.1
 */
typedef bool (*CprNotifierFunc) (CprSession *session, CprEvent event, CprMode mode, void *user_data, GError **error);

/**
 * cpr_notifier_add:
 * @session: a session
 * @modes: or-ed #CprModes: the notifier is told of updates in these modes; at least one
 * @priority: any number. Notifiers with a lower one are told first; equal ones in the order in
 *     which they were added. After a failure the order is reversed
 * @func: what to call; not %NULL
 * @user_data: passed to @func
 * @error: where an error goes, or %NULL
 *
 * Adds a notifier. Add it before cpr_session_start() if it is to be told how the update ended that
 * brought the guest to this program.
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
 * @notifier: the number that cpr_notifier_add() returned
 * @error: where an error goes, or %NULL
 *
 * Removes a notifier, also from inside a callback, except in STOPPED and SAVED. The notifier isn't
 * called again.
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
