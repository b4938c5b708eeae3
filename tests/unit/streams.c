/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "streams.h"

#include <unistd.h>

void
stream_put_chunk (CprWriter *writer, uint32_t type, uint32_t flags, const void *payload, size_t len)
{
  cpr_writer_begin_chunk (writer, type, flags);
  cpr_writer_put (writer, payload, len);
  cpr_writer_end_chunk (writer);
}

void
stream_put_piece (CprWriter *writer, const char *device, uint64_t offset, const void *data, size_t len)
{
  cpr_writer_begin_chunk (writer, CPR_CHUNK_BULK, 0);
  cpr_writer_put_string (writer, device);
  cpr_writer_put_u64 (writer, offset);
  while (cpr_writer_chunk_len (writer) % 8 != 0)
    cpr_writer_put_u8 (writer, 0);
  cpr_writer_put (writer, data, len);
  cpr_writer_end_chunk (writer);
}

int
stream_to_fd (const uint8_t *data, size_t len)
{
  int fd = file_new (0);

  ck_assert (cpr_fd_write_all (fd, data, len));
  return fd;
}

static void
assert_pieces_eq (CprReader *a, CprReader *b, guint chunk)
{
  size_t size = cpr_reader_get_piece_size (a, chunk);
  g_autofree uint8_t *from_a = g_malloc (size), *from_b = g_malloc (size);
  GError *error = NULL, *other = NULL;
  bool ok;

  ck_assert_uint_eq (size, cpr_reader_get_piece_size (b, chunk));
  ok = cpr_reader_read_piece (a, chunk, from_a, &error);
  ck_assert (cpr_reader_read_piece (b, chunk, from_b, &other) == ok);
  ck_assert (ok ? memcmp (from_a, from_b, size) == 0 : strcmp (error->message, other->message) == 0);
  g_clear_error (&error);
  g_clear_error (&other);
}

static void
assert_readers_eq (CprReader *a, CprReader *b)
{
  ck_assert_int_eq (a->kind, b->kind);
  ck_assert_uint_eq (a->chunks->len, b->chunks->len);
  for (guint i = 0; i < a->chunks->len; i++)
    {
      const CprChunk *x = &g_array_index (a->chunks, CprChunk, i), *y = &g_array_index (b->chunks, CprChunk, i);

      ck_assert (x->type == y->type && x->flags == y->flags && x->offset == y->offset && x->len == y->len);
      ck_assert_uint_eq (x->payload.len, y->payload.len);
      ck_assert (x->payload.len == 0 || memcmp (x->payload.data, y->payload.data, x->payload.len) == 0);
    }
  ck_assert_uint_eq (a->bulk->len, b->bulk->len);
  for (guint i = 0; i < a->bulk->len; i++)
    {
      const CprBulkData *x = a->bulk->pdata[i], *y = b->bulk->pdata[i];

      ck_assert_str_eq (x->device, y->device);
      ck_assert (x->first == y->first && x->n == y->n && x->size == y->size);
      for (guint n = 0; n < x->n; n++)
        assert_pieces_eq (a, b, x->first + n);
    }
}

bool
stream_reads (const uint8_t *data, size_t len, GError **error)
{
  g_autofree uint8_t *copy = g_memdup2 (data, len); /* of its own size: a tool sees every read beyond it */
  int fd = stream_to_fd (data, len);
  CprReader from_memory, from_fd;
  GError *other = NULL;
  bool ok = cpr_reader_open (&from_memory, copy, len, error);

  ck_assert_msg (cpr_reader_open_fd (&from_fd, fd, &other) == ok, "%s",
                 other != NULL ? other->message : "from the fd it reads");
  if (ok)
    assert_readers_eq (&from_memory, &from_fd);
  else
    ck_assert_str_eq (other->message, (*error)->message);
  ck_assert_uint_eq (from_memory.at, from_fd.at);
  g_clear_error (&other);
  cpr_reader_clear (&from_memory);
  cpr_reader_clear (&from_fd);
  close (fd);
  return ok;
}
