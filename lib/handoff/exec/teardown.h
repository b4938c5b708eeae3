/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_HANDOFF_EXEC_TEARDOWN_H
#define CPR_HANDOFF_EXEC_TEARDOWN_H

#include "handoff/baton.h"
#include "registry/ram/ram.h"

/* The end of an address space whose program is gone, done by the last process in it while the
 * guest runs in another program. Most of that work is guest RAM, touched page by touched page
 * (85 ms per GiB). It is done in small steps with rests between them, all at ordinary priority:
 * the guest is never without its CPU for longer than a step takes, and whoever is in a hurry
 * only has to say so, for which it needs no privilege. A lower priority would be the other way:
 * but at idle priority a busy machine takes half a minute for a GiB, and only a privileged
 * process gets out of that again. */
typedef struct _CprTeardown CprTeardown;

/* Lists the memory that @ram has mapped now. */
CprTeardown *cpr_teardown_new (const CprRamTable *ram);
void cpr_teardown_free (CprTeardown *teardown);

/* Tells a process that is at it not to rest any more. */
#define CPR_TEARDOWN_HURRY SIGURG

/* ---- In the guardian: system calls only. */

/* Takes guest RAM out of this address space. The contents stay in their files, so that a program
 * which still lives in this address space would not lose them. Without rests where @page says
 * hurry, or CPR_TEARDOWN_HURRY comes. */
void cpr_teardown_run (const CprTeardown *teardown, const CprBatonPage *page);

#endif
