/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads a stream from a pipe, which can be read only once. Called by reboot mode. */
#include "stream/spool.h"

#include <errno.h>

#include "base/checksum.h"
#include "base/error.h"
#include "base/fd.h"
#include "stream/writer.h"

#define BUFFER_SIZE (256u * 1024)
/* The most that can stand before the data of a PAGES chunk. */
#define PREFIX_MAX (2 + CPR_NAME_MAX + 1 + 8 + 7)

typedef struct
{
  int fd;
  const char *what; /* for messages */
  uint64_t at;
} Source;

/* All of it, or an error that says where it ended. */
static bool
get (Source *source, void *data, size_t len, GError **error)
{
  size_t got;

  if (!cpr_fd_read_all (source->fd, data, len, &got))
    return cpr_throw_errno (error, errno, "%s: reading at offset %" G_GUINT64_FORMAT, source->what, source->at);
  source->at += got;
  return got == len ||
         cpr_throw (error, CPR_ERROR_CORRUPT, "%s: cut off at offset %" G_GUINT64_FORMAT, source->what, source->at);
}

typedef struct
{
  uint32_t type, flags;
  uint64_t len;
} ChunkHeader;

_Static_assert(sizeof (ChunkHeader) == CPR_FORMAT_CHUNK_HEADER_SIZE, "it is copied as it stands");

static bool
get_chunk_header (Source *source, ChunkHeader *header, uint64_t most, GError **error)
{
  uint64_t at = source->at;

  if (!get (source, header, sizeof *header, error))
    return false;
  if (header->len > most)
    return cpr_throw (error, CPR_ERROR_CORRUPT,
                      "%s: the chunk at offset %" G_GUINT64_FORMAT " has %" G_GUINT64_FORMAT
                      " bytes, at most %" G_GUINT64_FORMAT " expected",
                      source->what, at, header->len, most);
  return true;
}

static bool
copy (Source *source, int to, uint8_t *buffer, uint64_t len, GError **error)
{
  for (uint64_t left = len; left > 0; left -= MIN (left, BUFFER_SIZE))
    {
      size_t n = (size_t) MIN (left, BUFFER_SIZE);

      if (!get (source, buffer, n, error))
        return false;
      if (!cpr_fd_write_all (to, buffer, n))
        return cpr_throw_errno (error, errno, "%s: keeping it", source->what);
    }
  return true;
}

static uint64_t
padded (uint64_t len)
{
  return len + (-len & 7);
}

static bool
spool (Source *source, int to, uint8_t *buffer, GError **error)
{
  ChunkHeader header;

  if (!get (source, buffer, CPR_FORMAT_HEADER_SIZE, error))
    return false;
  if (memcmp (buffer, CPR_FORMAT_MAGIC, CPR_FORMAT_MAGIC_SIZE) != 0)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "state: it doesn't begin like a libcpr state");
  if (!cpr_fd_write_all (to, buffer, CPR_FORMAT_HEADER_SIZE))
    return cpr_throw_errno (error, errno, "state: keeping it");
  do
    {
      if (!get_chunk_header (source, &header, CPR_LIMIT_PAYLOAD, error))
        return false;
      if (!cpr_fd_write_all (to, &header, sizeof header))
        return cpr_throw_errno (error, errno, "state: keeping it");
      if (!copy (source, to, buffer, padded (header.len) + CPR_FORMAT_CHECKSUM_SIZE, error))
        return false;
    }
  while (header.type != CPR_CHUNK_END);
  return true;
}

bool
cpr_stream_spool (int from, int to, GError **error)
{
  Source source = { from, "state", 0 };
  g_autofree uint8_t *buffer = g_malloc (BUFFER_SIZE);

  return spool (&source, to, buffer, error);
}

/* ---- RAM's contents. */

typedef struct
{
  Source source;
  uint8_t *chunk; /* the largest that may come */
  uint64_t n_chunks;
  CprPagesFunc func;
  void *user_data;
} Pages;

#define CHUNK_MAX (CPR_FORMAT_CHUNK_HEADER_SIZE + PREFIX_MAX + CPR_LIMIT_BULK + 7 + CPR_FORMAT_CHECKSUM_SIZE)

static bool
is_zero_padded (const uint8_t *payload, uint64_t len)
{
  for (uint64_t i = len; i < padded (len); i++)
    if (payload[i] != 0)
      return false;
  return true;
}

