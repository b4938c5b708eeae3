/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBCPR_EXIT_H
#define LIBCPR_EXIT_H

#if !defined(LIBCPR_INSIDE) && !defined(LIBCPR_H)
#  error "include <libcpr/libcpr.h> and nothing else"
#endif

#include <libcpr/session.h>

G_BEGIN_DECLS

/**
 * SECTION:exit
 * @title: exit() in start-up
 *
 * Many VMMs end with exit() wherever their start-up fails. In a program that takes a guest over
 * that is the death of a process, which the guardian notices: it executes the old program under
 * another PID. With %CPR_INCOMING_EXIT_GOES_BACK, exit() is a way back like any other. In exec mode
 * the old program is executed again in the same process. In transfer mode the old program is told
 * why, and the process ends with its exit status. In reboot mode the file can be taken up again,
 * and the process ends. The reason is the one of cpr_session_set_reason(), or else the exit status
 * and the step.
 *
 * - The flag holds from cpr_session_new() until cpr_session_start() commits. It does nothing in a
 *   fresh session, or in a child that the program forks. If another thread calls exit() at the very
 *   moment of the commit, the process ends. A guest that still belongs to the old program then is
 *   taken back by the guardian.
 * - The library's exit handler is registered by cpr_session_new(). Handlers that were registered
 *   later run before it. They may close fds, as in cpr_session_abort(). In exec mode handlers that
 *   were registered earlier don't run, and neither do destructors. Data that stdio has buffered is
 *   lost.
 * - exit() in another thread than the one that called cpr_session_new() goes back too, but not with
 *   the guardian's help: if the program has closed or replaced an fd that was handed over, the
 *   process ends, and the guardian takes the guest back. In transfer mode the old program notices
 *   the end of the process. A commit that another thread begins meanwhile doesn't return.
 * - exit() in a signal handler isn't safe in any program. If it hangs here, the deadline of the
 *   update ends it.
 * - _exit(), quick_exit(), and an exit() before cpr_session_new(), as in the constructor of a
 *   library, end the process: the guardian takes the guest back, as without the flag.
 * - On a way back, in the old program executed again, exit() ends the process as without the flag.
 */

/**
 * cpr_session_set_reason:
 * @session: (nullable): a session, or %NULL: the call does nothing
 * @reason: (nullable): why the start-up is about to fail. It is copied, up to 1023 bytes of it, and
 *     made one line: a line end at its end doesn't matter. %NULL: forgets the last one
 *
 * Says why a start-up fails that ends in another way than by cpr_session_abort(). Call it in the
 * VMM's function that reports errors; the last call counts. The old program gets @reason:
 *
 * - as the whole reason after an exit() with %CPR_INCOMING_EXIT_GOES_BACK, and after
 *   cpr_session_free() before the commit;
 * - behind the library's own words after a fatal signal, _exit(), a kill or the deadline; in
 *   transfer mode also after an exit() in another thread.
 *
 * A call in a fresh session, after the commit, on a way back or in a forked child does nothing. So
 * does one in a rehearsal, whose refusal has the exit status and what the program printed.
 *
 * Threads: safe, as long as no other thread frees the session. Permitted states: all.
 *
 * Since: 0.1
 */
CPR_API void cpr_session_set_reason (CprSession *session, const char *reason);

G_END_DECLS

#endif
