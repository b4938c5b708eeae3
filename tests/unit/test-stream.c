/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writer and reader: the frame of the stream, and the order of the chunks of a state. */
#include "machine.h"

#include <unistd.h>
#include <xxhash.h>

static CprWriter writer;
static CprReader reader;
static GError *error;

static void
setup (void)
{
  cpr_writer_init (&writer, -1);
  reader = (CprReader){ .fd = -1 };
  error = NULL;
}

static void
teardown (void)
{
  cpr_reader_clear (&reader);
  cpr_writer_clear (&writer);
}

static void
restart (void)
{
  cpr_writer_clear (&writer);
  cpr_writer_init (&writer, -1);
}

static void
put_chunk (uint32_t type, uint32_t flags, const char *payload)
{
  cpr_writer_begin_chunk (&writer, type, flags);
  cpr_writer_put (&writer, payload, strlen (payload));
  cpr_writer_end_chunk (&writer);
}

/* The shortest stream there is: a question for the schema only. Its chunk is 24 bytes at 32, its
 * end 32 bytes at 56. */
static void
write_shortest (void)
{
  put_chunk (CPR_CHUNK_QUESTION, 0, "");
  ck_assert (cpr_writer_finish (&writer));
}

static bool
reopen (void)
{
  cpr_reader_clear (&reader);
  return cpr_reader_open (&reader, writer.data, writer.len, &error);
}

static void
assert_refused (int code, const char *text)
{
  ck_assert (!reopen ());
  assert_error (&error, code, text);
}

/* Changes bytes and makes the checksum of what they are in right again: [start, end) with the
 * checksum at end. */
static void
change (size_t start, size_t end, size_t at, const void *bytes, size_t len)
{
  XXH64_hash_t checksum;

  memcpy (writer.data + at, bytes, len);
  checksum = XXH3_64bits (writer.data + start, end - start);
  memcpy (writer.data + end, &checksum, sizeof checksum);
}

START_TEST (the_shortest_stream_is_header_question_and_end)
{
  CprChunk chunk;

  write_shortest ();
  ck_assert_uint_eq (writer.len, 32 + 16 + 8 + 16 + 8 + 8);
  ck_assert_mem_eq (writer.data,
                    "\x89"
                    "CPR\r\n\x1a\n",
                    8);
  ck_assert (reopen ());
  ck_assert (cpr_reader_next (&reader, &chunk));
  ck_assert_uint_eq (chunk.type, CPR_CHUNK_QUESTION);
  ck_assert (!cpr_reader_next (&reader, &chunk));
  ck_assert (!cpr_reader_next (&reader, &chunk));
}
END_TEST

