/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_STREAM_READER_H
#define CPR_STREAM_READER_H

#include <glib.h>

#include "stream/wire.h"

/* Reads a stream that lies in memory. Opening it verifies all of it, so that walking through the chunks can't
 * fail. */
typedef struct
{
  const uint8_t *data;
  size_t len;
  size_t pos;
} CprReader;

typedef struct
{
  uint32_t type;
  uint32_t flags;
  size_t offset; /* of the chunk in the stream, for messages */
  CprCursor payload;
} CprChunk;

/* Checks the header, every chunk's bounds, padding and checksum, and the end. */
bool cpr_reader_open (CprReader *reader, const void *data, size_t len, GError **error);

/* The next chunk; false at the end. */
bool cpr_reader_next (CprReader *reader, CprChunk *chunk);

void cpr_reader_rewind (CprReader *reader);

#endif
