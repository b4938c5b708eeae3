/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A stream in an fd is read block by block, with the same result as in memory, whatever fails
 * meanwhile. */
#include "faults.h"
#include "machine.h"
#include "streams.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define BLOCK ((size_t) 256 * 1024) /* what the reader copies at a time */

static Machine machine;
static CprWriter writer;
static GError *error;

static void
setup (void)
{
  CprManifest head;

  machine_init (&machine);
  machine_head (&head);
  machine_write (&machine, &head, -1, &writer);
  error = NULL;
}

static void
teardown (void)
{
  cpr_writer_clear (&writer);
  machine_clear (&machine);
}

static size_t
stride (size_t otherwise)
{
  return under_valgrind () ? otherwise * 29 : otherwise;
}

static void
put_bulk (const char *device, size_t len)
{
  g_autofree uint8_t *data = g_malloc (len);

  for (size_t i = 0; i < len; i++)
    data[i] = (uint8_t) (i * 7);
  cpr_writer_put_bulk (&writer, device, 0, data, len);
}

START_TEST (a_state_reads_alike_from_both)
{
  cpr_writer_finish (&writer);
  ck_assert (stream_reads (writer.data, writer.len, &error));
}
END_TEST

START_TEST (every_prefix_is_refused_alike)
{
  put_bulk ("com1", 100);
  cpr_writer_finish (&writer);
  for (size_t len = 0; len < writer.len; len += stride (1))
    {
      ck_assert (!stream_reads (writer.data, len, &error));
      ck_assert_int_eq (error->domain, CPR_ERROR);
      ck_assert_int_eq (error->code, CPR_ERROR_CORRUPT);
      g_clear_error (&error);
    }
}
END_TEST

START_TEST (every_flipped_byte_is_found_alike)
{
  size_t bulk = writer.len, end;

  put_bulk ("com1", 100);
  end = writer.len;
  cpr_writer_finish (&writer);
  for (size_t at = 0; at < writer.len; at += stride (1))
    {
      /* A name, its data and the bytes after them are verified when they are read. */
      bool data = (at >= bulk + 18 && at < bulk + 22) || (at >= bulk + 32 && at < end);

      writer.data[at] ^= 0x10;
      ck_assert_msg (stream_reads (writer.data, writer.len, &error) == data, "offset %zu", at);
      ck_assert (data || error->code == CPR_ERROR_CORRUPT || error->code == CPR_ERROR_VERSION);
      g_clear_error (&error);
      writer.data[at] ^= 0x10;
    }
}
END_TEST

/* Sections that end before, at and behind the end of a block, and some that are longer than one. */
START_TEST (chunks_of_any_size_are_found_across_blocks)
{
  static const size_t sizes[] = { BLOCK - 4096,  1,      4000, 8,      BLOCK - 24, BLOCK - 23, BLOCK,     BLOCK + 1,
                                  3 * BLOCK + 5, 100000, 0,    100000, 100000,     100000,     2 * BLOCK, 16 };
  g_autofree uint8_t *payload = g_malloc (4 * BLOCK);
  unsigned n = 0;
  CprReader reader;
  CprChunk chunk;
  int fd;

  for (size_t i = 0; i < 4 * BLOCK; i++)
    payload[i] = (uint8_t) (i >> 3);
  for (size_t i = 0; i < G_N_ELEMENTS (sizes); i++)
    stream_put_chunk (&writer, CPR_CHUNK_SECTION, 0, payload + i, sizes[i]);
  cpr_writer_finish (&writer);
  ck_assert_uint_gt (writer.len, 8 * BLOCK);
  ck_assert (stream_reads (writer.data, writer.len, &error));
  fd = stream_to_fd (writer.data, writer.len);
  ck_assert (cpr_reader_open_fd (&reader, fd, &error));
  while (cpr_reader_next (&reader, &chunk) && (chunk.type != CPR_CHUNK_SECTION || chunk.payload.len < BLOCK - 4096))
    ;
  do
    {
      ck_assert_uint_eq (chunk.payload.len, sizes[n]);
      ck_assert_mem_eq (chunk.payload.data, payload + n, sizes[n]);
      n++;
    }
  while (cpr_reader_next (&reader, &chunk));
  ck_assert_uint_eq (n, G_N_ELEMENTS (sizes));
  cpr_reader_clear (&reader);
  close (fd);
}
END_TEST

