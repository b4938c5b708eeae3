/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The connection of whoever asked for an update: the answer comes from the program that has the
 * guest in the end, in every mode and after every end. */
#include "guest.h"
#include "small-vmm.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* In the new program, before its commit. */
static void
fail_start (CprSession *session, const char *how, SmallVmmStep step)
{
  g_autoptr (GError) reason = g_error_new_literal (CPR_ERROR, CPR_ERROR_CALLBACK, "no licence");

  if (step != SMALL_VMM_LOADED)
    return;
  if (strcmp (how, "abort") == 0)
    cpr_session_abort (session, reason, NULL);
  if (strcmp (how, "crash") == 0)
    abort ();
  if (strcmp (how, "kill") == 0)
    raise (SIGKILL);
}

static void
assert_answer (const char *how, const char *uri, const char *expected)
{
  g_autofree char *text = small_vmm_get_answer (how, uri);

  ck_assert_msg (g_str_has_prefix (text, expected), "%s: '%s', expected '%s'", how, text, expected);
}

START_TEST (the_new_program_answers_after_the_commit)
{
  assert_answer ("commit", SMALL_VMM_NO_URI, "completed");
}
END_TEST

START_TEST (the_old_program_answers_after_a_failure_before_the_execve)
{
  assert_answer (SMALL_VMM_NOWHERE, SMALL_VMM_NO_URI, "failed: program '/nowhere'");
}
END_TEST

START_TEST (the_old_program_answers_after_a_rollback)
{
  assert_answer ("abort", SMALL_VMM_NO_URI, "rolled-back: no licence");
  assert_answer ("crash", SMALL_VMM_NO_URI, "rolled-back: the new program got signal 6");
}
END_TEST

START_TEST (the_old_program_answers_after_a_rescue)
{
  assert_answer ("kill", SMALL_VMM_NO_URI, "rescued: the new program");
}
END_TEST

static void
assert_transfer (const char *successor, const char *expected)
{
  g_autofree char *from = NULL, *to = NULL;
  int ends[2];

  ck_assert_int_eq (socketpair (AF_UNIX, SOCK_STREAM, 0, ends), 0);
  from = g_strdup_printf ("unix-fd:%d", ends[0]);
  to = g_strdup_printf ("unix-fd:%d", ends[1]);
  small_vmm_start (successor, -1, to);
  close (ends[1]);
  ck_assert (cpr_fd_set_cloexec (ends[0], false));
  assert_answer (SMALL_VMM_TRANSFER, from, expected);
  close (ends[0]);
}

START_TEST (in_transfer_mode_whoever_has_the_guest_answers)
{
  assert_transfer (SMALL_VMM_SUCCESSOR "commit", "completed");
  assert_transfer (SMALL_VMM_SUCCESSOR "abort", "failed: new program: no licence");
}
END_TEST

START_TEST (in_reboot_mode_the_program_that_saves_answers)
{
  g_autofree char *folder = g_dir_make_tmp ("libcpr-XXXXXX", NULL), *path = g_build_filename (folder, "vm", NULL),
                  *uri = g_strconcat ("file:", path, NULL);

  assert_answer (SMALL_VMM_REBOOT, uri, "completed");
  assert_answer (SMALL_VMM_REBOOT, uri, "failed: "); /* the file is there already */
  ck_assert_int_eq (unlink (path), 0);
  ck_assert_int_eq (rmdir (folder), 0);
}
END_TEST

/* ---- In one program. */

static bool
is_open (int fd)
{
  return fcntl (fd, F_GETFD) >= 0;
}

static bool
update_with (CprSession *session, int reply_fd, GError **error)
{
  const CprUpdate update = {
    .size = sizeof update, .mode = CPR_MODE_EXEC, .program = "/nowhere", .reply_fd = reply_fd
  };

  return cpr_session_update (session, &update, error);
}

START_TEST (the_fd_is_taken_once_and_the_caller_keeps_its_own)
{
  int event = eventfd (0, EFD_CLOEXEC), fd;
  CprUpdateStatus status;
  const char *reason;
  CprSession *session;
  Guest guest;

  guest_init (&guest);
  session = session_new_active (&guest, "vm");
  ck_assert (!update_with (session, event, NULL));
  fd = cpr_session_take_reply_fd (session, &status, &reason);
  ck_assert (fd >= 0 && fd != event && fcntl (fd, F_GETFD) == FD_CLOEXEC);
  ck_assert_int_eq (status, CPR_UPDATE_FAILED);
  ck_assert_ptr_nonnull (strstr (reason, "/nowhere"));
  ck_assert_int_eq (cpr_session_take_reply_fd (session, &status, &reason), -1);
  ck_assert (status == CPR_UPDATE_NONE && reason == NULL);
  cpr_session_free (session);
  ck_assert (is_open (fd) && is_open (event));
  close (fd);
  close (event);
  guest_clear (&guest);
}
END_TEST

static void
note_fd (const char *name, int index G_GNUC_UNUSED, int fd G_GNUC_UNUSED, bool claimed G_GNUC_UNUSED, void *user_data)
{
  ck_abort_msg ("%s: fd '%s'", (const char *) user_data, name);
}

