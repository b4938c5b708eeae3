/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "stream/reader.h"

#include <xxhash.h>

#include "base/error.h"

static bool
check_header (const CprReader *reader, GError **error)
{
  CprCursor cursor = { .data = reader->data, .len = reader->len };
  const uint8_t *magic = cpr_cursor_get (&cursor, CPR_FORMAT_MAGIC_SIZE);
  unsigned major = cpr_cursor_get_u16 (&cursor);
  unsigned byte_order;
  uint64_t flags, checksum;

  (void) cpr_cursor_get_u16 (&cursor); /* minor: what is new in it says itself whether it is optional */
  byte_order = cpr_cursor_get_u32 (&cursor);
  flags = cpr_cursor_get_u64 (&cursor);
  checksum = cpr_cursor_get_u64 (&cursor);

  if (magic == NULL || memcmp (magic, CPR_FORMAT_MAGIC, CPR_FORMAT_MAGIC_SIZE) != 0)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "state: it doesn't begin like a libcpr state");
  if (cursor.failed)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "state: cut off within the header, at %zu bytes", reader->len);
  if (checksum != XXH3_64bits (reader->data, CPR_FORMAT_HEADER_SIZE - CPR_FORMAT_CHECKSUM_SIZE))
    return cpr_throw (error, CPR_ERROR_CORRUPT, "state: the header's checksum is wrong");
  if (byte_order != CPR_FORMAT_BYTE_ORDER)
    return cpr_throw (error, CPR_ERROR_VERSION, "state: byte order is 0x%08x, 0x%08x expected", byte_order,
                      CPR_FORMAT_BYTE_ORDER);
  if (major != CPR_FORMAT_MAJOR)
    return cpr_throw (error, CPR_ERROR_VERSION, "state: format version is %u, this program reads %u", major,
                      CPR_FORMAT_MAJOR);
  if (flags != 0)
    return cpr_throw (error, CPR_ERROR_VERSION, "state: unknown flags 0x%" G_GINT64_MODIFIER "x in the header", flags);
  return true;
}

/* The size of the chunk at @pos, without reading past the stream's end; 0 if it doesn't fit. */
static size_t
chunk_size (const CprReader *reader, size_t pos)
{
  const size_t frame = CPR_FORMAT_CHUNK_HEADER_SIZE + CPR_FORMAT_CHECKSUM_SIZE;
  size_t left = reader->len - pos;
  uint64_t payload;

  if (left < frame)
    return 0;
  memcpy (&payload, reader->data + pos + 8, sizeof payload);
  if (payload > left - frame)
    return 0;
  payload += -payload & 7;
  return payload > left - frame ? 0 : (size_t) payload + frame;
}

static void
chunk_at (const CprReader *reader, size_t pos, CprChunk *chunk)
{
  CprCursor header = { .data = reader->data + pos, .len = CPR_FORMAT_CHUNK_HEADER_SIZE };
  uint64_t len;

  chunk->type = cpr_cursor_get_u32 (&header);
  chunk->flags = cpr_cursor_get_u32 (&header);
  len = cpr_cursor_get_u64 (&header);
  chunk->offset = pos;
  chunk->payload = (CprCursor){ .data = reader->data + pos + CPR_FORMAT_CHUNK_HEADER_SIZE, .len = len };
}

static bool
check_chunk (const CprReader *reader, const CprChunk *chunk, size_t size, GError **error)
{
  const uint8_t *start = reader->data + chunk->offset;
  uint64_t checksum;

  memcpy (&checksum, start + size - CPR_FORMAT_CHECKSUM_SIZE, sizeof checksum);
  if (checksum != XXH3_64bits (start, size - CPR_FORMAT_CHECKSUM_SIZE))
    return cpr_throw (error, CPR_ERROR_CORRUPT, "state: the checksum of the chunk at offset %zu is wrong",
                      chunk->offset);
  for (size_t i = chunk->payload.len; i < size - CPR_FORMAT_CHUNK_HEADER_SIZE - CPR_FORMAT_CHECKSUM_SIZE; i++)
    if (chunk->payload.data[i] != 0)
      return cpr_throw (error, CPR_ERROR_CORRUPT, "state: the padding of the chunk at offset %zu isn't zero",
                        chunk->offset);
  if ((chunk->flags & ~(uint32_t) CPR_CHUNK_FLAG_OPTIONAL) != 0 ||
      (chunk->type > CPR_CHUNK_SECTION && (chunk->flags & CPR_CHUNK_FLAG_OPTIONAL) == 0))
    return cpr_throw (error, CPR_ERROR_VERSION, "state: unknown chunk of type %u, flags 0x%x, at offset %zu",
                      chunk->type, chunk->flags, chunk->offset);
  return true;
}

bool
cpr_reader_open (CprReader *reader, const void *data, size_t len, GError **error)
{
  uint64_t n_chunks = 0;
  size_t pos = CPR_FORMAT_HEADER_SIZE;

  *reader = (CprReader){ .data = data, .len = len };
  if (!check_header (reader, error))
    return false;

  for (;;)
    {
      size_t size = chunk_size (reader, pos);
      CprChunk chunk;

      if (size == 0)
        return cpr_throw (error, CPR_ERROR_CORRUPT, "state: cut off within the chunk at offset %zu", pos);
      chunk_at (reader, pos, &chunk);
      if (!check_chunk (reader, &chunk, size, error))
        return false;
      pos += size;
      if (chunk.type != CPR_CHUNK_END)
        n_chunks++;
      else if (chunk.payload.len != 8 || cpr_cursor_get_u64 (&chunk.payload) != n_chunks)
        return cpr_throw (error, CPR_ERROR_CORRUPT, "state: the end at offset %zu counts other chunks than there are",
                          chunk.offset);
      else
        break;
    }
  if (pos != len)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "state: %zu bytes follow its end at offset %zu", len - pos, pos);
  cpr_reader_rewind (reader);
  return true;
}

bool
cpr_reader_next (CprReader *reader, CprChunk *chunk)
{
  chunk_at (reader, reader->pos, chunk);
  if (chunk->type == CPR_CHUNK_END)
    return false;
  reader->pos += chunk_size (reader, reader->pos);
  return true;
}

void
cpr_reader_rewind (CprReader *reader)
{
  reader->pos = CPR_FORMAT_HEADER_SIZE;
}
