/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_SESSION_LOAD_H
#define CPR_SESSION_LOAD_H

#include "session/core.h"

/* A new session: fresh, or with the state that this process was handed. In a program that was
 * started to be asked it rehearses, or the function answers and doesn't return. */
CprSession *cpr_session_make (const CprSessionConfig *config, GError **error);

/* Loads the devices' state. On failure the guest goes back. A rehearsal answers here and doesn't
 * return. */
bool cpr_session_load_state (CprSession *session, GError **error);

/* The commit: takes the baton and lets the guest run. */
bool cpr_session_take_guest (CprSession *session, GError **error);

/* Before the commit: the guest goes back to the old program, for @reason, which is taken. A
 * rehearsal answers with it. Returns only where this process lives on: false, with an error that
 * says what became of the guest. */
bool cpr_session_give_back (CprSession *session, GError *reason, GError **error);

/* The same where the VMM ends without an error of its own: for the reason that it was told by
 * cpr_session_set_reason(), or for want of one for @how. */
void cpr_session_leave (void *session, const char *how);

#endif
