/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_BASE_MEMORY_H
#define CPR_BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

/* Whether all of it is zero. @data must be aligned to 64 and @len a multiple of 128: for pages.
 * Ends at the first that isn't. */
bool cpr_is_zero (const void *data, size_t len);

#endif
