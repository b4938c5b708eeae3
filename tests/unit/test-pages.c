/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The stream of pages that follows a state which goes through a pipe: taken as it was sent, or
 * refused. */
#include "helpers.h"

#include <unistd.h>

#include "base/checksum.h"
#include "stream/spool.h"

static GError *error;
static GByteArray *stream; /* what is read */
static GString *seen;      /* what came of it */
static uint64_t n_bytes;

static bool
note_piece (const char *block, uint64_t offset, const uint8_t *data, size_t len, void *user_data, GError **piece_error)
{
  n_bytes += len;
  g_string_append_printf (seen, "%s+%" G_GUINT64_FORMAT ":%.*s ", block, offset, (int) MIN (len, 8),
                          (const char *) data);
  return true;
}

static bool
read_stream (void)
{
  int fd = cpr_memfd_new ("pages", 0);
  bool ok;

  g_string_truncate (seen, 0);
  n_bytes = 0;
  ck_assert (cpr_fd_write_all (fd, stream->data, stream->len) && lseek (fd, 0, SEEK_SET) == 0);
  ok = cpr_stream_read_pages (fd, note_piece, NULL, &error);
  close (fd);
  return ok;
}

static void
setup (void)
{
  CprWriter writer;

  error = NULL;
  seen = g_string_new (NULL);
  stream = g_byte_array_new ();
  cpr_writer_init (&writer, -1);
  cpr_writer_put_pages (&writer, "ram", 4096, "hello", 5);
  cpr_writer_put_pages (&writer, "rom", 0, "there", 5);
  ck_assert (cpr_writer_finish (&writer));
  g_byte_array_append (stream, writer.data, (guint) writer.len);
  cpr_writer_clear (&writer);
}

static void
teardown (void)
{
  g_clear_error (&error);
  g_string_free (seen, TRUE);
  g_byte_array_unref (stream);
}

/* The length of the chunk at @at without its checksum. */
static size_t
get_length (size_t at)
{
  uint64_t len;

  memcpy (&len, stream->data + at + 8, sizeof len);
  return CPR_FORMAT_CHUNK_HEADER_SIZE + (size_t) (len + (-len & 7));
}

static void
put_sum_right (size_t at)
{
  size_t len = get_length (at);
  uint64_t sum = cpr_checksum (stream->data + at, len);

  memcpy (stream->data + at + len, &sum, sizeof sum);
}

START_TEST (pieces_come_as_they_were_sent)
{
  ck_assert (read_stream ());
  ck_assert_str_eq (seen->str, "ram+4096:hello rom+0:there ");
}
END_TEST

START_TEST (what_is_cut_off_is_refused)
{
  while (stream->len > 0)
    {
      g_byte_array_set_size (stream, stream->len - 1);
      ck_assert (!read_stream ());
      ck_assert_int_eq (error->code, CPR_ERROR_CORRUPT);
      g_clear_error (&error);
    }
}
END_TEST

START_TEST (every_flipped_byte_is_found)
{
  for (guint at = 0; at < stream->len; at++)
    {
      stream->data[at] ^= 0x10;
      ck_assert_msg (!read_stream (), "byte %u", at);
      g_clear_error (&error);
      stream->data[at] ^= 0x10;
    }
  ck_assert (read_stream ());
}
END_TEST

START_TEST (padding_must_be_zero)
{
  size_t at = CPR_FORMAT_HEADER_SIZE;

  stream->data[at + get_length (at) - 1] = 1;
  put_sum_right (at);
  ck_assert (!read_stream ());
  assert_error (&error, CPR_ERROR_CORRUPT, "RAM: the padding of the chunk at offset 32 isn't zero");
}
END_TEST

/* The chunk is too long by one byte. The space for a long name would have room for it. */
START_TEST (a_piece_has_its_limit)
{
  static const uint8_t data[CPR_LIMIT_BULK + 8];

  for (size_t more = 0; more <= 1; more++)
    {
      CprWriter writer;

      cpr_writer_init (&writer, -1);
      cpr_writer_begin_chunk (&writer, CPR_CHUNK_PAGES, 0);
      cpr_writer_put_string (&writer, "ram");
      cpr_writer_put_u64 (&writer, 0);
      cpr_writer_put (&writer, data, 2 + CPR_LIMIT_BULK + more); /* two bytes up to a multiple of 8 */
      cpr_writer_end_chunk (&writer);
      ck_assert (cpr_writer_finish (&writer));
      g_byte_array_set_size (stream, 0);
      g_byte_array_append (stream, writer.data, (guint) writer.len);
      cpr_writer_clear (&writer);
      ck_assert (read_stream () == (more == 0));
      ck_assert_uint_eq (n_bytes, more == 0 ? CPR_LIMIT_BULK : 0);
    }
  assert_error (&error, CPR_ERROR_CORRUPT,
                "RAM: the chunk at offset 32 has 4194305 bytes of contents, 1 to 4194304 expected");
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("pages");

  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, pieces_come_as_they_were_sent);
  tcase_add_test (tests, what_is_cut_off_is_refused);
  tcase_add_test (tests, every_flipped_byte_is_found);
  tcase_add_test (tests, padding_must_be_zero);
  tcase_add_test (tests, a_piece_has_its_limit);
  return run_suite (suite);
}
