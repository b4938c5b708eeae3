/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writer and reader: the frame of the stream, and the order of chunks that the manifest asks for. */
#include "helpers.h"

#include <xxhash.h>

static CprWriter writer;
static CprReader reader;
static GError *error;

static void
setup (void)
{
  cpr_writer_init (&writer);
  error = NULL;
}

static void
teardown (void)
{
  cpr_writer_clear (&writer);
}

static void
put_chunk (uint32_t type, uint32_t flags, const char *payload)
{
  cpr_writer_begin_chunk (&writer, type, flags);
  cpr_writer_put (&writer, payload, strlen (payload));
  cpr_writer_end_chunk (&writer);
}

static bool
reopen (void)
{
  return cpr_reader_open (&reader, writer.data->data, writer.data->len, &error);
}

static void
assert_refused (int code, const char *text)
{
  ck_assert (!reopen ());
  assert_error (&error, code, text);
}

/* Changes bytes and makes the checksum of what they are in right again: [start, end) with the checksum at end. */
static void
change (size_t start, size_t end, size_t at, const void *bytes, size_t len)
{
  XXH64_hash_t checksum;

  memcpy (writer.data->data + at, bytes, len);
  checksum = XXH3_64bits (writer.data->data + start, end - start);
  memcpy (writer.data->data + end, &checksum, sizeof checksum);
}

START_TEST (an_empty_stream_is_header_and_end)
{
  CprChunk chunk;

  cpr_writer_finish (&writer);
  ck_assert_uint_eq (writer.data->len, 32 + 16 + 8 + 8);
  ck_assert_mem_eq (writer.data->data,
                    "\x89"
                    "CPR\r\n\x1a\n",
                    8);
  ck_assert (reopen ());
  ck_assert (!cpr_reader_next (&reader, &chunk));
  ck_assert (!cpr_reader_next (&reader, &chunk));
}
END_TEST

START_TEST (chunks_come_back_as_they_were_put)
{
  static const char *const payloads[] = { "", "a", "1234567", "12345678", "123456789" };
  CprChunk chunk;

  for (unsigned i = 0; i < G_N_ELEMENTS (payloads); i++)
    put_chunk (1 + i, i % 2, payloads[i]);
  cpr_writer_finish (&writer);
  ck_assert (reopen ());
  for (int pass = 0; pass < 2; pass++)
    {
      for (unsigned i = 0; i < G_N_ELEMENTS (payloads); i++)
        {
          ck_assert (cpr_reader_next (&reader, &chunk));
          ck_assert_uint_eq (chunk.type, 1 + i);
          ck_assert_uint_eq (chunk.flags, i % 2);
          ck_assert_uint_eq (chunk.offset % 8, 0);
          ck_assert_uint_eq (chunk.payload.len, strlen (payloads[i]));
          ck_assert_mem_eq (chunk.payload.data, payloads[i], strlen (payloads[i]));
        }
      ck_assert (!cpr_reader_next (&reader, &chunk));
      cpr_reader_rewind (&reader);
    }
}
END_TEST

START_TEST (values_come_back_as_they_were_put)
{
  CprCursor cursor;

  cpr_writer_put_u8 (&writer, 0xfe);
  cpr_writer_put_u16 (&writer, 0xfedc);
  cpr_writer_put_u32 (&writer, 0xfedcba98);
  cpr_writer_put_u64 (&writer, UINT64_C (0xfedcba9876543210));
  cpr_writer_put_string (&writer, "");
  cpr_writer_put_string (&writer, "name");
  cursor = (CprCursor){ .data = writer.data->data + CPR_FORMAT_HEADER_SIZE,
                        .len = writer.data->len - CPR_FORMAT_HEADER_SIZE };
  ck_assert_mem_eq (cursor.data, "\xfe\xdc\xfe\x98\xba\xdc\xfe", 7); /* little-endian */
  ck_assert_uint_eq (cpr_cursor_get_u8 (&cursor), 0xfe);
  ck_assert_uint_eq (cpr_cursor_get_u16 (&cursor), 0xfedc);
  ck_assert_uint_eq (cpr_cursor_get_u32 (&cursor), 0xfedcba98);
  ck_assert_uint_eq (cpr_cursor_get_u64 (&cursor), UINT64_C (0xfedcba9876543210));
  ck_assert_str_eq (cpr_cursor_get_string (&cursor), "");
  ck_assert_str_eq (cpr_cursor_get_name (&cursor), "name");
  ck_assert (!cursor.failed);
  ck_assert_uint_eq (cpr_cursor_left (&cursor), 0);
}
END_TEST

