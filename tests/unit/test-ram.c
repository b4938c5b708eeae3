/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

static CprFdTable fds;
static CprRamTable table;
static GError *error;
static char *folder;

static void
setup (void)
{
  cpr_fd_table_init (&fds);
  cpr_ram_table_init (&table);
  error = NULL;
  folder = g_dir_make_tmp ("libcpr-ram-XXXXXX", NULL);
  ck_assert_ptr_nonnull (folder);
}

static void
teardown (void)
{
  g_autofree char *path = g_build_filename (folder, "ram", NULL);

  cpr_ram_table_clear (&table);
  cpr_fd_table_clear (&fds);
  unlink (path);
  ck_assert_int_eq (rmdir (folder), 0);
  g_free (folder);
}

static CprRamBlock *
add_with (const char *name, size_t size, const CprRamOptions *options)
{
  return cpr_ram_table_add (&table, &fds, name, size, options, &error);
}

static CprRamBlock *
add (const char *name, size_t size)
{
  return add_with (name, size, &(CprRamOptions){ .size = sizeof (CprRamOptions) });
}

/* The call fails, names the block, and leaves no fd, no mapping, no entry and no block. */
static void
assert_add_fails (const char *name, size_t size, const CprRamOptions *options, int code, int errnum, const char *text)
{
  g_autofree char *before = process_describe ();
  guint blocks = table.blocks->len, entries = fds.entries->len;

  ck_assert_ptr_null (add_with (name, size, options));
  ck_assert_ptr_nonnull (error);
  ck_assert_int_eq (cpr_error_get_errno (error), errnum);
  assert_error (&error, code, text);
  assert_process_is (before);
  ck_assert_uint_eq (table.blocks->len, blocks);
  ck_assert_uint_eq (fds.entries->len, entries);
}

START_TEST (a_new_block_is_zero_and_writable)
{
  CprRamBlock *block = add ("pc.ram", 8 * PAGE);
  uint8_t *vaddr;

  ck_assert_ptr_nonnull (block);
  ck_assert_str_eq (cpr_ram_block_get_name (block), "pc.ram");
  ck_assert_uint_eq (cpr_ram_block_get_size (block), 8 * PAGE);
  vaddr = cpr_ram_block_get_vaddr (block);
  ck_assert_uint_eq ((uintptr_t) vaddr % PAGE, 0);
  for (size_t i = 0; i < 8 * PAGE; i += PAGE / 2)
    ck_assert_uint_eq (vaddr[i], 0);
  vaddr[8 * PAGE - 1] = 0x5a;
  ck_assert_int_eq (pread (cpr_ram_block_get_fd (block), vaddr, 1, 8 * PAGE - 1), 1);
  ck_assert_uint_eq (vaddr[0], 0x5a);
  ck_assert_int_eq (fcntl (cpr_ram_block_get_fd (block), F_GETFD), FD_CLOEXEC);
}
END_TEST

START_TEST (add_refuses_sizes_that_are_no_multiple_of_the_page)
{
  static const size_t sizes[] = { 0, 1, 4095, 4097, SIZE_MAX, SIZE_MAX - 4095 };
  const CprRamOptions options = { .size = sizeof options };

  for (size_t i = 0; i < G_N_ELEMENTS (sizes); i++)
    assert_add_fails ("pc.ram", sizes[i], &options, CPR_ERROR_INVALID, 0, "RAM block 'pc.ram': size is");
}
END_TEST

START_TEST (add_refuses_names_of_no_and_of_256_bytes)
{
  g_autofree char *longest = name_of (255), *too_long = name_of (256);
  const CprRamOptions options = { .size = sizeof options };

  assert_add_fails ("", PAGE, &options, CPR_ERROR_INVALID, 0, "RAM block '': a name has 1 to 255 bytes, not 0");
  assert_add_fails (too_long, PAGE, &options, CPR_ERROR_INVALID, 0, "not 256");
  ck_assert_ptr_nonnull (add (longest, PAGE));
}
END_TEST

