/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/signals.h"
#include "handoff/exec/guardian.h"
#include "helpers.h"

/* 0, 1 and 2 are changed in children only. */

static GError *error;
static CprBaton baton;
static CprProgram program;

static void
setup (void)
{
  static char *const argv[] = { (char *) "vmm", NULL };

  error = NULL;
  ck_assert (cpr_baton_new (&baton, &error));
  ck_assert (cpr_program_record (&program, argv, &error));
}

static void
teardown (void)
{
  cpr_baton_clear (&baton);
  cpr_program_clear (&program);
}

/* 0 where @test found everything as it has to be. */
static int
run_in_child (int (*test) (int file), int file)
{
  pid_t pid = fork ();
  int status;

  ck_assert_int_ge (pid, 0);
  if (pid == 0)
    _exit (test (file));
  ck_assert_int_eq (waitpid (pid, &status, 0), pid);
  ck_assert (WIFEXITED (status));
  return WEXITSTATUS (status);
}

static GArray *
fds_new (int fd)
{
  GArray *fds = g_array_new (FALSE, FALSE, sizeof (int));

  if (fd >= 0)
    g_array_append_val (fds, fd);
  return fds;
}

/* ---- The note of a parked guest. */

static int
park (int file, bool in_table)
{
  g_autoptr (GArray) carried = fds_new (in_table ? STDERR_FILENO : -1);
  CprRescue *rescue = cpr_rescue_new (&program, "vm", file, carried);
  const CprBatonWord owned = cpr_baton_get (baton.page), offered = { CPR_BATON_OFFERED, 1, getpid () },
                     fenced = { CPR_BATON_FENCED, 1, getpid () };
  sigset_t term;
  bool goes_on;

  sigemptyset (&term);
  sigaddset (&term, SIGTERM);
  sigprocmask (SIG_BLOCK, &term, NULL);
  if (dup2 (file, STDERR_FILENO) < 0 || !cpr_baton_move (baton.page, owned, offered) ||
      !cpr_baton_move (baton.page, offered, fenced) || raise (SIGTERM) != 0)
    return 2;
  goes_on = cpr_rescue_park (rescue, baton.page);
  cpr_rescue_free (rescue);
  return goes_on ? 3 : 0;
}

static int
park_with_a_stream (int file)
{
  return park (file, false);
}

static int
park_with_a_file_of_the_table (int file)
{
  return park (file, true);
}

/* The line, but for the pid at its end. */
static void
assert_note (const char *cause)
{
  g_autofree char *wanted = g_strdup_printf (
      "libcpr: VM 'vm': no program could take the guest%s; SIGUSR1 tries again, SIGTERM gives it up; held by process ",
      cause);
  uint64_t word = baton.page->word;
  int file = file_new (0);
  char note[2 * CPR_BATON_REASON_SIZE] = "";

  ck_assert_int_eq (run_in_child (park_with_a_stream, file), 0);
  ck_assert_int_gt (pread (file, note, sizeof note - 1, 0), 0);
  ck_assert_msg (g_str_has_prefix (note, wanted), "expected '%s', not '%s'", wanted, note);
  ck_assert (g_str_has_suffix (note, "\n") && strchr (note, '\n') == note + strlen (note) - 1);
  baton.page->word = word;
  close (file);
}

START_TEST (a_parked_guest_is_said_on_the_standard_error)
{
  assert_note ("");
}
END_TEST

