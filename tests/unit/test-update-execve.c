/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An update that really executes a program: a shell, which says what it was given. */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sys.h"
#include "handoff/exec/guardian.h"
#include "session/core.h"

static int event, inherited, pipes[2];

static void
setup (void)
{
  event = eventfd (0, EFD_CLOEXEC);
  inherited = dup (STDIN_FILENO); /* not close-on-exec, and not in the table */
  ck_assert_int_eq (pipe2 (pipes, O_CLOEXEC), 0);
}

static void
teardown (void)
{
  close (event);
  close (inherited);
  close (pipes[0]);
  close (pipes[1]);
}

static char *
read_all (int fd)
{
  GString *text = g_string_new (NULL);
  char buffer[4096];
  ssize_t len;

  while ((len = read (fd, buffer, sizeof buffer)) > 0)
    g_string_append_len (text, buffer, len);
  return g_string_free (text, FALSE);
}

/* A child becomes the program, with its output to the pipe. @recorded: its own arguments. */
static void
really_update (int output, char *const *recorded, const CprUpdate *update)
{
  CprSession *own;
  Guest own_guest;

  guest_init (&own_guest);
  own = session_new_active (&own_guest, "child");
  dup2 (output, STDOUT_FILENO);
  if (!cpr_fd_add (own, "irq", 0, event, NULL) || !cpr_session_hold_fd (own, pipes[0], NULL) ||
      !cpr_session_set_argv (own, recorded, NULL))
    _exit (2);
  cpr_session_update (own, update, NULL);
  _exit (3);
}

/* What the new program says. */
static char *
get_output (char *const *recorded, const CprUpdate *update, pid_t *child)
{
  char *output;
  int ends[2], status;

  ck_assert_int_eq (pipe2 (ends, O_CLOEXEC), 0);
  ck_assert_int_eq (prctl (PR_SET_CHILD_SUBREAPER, 1), 0); /* the guardian becomes ours when the program ends */
  *child = fork ();
  if (*child == 0)
    really_update (ends[1], recorded, update);
  close (ends[1]);
  output = read_all (ends[0]);
  close (ends[0]);
  ck_assert_int_eq (waitpid (*child, &status, 0), *child);
  ck_assert_msg (WIFEXITED (status) && WEXITSTATUS (status) == 0, "status %x: %s", (unsigned) status, output);
  while (waitpid (-1, NULL, __WALL) > 0) /* it ends with the program, too */
    ;
  return output;
}

START_TEST (the_new_program_gets_the_state_and_the_fds_of_the_table_and_no_others)
{
  char *argv[] = { (char *) "/bin/sh", (char *) "-c", (char *) "echo $LIBCPR_STATE $0; echo /proc/$$/fd/*", NULL };
  const CprUpdate update = { .size = sizeof update, .mode = CPR_MODE_EXEC, .flags = update_flags (), .argv = argv };
  g_autofree char *output = NULL, *irq = g_strdup_printf ("/fd/%d", event), *held = NULL, *own = NULL;
  g_auto (GStrv) lines = NULL;
  pid_t child;

  output = get_output (argv, &update, &child);
  lines = g_strsplit_set (output, " \n", -1);
  own = g_strdup_printf ("/proc/%d/fd/%s", child, lines[0]);
  ck_assert (atoi (lines[0]) > 2);
  ck_assert (g_strv_contains ((const char *const *) lines, own)); /* the state */
  ck_assert_ptr_nonnull (strstr (output, irq));
  held = g_strdup_printf ("/proc/%d/fd/%d", child, pipes[0]);
  ck_assert (!g_strv_contains ((const char *const *) lines, held));
  g_free (held);
  held = g_strdup_printf ("/proc/%d/fd/%d", child, inherited);
  ck_assert (!g_strv_contains ((const char *const *) lines, held));
}
END_TEST

/* What the shell says it was called, $0, is its argv[0]. */
static void
assert_called (const char *program, char *const *argv, const char *expected)
{
  char *recorded[] = { (char *) "old", (char *) "-c", (char *) "echo recorded $0", NULL };
  const CprUpdate update = {
    .size = sizeof update, .mode = CPR_MODE_EXEC, .flags = update_flags (), .program = program, .argv = argv
  };
  g_autofree char *output = NULL;
  pid_t child;

  output = get_output (recorded, &update, &child);
  ck_assert_str_eq (output, expected);
}