START_TEST (add_refuses_a_duplicate_name)
{
  const CprRamOptions options = { .size = sizeof options };

  ck_assert_ptr_nonnull (add ("pc.ram", PAGE));
  assert_add_fails ("pc.ram", 2 * PAGE, &options, CPR_ERROR_EXISTS, 0, "RAM block 'pc.ram'");
  ck_assert_ptr_nonnull (add ("pc.rom", PAGE));
}
END_TEST

START_TEST (add_refuses_unknown_options)
{
  const CprRamOptions backend = { .size = sizeof backend, .backend = CPR_RAM_PRIVATE + 1 },
                      flags = { .size = sizeof flags, .flags = 1u << 5 },
                      no_path = { .size = sizeof no_path, .backend = CPR_RAM_FILE };

  assert_add_fails ("pc.ram", PAGE, &backend, CPR_ERROR_INVALID, 0, "RAM block 'pc.ram': unknown backend 5");
  assert_add_fails ("pc.ram", PAGE, &flags, CPR_ERROR_INVALID, 0, "flags 0x20");
  assert_add_fails ("pc.ram", PAGE, &no_path, CPR_ERROR_INVALID, 0, "RAM block 'pc.ram': a file needs a path");
}
END_TEST

START_TEST (passing_the_file_size_limit_is_efbig_and_no_signal)
{
  g_autofree char *path = g_build_filename (folder, "ram", NULL);
  const CprRamOptions memfd = { .size = sizeof memfd },
                      named = { .size = sizeof named, .backend = CPR_RAM_FILE, .path = path };
  struct rlimit old, limit;

  getrlimit (RLIMIT_FSIZE, &old);
  limit = old;
  limit.rlim_cur = 16 * PAGE;
  ck_assert_int_eq (setrlimit (RLIMIT_FSIZE, &limit), 0);
  assert_add_fails ("pc.ram", 17 * PAGE, &memfd, CPR_ERROR_SYSTEM, EFBIG, "RAM block 'pc.ram'");
  assert_add_fails ("pc.ram", 17 * PAGE, &named, CPR_ERROR_SYSTEM, EFBIG, "RAM block 'pc.ram'");
  ck_assert_ptr_nonnull (add ("small", 16 * PAGE));
  setrlimit (RLIMIT_FSIZE, &old);
  ck_assert_ptr_nonnull (add ("pc.ram", 17 * PAGE));
}
END_TEST

START_TEST (no_free_fd_is_emfile)
{
  const CprRamOptions options = { .size = sizeof options };
  struct rlimit old, limit;
  int next = dup (STDERR_FILENO);

  close (next);
  getrlimit (RLIMIT_NOFILE, &old);
  limit = old;
  limit.rlim_cur = (rlim_t) next;
  faults_begin (0, 0, 0); /* it fails by itself; /proc/self/maps can't be read now, so count the mappings */
  setrlimit (RLIMIT_NOFILE, &limit);
  ck_assert_ptr_null (add_with ("pc.ram", PAGE, &options));
  setrlimit (RLIMIT_NOFILE, &old);
  faults_end ();
  ck_assert_int_eq (faults.mappings, 0);
  ck_assert_int_eq (cpr_error_get_errno (error), EMFILE);
  assert_error (&error, CPR_ERROR_SYSTEM, "RAM block 'pc.ram'");
  ck_assert_ptr_nonnull (add ("pc.ram", PAGE));
}
END_TEST

/* Every call that a kind of block makes fails once. */
static void
assert_faults_leave_nothing (const CprRamOptions *options, int errnum)
{
  for (unsigned n = 1;; n++)
    {
      g_autofree char *before = process_describe ();
      CprRamBlock *block;

      faults_begin (n, errnum, 0);
      block = add_with ("pc.ram", 4 * PAGE, options);
      faults_end ();
      ck_assert ((block != NULL) == (faults.failed == NULL));
      if (block != NULL)
        break;
      ck_assert_msg (cpr_error_get_errno (error) != 0, "%s: %s", faults.failed, error->message);
      assert_error (&error, CPR_ERROR_SYSTEM, "pc.ram'");
      ck_assert_int_eq (faults.mappings, 0);
      assert_process_is (before);
      ck_assert_uint_eq (table.blocks->len, 0);
      ck_assert_uint_eq (fds.entries->len, 0);
    }
  cpr_ram_table_remove (&table, &fds, table.blocks->pdata[0], NULL);
}

