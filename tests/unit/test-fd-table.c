/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "helpers.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static CprFdTable table;
static int file;
static GError *error;

static void
setup (void)
{
  cpr_fd_table_init (&table);
  file = file_new (1);
  error = NULL;
}

static void
teardown (void)
{
  cpr_fd_clear (&file);
  cpr_fd_table_clear (&table);
}

static CprFdEntry *
add (const char *name, int index, int fd)
{
  ck_assert (cpr_fd_table_add (&table, name, index, fd, &error));
  assert_no_error (error);
  return cpr_fd_table_find (&table, name, index);
}

/* The table, written and read by another program: everything is unclaimed there. */
static void
hand_over (CprFdTable *to)
{
  CprWriter writer;
  CprCursor cursor;

  cpr_writer_init (&writer, -1);
  cpr_writer_begin_chunk (&writer, CPR_CHUNK_FDS, 0);
  cpr_fd_table_write (&table, &writer);
  cursor = written_from (&writer, CPR_FORMAT_HEADER_SIZE + CPR_FORMAT_CHUNK_HEADER_SIZE);
  cpr_fd_table_init (to);
  ck_assert (cpr_fd_table_read (to, &cursor, &error));
  cpr_writer_clear (&writer);
}

START_TEST (names_have_1_to_255_bytes)
{
  g_autofree char *longest = name_of (255), *too_long = name_of (256);

  ck_assert (cpr_fd_table_check_name ("a", 0, &error));
  ck_assert (cpr_fd_table_check_name (longest, G_MAXINT, &error));
  ck_assert (!cpr_fd_table_check_name ("", 0, &error));
  assert_error (&error, CPR_ERROR_INVALID, "fd '': a name has 1 to 255 bytes, not 0");
  ck_assert (!cpr_fd_table_check_name (too_long, 0, &error));
  assert_error (&error, CPR_ERROR_INVALID, "1 to 255 bytes, not 256");
}
END_TEST

START_TEST (check_name_refuses_the_library_s_own_and_negative_indices)
{
  ck_assert (!cpr_fd_table_check_name ("libcpr:ram", 0, &error));
  assert_error (&error, CPR_ERROR_INVALID, "fd 'libcpr:ram'");
  ck_assert (cpr_fd_table_check_name ("libcpr", 0, &error));
  ck_assert (!cpr_fd_table_check_name ("disk", -1, &error));
  assert_error (&error, CPR_ERROR_INVALID, "fd 'disk': the index should be 0 or more, and is -1");
}
END_TEST

START_TEST (add_refuses_a_duplicate_name)
{
  int other = file_new (1);

  add ("disk", 0, file);
  ck_assert (!cpr_fd_table_add (&table, "disk", 0, other, &error));
  assert_error (&error, CPR_ERROR_EXISTS, "fd 'disk' 0: it is in the table already");
  add ("disk", 1, other);
  ck_assert_uint_eq (table.entries->len, 2);
  close (other);
}
END_TEST

START_TEST (add_refuses_one_fd_under_two_names)
{
  add ("disk", 0, file);
  ck_assert (!cpr_fd_table_add (&table, "log", 3, file, &error));
  assert_error (&error, CPR_ERROR_EXISTS, "fd 'log' 3");
  ck_assert (!cpr_fd_table_add (&table, "log", 3, file, &error));
  assert_error (&error, CPR_ERROR_EXISTS, "is in the table as 'disk' 0");
  ck_assert_ptr_null (cpr_fd_table_find (&table, "log", 3));
}
END_TEST

START_TEST (add_refuses_a_negative_fd)
{
  ck_assert (!cpr_fd_table_add (&table, "disk", 0, -1, &error));
  assert_error (&error, CPR_ERROR_INVALID, "fd 'disk' 0: the fd should be 0 or more, and is -1");
  ck_assert_uint_eq (table.entries->len, 0);
}
END_TEST

