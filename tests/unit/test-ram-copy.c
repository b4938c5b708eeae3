/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "helpers.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/memory.h"
#include "registry/ram/copy.h"

#define N_PIECES   5
#define LAST_PIECE (3 * PAGE)
#define SIZE       ((N_PIECES - 1) * (size_t) CPR_RAM_PIECE + LAST_PIECE)
#define OFFSET     ((uint64_t) CPR_RAM_PIECE)

static GError *error;
static CprSys sys;
static int memory_fd, file;
static uint8_t *memory;
static uint64_t sums[N_PIECES];
static CprRamImage image;

/* ---- A kernel with moods; threads call it. */

static _Atomic int calls;
static int bad_call; /* the n-th call of the kind, from 1 on */
static int bad_errno;

static bool
is_bad (void)
{
  errno = bad_errno;
  return atomic_fetch_add (&calls, 1) + 1 == bad_call;
}

static ssize_t
pwrite_that_fails_once (int fd, const void *data, size_t len, off_t offset)
{
  return is_bad () ? -1 : pwrite (fd, data, len, offset);
}

static ssize_t
pwrite_that_does_little (int fd, const void *data, size_t len, off_t offset)
{
  return pwrite (fd, data, MIN (len, 1000), offset);
}

static ssize_t
pwrite_that_does_nothing (int fd, const void *data, size_t len, off_t offset)
{
  return 0;
}

static ssize_t
pread_that_fails_once (int fd, void *data, size_t len, off_t offset)
{
  return is_bad () ? -1 : pread (fd, data, len, offset);
}

static ssize_t
pread_that_does_little (int fd, void *data, size_t len, off_t offset)
{
  return pread (fd, data, MIN (len, 1000), offset);
}

static off_t
lseek_that_knows_no_holes (int fd, off_t offset, int whence)
{
  errno = EINVAL;
  return whence == SEEK_DATA || whence == SEEK_HOLE ? -1 : lseek (fd, offset, whence);
}

static _Atomic int walks;

static off_t
lseek_that_counts (int fd, off_t offset, int whence)
{
  if (whence == SEEK_HOLE)
    walks++;
  return lseek (fd, offset, whence);
}

static int
madvise_without_memory (void *address, size_t size, int advice)
{
  errno = ENOMEM;
  return -1;
}

/* ---- The block and the file. */

/* Pages of all kinds: a hole, zero but allocated, with one byte in it at either end, full. */
static void
fill (void)
{
  for (size_t page = 0; page < SIZE / PAGE; page++)
    {
      uint8_t *at = memory + page * PAGE;

      if (page / 512 == 1 || page % 16 < 4) /* the second piece is one hole */
        continue;
      at[0] = 0;
      if (page % 16 == 4)
        at[0] = 1;
      else if (page % 16 == 5)
        at[PAGE - 1] = 1;
      else if (page % 16 == 7 || page % 16 > 11)
        for (size_t i = 0; i < PAGE; i++)
          at[i] = (uint8_t) (page * 31 + i);
    }
}

static void
setup (void)
{
  error = NULL;
  sys = cpr_sys_kernel;
  cpr_sys = &sys;
  calls = 0;
  bad_call = 0;
  bad_errno = 0;
  memory_fd = cpr_memfd_new ("memory", 0);
  file = cpr_memfd_new ("file", 0);
  ck_assert (cpr_fd_truncate (memory_fd, SIZE) && cpr_fd_truncate (file, OFFSET + SIZE));
  memory = mmap (NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd, 0);
  ck_assert_ptr_ne (memory, MAP_FAILED);
  fill ();
  memset (sums, 0, sizeof sums);
  image = (CprRamImage){
    .name = "ram", .vaddr = memory, .size = SIZE, .fd = memory_fd, .holes = true, .offset = OFFSET, .sums = sums
  };
}

static void
teardown (void)
{
  cpr_sys = &cpr_sys_kernel;
  munmap (memory, SIZE);
  close (memory_fd);
  close (file);
}

static uint64_t
get_blocks (int fd)
{
  struct stat st;

  ck_assert_int_eq (fstat (fd, &st), 0);
  return (uint64_t) st.st_blocks * 512;
}

static void
assert_file_is_memory (void)
{
  uint8_t *copy = mmap (NULL, SIZE, PROT_READ, MAP_PRIVATE, file, OFFSET);

  ck_assert_ptr_ne (copy, MAP_FAILED);
  ck_assert_int_eq (memcmp (copy, memory, SIZE), 0);
  munmap (copy, SIZE);
}

