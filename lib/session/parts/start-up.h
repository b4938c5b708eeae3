/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_SESSION_PARTS_START_UP_H
#define CPR_SESSION_PARTS_START_UP_H

#include "handoff/incoming.h"

/* The time from the take-up to the commit or to the way back. The VMM may call exit() meanwhile, in
 * any thread, and any thread may say why. */
typedef struct _CprStartUp CprStartUp;

/* Called by exit() in the thread that took the state up. @how says that it was called, for want of
 * a better reason. */
typedef void (*CprStartUpLeave) (void *session, const char *how);

/* @leave: NULL if an exit() is only the end of this process. */
CprStartUp *cpr_start_up_new (CprIncoming *incoming, CprStartUpLeave leave, void *session);
/* @mine: false in a forked child. */
void cpr_start_up_free (CprStartUp *start_up, bool mine);

/* Keeps the reason that a failure will have, as one line; NULL: forgets it. In any thread. */
void cpr_start_up_set_reason (CprStartUp *start_up, const char *reason);
/* A copy of that reason; NULL if there is none. */
char *cpr_start_up_get_reason (CprStartUp *start_up);

/* The caller commits or goes back, and no exit() does from now on. If another thread's exit() was
 * first, this one returns no more: the process is about to end, or to be the old program. */
void cpr_start_up_end (CprStartUp *start_up);

#endif