START_TEST (add_that_fails_leaves_no_fd_and_no_mapping)
{
  static const unsigned flags = CPR_RAM_PREALLOC | CPR_RAM_HUGE_PAGES | CPR_RAM_DONT_DUMP | CPR_RAM_DONT_FORK;
  g_autofree char *path = g_build_filename (folder, "ram", NULL);
  int fd = file_new (4 * PAGE);
  const CprRamOptions kinds[] = {
    { .size = sizeof (CprRamOptions),
      .flags = flags | (under_valgrind () ? 0 : CPR_RAM_LOCKED) }, /* no mlock2() there */
    { .size = sizeof (CprRamOptions), .flags = flags, .backend = CPR_RAM_FILE, .path = path },
    { .size = sizeof (CprRamOptions), .flags = flags, .backend = CPR_RAM_FD, .fd = fd },
    { .size = sizeof (CprRamOptions), .flags = flags, .backend = CPR_RAM_PRIVATE },
  };

  for (size_t i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      assert_faults_leave_nothing (&kinds[i], 0);
      assert_faults_leave_nothing (&kinds[i], ENOMEM);
      unlink (path);
    }
  close (fd);
}
END_TEST

START_TEST (a_memfd_is_sealed_against_shrinking_only)
{
  CprRamBlock *block = add ("pc.ram", 4 * PAGE);
  int fd = cpr_ram_block_get_fd (block);

  errno = 0;
  ck_assert_int_lt (ftruncate (fd, (off_t) PAGE), 0);
  ck_assert_int_eq (errno, EPERM);
  ck_assert_int_eq (fcntl (fd, F_GET_SEALS) & (F_SEAL_SHRINK | F_SEAL_WRITE | F_SEAL_GROW), F_SEAL_SHRINK);
}
END_TEST

START_TEST (a_short_file_is_grown_and_a_long_one_kept)
{
  g_autofree char *path = g_build_filename (folder, "ram", NULL);
  const CprRamOptions options = { .size = sizeof options, .backend = CPR_RAM_FILE, .path = path };
  CprRamBlock *block = add_with ("pc.ram", 4 * PAGE, &options);
  struct stat st;

  ck_assert_ptr_nonnull (block);
  ck_assert_int_eq (stat (path, &st), 0);
  ck_assert_int_eq (st.st_size, 4 * PAGE);
  ck_assert_uint_eq (st.st_mode & 0777, 0600);
  memset (cpr_ram_block_get_vaddr (block), 0x77, PAGE);
  ck_assert (cpr_ram_table_remove (&table, &fds, block, &error));
  block = add_with ("pc.ram", 2 * PAGE, &options);
  ck_assert_int_eq (stat (path, &st), 0);
  ck_assert_int_eq (st.st_size, 4 * PAGE);
  ck_assert_uint_eq (*(uint8_t *) cpr_ram_block_get_vaddr (block), 0x77);
}
END_TEST

START_TEST (a_file_that_cannot_be_opened_is_named)
{
  g_autofree char *path = g_build_filename (folder, "missing", "ram", NULL);
  const CprRamOptions none = { .size = sizeof none, .backend = CPR_RAM_FILE, .path = path },
                      directory = { .size = sizeof directory, .backend = CPR_RAM_FILE, .path = folder };

  assert_add_fails ("pc.ram", PAGE, &none, CPR_ERROR_SYSTEM, ENOENT, path);
  assert_add_fails ("pc.ram", PAGE, &directory, CPR_ERROR_SYSTEM, EISDIR, "RAM block 'pc.ram'");
}
END_TEST