START_TEST (add_takes_an_fd_whatever_its_number)
{
  const int was = fcntl (STDIN_FILENO, F_DUPFD_CLOEXEC, 100), flags = fcntl (STDIN_FILENO, F_GETFD);

  ck_assert_int_eq (dup2 (file, STDIN_FILENO), STDIN_FILENO);
  ck_assert (cpr_fd_table_add (&table, "image", 0, STDIN_FILENO, &error));
  ck_assert (cpr_fd_table_has_fd (&table, STDIN_FILENO));
  ck_assert_int_eq (cpr_fd_table_find (&table, "image", 0)->fd, STDIN_FILENO);
  ck_assert_int_eq (fcntl (STDIN_FILENO, F_GETFD), FD_CLOEXEC);
  ck_assert (cpr_fd_table_verify (&table, 0, &error));
  cpr_fd_table_remove (&table, cpr_fd_table_find (&table, "image", 0));
  ck_assert (!cpr_fd_table_has_fd (&table, STDIN_FILENO));
  ck_assert (dup2 (was, STDIN_FILENO) == STDIN_FILENO && fcntl (STDIN_FILENO, F_SETFD, flags) == 0 && close (was) == 0);
}
END_TEST

START_TEST (add_refuses_a_closed_fd)
{
  ck_assert (!cpr_fd_table_add (&table, "disk", 5, 1000, &error));
  ck_assert_int_eq (cpr_error_get_errno (error), EBADF);
  assert_error (&error, CPR_ERROR_SYSTEM, "fd 'disk' 5: fd 1000");
  ck_assert_ptr_null (cpr_fd_table_find (&table, "disk", 5));
  ck_assert (!cpr_fd_table_has_fd (&table, 1000));
}
END_TEST

START_TEST (add_makes_close_on_exec)
{
  fcntl (file, F_SETFD, 0);
  add ("disk", 0, file);
  ck_assert_int_eq (fcntl (file, F_GETFD), FD_CLOEXEC);
}
END_TEST

START_TEST (remove_leaves_the_fd_open_and_frees_name_and_fd)
{
  cpr_fd_table_remove (&table, add ("disk", 0, file));
  ck_assert_int_ge (fcntl (file, F_GETFD), 0);
  ck_assert_ptr_null (cpr_fd_table_find (&table, "disk", 0));
  ck_assert (!cpr_fd_table_has_fd (&table, file));
  add ("disk", 0, file);
}
END_TEST

START_TEST (take_gives_what_was_handed_over_once)
{
  CprFdTable incoming;

  add ("disk", 2, file);
  hand_over (&incoming);
  ck_assert_int_eq (cpr_fd_table_take (&incoming, "disk", 2, &error), file);
  ck_assert_int_eq (cpr_fd_table_take (&incoming, "disk", 2, &error), -1);
  assert_error (&error, CPR_ERROR_EXISTS, "fd 'disk' 2: it was taken before");
  ck_assert_int_eq (cpr_fd_table_take (&incoming, "disk", 0, &error), -1);
  assert_error (&error, CPR_ERROR_NOT_FOUND, "fd 'disk' 0");
  ck_assert_int_eq (cpr_fd_table_take (&incoming, "disc", 2, &error), -1);
  assert_error (&error, CPR_ERROR_NOT_FOUND, "fd 'disc' 2");
  cpr_fd_table_clear (&incoming);
}
END_TEST

