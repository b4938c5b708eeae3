/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* RAM blocks that grow: in place, on each backing, and on the other side. */
#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define MOST (16 * PAGE)

static CprFdTable fds, incoming_fds;
static CprRamTable table, incoming;
static GError *error;
static char *folder, *path;

static void
setup (void)
{
  cpr_fd_table_init (&fds);
  cpr_ram_table_init (&table);
  error = NULL;
  folder = g_dir_make_tmp ("libcpr-ram-XXXXXX", NULL);
  path = g_build_filename (folder, "ram", NULL);
}

static void
teardown (void)
{
  cpr_ram_table_clear (&table);
  cpr_fd_table_clear (&fds);
  unlink (path);
  ck_assert_int_eq (rmdir (folder), 0);
  g_free (path);
  g_free (folder);
}

static CprRamBlock *
add (size_t size, const CprRamOptions *options)
{
  CprRamBlock *block = cpr_ram_table_add (&table, &fds, "pc.ram", size, options, &error);

  assert_no_error (error);
  return block;
}

static bool
grow (CprRamBlock *block, size_t size)
{
  return cpr_ram_table_grow (&table, block, size, &error);
}

/* Each page has its number, up to the block's end. */
static void
number_pages (const CprRamBlock *block, size_t from)
{
  for (size_t at = from; at < cpr_ram_block_get_size (block); at += PAGE)
    *(size_t *) (void *) ((uint8_t *) cpr_ram_block_get_vaddr (block) + at) = at + 1;
}

static void
assert_numbered (const CprRamBlock *block)
{
  for (size_t at = 0; at < cpr_ram_block_get_size (block); at += PAGE)
    ck_assert_uint_eq (*(size_t *) (void *) ((uint8_t *) cpr_ram_block_get_vaddr (block) + at), at + 1);
}

static void
assert_zero (const CprRamBlock *block, size_t from)
{
  for (size_t at = from; at < cpr_ram_block_get_size (block); at++)
    ck_assert_uint_eq (((uint8_t *) cpr_ram_block_get_vaddr (block))[at], 0);
}

/* Whether the process may read there. */
static bool
is_readable (const uint8_t *at)
{
  FILE *maps = fopen ("/proc/self/maps", "re");
  uintptr_t begin, end;
  char read = 0;

  ck_assert_ptr_nonnull (maps);
  while (fscanf (maps, "%" SCNxPTR "-%" SCNxPTR " %c%*[^\n]", &begin, &end, &read) == 3)
    if (begin <= (uintptr_t) at && (uintptr_t) at < end)
      break;
    else
      read = 0;
  fclose (maps);
  return read == 'r';
}

/* ---- The growth. */

static const unsigned flags = CPR_RAM_PREALLOC | CPR_RAM_HUGE_PAGES | CPR_RAM_DONT_DUMP | CPR_RAM_DONT_FORK;

/* The n-th kind; the fd of the VMM's is as long as the block will be. */
static CprRamOptions
kind_of_backing (int n, int fd)
{
  const CprRamOptions kinds[] = {
    { .backend = CPR_RAM_MEMFD, .flags = flags | (under_valgrind () ? 0 : CPR_RAM_LOCKED) },
    { .backend = CPR_RAM_FILE, .flags = flags, .path = path },
    { .backend = CPR_RAM_FD, .flags = flags, .fd = fd },
    { .backend = CPR_RAM_PRIVATE, .flags = flags },
  };
  CprRamOptions options = kinds[n];

  options.size = sizeof options;
  options.max_size = MOST;
  return options;
}
#define N_KINDS 4

START_TEST (a_block_grows_where_it_is)
{
  int fd = file_new (MOST);
  const CprRamOptions options = kind_of_backing (_i, fd);
  g_autofree char *before = process_describe ();
  CprRamBlock *block = add (2 * PAGE, &options);
  void *vaddr = cpr_ram_block_get_vaddr (block);

  number_pages (block, 0);
  for (size_t size = 3 * PAGE; size <= MOST; size += size)
    {
      size_t was = cpr_ram_block_get_size (block);

      ck_assert (!is_readable ((uint8_t *) vaddr + was)); /* it is reserved, and not there */
      ck_assert_msg (grow (block, size), "%s", error->message);
      ck_assert_uint_eq (cpr_ram_block_get_size (block), size);
      ck_assert_ptr_eq (cpr_ram_block_get_vaddr (block), vaddr);
      assert_zero (block, was);
      number_pages (block, was);
    }
  assert_numbered (block);
  ck_assert (cpr_ram_table_remove (&table, &fds, block, &error));
  assert_process_is (before);
  close (fd);
}
END_TEST