START_TEST (what_was_verified_cannot_change_any_more)
{
  CprManifest manifest;
  CprReader reader;
  int fd;

  cpr_writer_finish (&writer);
  fd = stream_to_fd (writer.data, writer.len);
  ck_assert (cpr_reader_open_fd (&reader, fd, &error));
  memset (writer.data, 0xff, writer.len);
  ck_assert_int_eq (pwrite (fd, writer.data, writer.len, 0), (ssize_t) writer.len);
  cpr_manifest_init (&manifest);
  ck_assert (cpr_manifest_read (&manifest, &reader, &error));
  ck_assert_str_eq (manifest.vm_name, MACHINE_NAME);
  cpr_manifest_clear (&manifest);
  cpr_reader_clear (&reader);
  close (fd);
}
END_TEST

/* Bulk data isn't copied before it is used, and so its head is checked again. */
START_TEST (bulk_data_that_changes_after_the_check_is_found)
{
  g_autofree uint8_t *data = g_malloc (CPR_LIMIT_BULK);
  size_t start = writer.len, end;

  put_bulk ("com1", 1000);
  end = writer.len;
  cpr_writer_finish (&writer);
  for (size_t at = start; at < end; at += stride (1))
    {
      int fd = stream_to_fd (writer.data, writer.len);
      uint8_t flipped = writer.data[at] ^ 0x40;
      CprReader reader;
      guint chunk;

      ck_assert (cpr_reader_open_fd (&reader, fd, &error));
      chunk = cpr_reader_find_bulk (&reader, "com1")->first;
      ck_assert_int_eq (pwrite (fd, &flipped, 1, (off_t) at), 1);
      reader.block_len = 0; /* a longer stream: this one is in a block that was copied */
      ck_assert_msg (!cpr_reader_read_piece (&reader, chunk, data, &error), "offset %zu", at);
      assert_error (&error, CPR_ERROR_CORRUPT, " at offset ");
      cpr_reader_clear (&reader);
      close (fd);
    }
}
END_TEST

static bool
read_all (int fd)
{
  g_autofree uint8_t *data = g_malloc (CPR_LIMIT_BULK);
  CprReader reader;
  bool ok = cpr_reader_open_fd (&reader, fd, &error);

  for (guint i = 0; ok && i < reader.chunks->len; i++)
    if (g_array_index (reader.chunks, CprChunk, i).type == CPR_CHUNK_BULK)
      ok = cpr_reader_read_piece (&reader, i, data, &error);
  cpr_reader_clear (&reader);
  return ok;
}

START_TEST (every_call_that_fails_is_a_system_error_with_its_number)
{
  unsigned n = 0;
  int fd;

  put_bulk ("com1", 3 * BLOCK + 100);
  put_bulk ("sda", 2 * BLOCK);
  cpr_writer_finish (&writer);
  fd = stream_to_fd (writer.data, writer.len);
  for (;;)
    {
      bool ok;

      faults_begin (++n, EIO, 0);
      ok = read_all (fd);
      faults_end ();
      ck_assert_msg (ok == (faults.failed == NULL), "call %u, %s", n, faults.failed);
      if (ok)
        break;
      ck_assert_msg (error->code == CPR_ERROR_SYSTEM && cpr_error_get_errno (error) == EIO, "call %u: %s", n,
                     error->message);
      g_clear_error (&error);
    }
  ck_assert_uint_gt (n, 10);
  close (fd);
}
END_TEST

static ssize_t
pread_by_7 (int fd, void *data, size_t len, off_t offset)
{
  static unsigned n;

  if (++n % 5 == 0)
    {
      errno = EINTR;
      return -1;
    }
  return cpr_sys_kernel.pread (fd, data, MIN (len, 7), offset);
}