START_TEST (handed_over_entries_are_as_they_were_and_in_order)
{
  g_autofree char *longest = name_of (255);
  int event = eventfd (0, 0), ends[2];
  CprFdTable incoming;

  ck_assert_int_eq (socketpair (AF_UNIX, SOCK_DGRAM, 0, ends), 0);
  add (longest, G_MAXINT, file);
  add ("event", 0, event);
  add ("socket", 0, ends[0]);
  hand_over (&incoming);
  ck_assert_uint_eq (incoming.entries->len, 3);
  for (guint i = 0; i < 3; i++)
    {
      const CprFdEntry *a = table.entries->pdata[i], *b = incoming.entries->pdata[i];

      ck_assert_str_eq (a->name, b->name);
      ck_assert_int_eq (a->index, b->index);
      ck_assert_int_eq (a->fd, b->fd);
      ck_assert (cpr_fd_identity_equal (&a->identity, &b->identity));
      ck_assert (a->claimed && !b->claimed);
    }
  ck_assert (cpr_fd_table_verify (&incoming, 0, &error));
  cpr_fd_table_clear (&incoming);
  close (event);
  close (ends[0]);
  close (ends[1]);
}
END_TEST

START_TEST (unclaimed_entries_are_named)
{
  int other = file_new (1), own = file_new (1);
  g_autofree char *all = NULL, *one = NULL, *none = NULL;
  CprFdTable incoming;

  add ("a", 0, file);
  add ("b", 7, other);
  add ("libcpr:ram", 0, own);
  hand_over (&incoming);
  all = cpr_fd_table_describe_unclaimed (&incoming);
  ck_assert_str_eq (all, "'a' 0, 'b' 7");
  cpr_fd_table_take (&incoming, "a", 0, NULL);
  one = cpr_fd_table_describe_unclaimed (&incoming);
  ck_assert_str_eq (one, "'b' 7");
  cpr_fd_table_take (&incoming, "b", 7, NULL);
  none = cpr_fd_table_describe_unclaimed (&incoming);
  ck_assert_ptr_null (none);
  cpr_fd_table_clear (&incoming);
  close (other);
  close (own);
}
END_TEST

/* Puts @by under the number of @fd. */
static void
swap_fd (int fd, int by)
{
  ck_assert_int_eq (dup3 (by, fd, O_CLOEXEC), fd);
  close (by);
}

static void
assert_swap_is_seen (int fd, int by, const char *was, const char *is)
{
  add ("disk", 4, fd);
  ck_assert (cpr_fd_table_verify (&table, 0, &error));
  swap_fd (fd, by);
  ck_assert (!cpr_fd_table_verify (&table, 0, &error));
  ck_assert_ptr_nonnull (strstr (error->message, was));
  ck_assert_ptr_nonnull (strstr (error->message, is));
  assert_error (&error, CPR_ERROR_MISMATCH, "fd 'disk' 4");
  close (fd);
}

START_TEST (verify_sees_a_closed_fd)
{
  int other = dup (file);

  add ("disk", 4, other);
  close (other);
  ck_assert (!cpr_fd_table_verify (&table, 0, &error));
  assert_error (&error, CPR_ERROR_MISMATCH, "fd 'disk' 4");
}
END_TEST

START_TEST (verify_sees_another_file)
{
  assert_swap_is_seen (file_new (1), file_new (1), "was file", "is file");
}
END_TEST

START_TEST (verify_sees_a_socket_instead_of_a_pipe)
{
  int pipes[2], sockets[2];

  ck_assert_int_eq (pipe (pipes), 0);
  ck_assert_int_eq (socketpair (AF_UNIX, SOCK_STREAM, 0, sockets), 0);
  assert_swap_is_seen (pipes[0], sockets[0], "was pipe", "is socket");
  close (pipes[1]);
  close (sockets[1]);
}
END_TEST

START_TEST (verify_sees_another_access_mode)
{
  assert_swap_is_seen (open ("/dev/null", O_RDONLY), open ("/dev/null", O_RDWR), "(access mode 0)", "(access mode 2)");
}
END_TEST

START_TEST (verify_sees_the_other_end_of_a_pipe)
{
  int pipes[2];

  ck_assert_int_eq (pipe (pipes), 0);
  assert_swap_is_seen (pipes[0], pipes[1], "(access mode 0)", "(access mode 1)");
}
END_TEST