START_TEST (the_line_of_a_parked_guest_has_the_cause)
{
  g_autofree char *long_reason = g_strnfill (CPR_BATON_REASON_SIZE, 'x');
  g_autofree char *longest = NULL;

  baton.page->cause = CPR_BATON_CAUSE_DIED;
  baton.page->failed_step = CPR_STEP_CLAIM;
  baton.page->status = SIGSEGV;
  assert_note (": the last one was killed by signal 11 in step claim");
  strcpy (baton.page->reason, "device 'com1':\ntoo\033new");
  baton.page->status = 3 << 8;
  assert_note (": the last one exited with status 3 in step claim; before that: device 'com1': too new");
  baton.page->status = -1;
  assert_note (": the last one died in step claim; before that: device 'com1': too new");
  baton.page->cause = CPR_BATON_CAUSE_TIMEOUT;
  baton.page->timeout_ns = 5000000000;
  memcpy (baton.page->reason, long_reason, CPR_BATON_REASON_SIZE);
  longest = g_strdup_printf (": the last one gave no answer in 5000 ms in step claim; before that: %.*s",
                             CPR_BATON_REASON_SIZE - 1, long_reason);
  assert_note (longest);
}
END_TEST

START_TEST (a_parked_guest_is_not_said_in_a_file_of_the_fd_table)
{
  int file = file_new (0);

  ck_assert_int_eq (run_in_child (park_with_a_file_of_the_table, file), 0);
  ck_assert_int_eq (lseek (file, 0, SEEK_END), 0);
  close (file);
}
END_TEST

/* ---- What a guardian holds. */

static bool
has_fd (pid_t pid, int fd)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/fd/%d", pid, fd);

  return access (path, F_OK) == 0 || errno != ENOENT;
}

/* 0 is a stream, 1 close-on-exec and in no table, 2 in the table. */
static int
launch_guardian (int file)
{
  int release = fcntl (eventfd (0, EFD_CLOEXEC), F_DUPFD_CLOEXEC, 100);
  g_autoptr (GArray) keep = fds_new (STDERR_FILENO);
  CprGuardianConfig config = { .page = baton.page, .keep = keep, .release = release, .notify = -1 };
  CprGuardian *guardian;
  sigset_t old;
  pid_t pid;
  bool ok;

  g_array_append_val (keep, release);
  if (dup2 (file, STDIN_FILENO) < 0 || dup3 (file, STDOUT_FILENO, O_CLOEXEC) < 0 ||
      dup3 (file, STDERR_FILENO, O_CLOEXEC) < 0)
    return 2;
  guardian = cpr_guardian_new (&config, &error);
  cpr_signals_block_all (&old);
  if (guardian == NULL || !cpr_guardian_launch (guardian, &error))
    return 3;
  pid = cpr_guardians_find (baton.page);
  ok = has_fd (pid, STDIN_FILENO) && !has_fd (pid, STDOUT_FILENO) && has_fd (pid, STDERR_FILENO) &&
       has_fd (pid, release) && !has_fd (pid, file);
  cpr_guardian_free (guardian);
  return ok ? 0 : 4;
}

START_TEST (a_guardian_holds_streams_and_what_it_is_told_to)
{
  int file = file_new (0);

  ck_assert_int_eq (run_in_child (launch_guardian, file), 0);
  close (file);
}
END_TEST

/* ---- New fds. */

static int
fill_the_gap (int file)
{
  int fds[6];

  close (STDIN_FILENO);
  close (STDOUT_FILENO);
  fds[0] = cpr_memfd_new ("test", 0);
  fds[1] = cpr_fd_above_std (dup (file));
  fds[2] = cpr_fd_above_std (dup (file));
  for (int i = 0; i < 3; i++)
    if (fds[i] <= STDERR_FILENO)
      return 2;
  return cpr_fd_get_closed_std () == 3 ? 0 : 3;
}

START_TEST (new_fds_are_above_the_streams)
{
  int file = file_new (0);

  ck_assert_int_eq (run_in_child (fill_the_gap, file), 0);
  close (file);
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("low fds");

  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, a_parked_guest_is_said_on_the_standard_error);
  tcase_add_test (tests, the_line_of_a_parked_guest_has_the_cause);
  tcase_add_test (tests, a_parked_guest_is_not_said_in_a_file_of_the_fd_table);
  if (!under_valgrind ()) /* it doesn't know such a clone */
    tcase_add_test (tests, a_guardian_holds_streams_and_what_it_is_told_to);
  tcase_add_test (tests, new_fds_are_above_the_streams);
  return run_suite (suite);
}
