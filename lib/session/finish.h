/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_SESSION_FINISH_H
#define CPR_SESSION_FINISH_H

#include "handoff/incoming.h"

/* What remains to be done once the guest runs: the guardians are let go and reaped, page tables are filled,
 * leftovers are closed. A thread does it. */
typedef struct _CprFinish CprFinish;

/* Takes @incoming. @leftovers: fds to close, taken, or NULL. RAM blocks that are preallocated get their page
 * tables filled. */
CprFinish *cpr_finish_start (CprIncoming *incoming, const CprRamTable *ram, GArray *leftovers);

/* When the guardians were gone, in ns of CLOCK_MONOTONIC; 0 if they aren't yet. */
uint64_t cpr_finish_get_end (const CprFinish *finish);

/* Waits for the guardians' end. The filling of page tables is told to stop, but not waited for: it is of no consequence. */
void cpr_finish_wait (CprFinish *finish);

/* Waits for the end of all of it. */
void cpr_finish_free (CprFinish *finish);

#endif
