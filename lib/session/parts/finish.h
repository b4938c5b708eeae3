/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_SESSION_PARTS_FINISH_H
#define CPR_SESSION_PARTS_FINISH_H

#include "handoff/incoming.h"

/* The work that remains once the guest runs: the guardians are let go and reaped, page tables are
 * filled, unclaimed fds are closed. A thread does it. */
typedef struct _CprFinish CprFinish;

/* Takes @incoming. @unclaimed: the fds to close, taken, or NULL. RAM blocks that are preallocated
 * get their page tables filled. */
CprFinish *cpr_finish_start (CprIncoming *incoming, const CprRamTable *ram, GArray *unclaimed);

/* When the guardians were gone, in ns of CLOCK_MONOTONIC; 0 if they aren't yet. */
uint64_t cpr_finish_get_end (CprFinish *finish);

/* Ends the thread, and waits until the guardians have closed their fds and no more of them are
 * left than cpr_finish_hand_on() has room for: not until they have ended. Where that takes very
 * long it is an error, and the thread goes on. */
bool cpr_finish_suspend (CprFinish *finish, GError **error);
/* Puts those that are left into the page of the next update: they are children of whatever
 * program this process executes. */
void cpr_finish_hand_on (const CprFinish *finish, CprBatonPage *page);
/* The thread goes on, as there was no other program. */
void cpr_finish_resume (CprFinish *finish);

/* The page tables of the RAM block at @vaddr are not to be filled any more. */
void cpr_finish_forget (CprFinish *finish, const void *vaddr);

/* Waits for the guardians' end, but not for ever: those that last become somebody else's
 * children when this process ends. */
void cpr_finish_free (CprFinish *finish);

#endif