START_TEST (an_fd_of_the_vmm_is_duplicated_and_must_be_long_enough)
{
  int fd = file_new (4 * PAGE), read_only;
  CprRamOptions options = { .size = sizeof options, .backend = CPR_RAM_FD, .fd = fd };
  g_autofree char *path = g_strdup_printf ("/proc/self/fd/%d", fd);
  CprRamBlock *block;

  assert_add_fails ("pc.ram", 5 * PAGE, &options, CPR_ERROR_INVALID, 0,
                    "RAM block 'pc.ram': its backing has 16384 bytes, 20480 needed");
  block = add_with ("pc.ram", 4 * PAGE, &options);
  ck_assert_ptr_nonnull (block);
  ck_assert_int_ne (cpr_ram_block_get_fd (block), fd);
  ck_assert (cpr_ram_table_remove (&table, &fds, block, &error));
  ck_assert_int_ge (fcntl (fd, F_GETFD), 0);
  read_only = open (path, O_RDONLY | O_CLOEXEC);
  options.fd = read_only;
  assert_add_fails ("pc.ram", PAGE, &options, CPR_ERROR_SYSTEM, EACCES, "RAM block 'pc.ram'");
  close (read_only);
  close (fd);
  assert_add_fails ("pc.ram", PAGE, &options, CPR_ERROR_SYSTEM, EBADF, "RAM block 'pc.ram'");
}
END_TEST

START_TEST (private_memory_has_no_fd_and_is_an_obstacle)
{
  const CprRamOptions options = { .size = sizeof options, .backend = CPR_RAM_PRIVATE },
                      shared = { .size = sizeof shared };
  g_autofree char *obstacle = cpr_ram_describe_obstacle ("pc.ram", &options);
  CprRamBlock *block = add_with ("pc.ram", 2 * PAGE, &options);

  ck_assert_int_eq (cpr_ram_block_get_fd (block), -1);
  ((uint8_t *) cpr_ram_block_get_vaddr (block))[2 * PAGE - 1] = 1;
  ck_assert_str_eq (obstacle, "RAM block 'pc.ram': private memory isn't handed over to another program");
  ck_assert_ptr_null (cpr_ram_describe_obstacle ("pc.ram", &shared));
  ck_assert_ptr_null (cpr_ram_describe_obstacle ("", &options)); /* that is another error */
}
END_TEST

START_TEST (remove_gives_back_fd_and_mapping_and_knows_its_own)
{
  g_autofree char *before = process_describe ();
  CprRamBlock *block = add ("pc.ram", PAGE), stranger = { .name = (char *) "other" };

  ck_assert (!cpr_ram_table_remove (&table, &fds, &stranger, &error));
  assert_error (&error, CPR_ERROR_NOT_FOUND, "RAM block");
  ck_assert (cpr_ram_table_remove (&table, &fds, block, &error));
  assert_process_is (before);
  ck_assert_uint_eq (fds.entries->len, 0);
}
END_TEST

/* ---- The other side. */

static CprFdTable incoming_fds;
static CprRamTable incoming;

static bool
read_tables (CprWriter *writer, size_t ram_start)
{
  CprCursor first = { .data = writer->data + CPR_FORMAT_HEADER_SIZE, .len = ram_start - CPR_FORMAT_HEADER_SIZE },
            second = written_from (writer, ram_start);

  cpr_fd_table_init (&incoming_fds);
  cpr_ram_table_init (&incoming);
  ck_assert (cpr_fd_table_read (&incoming_fds, &first, &error));
  return cpr_ram_table_read (&incoming, &incoming_fds, &second, &error);
}

static void
hand_over (void)
{
  CprWriter writer;
  size_t start;

  cpr_writer_init (&writer, -1);
  cpr_fd_table_write (&fds, &writer);
  start = writer.len;
  cpr_ram_table_write (&table, &writer);
  ck_assert (read_tables (&writer, start));
  cpr_writer_clear (&writer);
}

