/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_STREAM_WRITER_H
#define CPR_STREAM_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

/* Writes a stream into memory; the caller brings it where it belongs in one go. */
typedef struct
{
  GByteArray *data;
  size_t chunk_start;
  uint64_t n_chunks;
} CprWriter;

void cpr_writer_init (CprWriter *writer);
void cpr_writer_clear (CprWriter *writer);

void cpr_writer_begin_chunk (CprWriter *writer, uint32_t type, uint32_t flags);
void cpr_writer_end_chunk (CprWriter *writer);
void cpr_writer_finish (CprWriter *writer); /* the END chunk */

void cpr_writer_put (CprWriter *writer, const void *data, size_t len);
void cpr_writer_put_u8 (CprWriter *writer, uint8_t value);
void cpr_writer_put_u16 (CprWriter *writer, uint16_t value);
void cpr_writer_put_u32 (CprWriter *writer, uint32_t value);
void cpr_writer_put_u64 (CprWriter *writer, uint64_t value);
void cpr_writer_put_string (CprWriter *writer, const char *string); /* up to 65,535 bytes */

#endif
