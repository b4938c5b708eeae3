/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_SESSION_ANSWER_H
#define CPR_SESSION_ANSWER_H

#include "session/core.h"

/* In a program that was started to be asked, with a session that has only its config: answers the
 * question behind @fd and ends the process. True: its start-up is to be rehearsed first. False: it
 * can't answer, and mustn't go on as a fresh session. @fault is what is wrong with the config, or
 * NULL. */
bool cpr_session_answer (CprSession *session, const GError *fault, int fd, GError **error);

/* The session becomes as if it had taken up the state. */
bool cpr_session_begin_rehearsal (CprSession *session, GError **error);

/* Answers with what the start-up took, or, where it failed, with @reason, and ends the process.
 * Returns only where it can't answer. */
bool cpr_session_end_rehearsal (CprSession *session, const GError *reason, GError **error);

/* Compares what the start-up took with what the old program said on the way here, while the guest
 * still runs there: for a program that was asked before its start-up and would have rehearsed. */
bool cpr_session_check_start_up (CprSession *session, GError **error);

#endif