static void
incoming_clear (void)
{
  for (guint i = 0; i < incoming.blocks->len; i++) /* here both sides have the same fds; they stay the first one's */
    ((CprRamBlock *) incoming.blocks->pdata[i])->owned = false;
  cpr_ram_table_clear (&incoming);
  cpr_fd_table_clear (&incoming_fds);
}

START_TEST (take_maps_the_same_memory_with_both_sides_flags)
{
  CprRamOptions options = { .size = sizeof options, .flags = CPR_RAM_DONT_DUMP };
  CprRamBlock *block = add_with ("pc.ram", 4 * PAGE, &options), *taken;

  strcpy (cpr_ram_block_get_vaddr (block), "contents");
  hand_over ();
  options.flags = CPR_RAM_DONT_FORK;
  taken = cpr_ram_table_take (&incoming, "pc.ram", 4 * PAGE, &options, &error);
  ck_assert_ptr_nonnull (taken);
  ck_assert_ptr_ne (cpr_ram_block_get_vaddr (taken), cpr_ram_block_get_vaddr (block));
  ck_assert_str_eq (cpr_ram_block_get_vaddr (taken), "contents");
  ck_assert_uint_eq (taken->flags, CPR_RAM_DONT_DUMP | CPR_RAM_DONT_FORK);
  incoming_clear ();
}
END_TEST

/* Writes to memory by a system call, which fails where a program's own write would be a SIGSEGV. */
static bool
is_writable (void *at)
{
  int zero = open ("/dev/zero", O_RDONLY | O_CLOEXEC);
  bool wrote = read (zero, at, 1) == 1;

  ck_assert (wrote || errno == EFAULT);
  close (zero);
  return wrote;
}

START_TEST (protected_blocks_are_read_only_until_they_are_released)
{
  const CprRamOptions options = { .size = sizeof options, .flags = CPR_RAM_DONT_FORK };
  CprRamBlock *block = add_with ("pc.ram", 4 * PAGE, &options), *taken;

  strcpy (cpr_ram_block_get_vaddr (block), "contents");
  hand_over ();
  incoming.read_only = true;
  taken = cpr_ram_table_take (&incoming, "pc.ram", 4 * PAGE, &options, &error);
  ck_assert_ptr_nonnull (taken);
  ck_assert_str_eq (cpr_ram_block_get_vaddr (taken), "contents");
  ck_assert (!is_writable (cpr_ram_block_get_vaddr (taken)));
  faults_begin (1, ENOMEM, 0);
  ck_assert (!cpr_ram_table_unprotect (&incoming, &error));
  faults_end ();
  assert_error (&error, CPR_ERROR_SYSTEM, "RAM block 'pc.ram': making 16384 bytes writable: Cannot allocate memory");
  ck_assert (cpr_ram_table_unprotect (&incoming, &error));
  ck_assert (is_writable (cpr_ram_block_get_vaddr (taken)));
  ck_assert_str_eq (cpr_ram_block_get_vaddr (block), "");
  incoming_clear ();
}
END_TEST

START_TEST (take_refuses_another_size_or_backend_and_a_second_time)
{
  const CprRamOptions memfd = { .size = sizeof memfd },
                      private = { .size = sizeof private, .backend = CPR_RAM_PRIVATE };

  add ("pc.ram", 4 * PAGE);
  hand_over ();
  ck_assert_ptr_null (cpr_ram_table_take (&incoming, "pc.ram", 8 * PAGE, &memfd, &error));
  assert_error (&error, CPR_ERROR_MISMATCH, "RAM block 'pc.ram': size is 16384 in the state, 32768 here");
  ck_assert_ptr_null (cpr_ram_table_take (&incoming, "pc.ram", 4 * PAGE, &private, &error));
  assert_error (&error, CPR_ERROR_MISMATCH, "RAM block 'pc.ram': backend is memfd in the state, private here");
  ck_assert_ptr_null (cpr_ram_table_take (&incoming, "pc.rom", 4 * PAGE, &memfd, &error));
  assert_error (&error, CPR_ERROR_NOT_FOUND, "RAM block 'pc.rom'");
  ck_assert_ptr_null (cpr_ram_table_take (&incoming, "", 4 * PAGE, &memfd, &error));
  assert_error (&error, CPR_ERROR_INVALID, "RAM block ''");
  ck_assert_ptr_nonnull (cpr_ram_table_take (&incoming, "pc.ram", 4 * PAGE, &memfd, &error));
  ck_assert_ptr_null (cpr_ram_table_take (&incoming, "pc.ram", 4 * PAGE, &memfd, &error));
  assert_error (&error, CPR_ERROR_EXISTS, "RAM block 'pc.ram': it was taken before");
  incoming_clear ();
}
END_TEST

