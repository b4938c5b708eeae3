/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An update that really executes a program: a shell, which says what it was given. */
#include "guest.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* A child becomes the program, with its output to the pipe. */
static void
really_update (int output)
{
  char *argv[] = { (char *) "/bin/sh", (char *) "-c", (char *) "echo $LIBCPR_STATE $0; echo /proc/$$/fd/*", NULL };
  const CprUpdate update = { .size = sizeof update, .mode = CPR_MODE_EXEC, .flags = update_flags (), .argv = argv };
  CprSession *own;
  Guest own_guest;

  guest_init (&own_guest);
  own = session_new_active (&own_guest, "child");
  dup2 (output, STDOUT_FILENO);
  if (!cpr_fd_add (own, "irq", 0, event, NULL) || !cpr_session_hold_fd (own, pipes[0], NULL))
    _exit (2);
  cpr_session_update (own, &update, NULL);
  _exit (3);
}

START_TEST (the_new_program_gets_the_state_and_the_fds_of_the_table_and_no_others)
{
  g_autofree char *output = NULL, *irq = g_strdup_printf ("/fd/%d", event), *held = NULL, *own = NULL;
  g_auto (GStrv) lines = NULL;
  int ends[2], status;
  pid_t child;

  ck_assert_int_eq (pipe2 (ends, O_CLOEXEC), 0);
  ck_assert_int_eq (prctl (PR_SET_CHILD_SUBREAPER, 1), 0); /* the guardian becomes ours when the program ends */
  child = fork ();
  if (child == 0)
    really_update (ends[1]);
  close (ends[1]);
  output = read_all (ends[0]);
  close (ends[0]);
  ck_assert_int_eq (waitpid (child, &status, 0), child);
  ck_assert_msg (WIFEXITED (status) && WEXITSTATUS (status) == 0, "status %x: %s", (unsigned) status, output);
  while (waitpid (-1, NULL, __WALL) > 0) /* it ends with the program, too */
    ;
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

int
main (void)
{
  BEGIN_SUITE ("update-execve");

  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, the_new_program_gets_the_state_and_the_fds_of_the_table_and_no_others);
  return run_suite (suite);
}
