/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_UNIT_STREAMS_H
#define TESTS_UNIT_STREAMS_H

#include "helpers.h"

/* Streams made by hand, and read in both ways. */

void stream_put_chunk (CprWriter *writer, uint32_t type, uint32_t flags, const void *payload, size_t len);
/* A piece of bulk data as the writer would make it, but with any offset and length. */
void stream_put_piece (CprWriter *writer, const char *device, uint64_t offset, const void *data, size_t len);

/* A memfd with these bytes. */
int stream_to_fd (const uint8_t *data, size_t len);

/* True: the stream can be read. Reading from memory and from an fd must come to the same: the same
 * chunks and payloads, or the same error. */
bool stream_reads (const uint8_t *data, size_t len, GError **error);

#endif