START_TEST (other_sizes_are_refused_and_the_present_one_does_nothing)
{
  const CprRamOptions options = { .size = sizeof options, .max_size = MOST }, fixed = { .size = sizeof fixed };
  const size_t wrong[] = { 0, 2 * PAGE, 5 * PAGE + 1, MOST + PAGE, SIZE_MAX, SIZE_MAX - PAGE + 1 };
  CprRamBlock *block = add (4 * PAGE, &options), stranger = { .name = (char *) "other" };

  for (size_t i = 0; i < G_N_ELEMENTS (wrong); i++)
    {
      ck_assert (!grow (block, wrong[i]));
      assert_error (&error, CPR_ERROR_INVALID, "RAM block 'pc.ram': it has 16384 bytes and can have 65536; ");
      ck_assert_uint_eq (cpr_ram_block_get_size (block), 4 * PAGE);
    }
  ck_assert (grow (block, 4 * PAGE));
  ck_assert (!grow (&stranger, PAGE));
  assert_error (&error, CPR_ERROR_NOT_FOUND, "RAM block: it isn't one of this session");
  ck_assert (cpr_ram_table_remove (&table, &fds, block, &error));
  block = add (4 * PAGE, &fixed);
  ck_assert (!grow (block, 5 * PAGE));
  assert_error (&error, CPR_ERROR_INVALID, "can have 16384 (it has no max_size); 20480 isn't");
}
END_TEST

START_TEST (a_maximum_that_makes_no_sense_is_refused)
{
  static const size_t wrong[] = { 1, PAGE, 4 * PAGE + 1, SIZE_MAX, SIZE_MAX - PAGE + 1 };

  for (size_t i = 0; i < G_N_ELEMENTS (wrong); i++)
    {
      const CprRamOptions options = { .size = sizeof options, .max_size = wrong[i] };

      ck_assert_ptr_null (cpr_ram_table_add (&table, &fds, "pc.ram", 4 * PAGE, &options, &error));
      assert_error (&error, CPR_ERROR_INVALID, "RAM block 'pc.ram': its maximum is ");
    }
}
END_TEST

START_TEST (addresses_that_there_are_not_are_an_error)
{
  const CprRamOptions options = { .size = sizeof options, .max_size = (size_t) 1 << 60 };
  g_autofree char *before = process_describe ();

  ck_assert_ptr_null (cpr_ram_table_add (&table, &fds, "pc.ram", 4 * PAGE, &options, &error));
  assert_error (&error, CPR_ERROR_SYSTEM, "RAM block 'pc.ram': reserving addresses for 1152921504606846976 bytes");
  assert_process_is (before);
}
END_TEST

START_TEST (an_fd_of_the_vmm_has_to_have_grown_before)
{
  int fd = file_new (4 * PAGE);
  const CprRamOptions options = { .size = sizeof options, .backend = CPR_RAM_FD, .fd = fd, .max_size = MOST };
  CprRamBlock *block = add (4 * PAGE, &options);

  ck_assert (!grow (block, 8 * PAGE));
  assert_error (&error, CPR_ERROR_INVALID, "RAM block 'pc.ram': its backing has 16384 bytes, 32768 needed");
  ck_assert_int_eq (ftruncate (fd, 8 * (off_t) PAGE), 0);
  ck_assert (grow (block, 8 * PAGE));
  close (fd);
}
END_TEST

START_TEST (a_growth_beyond_the_file_size_limit_is_efbig_and_no_signal)
{
  const CprRamOptions options = { .size = sizeof options, .max_size = MOST };
  CprRamBlock *block = add (4 * PAGE, &options);
  struct rlimit old, limit;

  getrlimit (RLIMIT_FSIZE, &old);
  limit = old;
  limit.rlim_cur = 8 * PAGE;
  ck_assert_int_eq (setrlimit (RLIMIT_FSIZE, &limit), 0);
  ck_assert (!grow (block, 9 * PAGE));
  setrlimit (RLIMIT_FSIZE, &old);
  ck_assert_int_eq (cpr_error_get_errno (error), EFBIG);
  assert_error (&error, CPR_ERROR_SYSTEM, "RAM block 'pc.ram': growing the file to 36864 bytes");
  ck_assert (grow (block, 9 * PAGE));
}
END_TEST

