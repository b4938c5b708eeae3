/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static bool
same (int a, int b)
{
  CprFdIdentity x, y;

  ck_assert (cpr_fd_identify (a, &x));
  ck_assert (cpr_fd_identify (b, &y));
  return cpr_fd_identity_equal (&x, &y);
}

START_TEST (identity_tells_files_pipes_and_sockets_apart)
{
  int file = file_new (1), other = file_new (1), duplicate = dup (file), ends[2], stream[2], packets[2];

  ck_assert_int_eq (pipe (ends), 0);
  ck_assert_int_eq (socketpair (AF_UNIX, SOCK_STREAM, 0, stream), 0);
  ck_assert_int_eq (socketpair (AF_UNIX, SOCK_SEQPACKET, 0, packets), 0);
  ck_assert (same (file, file) && same (file, duplicate));
  ck_assert (!same (file, other));
  ck_assert (!same (file, ends[0]));
  ck_assert (!same (ends[0], ends[1])); /* another access mode */
  ck_assert (!same (ends[0], stream[0]));
  ck_assert (!same (stream[0], packets[0]));
  for (size_t i = 0; i < 2; i++)
    {
      close (ends[i]);
      close (stream[i]);
      close (packets[i]);
    }
  close (duplicate);
  close (other);
  close (file);
}
END_TEST

START_TEST (identity_knows_o_path)
{
  int normal = open ("/", O_RDONLY | O_CLOEXEC), path = open ("/", O_PATH | O_CLOEXEC);

  ck_assert (!same (normal, path));
  close (path);
  close (normal);
}
END_TEST

START_TEST (identity_of_a_closed_fd_is_ebadf)
{
  CprFdIdentity identity;

  errno = 0;
  ck_assert (!cpr_fd_identify (1000, &identity));
  ck_assert_int_eq (errno, EBADF);
}
END_TEST

START_TEST (anonymous_inodes_are_known_as_such)
{
  int event = eventfd (0, EFD_CLOEXEC), file = file_new (1);
  CprFdIdentity identity;
  g_autofree char *text = NULL;

  ck_assert (cpr_fd_identify (event, &identity) && cpr_fd_identity_is_anonymous (&identity));
  text = cpr_fd_identity_describe (&identity);
  ck_assert (g_str_has_prefix (text, "anonymous inode"));
  ck_assert (cpr_fd_identify (file, &identity) && !cpr_fd_identity_is_anonymous (&identity));
  close (event);
  close (file);
}
END_TEST

START_TEST (list_has_every_open_fd_from_3_up_in_order)
{
  enum
  {
    N = 600 /* more than one buffer of directory entries */
  };
  int first = file_new (1), fds[N];
  g_autoptr (GArray) list = NULL;
  unsigned found = 0;

  for (int i = 0; i < N; i++)
    fds[i] = dup (first);
  list = cpr_fd_list (NULL);
  ck_assert_ptr_nonnull (list);
  for (guint i = 0; i < list->len; i++)
    {
      int fd = g_array_index (list, int, i);

      ck_assert_int_gt (fd, i > 0 ? g_array_index (list, int, i - 1) : 2);
      ck_assert_int_ge (fcntl (fd, F_GETFD), 0); /* its own, too, is closed again */
      for (int j = 0; j < N; j++)
        found += fds[j] == fd;
    }
  ck_assert_uint_eq (found, N);
  for (int i = 0; i < N; i++)
    close (fds[i]);
  close (first);
}
END_TEST

START_TEST (list_without_a_free_fd_is_an_error)
{
  GError *error = NULL;

  faults_begin (1, EMFILE, 0);
  ck_assert_ptr_null (cpr_fd_list (&error));
  faults_end ();
  ck_assert_int_eq (cpr_error_get_errno (error), EMFILE);
  assert_error (&error, CPR_ERROR_SYSTEM, "/proc/self/fd");
}
END_TEST

START_TEST (clear_closes_once_and_keeps_errno)
{
  int fd = file_new (1), number = fd;

  errno = ENOTTY;
  cpr_fd_clear (&fd);
  ck_assert_int_eq (errno, ENOTTY);
  ck_assert_int_eq (fd, -1);
  ck_assert_int_lt (fcntl (number, F_GETFD), 0);
  cpr_fd_clear (&fd);
}
END_TEST

START_TEST (cloexec_goes_on_and_off)
{
  int fd = file_new (1);

  ck_assert (cpr_fd_set_cloexec (fd, false));
  ck_assert_int_eq (fcntl (fd, F_GETFD), 0);
  ck_assert (cpr_fd_set_cloexec (fd, true));
  ck_assert_int_eq (fcntl (fd, F_GETFD), FD_CLOEXEC);
  close (fd);
  ck_assert (!cpr_fd_set_cloexec (fd, true));
}
END_TEST

static unsigned old_kernel_calls;

static int
old_kernel_memfd_create (const char *name, unsigned flags)
{
  old_kernel_calls++;
  errno = EINVAL;
  return (flags & ~(unsigned) (MFD_CLOEXEC | MFD_ALLOW_SEALING)) != 0 ? -1 : memfd_create (name, flags);
}

