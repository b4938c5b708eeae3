/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Listening sockets and eventfds that the library makes, or claims. */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "session/core.h"

static Guest guest;
static CprSession *session;
static GError *error;
static char *folder, *path;

static void
setup (void)
{
  guest_init (&guest);
  error = NULL;
  session = session_new (&guest, "vm");
  folder = g_dir_make_tmp ("libcpr-XXXXXX", NULL);
  path = g_build_filename (folder, "socket", NULL);
}

static void
teardown (void)
{
  cpr_session_free (session);
  unlink (path);
  ck_assert_int_eq (rmdir (folder), 0);
  g_free (path);
  g_free (folder);
  guest_clear (&guest);
}

static bool
can_connect (void)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  bool ok;

  g_strlcpy (address.sun_path, path, sizeof address.sun_path);
  ok = connect (fd, (const struct sockaddr *) &address, sizeof address) == 0;
  close (fd);
  return ok;
}

/* As if the old program had handed it over. */
static void
forget_claim (void)
{
  ((CprFdEntry *) session->fds.entries->pdata[0])->claimed = false;
}

START_TEST (a_listener_is_made_once_and_claimed_afterwards)
{
  struct stat st;
  int fd = cpr_fd_open_listener (session, "control", 0, path, &error), flags;

  assert_no_error (error);
  ck_assert (stat (path, &st) == 0 && S_ISSOCK (st.st_mode) && (st.st_mode & 0777) == 0600);
  flags = fcntl (fd, F_GETFL);
  ck_assert ((flags & O_NONBLOCK) != 0 && fcntl (fd, F_GETFD) == FD_CLOEXEC);
  ck_assert_int_eq (accept (fd, NULL, NULL), -1);
  ck_assert (can_connect ());
  ck_assert_int_eq (cpr_fd_get (session, "control", 0), fd);
  ck_assert_int_eq (cpr_fd_open_listener (session, "control", 0, path, &error), -1);
  assert_error (&error, CPR_ERROR_EXISTS, "fd 'control' 0: it is in the table already");
  forget_claim ();
  unlink (path);
  ck_assert_int_eq (cpr_fd_open_listener (session, "control", 0, path, &error), fd);
  assert_no_error (error);
  ck_assert_int_ne (access (path, F_OK), 0); /* nothing was made */
  close (fd);
}
END_TEST

START_TEST (a_dead_vms_socket_is_replaced_and_one_in_use_is_not)
{
  int fd = cpr_fd_open_listener (session, "control", 0, path, &error), other;
  g_autofree char *before = process_describe ();

  assert_no_error (error);
  ck_assert_int_eq (cpr_fd_open_listener (session, "control", 1, path, &error), -1);
  ck_assert_int_eq (cpr_error_get_errno (error), EEXIST);
  assert_error (&error, CPR_ERROR_EXISTS, "a program listens there");
  assert_process_is (before);
  ck_assert (cpr_fd_remove (session, "control", 0, &error));
  close (fd);
  ck_assert (!can_connect ());
  other = cpr_fd_open_listener (session, "control", 0, path, &error);
  assert_no_error (error);
  ck_assert (can_connect ());
  close (other);
}
END_TEST

START_TEST (a_path_that_no_socket_can_have_is_refused)
{
  g_autofree char *longest = name_of (107);

  ck_assert_int_eq (cpr_fd_open_listener (session, "control", 0, longest, &error), -1);
  assert_error (&error, CPR_ERROR_INVALID, "its path has more than 106 bytes");
  ck_assert_int_eq (cpr_fd_open_listener (session, "control", 0, "", &error), -1);
  assert_error (&error, CPR_ERROR_INVALID, "its path is empty");
  ck_assert_int_eq (cpr_fd_open_listener (session, "control", 0, "/nowhere/socket", &error), -1);
  assert_error (&error, CPR_ERROR_SYSTEM, "socket '/nowhere/socket': listening");
}
END_TEST

START_TEST (an_eventfd_keeps_its_count)
{
  int fd = cpr_fd_open_eventfd (session, "doorbell", 3, &error);
  uint64_t count = 5;

  assert_no_error (error);
  ck_assert (fcntl (fd, F_GETFD) == FD_CLOEXEC && (fcntl (fd, F_GETFL) & O_NONBLOCK) != 0);
  ck_assert_int_eq (read (fd, &count, sizeof count), -1); /* its count is 0 */
  ck_assert_int_eq (write (fd, &count, sizeof count), sizeof count);
  forget_claim ();
  ck_assert_int_eq (cpr_fd_open_eventfd (session, "doorbell", 3, &error), fd);
  ck_assert (read (fd, &count, sizeof count) == sizeof count && count == 5);
  close (fd);
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("open");

  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, a_listener_is_made_once_and_claimed_afterwards);
  tcase_add_test (tests, a_dead_vms_socket_is_replaced_and_one_in_use_is_not);
  tcase_add_test (tests, a_path_that_no_socket_can_have_is_refused);
  tcase_add_test (tests, an_eventfd_keeps_its_count);
  return run_suite (suite);
}