/* A process with the fds that this one has now; it ends with its pipe. */
static pid_t
fork_peer (int *pipe_end)
{
  int ends[2];
  pid_t peer;

  ck_assert_int_eq (pipe (ends), 0);
  peer = fork ();
  if (peer == 0)
    {
      char byte;

      close (ends[1]);
      _exit (read (ends[0], &byte, 1) == 0 ? 0 : 1);
    }
  ck_assert_int_gt (peer, 0);
  close (ends[0]);
  *pipe_end = ends[1];
  return peer;
}

START_TEST (verify_tells_anonymous_inodes_apart_by_the_peer)
{
  int event = eventfd (0, EFD_CLOEXEC), pipe_end;
  pid_t peer;

  add ("irq", 9, event);
  peer = fork_peer (&pipe_end);
  ck_assert (cpr_fd_table_verify (&table, peer, &error));
  swap_fd (event, eventfd (0, EFD_CLOEXEC));
  ck_assert (cpr_fd_table_verify (&table, 0, &error)); /* without a peer nobody can tell */
  ck_assert (!cpr_fd_table_verify (&table, peer, &error));
  assert_error (&error, CPR_ERROR_MISMATCH, "fd 'irq' 9");
  close (pipe_end);
  ck_assert_int_eq (waitpid (peer, NULL, 0), peer);
  close (event);
}
END_TEST

static int
denied_kcmp (pid_t a G_GNUC_UNUSED, pid_t b G_GNUC_UNUSED, int fd1 G_GNUC_UNUSED, int fd2 G_GNUC_UNUSED)
{
  errno = EPERM;
  return -1;
}

START_TEST (verify_is_content_with_the_type_where_kcmp_is_denied)
{
  int event = eventfd (0, EFD_CLOEXEC);
  CprSys denied = cpr_sys_kernel;

  denied.kcmp_file = denied_kcmp;
  add ("irq", 9, event);
  cpr_sys = &denied;
  ck_assert (cpr_fd_table_verify (&table, 1, &error));
  cpr_sys = &cpr_sys_kernel;
  close (event);
}
END_TEST

typedef struct
{
  const char *name;
  uint32_t index, fd;
} Row;

/* Reads a table of two rows, of which the second is wrong. */
static void
assert_refused (Row second, const char *text)
{
  const Row rows[] = { { "disk", 1, 10 }, second };
  CprFdTable incoming;
  CprCursor cursor;
  CprWriter writer;

  cpr_writer_init (&writer, -1);
  cpr_writer_put_u32 (&writer, 2);
  for (size_t i = 0; i < 2; i++)
    {
      cpr_writer_put_string (&writer, rows[i].name);
      cpr_writer_put_u32 (&writer, rows[i].index);
      cpr_writer_put_u32 (&writer, rows[i].fd);
      for (int j = 0; j < 8; j++)
        cpr_writer_put_u32 (&writer, 0);
    }
  cursor = written_from (&writer, CPR_FORMAT_HEADER_SIZE);
  cpr_fd_table_init (&incoming);
  ck_assert (!cpr_fd_table_read (&incoming, &cursor, &error));
  assert_error (&error, CPR_ERROR_CORRUPT, text);
  cpr_fd_table_clear (&incoming);
  cpr_writer_clear (&writer);
}

START_TEST (read_refuses_what_add_would_refuse)
{
  g_autofree char *too_long = name_of (256);

  assert_refused ((Row){ "disk", 1, 11 }, "'disk' 1, fd 11, is there twice");
  assert_refused ((Row){ "log", 1, 10 }, "'log' 1, fd 10, is there twice");
  assert_refused ((Row){ "", 1, 11 }, "entry 1 has a name of 0 bytes");
  assert_refused ((Row){ too_long, 1, 11 }, "entry 1 has a name of 256 bytes");
  assert_refused ((Row){ "log", 0x80000000u, 11 }, "entry 1");
  assert_refused ((Row){ "log", 1, 0x80000000u }, "entry 1, 'log', has index 1 and fd 2147483648, at most 2147483647");
  assert_refused ((Row){ "log", 1, 0xffffffffu }, "entry 1");
}
END_TEST