START_TEST (memfd_is_made_on_a_kernel_without_noexec_seal)
{
  CprSys old_kernel = cpr_sys_kernel;
  int fd;

  old_kernel.memfd_create = old_kernel_memfd_create;
  cpr_sys = &old_kernel;
  fd = cpr_memfd_new ("unit-test", 0);
  cpr_sys = &cpr_sys_kernel;
  ck_assert_int_ge (fd, 3);
  ck_assert_uint_eq (old_kernel_calls, 2);
  ck_assert_int_eq (fcntl (fd, F_GETFD), FD_CLOEXEC);
  close (fd);
}
END_TEST

static bool
sigxfsz_is_pending (void)
{
  sigset_t pending;

  sigpending (&pending);
  return sigismember (&pending, SIGXFSZ) == 1;
}

START_TEST (passing_the_file_size_limit_is_efbig_and_no_signal)
{
  g_autofree char *before = NULL;
  g_autofree uint8_t *data = g_malloc0 (3 * PAGE);
  struct rlimit old, limit;
  int fd = file_new (0);

  before = process_describe ();
  getrlimit (RLIMIT_FSIZE, &old);
  limit = old;
  limit.rlim_cur = PAGE;
  ck_assert_int_eq (setrlimit (RLIMIT_FSIZE, &limit), 0);
  errno = 0;
  ck_assert (!cpr_fd_truncate (fd, 2 * PAGE));
  ck_assert_int_eq (errno, EFBIG);
  errno = 0;
  ck_assert (!cpr_fd_write_all (fd, data, 3 * PAGE));
  ck_assert_int_eq (errno, EFBIG);
  setrlimit (RLIMIT_FSIZE, &old);
  ck_assert (!sigxfsz_is_pending ());
  assert_process_is (before);
  close (fd);
}
END_TEST

START_TEST (a_sigxfsz_of_somebody_else_stays_pending)
{
  static const struct timespec no_time;
  struct rlimit old, limit;
  int fd = file_new (0);
  sigset_t only;

  sigemptyset (&only);
  sigaddset (&only, SIGXFSZ);
  sigprocmask (SIG_BLOCK, &only, NULL);
  raise (SIGXFSZ);
  getrlimit (RLIMIT_FSIZE, &old);
  limit = old;
  limit.rlim_cur = PAGE;
  setrlimit (RLIMIT_FSIZE, &limit);
  ck_assert (!cpr_fd_truncate (fd, 2 * PAGE));
  setrlimit (RLIMIT_FSIZE, &old);
  ck_assert (sigxfsz_is_pending ());
  ck_assert_int_eq (sigtimedwait (&only, NULL, &no_time), SIGXFSZ);
  sigprocmask (SIG_UNBLOCK, &only, NULL);
  close (fd);
}
END_TEST

static unsigned writes;

/* Interrupted, then one byte, then interrupted, … */
static ssize_t
slow_write (int fd, const void *data, size_t len)
{
  errno = EINTR;
  return writes++ % 2 == 0 ? -1 : write (fd, data, MIN (len, 1));
}

static ssize_t
full_write (int fd G_GNUC_UNUSED, const void *data G_GNUC_UNUSED, size_t len G_GNUC_UNUSED)
{
  return 0;
}

START_TEST (write_all_goes_on_after_interrupts_and_short_writes)
{
  CprSys slow = cpr_sys_kernel;
  char text[8] = "";
  int fd = file_new (0);

  slow.write = slow_write;
  cpr_sys = &slow;
  ck_assert (cpr_fd_write_all (fd, "libcpr", 6));
  cpr_sys = &cpr_sys_kernel;
  ck_assert_uint_eq (writes, 12);
  ck_assert_int_eq (pread (fd, text, sizeof text, 0), 6);
  ck_assert_str_eq (text, "libcpr");
  close (fd);
}
END_TEST

START_TEST (write_all_ends_where_nothing_is_written)
{
  CprSys full = cpr_sys_kernel;

  full.write = full_write;
  cpr_sys = &full;
  ck_assert (!cpr_fd_write_all (1, "libcpr", 6));
  ck_assert_int_eq (errno, ENOSPC);
  cpr_sys = &cpr_sys_kernel;
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("fd");

  tcase_add_test (tests, identity_tells_files_pipes_and_sockets_apart);
  tcase_add_test (tests, identity_knows_o_path);
  tcase_add_test (tests, identity_of_a_closed_fd_is_ebadf);
  tcase_add_test (tests, anonymous_inodes_are_known_as_such);
  tcase_add_test (tests, list_has_every_open_fd_from_3_up_in_order);
  tcase_add_test (tests, list_without_a_free_fd_is_an_error);
  tcase_add_test (tests, clear_closes_once_and_keeps_errno);
  tcase_add_test (tests, cloexec_goes_on_and_off);
  tcase_add_test (tests, memfd_is_made_on_a_kernel_without_noexec_seal);
  tcase_add_test (tests, passing_the_file_size_limit_is_efbig_and_no_signal);
  tcase_add_test (tests, a_sigxfsz_of_somebody_else_stays_pending);
  tcase_add_test (tests, write_all_goes_on_after_interrupts_and_short_writes);
  tcase_add_test (tests, write_all_ends_where_nothing_is_written);
  return run_suite (suite);
}