START_TEST (short_and_interrupted_reads_go_on)
{
  CprSys slow = cpr_sys_kernel;
  int fd;

  put_bulk ("com1", 1000);
  cpr_writer_finish (&writer);
  fd = stream_to_fd (writer.data, writer.len);
  slow.pread = pread_by_7;
  cpr_sys = &slow;
  ck_assert (read_all (fd));
  cpr_sys = &cpr_sys_kernel;
  close (fd);
}
END_TEST

static int
fstat_longer (int fd, struct stat *st)
{
  int result = cpr_sys_kernel.fstat (fd, st);

  st->st_size += 4096;
  return result;
}

START_TEST (a_file_that_becomes_shorter_is_an_error)
{
  CprSys lying = cpr_sys_kernel;
  int fd;

  cpr_writer_finish (&writer);
  fd = stream_to_fd (writer.data, writer.len);
  lying.fstat = fstat_longer;
  cpr_sys = &lying;
  ck_assert (!read_all (fd));
  cpr_sys = &cpr_sys_kernel;
  assert_error (&error, CPR_ERROR_SYSTEM, "state: reading at offset 0");
  close (fd);
}
END_TEST

START_TEST (the_writer_says_at_the_end_that_something_was_not_written)
{
  int fd = open ("/dev/full", O_WRONLY | O_CLOEXEC);
  CprWriter full;

  ck_assert_int_ge (fd, 3);
  cpr_writer_init (&full, fd);
  stream_put_chunk (&full, CPR_CHUNK_QUESTION, 0, "", 0);
  ck_assert (!cpr_writer_finish (&full));
  ck_assert_int_eq (errno, ENOSPC);
  cpr_writer_clear (&full);
  close (fd);
}
END_TEST

/* Small chunks gather, large ones go at once: the bytes are those that memory would have got. */
START_TEST (the_writer_makes_the_same_stream_in_an_fd)
{
  g_autofree uint8_t *payload = g_malloc0 (3 * BLOCK), *written = NULL;
  int fd = file_new (0);
  CprWriter both[2];

  cpr_writer_init (&both[0], -1);
  cpr_writer_init (&both[1], fd);
  for (int i = 0; i < 2; i++)
    {
      for (size_t len = 0; len < 3 * BLOCK; len = 2 * len + 5)
        stream_put_chunk (&both[i], CPR_CHUNK_SECTION, 0, payload, len);
      for (size_t len = 1; len < 3 * BLOCK; len = 2 * len + 7)
        cpr_writer_put_bulk (&both[i], "device", 0, payload, len);
      ck_assert (cpr_writer_finish (&both[i]));
    }
  written = g_malloc (both[0].len);
  ck_assert_uint_eq ((size_t) lseek (fd, 0, SEEK_END), both[0].len);
  ck_assert (cpr_fd_read_at (fd, written, both[0].len, 0));
  ck_assert_mem_eq (written, both[0].data, both[0].len);
  for (int i = 0; i < 2; i++)
    cpr_writer_clear (&both[i]);
  close (fd);
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("reader-fd");

  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, a_state_reads_alike_from_both);
  tcase_add_test (tests, every_prefix_is_refused_alike);
  tcase_add_test (tests, every_flipped_byte_is_found_alike);
  tcase_add_test (tests, chunks_of_any_size_are_found_across_blocks);
  tcase_add_test (tests, what_was_verified_cannot_change_any_more);
  tcase_add_test (tests, bulk_data_that_changes_after_the_check_is_found);
  tcase_add_test (tests, every_call_that_fails_is_a_system_error_with_its_number);
  tcase_add_test (tests, short_and_interrupted_reads_go_on);
  tcase_add_test (tests, a_file_that_becomes_shorter_is_an_error);
  tcase_add_test (tests, the_writer_says_at_the_end_that_something_was_not_written);
  tcase_add_test (tests, the_writer_makes_the_same_stream_in_an_fd);
  return run_suite (suite);
}
