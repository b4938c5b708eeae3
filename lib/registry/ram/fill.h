/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_REGISTRY_RAM_FILL_H
#define CPR_REGISTRY_RAM_FILL_H

#include "registry/ram/ram.h"

/* Fills the page tables of RAM blocks that were taken over, while the guest still runs
 * elsewhere: what of a block has pages, and nothing else, so that none are allocated. An
 * optimisation: what fails is left out. */
typedef struct _CprFill CprFill;

/* The blocks stay where they are until cpr_fill_end(). */
CprFill *cpr_fill_start (const CprRamTable *ram);

/* Whether it is done; waits for that up to @timeout_ms. */
bool cpr_fill_wait (CprFill *fill, unsigned timeout_ms);

/* Ends it, done or not. */
void cpr_fill_end (CprFill *fill);

#endif