/* Every call fails once: the block is as it was, nothing is lost, and the next try works. */
START_TEST (a_growth_that_fails_changes_nothing_and_can_be_made_again)
{
  int fd = file_new (MOST);
  const CprRamOptions options = kind_of_backing (_i, fd);
  g_autofree char *before = process_describe ();
  CprRamBlock *block = add (4 * PAGE, &options);
  const uint8_t *end = (uint8_t *) cpr_ram_block_get_vaddr (block) + 4 * PAGE;
  unsigned n = 1;

  number_pages (block, 0);
  for (bool done = false; !done; n++)
    {
      faults_begin (n, ENOMEM, 0);
      done = grow (block, 8 * PAGE);
      faults_end ();
      ck_assert (done == (faults.failed == NULL));
      if (done)
        break;
      assert_error (&error, CPR_ERROR_SYSTEM, "RAM block 'pc.ram': ");
      ck_assert_uint_eq (cpr_ram_block_get_size (block), 4 * PAGE);
      ck_assert (!is_readable (end));
      assert_numbered (block);
    }
  ck_assert_uint_ge (n, 5);
  assert_zero (block, 4 * PAGE);
  ck_assert (grow (block, MOST));
  ck_assert (cpr_ram_table_remove (&table, &fds, block, &error));
  assert_process_is (before);
  close (fd);
}
END_TEST

/* What can't be unmapped of the reserved addresses is no failure. */
START_TEST (a_block_with_a_maximum_that_fails_leaves_nothing)
{
  int fd = file_new (MOST);
  const CprRamOptions options = kind_of_backing (_i, fd);
  g_autofree char *before = process_describe ();
  CprRamBlock *block = NULL;
  unsigned n = 1;

  for (;; n++)
    {
      faults_begin (n, ENOMEM, 0);
      block = cpr_ram_table_add (&table, &fds, "pc.ram", 4 * PAGE, &options, &error);
      faults_end ();
      if (faults.failed == NULL)
        break;
      ck_assert (block != NULL || error != NULL);
      g_clear_error (&error);
      if (block != NULL)
        ck_assert (cpr_ram_table_remove (&table, &fds, block, NULL));
      assert_process_is (before);
      ck_assert_uint_eq (table.blocks->len + fds.entries->len, 0);
    }
  ck_assert_uint_ge (n, 6);
  ck_assert (grow (block, MOST));
  ck_assert (cpr_ram_table_remove (&table, &fds, block, NULL));
  close (fd);
}
END_TEST

START_TEST (huge_pages_can_begin_at_the_reserved_addresses)
{
  const CprRamOptions options = { .size = sizeof options, .max_size = MOST };

  for (unsigned i = 0; i < 8; i++)
    {
      CprRamBlock *block = add (4 * PAGE, &options);

      ck_assert_uint_eq ((uintptr_t) cpr_ram_block_get_vaddr (block) % (2 << 20), 0);
      ck_assert (cpr_ram_table_remove (&table, &fds, block, &error));
    }
}
END_TEST

/* A machine without huge pages has nothing to grow by; then the failure changes nothing. */
START_TEST (huge_pages_grow_too_or_fail_as_a_whole)
{
  const size_t huge = 2 << 20;
  const CprRamOptions options = { .size = sizeof options, .backend = CPR_RAM_HUGETLB, .max_size = 4 * huge };
  CprRamBlock *block = cpr_ram_table_add (&table, &fds, "pc.ram", huge, &options, &error);

  if (block == NULL) /* none at all */
    {
      g_clear_error (&error);
      return;
    }
  number_pages (block, 0);
  for (size_t size = 2 * huge; size <= 4 * huge; size += huge)
    {
      size_t was = cpr_ram_block_get_size (block);

      if (grow (block, size))
        number_pages (block, was);
      else
        assert_error (&error, CPR_ERROR_SYSTEM, "RAM block 'pc.ram': ");
    }
  assert_numbered (block);
}
END_TEST

/* ---- The other side. */

static void
hand_over (void)
{
  CprWriter writer;
  CprCursor first, second;
  size_t start;

  cpr_writer_init (&writer, -1);
  cpr_fd_table_write (&fds, &writer);
  start = writer.len;
  cpr_ram_table_write (&table, &writer);
  cpr_fd_table_init (&incoming_fds);
  cpr_ram_table_init (&incoming);
  first = (CprCursor){ .data = writer.data + CPR_FORMAT_HEADER_SIZE, .len = start - CPR_FORMAT_HEADER_SIZE };
  second = written_from (&writer, start);
  ck_assert (cpr_fd_table_read (&incoming_fds, &first, &error));
  ck_assert (cpr_ram_table_read (&incoming, &incoming_fds, &second, &error));
  cpr_writer_clear (&writer);
}

static void
incoming_clear (void)
{
  for (guint i = 0; i < incoming.blocks->len; i++) /* the fds are the first one's */
    ((CprRamBlock *) incoming.blocks->pdata[i])->owned = false;
  cpr_ram_table_clear (&incoming);
  cpr_fd_table_clear (&incoming_fds);
}

