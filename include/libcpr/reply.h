/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBCPR_REPLY_H
#define LIBCPR_REPLY_H

#if !defined(LIBCPR_INSIDE) && !defined(LIBCPR_H)
#  error "include <libcpr/libcpr.h> and nothing else"
#endif

#include <libcpr/update.h>

G_BEGIN_DECLS

/**
 * SECTION:reply
 * @title: Reply
 *
 * Whoever asks for an update wants to know how it went, and nobody knows beforehand which program
 * will have the guest then. So the connection is @reply_fd of #CprUpdate. It goes where the guest
 * goes, and the program that has the guest answers with cpr_session_reply().
 */

/**
 * cpr_session_take_reply_fd:
 * @session: a session
 * @status: (out) (nullable): how the update ended; %CPR_UPDATE_NONE if the result is -1
 * @reason: (out) (nullable): why the update failed, the session's until the next update; %NULL if
 *     it didn't fail or if the result is -1
 *
 * Takes the connection of whoever asked for the last update, @reply_fd of #CprUpdate, to answer it.
 * The program that has the guest afterwards gets it:
 *
 * - after the commit the new program, from cpr_session_start() on;
 * - after a failure before the execve, or in transfer mode before the commit, the program that
 *   called cpr_session_update();
 * - after a rollback or a rescue the old program, executed again, from cpr_session_start() on;
 * - in reboot mode the program that called cpr_session_update(), whether it failed or not. The
 *   program that takes the state up later gets nothing.
 *
 * So the same lines answer in each case: call them after cpr_session_start(), and after
 * cpr_session_update() where that returned. After a call of cpr_session_update() that wasn't
 * permitted there is nothing to take.
 *
 * Whoever asked may have hung up by now. A write to such a socket raises SIGPIPE, which ends the
 * program that has just got the guest, so ignore that signal.
 *
 * The fd is no part of the fd table. If nobody takes it, the next cpr_session_update() or
 * cpr_session_free() closes it. If no program can take the guest, the guardian keeps it with
 * everything else. A peer sees the end of the connection when every copy is closed, which takes
 * some milliseconds after the commit: the guardian has one. If the caller's own fd is in the fd
 * table, that one survives as well, and both are open.
 *
 * Permitted states: all. The result is -1 in every state but ACTIVE and HANDED_OVER, and in a
 * forked child.
 *
 * Returns: an fd, which is the caller's now and close-on-exec, or -1 if there is none to take
 *
 * Since: 0.1
 */
CPR_API int cpr_session_take_reply_fd (CprSession *session, CprUpdateStatus *status, const char **reason);

/**
 * cpr_session_reply:
 * @session: a session
 *
 * Tells whoever asked for the last update, @reply_fd of #CprUpdate, how it ended, and closes the
 * library's duplicate of that connection. It is cpr_session_take_reply_fd() with a line of text.
 * Call it in the same two places: after cpr_session_start(), and after cpr_session_update() where
 * that returned. A client that stays connected has its own fd in the fd table, which stays open.
 *
 * The line ends with a newline, and begins with cpr_update_status_get_name() and a colon:
 *
 * - `completed: the guest stood still for 2.14 ms`. A guest that was stopped already, and one that
 *   this program handed over or saved, has other words after the colon;
 * - `failed: REASON`, where the update failed in this program;
 * - `rolled-back: REASON` and `rescued: REASON`, after the new program failed.
 *
 * A guest that no program could take is parked, and nobody answers until one has taken it. So the
 * peer should wait for a limited time.
 *
 * Whoever asked may have hung up by now: the function raises no SIGPIPE. A peer that doesn't read
 * is waited for, 1 s at most.
 *
 * Permitted states: all. There is nobody to tell in every state but ACTIVE and HANDED_OVER, and in
 * a forked child.
 *
 * Returns: %TRUE if the line was written. %FALSE if nobody asked, the call of cpr_session_update()
 *     wasn't permitted, or the peer is gone
 *
 * Since: 0.1
 */
CPR_API bool cpr_session_reply (CprSession *session);

G_END_DECLS

#endif