START_TEST (an_fd_that_nobody_takes_is_closed_by_the_next_update_and_with_the_session)
{
  g_autofree char *before = NULL;
  CprSession *session;
  Guest guest;
  int event;

  guest_init (&guest);
  session = session_new_active (&guest, "vm");
  event = eventfd (0, EFD_CLOEXEC);
  before = process_describe ();
  ck_assert (!update_with (session, event, NULL));
  cpr_fd_foreach (session, note_fd, (void *) "after the update");
  ck_assert (!update_with (session, 0, NULL));
  assert_process_is (before);
  ck_assert (!update_with (session, event, NULL));
  ck_assert (!update_with (session, -1, NULL));
  assert_process_is (before);
  ck_assert (!update_with (session, event, NULL));
  cpr_session_free (session);
  guest_clear (&guest);
  close (event);
}
END_TEST

START_TEST (what_cannot_be_a_reply_fd_is_refused)
{
  CprSession *session;
  GError *error = NULL;
  Guest guest;

  guest_init (&guest);
  session = session_new_active (&guest, "vm");
  for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++)
    {
      ck_assert (!update_with (session, fd, &error));
      assert_error (&error, CPR_ERROR_INVALID, "reply_fd should be 3 or more");
    }
  ck_assert (!update_with (session, 999, &error));
  assert_error (&error, CPR_ERROR_SYSTEM, "reply_fd 999");
  ck_assert_int_eq (cpr_session_take_reply_fd (session, NULL, NULL), -1);
  ck_assert_int_eq (guest.stops, 0);
  cpr_session_free (session);
  guest_clear (&guest);
}
END_TEST

START_TEST (each_status_has_a_name)
{
  ck_assert_str_eq (cpr_update_status_get_name (CPR_UPDATE_NONE), "none");
  ck_assert_str_eq (cpr_update_status_get_name (CPR_UPDATE_RESCUED), "rescued");
  ck_assert_ptr_null (cpr_update_status_get_name ((CprUpdateStatus) (CPR_UPDATE_RESCUED + 1)));
}
END_TEST

/* ---- The answer as a line. */

static void
make_connection (int ends[2])
{
  ck_assert_int_eq (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
}

START_TEST (a_failed_update_is_answered_with_one_line_and_the_connection_stays_the_callers)
{
  CprSession *session;
  char line[4096];
  Guest guest;
  int ends[2];
  ssize_t len;

  guest_init (&guest);
  session = session_new_active (&guest, "vm");
  make_connection (ends);
  ck_assert (!cpr_session_reply (session)); /* nobody has asked yet */
  ck_assert (!update_with (session, ends[0], NULL));
  ck_assert (cpr_session_reply (session));
  ck_assert (!cpr_session_reply (session));
  ck_assert (is_open (ends[0]));
  len = recv (ends[1], line, sizeof line, MSG_DONTWAIT);
  ck_assert_int_gt (len, 0);
  ck_assert (memchr (line, '\n', (size_t) len) == line + len - 1);
  ck_assert (g_str_has_prefix (line, "failed: program '/nowhere': No such file or directory"));
  close (ends[0]);
  ck_assert_int_eq (read (ends[1], line, 1), 0); /* the library's duplicate is closed */
  close (ends[1]);
  cpr_session_free (session);
  guest_clear (&guest);
}
END_TEST

START_TEST (a_peer_that_is_gone_or_does_not_read_takes_no_program_along)
{
  uint64_t begin_ns = cpr_now_ns ();
  static char block[4096];
  CprSession *session;
  Guest guest;
  int ends[2];

  guest_init (&guest);
  session = session_new_active (&guest, "vm");
  make_connection (ends);
  close (ends[1]);
  ck_assert (!update_with (session, ends[0], NULL));
  ck_assert (!cpr_session_reply (session)); /* SIGPIPE would have ended the test */
  close (ends[0]);

  make_connection (ends);
  while (send (ends[0], block, sizeof block, MSG_DONTWAIT) > 0)
    ;
  ck_assert (!update_with (session, ends[0], NULL));
  ck_assert (!cpr_session_reply (session));
  ck_assert_uint_lt (cpr_now_ns () - begin_ns, UINT64_C (30) * 1000000000);
  close (ends[0]);
  close (ends[1]);
  cpr_session_free (session);
  guest_clear (&guest);
}
END_TEST

static int
run_tests (void)
{
  BEGIN_SUITE ("reply");

  tcase_add_test (tests, the_fd_is_taken_once_and_the_caller_keeps_its_own);
  tcase_add_test (tests, an_fd_that_nobody_takes_is_closed_by_the_next_update_and_with_the_session);
  tcase_add_test (tests, what_cannot_be_a_reply_fd_is_refused);
  tcase_add_test (tests, each_status_has_a_name);
  tcase_add_test (tests, a_failed_update_is_answered_with_one_line_and_the_connection_stays_the_callers);
  tcase_add_test (tests, a_peer_that_is_gone_or_does_not_read_takes_no_program_along);
  if (under_valgrind ()) /* it can't follow the guardian */
    return run_suite (suite);
  tcase_add_test (tests, the_new_program_answers_after_the_commit);
  tcase_add_test (tests, the_old_program_answers_after_a_failure_before_the_execve);
  tcase_add_test (tests, the_old_program_answers_after_a_rollback);
  tcase_add_test (tests, the_old_program_answers_after_a_rescue);
  tcase_add_test (tests, in_transfer_mode_whoever_has_the_guest_answers);
  tcase_add_test (tests, in_reboot_mode_the_program_that_saves_answers);
  return run_suite (suite);
}

int
main (int argc, char **argv)
{
  if (argc > 1 && strcmp (argv[1], SMALL_VMM_WORD) == 0)
    return small_vmm_main (argv, 0, fail_start);
  return run_tests ();
}
