/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A transfer to a program that the library starts: it takes the guest up by itself, and where it
 * fails the guest goes on, nothing is left behind, and the error says how it ended. */
#include "guest.h"
#include "small-vmm.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* In the new program. */
static void
fail_start (CprSession *session, const char *how, SmallVmmStep step)
{
  g_autoptr (GError) reason = g_error_new_literal (CPR_ERROR, CPR_ERROR_CALLBACK, "no licence");

  if (strcmp (how, "exit") == 0 && step == SMALL_VMM_NEW)
    exit (3);
  if (step != SMALL_VMM_LOADED)
    return;
  if (strcmp (how, "abort") == 0)
    cpr_session_abort (session, reason, NULL);
  if (strcmp (how, "kill") == 0)
    raise (SIGKILL);
}

static void
assert_answer (const char *how, const char *expected)
{
  g_autofree char *text = small_vmm_get_answer (how, SMALL_VMM_NO_URI);

  ck_assert_msg (g_str_has_prefix (text, expected), "%s: '%s', expected '%s'", how, text, expected);
}

START_TEST (the_new_program_takes_the_guest_up_by_itself)
{
  assert_answer (SMALL_VMM_START "commit", "completed");
}
END_TEST

START_TEST (a_program_whose_environment_was_lost_finds_the_guest)
{
  assert_answer (SMALL_VMM_LOST "commit", "completed");
}
END_TEST

START_TEST (a_program_that_fails_says_why)
{
  assert_answer (SMALL_VMM_START "abort", "failed: new program: no licence");
}
END_TEST

START_TEST (how_the_new_program_died_is_in_the_error)
{
  assert_answer (
      SMALL_VMM_START "exit",
      "failed: new program: it closed the connection, waiting for its preparations: it exited with status 3");
  assert_answer (SMALL_VMM_START "kill",
                 "failed: new program: it closed the connection, waiting for its commit: it was killed by signal 9");
}
END_TEST

/* ---- Programs that never ask for the guest. */

static Guest guest;
static CprSession *session;
static GError *error;
static char *before;

static void
setup (void)
{
  guest_init (&guest);
  error = NULL;
  session = session_new_active (&guest, "vm");
  ck_assert (
      !cpr_session_update (session, &(CprUpdate){ .size = sizeof (CprUpdate), .mode = CPR_MODE_TRANSFER }, &error));
  assert_error (&error, CPR_ERROR_INVALID, "transfer mode needs a program to start, or a URI");
  /* The first update that can be cancelled makes an eventfd, which stays. */
  ck_assert (!cpr_session_update (
      session, &(CprUpdate){ .size = sizeof (CprUpdate), .mode = CPR_MODE_TRANSFER, .program = "/nowhere" }, &error));
  assert_error (&error, CPR_ERROR_SYSTEM, "program '/nowhere': No such file");
  before = process_describe ();
}

static void
teardown (void)
{
  assert_process_is (before);
  ck_assert (guest.running && guest.stops == 0);
  g_clear_pointer (&before, g_free);
  cpr_session_free (session);
  guest_clear (&guest);
}

/* Fails; the child is reaped. */
static void
update_to_shell (const char *script, int code, const char *text)
{
  char *argv[] = { (char *) "sh", (char *) "-c", (char *) script, NULL };
  const CprUpdate update = {
    .size = sizeof update, .mode = CPR_MODE_TRANSFER, .argv = argv, .preflight_timeout_ms = 2000
  };

  ck_assert (!cpr_session_update (session, &update, &error));
  assert_error (&error, code, text);
}

START_TEST (a_program_that_ends_is_named_with_its_status)
{
  update_to_shell ("exit 3", CPR_ERROR_ROLLED_BACK, "sh': it exited with status 3 before it asked for the guest");
  update_to_shell ("kill -SEGV $$", CPR_ERROR_ROLLED_BACK, "sh': it was killed by signal 11 (Segmentation fault)");
}
END_TEST