START_TEST (a_cursor_that_ran_over_the_end_stays_failed)
{
  const uint8_t data[] = { 1, 2, 3 };
  CprCursor cursor = { .data = data, .len = 3 };

  ck_assert_uint_eq (cpr_cursor_get_u32 (&cursor), 0);
  ck_assert (cursor.failed);
  ck_assert_uint_eq (cpr_cursor_get_u8 (&cursor), 0);
  ck_assert_ptr_null (cpr_cursor_get (&cursor, 0));
  cursor = (CprCursor){ .data = data, .len = 3 };
  ck_assert_ptr_null (cpr_cursor_get (&cursor, SIZE_MAX));
}
END_TEST

static bool
reads_name (const char *bytes, size_t len)
{
  CprCursor cursor = { .data = (const uint8_t *) bytes, .len = len };

  cpr_cursor_get_name (&cursor);
  return !cursor.failed;
}

START_TEST (strings_end_where_they_say)
{
  char raw[2 + 256 + 1] = { 0 };

  ck_assert (reads_name ("\x02\0ab\0", 5));
  ck_assert (!reads_name ("\x02\0ab", 4));     /* cut off */
  ck_assert (!reads_name ("\x02\0abc", 5));    /* no zero byte */
  ck_assert (!reads_name ("\x03\0a\0b\0", 6)); /* one within */
  ck_assert (!reads_name ("\0\0\0", 3));       /* empty */
  ck_assert (!reads_name ("\xff\xff\xff", 3)); /* longer than there is */
  memset (raw + 2, 'n', 256);
  raw[1] = 1;
  ck_assert (!reads_name (raw, sizeof raw)); /* 256 bytes */
  raw[0] = (char) 255;
  raw[1] = 0;
  raw[2 + 255] = 0;
  ck_assert (reads_name (raw, sizeof raw));
}
END_TEST

START_TEST (another_beginning_is_no_state)
{
  cpr_writer_finish (&writer);
  change (0, 24, 1, "X", 1);
  assert_refused (CPR_ERROR_CORRUPT, "doesn't begin like a libcpr state");
}
END_TEST

START_TEST (another_major_version_is_refused_and_a_higher_minor_read)
{
  cpr_writer_finish (&writer);
  change (0, 24, 10, "\x09", 1);
  ck_assert (reopen ());
  change (0, 24, 8, "\x02", 1);
  assert_refused (CPR_ERROR_VERSION, "state: format version is 2, this program reads 1");
  change (0, 24, 8, "\0", 1);
  assert_refused (CPR_ERROR_VERSION, "format version is 0");
}
END_TEST

START_TEST (another_byte_order_is_refused)
{
  cpr_writer_finish (&writer);
  change (0, 24, 12, "\x01\x02\x03\x04", 4);
  assert_refused (CPR_ERROR_VERSION, "state: byte order is 0x04030201");
}
END_TEST

START_TEST (unknown_header_flags_are_refused)
{
  cpr_writer_finish (&writer);
  change (0, 24, 23, "\x80", 1);
  assert_refused (CPR_ERROR_VERSION, "unknown flags 0x8000000000000000");
}
END_TEST