START_TEST (a_block_is_claimed_with_the_size_that_it_has)
{
  CprRamOptions options = { .size = sizeof options, .max_size = MOST };
  CprRamBlock *block = add (4 * PAGE, &options), *taken;

  number_pages (block, 0);
  ck_assert (grow (block, 6 * PAGE));
  number_pages (block, 4 * PAGE);
  hand_over ();
  options.max_size = MOST + PAGE; /* as another release may have it */
  taken = cpr_ram_table_take (&incoming, "pc.ram", (_i == 0 ? 2 : 8) * PAGE, &options, &error);
  ck_assert_msg (taken != NULL, "%s", error->message);
  ck_assert_uint_eq (cpr_ram_block_get_size (taken), 6 * PAGE);
  assert_numbered (taken);
  ck_assert (cpr_ram_table_grow (&incoming, taken, MOST + PAGE, &error));
  number_pages (taken, 0);
  ck_assert (grow (block, MOST)); /* the other one maps the same */
  assert_numbered (block);
  incoming_clear ();
}
END_TEST

START_TEST (a_claim_that_fails_can_be_made_again)
{
  const CprRamOptions options = { .size = sizeof options, .max_size = MOST };
  CprRamBlock *block = add (4 * PAGE, &options), *taken = NULL;

  number_pages (block, 0);
  hand_over ();
  for (unsigned n = 1; taken == NULL; n++)
    {
      faults_begin (n, ENOMEM, 0);
      taken = cpr_ram_table_take (&incoming, "pc.ram", PAGE, &options, &error);
      faults_end ();
      ck_assert (taken != NULL || faults.failed != NULL);
      g_clear_error (&error);
    }
  assert_numbered (taken);
  ck_assert (cpr_ram_table_grow (&incoming, taken, MOST, &error));
  incoming_clear ();
}
END_TEST

START_TEST (a_block_beyond_the_maximum_is_refused_and_can_still_be_taken)
{
  const CprRamOptions options = { .size = sizeof options, .max_size = MOST },
                      small = { .size = sizeof small, .max_size = 5 * PAGE }, fixed = { .size = sizeof fixed };
  CprRamBlock *block = add (4 * PAGE, &options);

  ck_assert (grow (block, 6 * PAGE));
  hand_over ();
  ck_assert_ptr_null (cpr_ram_table_take (&incoming, "pc.ram", 4 * PAGE, &small, &error));
  assert_error (&error, CPR_ERROR_MISMATCH, "RAM block 'pc.ram': size is 24576 in the state, at most 20480 here");
  ck_assert_ptr_null (cpr_ram_table_take (&incoming, "pc.ram", 4 * PAGE, &fixed, &error));
  assert_error (&error, CPR_ERROR_MISMATCH, "RAM block 'pc.ram': size is 24576 in the state, 16384 here");
  block = cpr_ram_table_take (&incoming, "pc.ram", 6 * PAGE, &fixed, &error);
  ck_assert_msg (block != NULL, "%s", error->message);
  ck_assert (!cpr_ram_table_grow (&incoming, block, 7 * PAGE, &error)); /* this program hasn't said that it may */
  assert_error (&error, CPR_ERROR_INVALID, "it has no max_size");
  incoming_clear ();
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("ram-grow");

  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_loop_test (tests, a_block_grows_where_it_is, 0, N_KINDS);
  tcase_add_test (tests, other_sizes_are_refused_and_the_present_one_does_nothing);
  tcase_add_test (tests, a_maximum_that_makes_no_sense_is_refused);
  tcase_add_test (tests, addresses_that_there_are_not_are_an_error);
  tcase_add_test (tests, an_fd_of_the_vmm_has_to_have_grown_before);
  tcase_add_test (tests, a_growth_beyond_the_file_size_limit_is_efbig_and_no_signal);
  tcase_add_loop_test (tests, a_growth_that_fails_changes_nothing_and_can_be_made_again, 0, N_KINDS);
  tcase_add_loop_test (tests, a_block_with_a_maximum_that_fails_leaves_nothing, 0, N_KINDS);
  tcase_add_test (tests, huge_pages_can_begin_at_the_reserved_addresses);
  tcase_add_test (tests, huge_pages_grow_too_or_fail_as_a_whole);
  tcase_add_loop_test (tests, a_block_is_claimed_with_the_size_that_it_has, 0, 2);
  tcase_add_test (tests, a_claim_that_fails_can_be_made_again);
  tcase_add_test (tests, a_block_beyond_the_maximum_is_refused_and_can_still_be_taken);
  return run_suite (suite);
}