START_TEST (read_refuses_a_count_that_is_too_large_or_too_small)
{
  const uint8_t many[] = { 0xff, 0xff, 0xff, 0xff }, none_and_a_byte[] = { 0, 0, 0, 0, 0 };
  CprCursor cursors[] = { { .data = many, .len = 4 },
                          { .data = none_and_a_byte, .len = 5 },
                          { .data = many, .len = 3 } };

  for (size_t i = 0; i < G_N_ELEMENTS (cursors); i++)
    {
      CprFdTable incoming;

      cpr_fd_table_init (&incoming);
      ck_assert (!cpr_fd_table_read (&incoming, &cursors[i], &error));
      assert_error (&error, CPR_ERROR_CORRUPT, "fd table");
      cpr_fd_table_clear (&incoming);
    }
}
END_TEST

START_TEST (ten_thousand_entries_are_found)
{
  enum
  {
    N = 10000
  };

  for (int i = 0; i < N; i++) /* entries of fds that needn't be open here */
    {
      CprFdEntry *entry;

      add ("queue", i, file);
      entry = cpr_fd_table_find (&table, "queue", i);
      g_hash_table_remove (table.by_fd, GINT_TO_POINTER (file));
      entry->fd = 100000 + i;
      g_hash_table_insert (table.by_fd, GINT_TO_POINTER (entry->fd), entry);
    }
  for (int i = 0; i < N; i++)
    {
      ck_assert_int_eq (cpr_fd_table_find (&table, "queue", i)->fd, 100000 + i);
      ck_assert (cpr_fd_table_has_fd (&table, 100000 + i));
    }
  ck_assert_ptr_null (cpr_fd_table_find (&table, "queue", N));
}
END_TEST

/* A table of @n entries as it is read: so many names with some indices each, and fds that
 * needn't be open. */
static void
read_many (CprFdTable *many, uint32_t n)
{
  CprWriter writer;
  CprCursor cursor;

  cpr_writer_init (&writer, -1);
  cpr_writer_put_u32 (&writer, n);
  for (uint32_t i = 0; i < n; i++)
    {
      g_autofree char *name = g_strdup_printf ("queue-%u", i / 8);

      cpr_writer_put_string (&writer, name);
      cpr_writer_put_u32 (&writer, i % 8);
      cpr_writer_put_u32 (&writer, 100 + i);
      for (int j = 0; j < 8; j++)
        cpr_writer_put_u32 (&writer, 0);
    }
  cursor = written_from (&writer, CPR_FORMAT_HEADER_SIZE);
  cpr_fd_table_init (many);
  ck_assert (cpr_fd_table_read (many, &cursor, &error));
  cpr_writer_clear (&writer);
}

static CprFdEntry *
find_nth (const CprFdTable *many, uint32_t i)
{
  g_autofree char *name = g_strdup_printf ("queue-%u", i / 8);

  return cpr_fd_table_find (many, name, (int) (i % 8));
}

/* The last entry takes the place of the removed one. */
START_TEST (removing_entries_in_any_order_keeps_the_others_in_place)
{
  enum
  {
    N = 41 /* prime: any step meets each once */
  };

  for (uint32_t step = 1; step < N; step++)
    {
      bool gone[N] = { false };
      CprFdTable many;

      read_many (&many, N);
      for (uint32_t i = 0, next = step; i < N; i++, next = (next + step) % N)
        {
          cpr_fd_table_remove (&many, find_nth (&many, next));
          gone[next] = true;
          ck_assert_uint_eq (many.entries->len, N - i - 1);
          for (guint j = 0; j < many.entries->len; j++)
            ck_assert_uint_eq (((CprFdEntry *) many.entries->pdata[j])->position, j);
          for (uint32_t j = 0; j < N; j++)
            {
              ck_assert ((find_nth (&many, j) == NULL) == gone[j]);
              ck_assert (cpr_fd_table_has_fd (&many, 100 + (int) j) == !gone[j]);
              ck_assert (gone[j] || find_nth (&many, j)->fd == 100 + (int) j);
            }
        }
      cpr_fd_table_clear (&many);
    }
}
END_TEST

