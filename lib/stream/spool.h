/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_STREAM_SPOOL_H
#define CPR_STREAM_SPOOL_H

#include "stream/wire.h"

/* Reads streams from what can only be read once, from its begin to its end: a pipe. */

/* Copies one stream, up to and with its END, from where @from is to @to. Nothing of it is
 * verified but what it takes to find its end. */
bool cpr_stream_spool (int from, int to, GError **error);

/* One piece of a RAM block's contents; verified. */
typedef bool (*CprPagesFunc) (
    const char *block, uint64_t offset, const uint8_t *data, size_t len, void *user_data, GError **error);

/* Reads a stream of PAGES chunks and verifies it as it goes. */
bool cpr_stream_read_pages (int from, CprPagesFunc func, void *user_data, GError **error);

#endif