START_TEST (an_unknown_chunk_is_refused_if_mandatory_and_passed_on_if_optional)
{
  CprChunk chunk;

  put_chunk (77, CPR_CHUNK_FLAG_OPTIONAL, "later");
  cpr_writer_finish (&writer);
  ck_assert (reopen ());
  ck_assert (cpr_reader_next (&reader, &chunk));
  ck_assert_uint_eq (chunk.type, 77);
  cpr_writer_clear (&writer);

  cpr_writer_init (&writer);
  put_chunk (77, 0, "later");
  cpr_writer_finish (&writer);
  assert_refused (CPR_ERROR_VERSION, "unknown chunk of type 77, flags 0x0, at offset 32");
}
END_TEST

START_TEST (unknown_chunk_flags_are_refused)
{
  put_chunk (CPR_CHUNK_VM, 2, "");
  cpr_writer_finish (&writer);
  assert_refused (CPR_ERROR_VERSION, "flags 0x2");
}
END_TEST

START_TEST (nothing_follows_the_end)
{
  cpr_writer_finish (&writer);
  cpr_writer_put_u8 (&writer, 0);
  assert_refused (CPR_ERROR_CORRUPT, "state: 1 bytes follow its end at offset 64");
}
END_TEST

START_TEST (a_second_end_is_refused)
{
  cpr_writer_finish (&writer);
  cpr_writer_finish (&writer);
  assert_refused (CPR_ERROR_CORRUPT, "32 bytes follow its end");
}
END_TEST

START_TEST (a_stream_without_end_is_cut_off)
{
  put_chunk (CPR_CHUNK_VM, 0, "x");
  assert_refused (CPR_ERROR_CORRUPT, "cut off within the chunk at offset 64");
}
END_TEST

START_TEST (the_end_counts_the_chunks)
{
  put_chunk (CPR_CHUNK_VM, 0, "x");
  writer.n_chunks = 2;
  cpr_writer_finish (&writer);
  assert_refused (CPR_ERROR_CORRUPT, "the end at offset 64 counts other chunks than there are");
}
END_TEST

START_TEST (an_end_of_another_length_is_refused)
{
  cpr_writer_begin_chunk (&writer, CPR_CHUNK_END, 0);
  cpr_writer_put_u32 (&writer, 0);
  cpr_writer_end_chunk (&writer);
  assert_refused (CPR_ERROR_CORRUPT, "the end at offset 32");
}
END_TEST

START_TEST (padding_is_zero)
{
  put_chunk (CPR_CHUNK_VM, 0, "x");
  cpr_writer_finish (&writer);
  change (32, 56, 55, "\x01", 1);
  assert_refused (CPR_ERROR_CORRUPT, "the padding of the chunk at offset 32 isn't zero");
}
END_TEST

START_TEST (huge_lengths_are_refused)
{
  static const uint64_t lengths[] = {
    17,         4096,           UINT32_MAX,      UINT64_C (1) << 32, INT64_MAX,
    UINT64_MAX, UINT64_MAX - 7, UINT64_MAX - 23, UINT64_MAX - 24,    UINT64_MAX - 31
  };

  put_chunk (CPR_CHUNK_VM, 0, "12345678");
  cpr_writer_finish (&writer);
  for (size_t i = 0; i < G_N_ELEMENTS (lengths); i++)
    {
      change (32, 56, 40, &lengths[i], 8);
      ck_assert (!reopen ());
      assert_error (&error, CPR_ERROR_CORRUPT, "offset 32");
    }
}
END_TEST

/* ---- The order of the manifest's chunks. */

static Machine machine;

static bool
read_manifest (void)
{
  CprManifest manifest;
  bool ok;

  ck_assert (reopen ());
  cpr_manifest_init (&manifest);
  ok = cpr_manifest_read (&manifest, &reader, &error);
  cpr_manifest_clear (&manifest);
  return ok;
}