START_TEST (untaken_blocks_are_named)
{
  const CprRamOptions memfd = { .size = sizeof memfd };
  g_autofree char *two = NULL, *none = NULL;

  add ("pc.ram", PAGE);
  add ("pc.rom", PAGE);
  hand_over ();
  two = cpr_ram_table_describe_unclaimed (&incoming);
  ck_assert_str_eq (two, "'pc.ram', 'pc.rom'");
  cpr_ram_table_take (&incoming, "pc.ram", PAGE, &memfd, NULL);
  cpr_ram_table_take (&incoming, "pc.rom", PAGE, &memfd, NULL);
  none = cpr_ram_table_describe_unclaimed (&incoming);
  ck_assert_ptr_null (none);
  incoming_clear ();
}
END_TEST

typedef struct
{
  const char *name;
  uint64_t size;
  uint32_t backend, flags;
} Row;

static void
assert_refused (Row first, Row second, const char *text)
{
  const Row rows[] = { first, second };
  CprWriter writer;
  size_t start;

  cpr_writer_init (&writer, -1);
  cpr_fd_table_write (&fds, &writer);
  start = writer.len;
  cpr_writer_put_u32 (&writer, 2);
  for (size_t i = 0; i < 2; i++)
    {
      cpr_writer_put_string (&writer, rows[i].name);
      cpr_writer_put_u64 (&writer, rows[i].size);
      cpr_writer_put_u32 (&writer, rows[i].backend);
      cpr_writer_put_u32 (&writer, rows[i].flags);
    }
  ck_assert (!read_tables (&writer, start));
  assert_error (&error, CPR_ERROR_CORRUPT, text);
  incoming_clear ();
  cpr_writer_clear (&writer);
}

START_TEST (read_refuses_what_cannot_be_right)
{
  const Row right = { "pc.ram", PAGE, CPR_RAM_MEMFD, 0 };

  add ("pc.ram", PAGE);
  add ("pc.rom", PAGE);
  assert_refused (right, (Row){ "pc.ram", PAGE, CPR_RAM_MEMFD, 0 }, "RAM: block 'pc.ram' is there twice");
  assert_refused (right, (Row){ "pc.rom", 0, CPR_RAM_MEMFD, 0 }, "'pc.rom' has 0 bytes, 1 to ");
  assert_refused (right, (Row){ "pc.rom", UINT64_MAX, CPR_RAM_MEMFD, 0 }, "'pc.rom'");
  assert_refused (right, (Row){ "pc.rom", PAGE, CPR_RAM_PRIVATE, 0 }, "'pc.rom'");
  assert_refused (right, (Row){ "pc.rom", PAGE, 77, 0 }, "'pc.rom' has backing 77, at most ");
  assert_refused (right, (Row){ "pc.rom", PAGE, CPR_RAM_MEMFD, 1u << 31 }, "'pc.rom' has flags 0x80000000, only ");
  assert_refused (right, (Row){ "pc.bios", PAGE, CPR_RAM_MEMFD, 0 }, "RAM: block 'pc.bios' has no fd");
  assert_refused (right, (Row){ "", PAGE, CPR_RAM_MEMFD, 0 }, "RAM: block ''");
}
END_TEST