START_TEST (chunks_come_back_as_they_were_put)
{
  static const char *const payloads[] = { "", "a", "1234567", "12345678", "123456789" };
  static const uint32_t types[] = { CPR_CHUNK_VM, CPR_CHUNK_PROGRAM, CPR_CHUNK_FDS, CPR_CHUNK_RAM, CPR_CHUNK_SCHEMA };
  CprChunk chunk;

  for (unsigned i = 0; i < G_N_ELEMENTS (payloads); i++)
    put_chunk (types[i], 0, payloads[i]);
  cpr_writer_finish (&writer);
  ck_assert (reopen ());
  ck_assert_int_eq (reader.kind, CPR_STREAM_STATE);
  for (int pass = 0; pass < 2; pass++)
    {
      for (unsigned i = 0; i < G_N_ELEMENTS (payloads); i++)
        {
          ck_assert (cpr_reader_next (&reader, &chunk));
          ck_assert_uint_eq (chunk.type, types[i]);
          ck_assert_uint_eq (chunk.flags, 0);
          ck_assert_uint_eq (chunk.offset % 8, 0);
          ck_assert_uint_eq (chunk.offset, reader.at);
          ck_assert_uint_eq (chunk.len, strlen (payloads[i]));
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
  cursor = written_from (&writer, CPR_FORMAT_HEADER_SIZE);
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
  write_shortest ();
  change (0, 24, 1, "X", 1);
  assert_refused (CPR_ERROR_CORRUPT, "doesn't begin like a libcpr state");
}
END_TEST

START_TEST (another_major_version_is_refused_and_a_higher_minor_read)
{
  write_shortest ();
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
  write_shortest ();
  change (0, 24, 12, "\x01\x02\x03\x04", 4);
  assert_refused (CPR_ERROR_VERSION, "state: byte order is 0x04030201");
}
END_TEST

START_TEST (unknown_header_flags_are_refused)
{
  write_shortest ();
  change (0, 24, 23, "\x80", 1);
  assert_refused (CPR_ERROR_VERSION, "unknown flags 0x8000000000000000");
}
END_TEST

START_TEST (the_place_of_a_fault_is_kept)
{
  static const uint8_t zeros[8];

  write_shortest ();
  cpr_writer_put_u8 (&writer, 0);
  assert_refused (CPR_ERROR_CORRUPT, "follow its end");
  ck_assert_uint_eq (reader.at, 88);
  change (56, 80, 72, zeros, 8); /* the number of chunks */
  assert_refused (CPR_ERROR_CORRUPT, " counts ");
  ck_assert_uint_eq (reader.at, 56);
  change (0, 24, 16, "\1", 1);
  assert_refused (CPR_ERROR_VERSION, "unknown flags");
  ck_assert_uint_eq (reader.at, 16);
  change (0, 24, 8, "\2", 1);
  assert_refused (CPR_ERROR_VERSION, "format version");
  ck_assert_uint_eq (reader.at, 8);
  change (0, 24, 12, "\0", 1);
  assert_refused (CPR_ERROR_VERSION, "byte order");
  ck_assert_uint_eq (reader.at, 12);
  writer.data[24] ^= 1;
  assert_refused (CPR_ERROR_CORRUPT, "the header's checksum");
  ck_assert_uint_eq (reader.at, 24);
  writer.data[0] ^= 1;
  assert_refused (CPR_ERROR_CORRUPT, "doesn't begin like");
  ck_assert_uint_eq (reader.at, 0);
}
END_TEST

START_TEST (an_fd_with_nothing_in_it_is_no_state)
{
  int fd = file_new (0);

  ck_assert (!cpr_reader_open_fd (&reader, fd, &error));
  assert_error (&error, CPR_ERROR_CORRUPT, "doesn't begin like a libcpr state");
  close (fd);
}
END_TEST

START_TEST (an_unknown_chunk_is_refused_if_mandatory_and_skipped_if_optional)
{
  CprChunk chunk;

  put_chunk (77, CPR_CHUNK_FLAG_OPTIONAL, "later");
  put_chunk (CPR_CHUNK_QUESTION, 0, "");
  put_chunk (20, CPR_CHUNK_FLAG_OPTIONAL, "");
  cpr_writer_finish (&writer);
  ck_assert (reopen ());
  ck_assert_uint_eq (reader.chunks->len, 4); /* with the end */
  ck_assert (cpr_reader_next (&reader, &chunk));
  ck_assert_uint_eq (chunk.type, CPR_CHUNK_QUESTION);
  ck_assert (!cpr_reader_next (&reader, &chunk));

  restart ();
  put_chunk (77, 0, "later");
  cpr_writer_finish (&writer);
  assert_refused (CPR_ERROR_VERSION, "unknown chunk of type 77, flags 0x0, at offset 32");
}
END_TEST

START_TEST (unknown_chunk_flags_are_refused)
{
  static const uint32_t types[] = { CPR_CHUNK_VM, CPR_CHUNK_QUESTION, 77 };

  for (size_t i = 0; i < G_N_ELEMENTS (types); i++)
    {
      restart ();
      put_chunk (types[i], 2, "");
      cpr_writer_finish (&writer);
      assert_refused (CPR_ERROR_VERSION, "flags 0x2");
      restart ();
      put_chunk (types[i], UINT32_C (1) << 31 | CPR_CHUNK_FLAG_OPTIONAL, "");
      cpr_writer_finish (&writer);
      assert_refused (CPR_ERROR_VERSION, "flags 0x80000001");
    }
}
END_TEST

START_TEST (nothing_follows_the_end)
{
  write_shortest ();
  cpr_writer_put_u8 (&writer, 0);
  assert_refused (CPR_ERROR_CORRUPT, "state: 1 bytes follow its end at offset 88");
}
END_TEST

START_TEST (a_second_end_is_refused)
{
  write_shortest ();
  cpr_writer_finish (&writer);
  assert_refused (CPR_ERROR_CORRUPT, "32 bytes follow its end at offset 88");
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
  put_chunk (CPR_CHUNK_QUESTION, 0, "");
  writer.n_chunks = 2;
  cpr_writer_finish (&writer);
  assert_refused (CPR_ERROR_CORRUPT, "the end at offset 56 counts ");
}
END_TEST

START_TEST (the_end_counts_the_chunks_that_are_skipped)
{
  put_chunk (CPR_CHUNK_QUESTION, 0, "");
  put_chunk (77, CPR_CHUNK_FLAG_OPTIONAL, "");
  writer.n_chunks = 1;
  cpr_writer_finish (&writer);
  assert_refused (CPR_ERROR_CORRUPT, "the end at offset 80 counts ");
}
END_TEST

START_TEST (an_end_of_another_length_is_refused)
{
  put_chunk (CPR_CHUNK_QUESTION, 0, "");
  cpr_writer_begin_chunk (&writer, CPR_CHUNK_END, 0);
  cpr_writer_put_u32 (&writer, 1);
  cpr_writer_end_chunk (&writer);
  assert_refused (CPR_ERROR_CORRUPT, "the end at offset 56 counts 0 chunks in 4 bytes");
  restart ();
  put_chunk (CPR_CHUNK_QUESTION, 0, "");
  cpr_writer_begin_chunk (&writer, CPR_CHUNK_END, 0);
  cpr_writer_put_u64 (&writer, 1);
  cpr_writer_put_u8 (&writer, 0);
  cpr_writer_end_chunk (&writer);
  assert_refused (CPR_ERROR_CORRUPT, "the end at offset 56 counts 1 chunks in 9 bytes");
}
END_TEST

START_TEST (padding_is_zero)
{
  put_chunk (CPR_CHUNK_QUESTION, 0, "x");
  cpr_writer_finish (&writer);
  ck_assert (reopen ());
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

  cpr_manifest_init (&manifest);
  ok = reopen () && cpr_manifest_read (&manifest, &reader, &error);
  cpr_manifest_clear (&manifest);
  return ok;
}

static void
put_in_order (const CprChunk *chunks, const char *order)
{
  restart ();
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
}

/* The chunks of a real state, by number: 0 to 5 are the manifest, of which 2 may be missing, 6
 * and 7 the sections; 9 is one nobody knows. */
static void
write_order (const char *order)
{
  char build_id[] = "c0ffee";
  CprWriter source;
  CprReader from;
  CprChunk chunks[10];
  CprManifest head;
  unsigned n = 0;

  machine_init (&machine);
  machine_head (&head);
  head.successor = (CprSuccessor){ 1, 2, build_id };
  machine_write_to_memory (&machine, &head, &source);
  ck_assert (cpr_reader_open (&from, source.data, source.len, NULL));
  while (cpr_reader_next (&from, &chunks[n]))
    n++;
  ck_assert_uint_eq (n, 8);
  put_in_order (chunks, order);
  cpr_reader_clear (&from);
  cpr_writer_clear (&source);
  machine_clear (&machine);
}

START_TEST (the_manifest_is_read_in_its_order)
{
  static const char *const orders[] = { "01234567", "0134567", "012345", "01345" };

  for (size_t i = 0; i < G_N_ELEMENTS (orders); i++)
    {
      write_order (orders[i]);
      ck_assert_msg (read_manifest (), "%s: %s", orders[i], error->message);
    }
}
END_TEST

START_TEST (optional_chunks_may_stand_anywhere)
{
  write_order ("909192939495969799");
  ck_assert (read_manifest ());
}
END_TEST

START_TEST (another_order_is_refused)
{
  static const char *const orders[] = { "10234567",  "02134567", "01324567", "01243567",  "01235467",  "01234657",
                                        "60123457",  "06123457", "00123456", "001234567", "011234567", "012234567",
                                        "012334567", "01234455", "0123455",  "01234560",  "01234565",  "01234562" };

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
  static const char *const orders[] = { "1234567", "0234567", "0124567", "0123567", "0123467", "01234", "0", "" };

  for (size_t i = 0; i < G_N_ELEMENTS (orders); i++)
    {
      write_order (orders[i]);
      ck_assert_msg (!read_manifest (), "%s", orders[i]);
      assert_error (&error, CPR_ERROR_CORRUPT, "out of order");
    }
}
END_TEST

/* A time that was 1000 s ahead of the saved time on the wall clock is so here, whenever this host
 * was started. */
START_TEST (the_time_of_another_boot_is_converted_by_the_clock_on_the_wall)
{
  static const int64_t ahead_s[] = { 0, 1000, -1000, 40000000, -40000000 };
  const int64_t second = 1000000000;
  CprManifest manifest;
  int64_t offset = 7;

  machine_head (&manifest);
  manifest.saved_ns = 5;
  manifest.saved_real_ns = 77;
  ck_assert (cpr_manifest_get_time_offset (&manifest, &offset, &error));
  ck_assert_int_eq (offset, 0); /* this boot: whatever else it says */
  memset (manifest.boot_id, '0', CPR_BOOT_ID_SIZE);
  for (size_t i = 0; i < G_N_ELEMENTS (ahead_s); i++)
    {
      /* The state was saved 5 s ago, when the other host's clock was behind this one's by that
       * much. */
      manifest.saved_real_ns = cpr_real_now_ns () - 5 * (uint64_t) second;
      manifest.saved_ns = cpr_now_ns () - 5 * (uint64_t) second - (uint64_t) (ahead_s[i] * second);
      ck_assert (cpr_manifest_get_time_offset (&manifest, &offset, &error));
      ck_assert_int_gt (offset, (ahead_s[i] - 30) * second);
      ck_assert_int_lt (offset, (ahead_s[i] + 30) * second);
    }
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("stream");

  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, the_shortest_stream_is_header_question_and_end);
  tcase_add_test (tests, chunks_come_back_as_they_were_put);
  tcase_add_test (tests, values_come_back_as_they_were_put);
  tcase_add_test (tests, a_cursor_that_ran_over_the_end_stays_failed);
  tcase_add_test (tests, strings_end_where_they_say);
  tcase_add_test (tests, another_beginning_is_no_state);
  tcase_add_test (tests, another_major_version_is_refused_and_a_higher_minor_read);
  tcase_add_test (tests, another_byte_order_is_refused);
  tcase_add_test (tests, unknown_header_flags_are_refused);
  tcase_add_test (tests, the_place_of_a_fault_is_kept);
  tcase_add_test (tests, an_fd_with_nothing_in_it_is_no_state);
  tcase_add_test (tests, an_unknown_chunk_is_refused_if_mandatory_and_skipped_if_optional);
  tcase_add_test (tests, unknown_chunk_flags_are_refused);
  tcase_add_test (tests, nothing_follows_the_end);
  tcase_add_test (tests, a_second_end_is_refused);
  tcase_add_test (tests, a_stream_without_end_is_cut_off);
  tcase_add_test (tests, the_end_counts_the_chunks);
  tcase_add_test (tests, the_end_counts_the_chunks_that_are_skipped);
  tcase_add_test (tests, an_end_of_another_length_is_refused);
  tcase_add_test (tests, padding_is_zero);
  tcase_add_test (tests, huge_lengths_are_refused);
  tcase_add_test (tests, the_manifest_is_read_in_its_order);
  tcase_add_test (tests, optional_chunks_may_stand_anywhere);
  tcase_add_test (tests, another_order_is_refused);
  tcase_add_test (tests, a_missing_chunk_is_refused);
  tcase_add_test (tests, the_time_of_another_boot_is_converted_by_the_clock_on_the_wall);
  return run_suite (suite);
}
