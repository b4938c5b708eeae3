/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_HANDOFF_EXEC_FATAL_H
#define CPR_HANDOFF_EXEC_FATAL_H

#include "handoff/exec/guardian.h"
#include "registry/fd-table.h"

/* From the take-up to the commit a fatal signal (SEGV, BUS, ILL, FPE, ABRT, SYS, TRAP) executes
 * the old program again, in this very process. Where that isn't possible the process dies of the
 * signal, and the guardian takes the guest back. */
typedef struct _CprFatal CprFatal;

/* Installs the handlers. @rescue says how the old program is executed. @guardian is launched
 * before that; it may be NULL. Both are taken over, also if the result is NULL. A process can have
 * one CprFatal: NULL if there is one already, or no memory for the handlers' stack. */
CprFatal *
cpr_fatal_arm (CprBatonPage *page, unsigned attempt, const CprFdTable *fds, CprRescue *rescue, CprGuardian *guardian);

/* The deadline in the page has changed. */
void cpr_fatal_set_timer (CprFatal *fatal);

/* Executes the old program as the handlers do, in any thread. The reason is in the baton's page.
 * Returns if that isn't possible. */
void cpr_fatal_leave (void);

/* Puts back the handlers that were there before, and frees @fatal, which may be NULL. A handler
 * that the VMM has installed since stays. */
void cpr_fatal_disarm (CprFatal *fatal);

#endif
