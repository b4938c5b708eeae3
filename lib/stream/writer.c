/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writes a stream of chunks into memory or into an fd. Called by whatever has something to
 * say in the stream. */
#include "stream/writer.h"

#include <errno.h>

#include "base/fd.h"
#include "base/populate.h"
#include "stream/format.h"

/* Large enough for an ordinary VM, so that nothing is copied on the pause because the buffer
 * grew. */
#define INITIAL_SIZE (256 * 1024)
/* The number of bytes that are written to an fd at a time. */
#define FLUSH_SIZE (1024 * 1024)
/* Small enough that what was just copied is still in the cache when its checksum is made, here
 * and in the reader. */
#define BULK_PIECE (256 * 1024)

static const uint8_t zeros[8];

void
cpr_writer_grow (CprWriter *writer, size_t len)
{
  writer->capacity = MAX (2 * writer->capacity, writer->len + len);
  writer->data = g_realloc (writer->data, writer->capacity);
}

void
cpr_writer_reserve (CprWriter *writer, size_t expected)
{
  expected = MIN (expected, writer->capacity - writer->len);
  cpr_populate (writer->data + writer->len, expected);
  if (writer->fd >= 0)
    cpr_fd_reserve (writer->fd, writer->flushed + writer->len + expected);
}

static void
put_checksum (CprWriter *writer, size_t from)
{
  cpr_writer_put_u64 (writer, cpr_checksum (writer->data + from, writer->len - from));
}

void
cpr_writer_init (CprWriter *writer, int fd)
{
  *writer = (CprWriter){ .fd = fd };
  cpr_writer_grow (writer, INITIAL_SIZE);
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
  g_clear_pointer (&writer->data, g_free);
  g_clear_pointer (&writer->checksum, cpr_checksum_free);
}

static void
flush (CprWriter *writer)
{
  if (writer->errnum == 0 && !cpr_fd_write_until (writer->fd, writer->data, writer->len, writer->end_ns))
    writer->errnum = errno;
  writer->flushed += writer->len;
  writer->len = 0;
}

void
cpr_writer_begin_chunk (CprWriter *writer, uint32_t type, uint32_t flags)
{
  writer->chunk_start = writer->len;
  cpr_writer_put_u32 (writer, type);
  cpr_writer_put_u32 (writer, flags);
  cpr_writer_put_u64 (writer, 0); /* the length, known at the end */
}

size_t
cpr_writer_chunk_len (const CprWriter *writer)
{
  return writer->len - writer->chunk_start - CPR_FORMAT_CHUNK_HEADER_SIZE;
}

void
cpr_writer_end_chunk (CprWriter *writer)
{
  uint64_t len = cpr_writer_chunk_len (writer);

  memcpy (writer->data + writer->chunk_start + 8, &len, sizeof len);
  cpr_writer_put (writer, zeros, -len & 7);
  put_checksum (writer, writer->chunk_start);
  writer->n_chunks++;
  if (writer->fd >= 0 && writer->len >= FLUSH_SIZE)
    flush (writer);
}

/* Writes the bytes before the data of a BULK chunk, whose length is known. */
static void
begin_bulk (CprWriter *writer, uint32_t type, const char *device, uint64_t offset, size_t len)
{
  size_t prefix;
  uint64_t payload;

  cpr_writer_begin_chunk (writer, type, 0);
  cpr_writer_put_string (writer, device);
  cpr_writer_put_u64 (writer, offset);
  prefix = cpr_writer_chunk_len (writer);
  cpr_writer_put (writer, zeros, -prefix & 7);
  payload = cpr_writer_chunk_len (writer) + len;
  memcpy (writer->data + writer->chunk_start + 8, &payload, sizeof payload);
}

/* Straight from the caller's memory into the fd. */
static void
write_piece (CprWriter *writer, uint32_t type, const char *device, uint64_t offset, const void *data, size_t len)
{
  if (writer->checksum == NULL)
    writer->checksum = cpr_checksum_new ();
  begin_bulk (writer, type, device, offset, len);
  cpr_checksum_begin (writer->checksum);
  cpr_checksum_add (writer->checksum, writer->data + writer->chunk_start, writer->len - writer->chunk_start);
  flush (writer);
  if (writer->errnum == 0 && !cpr_fd_write_until (writer->fd, data, len, writer->end_ns))
    writer->errnum = errno;
  writer->flushed += len;
  cpr_checksum_add (writer->checksum, data, len);
  cpr_writer_put (writer, zeros, -len & 7);
  cpr_checksum_add (writer->checksum, writer->data, writer->len);
  cpr_writer_put_u64 (writer, cpr_checksum_end (writer->checksum));
  writer->n_chunks++;
}

static void
copy_piece (CprWriter *writer, uint32_t type, const char *device, uint64_t offset, const void *data, size_t len)
{
  begin_bulk (writer, type, device, offset, len);
  cpr_writer_put (writer, data, len);
  cpr_writer_end_chunk (writer);
}

static void
put_pieces (CprWriter *writer, uint32_t type, const char *device, uint64_t offset, const void *data, size_t len)
{
  const uint8_t *at = data;

  for (size_t done = 0; done < len;)
    {
      size_t piece = MIN (len - done, BULK_PIECE);

      if (writer->fd >= 0 && piece == BULK_PIECE)
        write_piece (writer, type, device, offset + done, at + done, piece);
      else
        copy_piece (writer, type, device, offset + done, at + done, piece);
      done += piece;
    }
}

void
cpr_writer_put_bulk (CprWriter *writer, const char *device, uint64_t offset, const void *data, size_t len)
{
  put_pieces (writer, CPR_CHUNK_BULK, device, offset, data, len);
}

void
cpr_writer_put_pages (CprWriter *writer, const char *block, uint64_t offset, const void *data, size_t len)
{
  put_pieces (writer, CPR_CHUNK_PAGES, block, offset, data, len);
}

uint64_t
cpr_writer_get_len (const CprWriter *writer)
{
  return writer->flushed + writer->len;
}

bool
cpr_writer_finish (CprWriter *writer)
{
  uint64_t n_chunks = writer->n_chunks;

  cpr_writer_begin_chunk (writer, CPR_CHUNK_END, 0);
  cpr_writer_put_u64 (writer, n_chunks);
  cpr_writer_end_chunk (writer);
  if (writer->fd >= 0)
    flush (writer);
  errno = writer->errnum;
  return writer->errnum == 0;
}

void
cpr_writer_put_string (CprWriter *writer, const char *string)
{
  size_t len = strlen (string);

  cpr_writer_put_u16 (writer, (uint16_t) len);
  cpr_writer_put (writer, string, len + 1);
}