static int
failing_mlock2 (const void *address G_GNUC_UNUSED, size_t size G_GNUC_UNUSED, unsigned flags G_GNUC_UNUSED)
{
  errno = ENOMEM;
  return -1;
}

START_TEST (take_that_fails_can_be_made_again)
{
  const CprRamOptions memfd = { .size = sizeof memfd }, locked = { .size = sizeof locked, .flags = CPR_RAM_LOCKED };
  CprSys sys = cpr_sys_kernel;
  g_autofree char *unclaimed = NULL;
  CprRamBlock *block;

  add ("pc.ram", PAGE);
  hand_over ();
  sys.mlock2 = failing_mlock2;
  cpr_sys = &sys;
  ck_assert_ptr_null (cpr_ram_table_take (&incoming, "pc.ram", PAGE, &locked, &error));
  cpr_sys = &cpr_sys_kernel;
  assert_error (&error, CPR_ERROR_SYSTEM, "RAM block 'pc.ram'");
  unclaimed = cpr_ram_table_describe_unclaimed (&incoming);
  ck_assert_str_eq (unclaimed, "'pc.ram'");
  block = cpr_ram_table_take (&incoming, "pc.ram", PAGE, &memfd, &error);
  assert_no_error (error);
  ck_assert_uint_eq (block->flags, 0);
  incoming_clear ();
}
END_TEST

START_TEST (take_refuses_a_backing_that_was_cut_meanwhile)
{
  g_autofree char *path = g_strdup_printf ("/tmp/libcpr-test-%d", (int) getpid ());
  const CprRamOptions file = { .size = sizeof file, .backend = CPR_RAM_FILE, .path = path };

  ck_assert_ptr_nonnull (add_with ("pc.ram", 4 * PAGE, &file));
  hand_over ();
  ck_assert_int_eq (truncate (path, PAGE), 0);
  unlink (path);
  ck_assert_ptr_null (cpr_ram_table_take (&incoming, "pc.ram", 4 * PAGE, &file, &error));
  assert_error (&error, CPR_ERROR_INVALID, "RAM block 'pc.ram': its backing has 4096 bytes, 16384 needed");
  incoming_clear ();
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("ram");

  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, a_new_block_is_zero_and_writable);
  tcase_add_test (tests, add_refuses_sizes_that_are_no_multiple_of_the_page);
  tcase_add_test (tests, add_refuses_names_of_no_and_of_256_bytes);
  tcase_add_test (tests, add_refuses_a_duplicate_name);
  tcase_add_test (tests, add_refuses_unknown_options);
  tcase_add_test (tests, passing_the_file_size_limit_is_efbig_and_no_signal);
  tcase_add_test (tests, no_free_fd_is_emfile);
  tcase_add_test (tests, add_that_fails_leaves_no_fd_and_no_mapping);
  tcase_add_test (tests, a_memfd_is_sealed_against_shrinking_only);
  tcase_add_test (tests, a_short_file_is_grown_and_a_long_one_kept);
  tcase_add_test (tests, a_file_that_cannot_be_opened_is_named);
  tcase_add_test (tests, an_fd_of_the_vmm_is_duplicated_and_must_be_long_enough);
  tcase_add_test (tests, private_memory_has_no_fd_and_is_an_obstacle);
  tcase_add_test (tests, remove_gives_back_fd_and_mapping_and_knows_its_own);
  tcase_add_test (tests, take_maps_the_same_memory_with_both_sides_flags);
  tcase_add_test (tests, protected_blocks_are_read_only_until_they_are_released);
  tcase_add_test (tests, take_refuses_another_size_or_backend_and_a_second_time);
  tcase_add_test (tests, untaken_blocks_are_named);
  tcase_add_test (tests, read_refuses_what_cannot_be_right);
  tcase_add_test (tests, take_that_fails_can_be_made_again);
  tcase_add_test (tests, take_refuses_a_backing_that_was_cut_meanwhile);
  return run_suite (suite);
}
