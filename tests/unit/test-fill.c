/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The page tables of RAM that was taken over are filled with all pages that are in memory, and no
 * others. */
#include "helpers.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "registry/ram/fill.h"

#define SIZE       (20u << 20) /* not a multiple of what a thread takes at a time */
#define PATIENCE   20000       /* ms */
#define PAGES      (SIZE / PAGE)
#define is_used(i) ((i) % 7 == 3 || ((i) > PAGES / 2 && (i) < PAGES * 3 / 4))

static CprSys sys;
static int memory_fd;
static CprRamBlock block;
static CprRamTable table;

static void
setup (void)
{
  static const uint8_t one = 1;

  sys = cpr_sys_kernel;
  cpr_sys = &sys;
  memory_fd = cpr_memfd_new ("memory", 0);
  ck_assert (cpr_fd_truncate (memory_fd, SIZE));
  for (unsigned i = 0; i < PAGES; i++)
    if (is_used (i))
      ck_assert_int_eq (pwrite (memory_fd, &one, 1, (off_t) i * PAGE), 1);
  block = (CprRamBlock){ .name = (char *) "ram", .size = SIZE, .backend = CPR_RAM_MEMFD, .fd = memory_fd };
  block.vaddr = mmap (NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd, 0);
  ck_assert_ptr_ne (block.vaddr, MAP_FAILED);
  table.blocks = g_ptr_array_new ();
  g_ptr_array_add (table.blocks, &block);
}

static void
teardown (void)
{
  cpr_sys = &cpr_sys_kernel;
  g_ptr_array_unref (table.blocks);
  munmap (block.vaddr, SIZE);
  close (memory_fd);
}

static long
get_blocks (void)
{
  struct stat st;

  ck_assert_int_eq (fstat (memory_fd, &st), 0);
  return st.st_blocks;
}

static void
fill (void)
{
  CprFill *fill = cpr_fill_start (&table);

  ck_assert (cpr_fill_wait (fill, PATIENCE));
  cpr_fill_end (fill);
}

/* The number of used pages that this process has in its page tables: bit 63 of a page's entry in
 * pagemap (Documentation/admin-guide/mm/pagemap.rst). Faults are no measure: with a sanitizer the
 * test's own reads and writes cause more. */
static unsigned
count_missing_pages (void)
{
  static uint64_t entries[PAGES];
  int pagemap = open ("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  off_t at = (off_t) ((uintptr_t) block.vaddr / PAGE * sizeof *entries);
  unsigned missing = 0;

  ck_assert_int_ge (pagemap, 0);
  ck_assert_int_eq (pread (pagemap, entries, sizeof entries, at), sizeof entries);
  close (pagemap);
  for (unsigned i = 0; i < PAGES; i++)
    missing += is_used (i) && entries[i] >> 63 == 0;
  return missing;
}

START_TEST (nothing_faults_and_nothing_is_allocated)
{
  long before = get_blocks ();

  ck_assert_uint_gt (count_missing_pages (), 0);
  fill ();
  ck_assert (block.filled);
  ck_assert_int_eq (get_blocks (), before);
  ck_assert_uint_eq (count_missing_pages (), 0);
}
END_TEST

static _Atomic int walks;

static off_t
lseek_that_counts (int fd, off_t offset, int whence)
{
  if (whence == SEEK_HOLE)
    walks++;
  return lseek (fd, offset, whence);
}

/* The guest runs, and the kernel keeps the CPU while it walks over all pages of a stretch to find
 * its end. */
START_TEST (the_kernel_is_not_asked_where_a_stretch_ends)
{
  walks = 0;
  sys.lseek = lseek_that_counts;
  fill ();
  ck_assert_int_eq (walks, 0);
}
END_TEST

static _Atomic size_t most;

static int
madvise_that_measures (void *address, size_t size, int advice)
{
  if (size > most)
    most = size;
  return madvise (address, size, advice);
}

START_TEST (a_call_is_short)
{
  most = 0;
  sys.madvise = madvise_that_measures;
  fill ();
  ck_assert_uint_le (most, 1u << 20);
  ck_assert_uint_gt (most, PAGE);
}
END_TEST

static int
open_that_fails (const char *path, int flags, mode_t mode)
{
  errno = EACCES;
  return -1;
}

static off_t
lseek_that_fails (int fd, off_t offset, int whence)
{
  errno = EINVAL;
  return -1;
}

static int
mincore_that_fails (void *address, size_t size, unsigned char *pages)
{
  errno = EAGAIN;
  return -1;
}

static int
madvise_that_fails (void *address, size_t size, int advice)
{
  errno = ENOMEM;
  return -1;
}

START_TEST (what_fails_is_left_out)
{
  long before = get_blocks ();

  sys.open = open_that_fails;
  fill ();
  sys.open = cpr_sys_kernel.open;
  sys.lseek = lseek_that_fails;
  fill ();
  sys.lseek = lseek;
  sys.mincore = mincore_that_fails;
  fill ();
  sys.mincore = mincore;
  sys.madvise = madvise_that_fails;
  fill ();
  ck_assert_int_eq (get_blocks (), before);
}
END_TEST

/* Where this process may not write the file, mincore() says of each page that it is in memory. */
START_TEST (who_may_not_write_allocates_nothing)
{
  long before = get_blocks ();

  if (geteuid () == 0)
    {
      ck_assert_int_eq (fchmod (memory_fd, 0400), 0);
      ck_assert_int_eq (fchown (memory_fd, 1, 1), 0);
      ck_assert_int_eq (seteuid (4242), 0);
    }
  else
    ck_assert_int_eq (fchmod (memory_fd, 0400), 0);
  fill ();
  ck_assert_int_eq (get_blocks (), before);
  if (geteuid () == 4242)
    {
      /* A leak checker looks at this process when it ends, which seteuid() forbade. */
      ck_assert_int_eq (seteuid (0), 0);
      ck_assert_int_eq (prctl (PR_SET_DUMPABLE, 1), 0);
    }
}
END_TEST

START_TEST (what_has_no_file_is_left_out)
{
  block.fd = -1;
  fill ();
  block.fd = memory_fd;
  g_ptr_array_set_size (table.blocks, 0);
  fill ();
}
END_TEST

START_TEST (it_can_be_ended_at_any_time)
{
  CprFill *begun = cpr_fill_start (&table);

  cpr_fill_wait (begun, 0);
  cpr_fill_end (begun);
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("fill");
  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, nothing_faults_and_nothing_is_allocated);
  tcase_add_test (tests, the_kernel_is_not_asked_where_a_stretch_ends);
  tcase_add_test (tests, a_call_is_short);
  tcase_add_test (tests, what_fails_is_left_out);
  tcase_add_test (tests, what_has_no_file_is_left_out);
  tcase_add_test (tests, it_can_be_ended_at_any_time);
  if (!under_valgrind ())
    tcase_add_test (tests, who_may_not_write_allocates_nothing);
  return run_suite (suite);
}
