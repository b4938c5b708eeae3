/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_HANDOFF_EXEC_TEARDOWN_H
#define CPR_HANDOFF_EXEC_TEARDOWN_H

#include "handoff/baton.h"
#include "registry/ram/ram.h"

/* The end of an address space whose program is gone. The last process in it does that work while
 * the guest runs in another program. Most of the work is guest RAM, touched page by touched page
 * (85 ms per GiB).
 *
 * The work is done in small steps with rests between them, at ordinary priority. So the guest is
 * never without its CPU for longer than a step takes. A process that waits for the end can have
 * the rests left out, and needs no privilege for that. Idle priority would be the other way. But
 * on a busy machine a GiB then takes half a minute, and only a privileged process can raise the
 * priority again. */
typedef struct _CprTeardown CprTeardown;

/* For the mappings that @ram has now. */
CprTeardown *cpr_teardown_new (const CprRamTable *ram);
void cpr_teardown_free (CprTeardown *teardown);

/* The signal that tells a teardown not to rest any more. */
#define CPR_TEARDOWN_HURRY SIGURG

/* ---- In the guardian: system calls only. */

/* Takes guest RAM out of this address space. The contents stay in their files, so a program that
 * still lives in this address space doesn't lose them. Without rests once @page->hurry is set or
 * CPR_TEARDOWN_HURRY comes. */
void cpr_teardown_run (const CprTeardown *teardown, const CprBatonPage *page);

#endif