/* Reads into another block. */
static bool
read_back (bool zeroed, uint8_t before)
{
  uint8_t *copy = mmap (NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CprRamImage other = image;
  bool ok;

  if (!zeroed)
    memset (copy, before, SIZE);
  other.vaddr = copy;
  other.fd = -1;
  other.holes = false;
  other.zeroed = zeroed;
  ok = cpr_ram_read (&other, 1, file, NULL, &error);
  if (ok)
    ck_assert_int_eq (memcmp (copy, memory, SIZE), 0);
  munmap (copy, SIZE);
  return ok;
}

START_TEST (a_page_is_zero_only_if_each_byte_is)
{
  uint8_t *page = g_malloc0 (2 * PAGE);
  uint8_t *aligned = (uint8_t *) (((uintptr_t) page + 63) & ~(uintptr_t) 63);

  ck_assert (cpr_is_zero (aligned, PAGE));
  for (size_t i = 0; i < PAGE; i++)
    {
      aligned[i] = 0x80;
      ck_assert (!cpr_is_zero (aligned, PAGE));
      aligned[i] = 0;
    }
  aligned[PAGE] = 1;
  ck_assert (cpr_is_zero (aligned, PAGE));
  g_free (page);
}
END_TEST

START_TEST (what_was_written_is_read_back)
{
  ck_assert (cpr_ram_write (&image, 1, file, NULL, &error));
  assert_file_is_memory ();
  ck_assert (read_back (true, 0));
  ck_assert (read_back (false, 0xee));
}
END_TEST

START_TEST (zeros_become_holes_where_it_is_worth_it)
{
  uint64_t written = 0;

  for (size_t page = 0; page < SIZE / PAGE; page++)
    if (page / 512 != 1)
      written += (page % 16 >= 4 && page % 16 < 8) || page % 16 > 11 ? PAGE : 0;
  ck_assert (cpr_ram_write (&image, 1, file, NULL, &error));
  ck_assert_uint_eq (get_blocks (file), written); /* page 6 of 16 is zero and too small for a hole; 8 to 11 isn't */
}
END_TEST

START_TEST (writing_allocates_no_memory_in_the_block)
{
  uint64_t before = get_blocks (memory_fd);

  ck_assert_uint_lt (before, SIZE);
  ck_assert (cpr_ram_write (&image, 1, file, NULL, &error));
  ck_assert_uint_eq (get_blocks (memory_fd), before);
}
END_TEST

START_TEST (a_block_that_cannot_tell_its_holes_is_read)
{
  uint64_t before = get_blocks (memory_fd);

  image.holes = false; /* as on hugetlbfs */
  ck_assert (cpr_ram_write (&image, 1, file, NULL, &error));
  ck_assert_uint_eq (get_blocks (memory_fd), before);
  assert_file_is_memory ();
}
END_TEST

START_TEST (a_file_that_cannot_tell_its_holes_is_read)
{
  ck_assert (cpr_ram_write (&image, 1, file, NULL, &error));
  sys.lseek = lseek_that_knows_no_holes;
  ck_assert (read_back (true, 0));
  ck_assert (cpr_ram_write (&image, 1, file, NULL, &error));
  assert_file_is_memory ();
}
END_TEST

/* The kernel walks over all pages of a stretch to find its end. */
START_TEST (the_end_of_a_stretch_is_looked_for_once_by_each_thread)
{
  memset (memory, 1, SIZE);
  sys.lseek = lseek_that_counts;
  walks = 0;
  ck_assert (cpr_ram_write (&image, 1, file, NULL, &error));
  ck_assert_int_le (walks, 8);
  walks = 0;
  ck_assert (read_back (true, 0));
  ck_assert_int_le (walks, 8);
  walks = 0;
  ck_assert (cpr_ram_sum (&image, 1, NULL, &error));
  ck_assert_int_le (walks, 8);
}
END_TEST

START_TEST (private_memory_is_looked_at)
{
  uint8_t *own = mmap (NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

  memcpy (own, memory, SIZE);
  image.vaddr = own;
  image.fd = -1;
  image.holes = false;
  ck_assert (cpr_ram_write (&image, 1, file, NULL, &error));
  assert_file_is_memory ();
  munmap (own, SIZE);
}
END_TEST

START_TEST (several_blocks_do_not_get_into_each_others_way)
{
  uint64_t first_sums[1], second_sums[N_PIECES];
  CprRamImage images[] = { image, image };

  ck_assert (cpr_fd_truncate (file, 2 * (OFFSET + SIZE)));
  images[0].vaddr += PAGE;
  images[0].size = PAGE;
  images[0].sums = first_sums;
  images[0].holes = false;
  images[0].fd = -1;
  images[0].offset = OFFSET + SIZE + OFFSET;
  images[0].offset -= images[0].offset % PAGE;
  images[1].sums = second_sums;
  ck_assert (cpr_ram_write (images, 2, file, NULL, &error));
  assert_file_is_memory ();
  ck_assert (cpr_ram_write (&image, 1, file, NULL, &error));
  ck_assert_int_eq (memcmp (sums, second_sums, sizeof sums), 0);
  images[0].zeroed = images[1].zeroed = false;
  ck_assert (cpr_ram_read (images, 2, file, NULL, &error));
}
END_TEST

START_TEST (sums_are_the_same_wherever_they_are_made)
{
  uint64_t written[N_PIECES];

  ck_assert (cpr_ram_write (&image, 1, file, NULL, &error));
  memcpy (written, sums, sizeof sums);
  memset (sums, 0, sizeof sums);
  ck_assert (cpr_ram_sum (&image, 1, NULL, &error));
  ck_assert_int_eq (memcmp (sums, written, sizeof sums), 0);
  image.holes = false;
  ck_assert (cpr_ram_sum (&image, 1, NULL, &error));
  ck_assert_int_eq (memcmp (sums, written, sizeof sums), 0);
}
END_TEST

START_TEST (each_flipped_bit_is_found)
{
  static const size_t places[] = { 4 * PAGE, 2 * (size_t) CPR_RAM_PIECE - 1, CPR_RAM_PIECE, SIZE - 1 };

  ck_assert (cpr_ram_write (&image, 1, file, NULL, &error));
  for (size_t i = 0; i < G_N_ELEMENTS (places); i++)
    {
      uint8_t byte;

      ck_assert_int_eq (pread (file, &byte, 1, (off_t) (OFFSET + places[i])), 1);
      byte ^= 0x10;
      ck_assert_int_eq (pwrite (file, &byte, 1, (off_t) (OFFSET + places[i])), 1);
      ck_assert (!read_back (true, 0));
      assert_error (&error, CPR_ERROR_CORRUPT, "RAM block 'ram': the checksum of its contents at offset");
      byte ^= 0x10;
      ck_assert_int_eq (pwrite (file, &byte, 1, (off_t) (OFFSET + places[i])), 1);
    }
  ck_assert (read_back (true, 0));
}
END_TEST

START_TEST (a_file_that_is_cut_off_is_refused)
{
  ck_assert (cpr_ram_write (&image, 1, file, NULL, &error));
  ck_assert (cpr_fd_truncate (file, OFFSET + SIZE - LAST_PIECE - PAGE));
  ck_assert (!read_back (true, 0));
  assert_error (&error, CPR_ERROR_CORRUPT, "RAM block 'ram'");
}
END_TEST

/* A write is repeated until its end, in any number of pieces. */
START_TEST (interrupted_and_short_calls_go_on)
{
  sys.pwrite = pwrite_that_fails_once;
  bad_call = 3;
  bad_errno = EINTR;
  ck_assert (cpr_ram_write (&image, 1, file, NULL, &error));
  assert_file_is_memory ();

  ck_assert (cpr_fd_truncate (file, 0) && cpr_fd_truncate (file, OFFSET + SIZE));
  sys.pwrite = pwrite_that_does_little;
  ck_assert (cpr_ram_write (&image, 1, file, NULL, &error));
  assert_file_is_memory ();

  sys.pread = pread_that_does_little;
  ck_assert (read_back (true, 0));
  sys.pread = pread_that_fails_once;
  calls = 0;
  ck_assert (read_back (true, 0));
  image.holes = false;
  calls = 0;
  ck_assert (cpr_ram_write (&image, 1, file, NULL, &error));
  assert_file_is_memory ();
}
END_TEST

/* Every single write fails once, and no thread is left afterwards. */
START_TEST (each_failure_is_reported)
{
  static const int errnos[] = { ENOSPC, EIO, EDQUOT };
  g_autofree char *before = process_describe ();
  int n_calls;

  sys.pwrite = pwrite_that_fails_once;
  ck_assert (cpr_ram_write (&image, 1, file, NULL, &error));
  n_calls = calls;
  ck_assert_int_gt (n_calls, 100); /* two runs in each 16 pages */
  for (int call = 1; call <= n_calls; call += 37)
    {
      calls = 0;
      bad_call = call;
      bad_errno = errnos[call % 3];
      ck_assert (!cpr_ram_write (&image, 1, file, NULL, &error));
      ck_assert_int_eq (cpr_error_get_errno (error), bad_errno);
      assert_error (&error, CPR_ERROR_SYSTEM, "RAM block 'ram': copying it at offset");
    }
  assert_process_is (before);
}
END_TEST

START_TEST (a_disk_that_takes_nothing_is_full)
{
  sys.pwrite = pwrite_that_does_nothing;
  ck_assert (!cpr_ram_write (&image, 1, file, NULL, &error));
  ck_assert_int_eq (cpr_error_get_errno (error), ENOSPC);
  assert_error (&error, CPR_ERROR_SYSTEM, "RAM block 'ram'");
}
END_TEST

START_TEST (passing_the_file_size_limit_is_an_error_and_no_signal)
{
  struct rlimit old, limit;

  ck_assert_int_eq (getrlimit (RLIMIT_FSIZE, &old), 0);
  limit = (struct rlimit){ OFFSET + CPR_RAM_PIECE, old.rlim_max };
  ck_assert (cpr_fd_truncate (file, 0));
  ck_assert_int_eq (setrlimit (RLIMIT_FSIZE, &limit), 0);
  ck_assert (!cpr_ram_write (&image, 1, file, NULL, &error));
  ck_assert_int_eq (setrlimit (RLIMIT_FSIZE, &old), 0);
  ck_assert_int_eq (cpr_error_get_errno (error), EFBIG);
  assert_error (&error, CPR_ERROR_SYSTEM, "RAM block 'ram'");
}
END_TEST

START_TEST (each_failure_of_reading_is_reported)
{
  ck_assert (cpr_ram_write (&image, 1, file, NULL, &error));
  sys.pread = pread_that_fails_once;
  bad_errno = EIO;
  for (bad_call = 1; bad_call < 100; bad_call += 9)
    {
      calls = 0;
      ck_assert (!read_back (true, 0));
      ck_assert_int_eq (cpr_error_get_errno (error), EIO);
      assert_error (&error, CPR_ERROR_SYSTEM, "RAM block 'ram': reading it back at offset");
    }
  sys.pread = pread;
  sys.madvise = madvise_without_memory;
  ck_assert (!read_back (true, 0));
  ck_assert_int_eq (cpr_error_get_errno (error), ENOMEM);
  assert_error (&error, CPR_ERROR_SYSTEM, "RAM block 'ram'");
}
END_TEST

typedef struct
{
  uint64_t last;
  int reports;
  bool gives_up, silently;
} Reports;

static bool
note_report (uint64_t done, uint64_t total, void *user_data, GError **reason)
{
  Reports *reports = user_data;

  ck_assert_uint_eq (total, SIZE);
  ck_assert_uint_le (done, total);
  ck_assert_uint_ge (done, reports->last);
  reports->last = done;
  reports->reports++;
  return !reports->gives_up || (!reports->silently && cpr_throw (reason, CPR_ERROR_STATE, "enough"));
}

START_TEST (progress_ends_with_all_of_it)
{
  Reports reports = { .last = 0 };
  const CprRamProgress progress = { note_report, &reports };

  ck_assert (cpr_ram_write (&image, 1, file, &progress, &error));
  ck_assert_uint_eq (reports.last, SIZE);
  ck_assert_int_ge (reports.reports, 1);
}
END_TEST

START_TEST (who_watches_can_give_it_up)
{
  Reports reports = { .gives_up = true };
  const CprRamProgress progress = { note_report, &reports };

  ck_assert (!cpr_ram_write (&image, 1, file, &progress, &error));
  assert_error (&error, CPR_ERROR_STATE, "enough");
  reports = (Reports){ .gives_up = true, .silently = true };
  ck_assert (!cpr_ram_write (&image, 1, file, &progress, &error));
  assert_error (&error, CPR_ERROR_CALLBACK, "without a reason");
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("ram-copy");
  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, a_page_is_zero_only_if_each_byte_is);
  tcase_add_test (tests, what_was_written_is_read_back);
  tcase_add_test (tests, zeros_become_holes_where_it_is_worth_it);
  tcase_add_test (tests, writing_allocates_no_memory_in_the_block);
  tcase_add_test (tests, a_block_that_cannot_tell_its_holes_is_read);
  tcase_add_test (tests, a_file_that_cannot_tell_its_holes_is_read);
  tcase_add_test (tests, the_end_of_a_stretch_is_looked_for_once_by_each_thread);
  tcase_add_test (tests, private_memory_is_looked_at);
  tcase_add_test (tests, several_blocks_do_not_get_into_each_others_way);
  tcase_add_test (tests, sums_are_the_same_wherever_they_are_made);
  tcase_add_test (tests, each_flipped_bit_is_found);
  tcase_add_test (tests, a_file_that_is_cut_off_is_refused);
  tcase_add_test (tests, interrupted_and_short_calls_go_on);
  tcase_add_test (tests, each_failure_is_reported);
  tcase_add_test (tests, a_disk_that_takes_nothing_is_full);
  tcase_add_test (tests, passing_the_file_size_limit_is_an_error_and_no_signal);
  tcase_add_test (tests, each_failure_of_reading_is_reported);
  tcase_add_test (tests, progress_ends_with_all_of_it);
  tcase_add_test (tests, who_watches_can_give_it_up);
  return run_suite (suite);
}