START_TEST (another_program_gets_the_recorded_arguments_and_its_own_name)
{
  assert_called ("/bin/sh", NULL, "recorded /bin/sh\n");
  assert_called ("sh", NULL, "recorded sh\n");
}
END_TEST

START_TEST (another_program_gets_the_given_arguments_as_they_are)
{
  char *argv[] = { (char *) "name", (char *) "-c", (char *) "echo given $0", NULL };

  assert_called ("/bin/sh", argv, "given name\n");
}
END_TEST

START_TEST (the_recorded_arguments_are_those_of_the_config_or_of_the_process)
{
  char *argv[] = { (char *) "vmm", NULL };
  g_autofree char *command_line = NULL;
  CprSessionConfig config;
  CprSession *session;
  Guest guest;

  guest_init (&guest);
  config = guest_config (&guest, "vm");
  session = cpr_session_new (&config, NULL);
  ck_assert (g_file_get_contents ("/proc/self/cmdline", &command_line, NULL, NULL));
  ck_assert_str_eq (cpr_session_get_argv (session)[0], command_line);
  cpr_session_free (session);
  config.argv = argv;
  session = cpr_session_new (&config, NULL);
  ck_assert (g_strv_equal ((const char *const *) cpr_session_get_argv (session), (const char *const *) argv));
  cpr_session_free (session);
  guest_clear (&guest);
}
END_TEST

/* ---- An execve that fails too late. */

/* Nobody frees these: they stay reachable for those who look for leaks. */
static CprSession *late;
static CprBatonPage *page;
static Guest late_guest;
static GError *late_error;

/* The deadline passed meanwhile, and the guardian has fenced this process. */
static int
fail_late (const char *path G_GNUC_UNUSED, char *const *argv G_GNUC_UNUSED, char *const *envp G_GNUC_UNUSED)
{
  const CprBatonWord offered = { CPR_BATON_OFFERED, 1, getpid () }, fenced = { CPR_BATON_FENCED, 1, 1 };

  page = late->timeline.page;
  if (!cpr_baton_move (page, offered, fenced))
    abort ();
  errno = ENOEXEC;
  return -1;
}

/* 0: the session is lost, and the page is there. In a child, which frees nothing: the guardian
 * would have ended it. */
static int
lose_the_guest (void)
{
  static char *argv[] = { (char *) "/bin/true", NULL };
  const CprUpdate update = { .size = sizeof update, .mode = CPR_MODE_EXEC, .flags = update_flags (), .argv = argv };
  CprSys sys = cpr_sys_kernel;
  unsigned char is_there;
  pid_t guardian;

  guest_init (&late_guest);
  late = session_new_active (&late_guest, "vm");
  sys.execve = fail_late;
  cpr_sys = &sys;
  if (cpr_session_update (late, &update, &late_error) || !g_error_matches (late_error, CPR_ERROR, CPR_ERROR_NOT_OWNER))
    return 2;
  if (cpr_session_get_state (late) != CPR_SESSION_STATE_LOST || late_guest.running)
    return 3;
  if (mincore (page, PAGE, &is_there) < 0)
    return 4;
  while ((guardian = cpr_guardians_find (page)) != 0)
    {
      kill (guardian, SIGKILL);
      waitpid (guardian, NULL, __WALL);
    }
  return 0;
}

START_TEST (a_guardian_that_was_quicker_keeps_its_page)
{
  pid_t child = fork ();
  int status;

  if (child == 0)
    _exit (lose_the_guest ());
  ck_assert_int_eq (waitpid (child, &status, 0), child);
  ck_assert_int_eq (status, 0);
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("update-execve");

  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, the_new_program_gets_the_state_and_the_fds_of_the_table_and_no_others);
  tcase_add_test (tests, the_recorded_arguments_are_those_of_the_config_or_of_the_process);
  tcase_add_test (tests, another_program_gets_the_recorded_arguments_and_its_own_name);
  tcase_add_test (tests, another_program_gets_the_given_arguments_as_they_are);
  tcase_add_test (tests, a_guardian_that_was_quicker_keeps_its_page);
  return run_suite (suite);
}