/* The chunks of a real state, by number: 0 to 4 are the manifest, 5 and 6 the sections; 9 is one nobody knows. */
static void
write_order (const char *order)
{
  CprWriter source;
  CprReader from;
  CprChunk chunks[10];
  CprManifest head;
  unsigned n = 0;

  machine_init (&machine);
  machine_head (&head);
  machine_write (&machine, &head, &source);
  ck_assert (cpr_reader_open (&from, source.data->data, source.data->len, NULL));
  while (cpr_reader_next (&from, &chunks[n]))
    n++;
  ck_assert_uint_eq (n, 7);

  cpr_writer_clear (&writer);
  cpr_writer_init (&writer);
  for (; *order != '\0'; order++)
    {
      const CprChunk *chunk = &chunks[*order - '0'];

      if (*order == '9')
        {
          put_chunk (99, CPR_CHUNK_FLAG_OPTIONAL, "news");
          continue;
        }
      cpr_writer_begin_chunk (&writer, chunk->type, chunk->flags);
      cpr_writer_put (&writer, chunk->payload.data, chunk->payload.len);
      cpr_writer_end_chunk (&writer);
    }
  cpr_writer_finish (&writer);
  cpr_writer_clear (&source);
  machine_clear (&machine);
}

START_TEST (the_manifest_is_read_in_its_order)
{
  write_order ("0123456");
  ck_assert (read_manifest ());
  write_order ("01234");
  ck_assert (read_manifest ());
}
END_TEST

START_TEST (optional_chunks_may_stand_anywhere)
{
  write_order ("9091929394959699");
  ck_assert (read_manifest ());
}
END_TEST

START_TEST (another_order_is_refused)
{
  static const char *const orders[] = { "1023456", "0213456",  "0132456",  "0124356", "0123546", "5012346",
                                        "0512346", "00123456", "01123456", "012344",  "0123450" };

  for (size_t i = 0; i < G_N_ELEMENTS (orders); i++)
    {
      write_order (orders[i]);
      ck_assert_msg (!read_manifest (), "%s", orders[i]);
      assert_error (&error, CPR_ERROR_CORRUPT, "out of order");
    }
}
END_TEST

START_TEST (a_missing_chunk_is_refused)
{
  static const char *const orders[] = { "123456", "023456", "013456", "012456", "012356" };

  for (size_t i = 0; i < G_N_ELEMENTS (orders); i++)
    {
      write_order (orders[i]);
      ck_assert_msg (!read_manifest (), "%s", orders[i]);
      assert_error (&error, CPR_ERROR_CORRUPT, "out of order");
    }
  write_order ("0123");
  ck_assert (!read_manifest ());
  assert_error (&error, CPR_ERROR_CORRUPT, "the manifest is incomplete");
  write_order ("");
  ck_assert (!read_manifest ());
  assert_error (&error, CPR_ERROR_CORRUPT, "the manifest is incomplete");
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("stream");

  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, an_empty_stream_is_header_and_end);
  tcase_add_test (tests, chunks_come_back_as_they_were_put);
  tcase_add_test (tests, values_come_back_as_they_were_put);
  tcase_add_test (tests, a_cursor_that_ran_over_the_end_stays_failed);
  tcase_add_test (tests, strings_end_where_they_say);
  tcase_add_test (tests, another_beginning_is_no_state);
  tcase_add_test (tests, another_major_version_is_refused_and_a_higher_minor_read);
  tcase_add_test (tests, another_byte_order_is_refused);
  tcase_add_test (tests, unknown_header_flags_are_refused);
  tcase_add_test (tests, an_unknown_chunk_is_refused_if_mandatory_and_passed_on_if_optional);
  tcase_add_test (tests, unknown_chunk_flags_are_refused);
  tcase_add_test (tests, nothing_follows_the_end);
  tcase_add_test (tests, a_second_end_is_refused);
  tcase_add_test (tests, a_stream_without_end_is_cut_off);
  tcase_add_test (tests, the_end_counts_the_chunks);
  tcase_add_test (tests, an_end_of_another_length_is_refused);
  tcase_add_test (tests, padding_is_zero);
  tcase_add_test (tests, huge_lengths_are_refused);
  tcase_add_test (tests, the_manifest_is_read_in_its_order);
  tcase_add_test (tests, optional_chunks_may_stand_anywhere);
  tcase_add_test (tests, another_order_is_refused);
  tcase_add_test (tests, a_missing_chunk_is_refused);
  return run_suite (suite);
}