/* A chunk that begins at @at with the data of the header; verified. */
static bool
get_chunk (Pages *pages, uint64_t *at, ChunkHeader *header, GError **error)
{
  size_t len;
  uint64_t checksum;

  *at = pages->source.at;
  if (!get_chunk_header (&pages->source, header, PREFIX_MAX + CPR_LIMIT_BULK, error))
    return false;
  memcpy (pages->chunk, header, sizeof *header);
  len = sizeof *header + (size_t) padded (header->len);
  if (!get (&pages->source, pages->chunk + sizeof *header, len - sizeof *header + CPR_FORMAT_CHECKSUM_SIZE, error))
    return false;
  memcpy (&checksum, pages->chunk + len, sizeof checksum);
  if (checksum != cpr_checksum (pages->chunk, len))
    return cpr_throw (error, CPR_ERROR_CORRUPT,
                      "RAM: the checksum of the chunk at offset %" G_GUINT64_FORMAT " is wrong", *at);
  if (!is_zero_padded (pages->chunk + sizeof *header, header->len))
    return cpr_throw (error, CPR_ERROR_CORRUPT,
                      "RAM: the padding of the chunk at offset %" G_GUINT64_FORMAT " isn't zero", *at);
  if (header->flags != 0 || (header->type != CPR_CHUNK_PAGES && header->type != CPR_CHUNK_END))
    return cpr_throw (error, CPR_ERROR_VERSION,
                      "RAM: unknown chunk of type %u, flags 0x%x, at offset %" G_GUINT64_FORMAT, header->type,
                      header->flags, *at);
  return true;
}

static bool
hand_over (Pages *pages, uint64_t at, const ChunkHeader *header, GError **error)
{
  CprCursor cursor = { .data = pages->chunk, .len = sizeof *header + (size_t) header->len, .pos = sizeof *header };
  const char *block = cpr_cursor_get_name (&cursor);
  uint64_t offset = cpr_cursor_get_u64 (&cursor);

  while (!cursor.failed && (cursor.pos & 7) != 0)
    cursor.failed |= cpr_cursor_get_u8 (&cursor) != 0;
  if (cursor.failed)
    return cpr_throw (error, CPR_ERROR_CORRUPT,
                      "RAM: the chunk at offset %" G_GUINT64_FORMAT
                      " should begin with a block's name, an offset and zeros, and doesn't",
                      at);
  if (cpr_cursor_left (&cursor) == 0 || cpr_cursor_left (&cursor) > CPR_LIMIT_BULK)
    return cpr_throw (error, CPR_ERROR_CORRUPT,
                      "RAM: the chunk at offset %" G_GUINT64_FORMAT " has %zu bytes of contents, 1 to %u expected", at,
                      cpr_cursor_left (&cursor), CPR_LIMIT_BULK);
  return pages->func (block, offset, pages->chunk + cursor.pos, cpr_cursor_left (&cursor), pages->user_data, error);
}

static bool
get_header (Pages *pages, GError **error)
{
  uint8_t header[CPR_FORMAT_HEADER_SIZE];
  CprWriter writer;
  bool equal;

  if (!get (&pages->source, header, sizeof header, error))
    return false;
  cpr_writer_init (&writer, -1); /* what stands before it is of this version, and so is this */
  equal = memcmp (header, writer.data, sizeof header) == 0;
  cpr_writer_clear (&writer);
  return equal || cpr_throw (error, CPR_ERROR_CORRUPT, "RAM: its contents don't begin like a stream of this version");
}

bool
cpr_stream_read_pages (int from, CprPagesFunc func, void *user_data, GError **error)
{
  g_autofree uint8_t *chunk = g_malloc (CHUNK_MAX);
  Pages pages = { { from, "RAM", 0 }, chunk, 0, func, user_data };
  ChunkHeader header;
  uint64_t at, count;

  if (!get_header (&pages, error))
    return false;
  for (; get_chunk (&pages, &at, &header, error); pages.n_chunks++)
    {
      if (header.type == CPR_CHUNK_END)
        {
          memcpy (&count, chunk + sizeof header, sizeof count);
          if (header.len == sizeof count && count == pages.n_chunks)
            return true;
          return cpr_throw (error, CPR_ERROR_CORRUPT,
                            "RAM: its end counts %" G_GUINT64_FORMAT " chunks in %" G_GUINT64_FORMAT
                            " bytes, there are %" G_GUINT64_FORMAT,
                            count, header.len, pages.n_chunks);
        }
      if (!hand_over (&pages, at, &header, error))
        return false;
    }
  return false;
}