START_TEST (a_program_that_says_nothing_is_killed_with_its_children)
{
  g_autofree char *folder = g_dir_make_tmp ("libcpr-XXXXXX", NULL), *path = g_build_filename (folder, "pid", NULL),
                  *script = g_strdup_printf ("sleep 1000 & echo $! >%s; wait", path), *text = NULL;
  int status;

  update_to_shell (script, CPR_ERROR_ROLLED_BACK, "nothing came in time, waiting for its greeting");
  ck_assert (g_file_get_contents (path, &text, NULL, NULL));
  for (int i = 0; i < 1000 && kill (atoi (text), 0) == 0 && waitpid (atoi (text), &status, WNOHANG) <= 0; i++)
    {
      g_autofree char *stat = NULL, *file = g_strdup_printf ("/proc/%d/stat", atoi (text));

      if (!g_file_get_contents (file, &stat, NULL, NULL) || strstr (stat, ") Z ") != NULL)
        break;
      ck_assert_int_lt (i, 999);
      g_usleep (10000);
    }
  unlink (path);
  rmdir (folder);
}
END_TEST

START_TEST (the_program_has_the_standard_streams_and_the_channel)
{
  int fd = open ("/dev/null", O_RDONLY);

  /* The shell's expansion opens the folder too: that is the fifth. */
  update_to_shell (
      "set -- /proc/$$/fd/*; test $# -le 5 -a -S /proc/$$/fd/3 && test ! /proc/$$/fd/0 -ef /proc/$$/fd/3 && "
      "test \"$LIBCPR_STATE\" = 3 && exit 40",
      CPR_ERROR_ROLLED_BACK, "it exited with status 40");
  close (fd);
}
END_TEST

START_TEST (where_children_are_reaped_by_themselves_the_update_fails_all_the_same)
{
  signal (SIGCHLD, SIG_IGN);
  update_to_shell ("exit 3", CPR_ERROR_ROLLED_BACK, "new program");
  signal (SIGCHLD, SIG_DFL);
}
END_TEST

START_TEST (a_program_that_cannot_be_executed_is_named)
{
  g_autofree char *folder = g_dir_make_tmp ("libcpr-XXXXXX", NULL), *path = g_build_filename (folder, "program", NULL);
  CprUpdate update = { .size = sizeof update, .mode = CPR_MODE_TRANSFER, .program = path };

  ck_assert (g_file_set_contents_full (path, "#!/nowhere\n", -1, G_FILE_SET_CONTENTS_NONE, 0700, NULL));
  ck_assert (!cpr_session_update (session, &update, &error));
  assert_error (&error, CPR_ERROR_SYSTEM, "the interpreter that it names isn't");
  unlink (path);
  rmdir (folder);
}
END_TEST

static int
run_tests (void)
{
  TCase *failing;
  BEGIN_SUITE ("start");

  if (under_valgrind ()) /* it knows no pidfds, without which there is no transfer */
    return run_suite (suite);
  failing = tcase_create ("failing");
  tcase_add_test (tests, the_new_program_takes_the_guest_up_by_itself);
  tcase_add_test (tests, a_program_whose_environment_was_lost_finds_the_guest);
  tcase_add_test (tests, a_program_that_fails_says_why);
  tcase_add_test (tests, how_the_new_program_died_is_in_the_error);
  suite_add_tcase (suite, failing);
  tcase_set_timeout (failing, 60);
  tcase_add_checked_fixture (failing, setup, teardown);
  tcase_add_test (failing, a_program_that_ends_is_named_with_its_status);
  tcase_add_test (failing, a_program_that_says_nothing_is_killed_with_its_children);
  tcase_add_test (failing, the_program_has_the_standard_streams_and_the_channel);
  tcase_add_test (failing, where_children_are_reaped_by_themselves_the_update_fails_all_the_same);
  tcase_add_test (failing, a_program_that_cannot_be_executed_is_named);
  return run_suite (suite);
}

int
main (int argc, char **argv)
{
  if (argc > 1 && strcmp (argv[1], SMALL_VMM_WORD) == 0)
    return small_vmm_main (argv, 0, fail_start);
  return run_tests ();
}