START_TEST (a_name_and_fd_that_were_removed_can_be_added_again)
{
  cpr_fd_table_remove (&table, add ("disk", 0, file));
  cpr_fd_table_remove (&table, add ("disk", 0, file));
  ck_assert_uint_eq (table.entries->len, 0);
  add ("log", 1, file);
  ck_assert_int_eq (cpr_fd_table_find (&table, "log", 1)->fd, file);
}
END_TEST

/* The CPU time that it takes to read a table, find each of its entries and remove it. */
static uint64_t
measure (uint32_t n)
{
  struct timespec before, after;
  CprFdTable many;

  clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &before);
  read_many (&many, n);
  for (uint32_t i = 0; i < n; i++)
    cpr_fd_table_remove (&many, find_nth (&many, i));
  ck_assert_uint_eq (many.entries->len, 0);
  cpr_fd_table_clear (&many);
  clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &after);
  return (uint64_t) (after.tv_sec - before.tv_sec) * 1000000000 + (uint64_t) (after.tv_nsec - before.tv_nsec);
}

START_TEST (a_hundred_thousand_entries_cost_no_more_each_than_ten_thousand)
{
  uint64_t few = UINT64_MAX, many = UINT64_MAX;

  for (int i = 0; i < (under_valgrind () ? 1 : 3); i++)
    {
      few = MIN (few, measure (10000));
      many = MIN (many, measure (100000));
    }
  ck_assert_msg (many < 40 * few, "%" G_GUINT64_FORMAT " µs, %" G_GUINT64_FORMAT " µs", few / 1000, many / 1000);
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("fd-table");

  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, names_have_1_to_255_bytes);
  tcase_add_test (tests, check_name_refuses_the_library_s_own_and_negative_indices);
  tcase_add_test (tests, add_refuses_a_duplicate_name);
  tcase_add_test (tests, add_refuses_one_fd_under_two_names);
  tcase_add_test (tests, add_refuses_a_negative_fd);
  tcase_add_test (tests, add_takes_an_fd_whatever_its_number);
  tcase_add_test (tests, add_refuses_a_closed_fd);
  tcase_add_test (tests, add_makes_close_on_exec);
  tcase_add_test (tests, remove_leaves_the_fd_open_and_frees_name_and_fd);
  tcase_add_test (tests, take_gives_what_was_handed_over_once);
  tcase_add_test (tests, handed_over_entries_are_as_they_were_and_in_order);
  tcase_add_test (tests, unclaimed_entries_are_named);
  tcase_add_test (tests, verify_sees_a_closed_fd);
  tcase_add_test (tests, verify_sees_another_file);
  tcase_add_test (tests, verify_sees_a_socket_instead_of_a_pipe);
  tcase_add_test (tests, verify_sees_another_access_mode);
  tcase_add_test (tests, verify_sees_the_other_end_of_a_pipe);
  tcase_add_test (tests, verify_tells_anonymous_inodes_apart_by_the_peer);
  tcase_add_test (tests, verify_is_content_with_the_type_where_kcmp_is_denied);
  tcase_add_test (tests, read_refuses_what_add_would_refuse);
  tcase_add_test (tests, read_refuses_a_count_that_is_too_large_or_too_small);
  tcase_add_test (tests, ten_thousand_entries_are_found);
  tcase_add_test (tests, removing_entries_in_any_order_keeps_the_others_in_place);
  tcase_add_test (tests, a_name_and_fd_that_were_removed_can_be_added_again);
  tcase_add_test (tests, a_hundred_thousand_entries_cost_no_more_each_than_ten_thousand);
  return run_suite (suite);
}
