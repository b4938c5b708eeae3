/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_BASE_POPULATE_H
#define CPR_BASE_POPULATE_H

#include <stdbool.h>
#include <stddef.h>

/* Has the pages of this memory there to be written, now rather than when there is less time; their
 * contents stay. False with errno: EINVAL on a kernel that can't do that (before Linux 5.14), where
 * pages come when they are written. Where pages are only wanted early the answer may be ignored. */
bool cpr_populate (void *data, size_t len);

/* ---- While the guest runs, on a thread of its own: small steps with rests between them. */

/* The most that such a thread populates in one call, which takes 0.1 to 0.2 ms. The call holds the
 * lock of the address space, which the guest's own faults need, and a kernel that isn't preemptible
 * gives the CPU to nobody before its end. */
#define CPR_POPULATE_STEP (1024u * 1024)

/* Rests after a step. */
void cpr_populate_rest (void);

/* Rests after a step only where the CPU turns out to be shared. *n_rests: the thread's own, how
 * many of its next steps end with a rest; 0 at first. */
void cpr_populate_yield (unsigned *n_rests);

#endif
