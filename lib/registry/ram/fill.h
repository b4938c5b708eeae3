/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_REGISTRY_RAM_FILL_H
#define CPR_REGISTRY_RAM_FILL_H

#include "registry/ram/ram.h"

/* Fills the page tables of claimed RAM blocks while the guest still runs in the old program. It
 * fills them only where a block has pages, so that none are allocated. This is an optimisation:
 * a failure only leaves page faults to the guest. */
typedef struct _CprFill CprFill;

/* Starts filling. The blocks must stay mapped until cpr_fill_end(). */
CprFill *cpr_fill_start (const CprRamTable *ram);

/* Waits for the end of the work, up to @timeout_ms. Returns whether it is done. */
bool cpr_fill_wait (CprFill *fill, unsigned timeout_ms);

/* Ends the work, done or not, and frees. */
void cpr_fill_end (CprFill *fill);

#endif
