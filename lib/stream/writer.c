/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "stream/writer.h"

#include <string.h>
#include <xxhash.h>

#include "stream/format.h"

/* Large enough for an ordinary VM, so that nothing is copied on the pause because the buffer grew. */
#define INITIAL_SIZE (256 * 1024)

static void
put_checksum (CprWriter *writer, size_t from)
{
  cpr_writer_put_u64 (writer, XXH3_64bits (writer->data->data + from, writer->data->len - from));
}

void
cpr_writer_init (CprWriter *writer)
{
  *writer = (CprWriter){ .data = g_byte_array_sized_new (INITIAL_SIZE) };
  cpr_writer_put (writer, CPR_FORMAT_MAGIC, CPR_FORMAT_MAGIC_SIZE);
  cpr_writer_put_u16 (writer, CPR_FORMAT_MAJOR);
  cpr_writer_put_u16 (writer, CPR_FORMAT_MINOR);
  cpr_writer_put_u32 (writer, CPR_FORMAT_BYTE_ORDER);
  cpr_writer_put_u64 (writer, 0);
  put_checksum (writer, 0);
}

void
cpr_writer_clear (CprWriter *writer)
{
  g_clear_pointer (&writer->data, g_byte_array_unref);
}

void
cpr_writer_begin_chunk (CprWriter *writer, uint32_t type, uint32_t flags)
{
  writer->chunk_start = writer->data->len;
  cpr_writer_put_u32 (writer, type);
  cpr_writer_put_u32 (writer, flags);
  cpr_writer_put_u64 (writer, 0); /* the length, known at the end */
}

void
cpr_writer_end_chunk (CprWriter *writer)
{
  static const uint8_t zeros[8];
  uint64_t len = writer->data->len - writer->chunk_start - CPR_FORMAT_CHUNK_HEADER_SIZE;

  memcpy (writer->data->data + writer->chunk_start + 8, &len, sizeof len);
  cpr_writer_put (writer, zeros, -len & 7);
  put_checksum (writer, writer->chunk_start);
  writer->n_chunks++;
}

void
cpr_writer_finish (CprWriter *writer)
{
  uint64_t n_chunks = writer->n_chunks;

  cpr_writer_begin_chunk (writer, CPR_CHUNK_END, 0);
  cpr_writer_put_u64 (writer, n_chunks);
  cpr_writer_end_chunk (writer);
}

void
cpr_writer_put (CprWriter *writer, const void *data, size_t len)
{
  g_byte_array_append (writer->data, data, (guint) len);
}

void
cpr_writer_put_u8 (CprWriter *writer, uint8_t value)
{
  cpr_writer_put (writer, &value, sizeof value);
}

void
cpr_writer_put_u16 (CprWriter *writer, uint16_t value)
{
  cpr_writer_put (writer, &value, sizeof value);
}

void
cpr_writer_put_u32 (CprWriter *writer, uint32_t value)
{
  cpr_writer_put (writer, &value, sizeof value);
}

void
cpr_writer_put_u64 (CprWriter *writer, uint64_t value)
{
  cpr_writer_put (writer, &value, sizeof value);
}

void
cpr_writer_put_string (CprWriter *writer, const char *string)
{
  size_t len = strlen (string);

  cpr_writer_put_u16 (writer, (uint16_t) len);
  cpr_writer_put (writer, string, len + 1);
}
