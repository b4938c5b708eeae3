/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_HANDOFF_EXEC_FATAL_H
#define CPR_HANDOFF_EXEC_FATAL_H

#include "handoff/exec/guardian.h"
#include "registry/fd-table.h"

/* From the take-up to the commit a fatal signal (SEGV, BUS, ILL, FPE, ABRT, SYS, TRAP) executes
 * the old program again, in this very process. Where that isn't possible the process dies of the
 * signal, and the guardian sees to the rest. */
typedef struct _CprFatal CprFatal;

/* Installs the handlers. @rescue: how the old program is executed, taken over; @guardian:
 * launched then, taken over, may be NULL. There can be one in a process; NULL if there is one. */
CprFatal *
cpr_fatal_arm (CprBatonPage *page, unsigned attempt, const CprFdTable *fds, CprRescue *rescue, CprGuardian *guardian);

/* Puts back the handlers that were there before, where ours are still in place. */
void cpr_fatal_disarm (CprFatal *fatal);

#endif
