/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_SESSION_ANSWER_H
#define CPR_SESSION_ANSWER_H

#include <libcpr/libcpr.h>

/* In a program that was started to be asked: answers the question behind @fd and ends the
 * process. Returns only where it can't answer: then the process mustn't go on as a fresh
 * session. @fault is what is wrong with the configuration, or NULL. */
void cpr_session_answer (const CprSessionConfig *config, const GError *fault, int fd, GError **error);

#endif
