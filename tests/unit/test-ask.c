/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Asked programs: the message for each way in which they end, and that they leave nothing
 * behind. */
#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ask/child.h"

#define PATIENT_MS 50000
#define LONG_TEXT  "a text of no meaning that is written again and again so that nothing but its end can be kept"

static char *before;
static int n_open;
static GError *error;

/* A shell that executes @script. */
static void
open_shell (CprAsk *ask, char **argv, const char *script)
{
  if (n_open++ == 0)
    before = process_describe ();
  argv[0] = (char *) "/bin/sh";
  argv[1] = (char *) "-c";
  argv[2] = (char *) script;
  argv[3] = NULL;
  *ask = (CprAsk){ .path = "/bin/sh", .argv = argv, .envp = cpr_ask_make_envp (environ) };
  ck_assert (cpr_ask_open (ask, &error));
}

/* The last cleanup leaves nothing. */
static void
clear_shell (CprAsk *ask)
{
  g_strfreev ((char **) ask->envp);
  cpr_ask_clear (ask);
  if (--n_open > 0)
    return;
  assert_process_is (before);
  g_clear_pointer (&before, g_free);
}

static void
assert_failure (const char *script, unsigned timeout_ms, const char *failure)
{
  char *argv[4];
  CprAsk ask;

  open_shell (&ask, argv, script);
  ck_assert (cpr_ask_run (&ask, 1, timeout_ms, &error));
  ck_assert_ptr_nonnull (ask.failure);
  ck_assert_str_eq (ask.failure, failure);
  clear_shell (&ask);
}

static void
assert_answer (const char *script, const char *answer)
{
  char *argv[4];
  CprAsk ask;

  open_shell (&ask, argv, script);
  ck_assert (cpr_ask_run (&ask, 1, PATIENT_MS, &error));
  ck_assert_msg (ask.failure == NULL, "%s", ask.failure);
  ck_assert_uint_eq (ask.answer->len, strlen (answer));
  ck_assert_mem_eq (ask.answer->data, answer, ask.answer->len);
  clear_shell (&ask);
}

START_TEST (an_answer_is_collected)
{
  assert_answer ("echo hello >&4", "hello\n");
  assert_answer ("echo no >&4; exit 1", "no\n");
  assert_answer ("echo noise; echo more >&2; printf a >&4; printf b >&4", "ab");
}
END_TEST

START_TEST (the_end_is_the_exit_and_not_that_of_the_pipes)
{
  assert_answer ("sleep 1000 & echo hello >&4", "hello\n");
  assert_answer ("(trap '' TERM HUP; while :; do sleep 1000; done) & echo hello >&4", "hello\n");
}
END_TEST

START_TEST (an_end_without_an_answer_says_how)
{
  assert_failure ("exit 0", PATIENT_MS, "it exited with status 0 without an answer: is it made with libcpr?");
  assert_failure ("exit 7", PATIENT_MS, "it exited with status 7 without an answer");
  assert_failure ("echo what is this >&2; exit 127", PATIENT_MS,
                  "it exited with status 127 without an answer: what is this");
  assert_failure ("echo /bin/sh: no such thing >&2; exit 127", PATIENT_MS,
                  "it exited with status 127 without an answer: no such thing");
  assert_failure ("kill -SEGV $$", PATIENT_MS, "it was killed by signal 11 (Segmentation fault)");
  assert_failure ("echo half >&4; echo oh; kill -KILL $$", PATIENT_MS, "it was killed by signal 9 (Killed): oh");
}
END_TEST

#define LONGEST_MS 20000

/* Asks the shell that executes @script with longer and longer deadlines until it has written
 * @least bytes before one, which takes a slow machine longer. Returns the last deadline. */
static unsigned
ask_until_written (CprAsk *ask, char **argv, const char *script, size_t least)
{
  for (unsigned deadline_ms = 300;; deadline_ms *= 2)
    {
      open_shell (ask, argv, script);
      ck_assert (cpr_ask_run (ask, 1, deadline_ms, &error));
      if (ask->output_len >= least || deadline_ms > LONGEST_MS)
        return deadline_ms;
      clear_shell (ask);
    }
}

/* @script says "hm" and hangs. */
static void
assert_killed (const char *script)
{
  char *argv[4];
  CprAsk ask;
  unsigned deadline_ms = ask_until_written (&ask, argv, script, 3);
  g_autofree char *failure = g_strdup_printf ("it gave no answer within %u ms, killed: hm", deadline_ms);

  ck_assert_str_eq (ask.failure, failure);
  clear_shell (&ask);
}

START_TEST (what_hangs_is_killed)
{
  assert_failure ("sleep 1000", 50, "it gave no answer within 50 ms, killed");
  assert_killed ("echo hm; sleep 1000 & wait");
  assert_killed ("trap '' TERM INT HUP QUIT; echo hm; while :; do sleep 1000; done");
  assert_killed ("echo hm; kill -STOP $$");
}
END_TEST

START_TEST (output_without_end_is_drained_and_bounded_by_the_deadline)
{
  char *argv[4];
  CprAsk ask;
  unsigned deadline_ms = ask_until_written (&ask, argv, "while :; do echo '" LONG_TEXT "'; done", 64 * 1024 + 1);
  g_autofree char *begin = g_strdup_printf ("it gave no answer within %u ms, killed: ", deadline_ms);

  ck_assert_uint_gt (ask.output_len, 64 * 1024);
  ck_assert (g_str_has_prefix (ask.failure, begin));
  ck_assert_ptr_nonnull (strstr (ask.failure, LONG_TEXT " " LONG_TEXT));
  ck_assert_uint_lt (strlen (ask.failure), 2 * CPR_ASK_OUTPUT_MAX);
  clear_shell (&ask);
}
END_TEST

START_TEST (an_answer_without_end_is_cut_off)
{
  char *argv[4];
  CprAsk ask;

  open_shell (&ask, argv, "exec cat /dev/zero >&4");
  ck_assert (cpr_ask_run (&ask, 1, PATIENT_MS, &error));
  ck_assert_str_eq (ask.failure, "its answer is damaged: it has more than 16777216 bytes");
  clear_shell (&ask);
}
END_TEST

START_TEST (output_does_a_terminal_no_harm)
{
  assert_failure ("printf 'a\\033[31m\\nb\\tc\\007 \\302\\233d \\377\\n\\n'; exit 1", PATIENT_MS,
                  "it exited with status 1 without an answer: a?[31m b c? ?d \357\277\275");
}
END_TEST

START_TEST (a_program_that_cannot_be_started_says_why)
{
  static const struct
  {
    const char *path, *failure;
  } cases[] = {
    { "/nonexistent/vmm", "it can't be started: No such file or directory" },
    { "/etc/passwd", "it can't be started: Permission denied" },
    { "/usr", "it can't be started: Permission denied" },
  };

  for (size_t i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      char *argv[4];
      CprAsk ask;

      open_shell (&ask, argv, "");
      ask.path = cases[i].path;
      ck_assert (cpr_ask_run (&ask, 1, PATIENT_MS, &error));
      ck_assert_str_eq (ask.failure, cases[i].failure);
      clear_shell (&ask);
    }
}
END_TEST

START_TEST (a_missing_interpreter_is_told_from_a_missing_program)
{
  g_autofree char *path = g_strdup ("/tmp/libcpr-ask-XXXXXX");
  static const char text[] = "#!/nonexistent/sh\n";
  int fd = g_mkstemp_full (path, O_RDWR | O_CLOEXEC, 0700);
  char *argv[4];
  CprAsk ask;

  ck_assert_int_eq (write (fd, text, sizeof text - 1), sizeof text - 1);
  close (fd);
  open_shell (&ask, argv, "");
  ask.path = path;
  ck_assert (cpr_ask_run (&ask, 1, PATIENT_MS, &error));
  ck_assert_str_eq (
      ask.failure, "it can't be started: No such file or directory (it is there: the interpreter that it names isn't)");
  clear_shell (&ask);
  unlink (path);
}
END_TEST

START_TEST (nothing_is_open_but_question_and_answer)
{
  assert_answer ("for i in $(seq 0 30); do test -e /proc/$$/fd/$i && printf \"$i \" >&4; done", "0 1 2 3 4 ");
  assert_answer ("readlink /proc/self/fd/0 >&4", "/dev/null\n");
  assert_answer ("readlink /proc/self/fd/3 >&4", "/memfd:libcpr-question (deleted)\n");
}
END_TEST

START_TEST (the_environment_has_no_supervisor)
{
  char *envp[] = { (char *) "NOTIFY_SOCKET=/run/notify",
                   (char *) "WATCHDOG_USEC=1",
                   (char *) "WATCHDOG_PID=1",
                   (char *) "LIBCPR_STATE=7",
                   (char *) "LIBCPR_TEST=kept",
                   NULL };
  char *argv[4];
  CprAsk ask;

  open_shell (&ask, argv, "echo $NOTIFY_SOCKET$WATCHDOG_USEC$WATCHDOG_PID$LIBCPR_STATE$LIBCPR_TEST >&4");
  g_strfreev ((char **) ask.envp);
  ask.envp = cpr_ask_make_envp (envp);
  ck_assert (cpr_ask_run (&ask, 1, PATIENT_MS, &error));
  ck_assert_uint_eq (ask.answer->len, strlen ("3kept\n"));
  ck_assert_mem_eq (ask.answer->data, "3kept\n", ask.answer->len);
  clear_shell (&ask);
}
END_TEST

START_TEST (signals_are_the_callers_mask_and_their_defaults)
{
  sigset_t mask, old;
  void (*handler) (int) = signal (SIGPIPE, SIG_IGN);

  sigemptyset (&mask);
  sigaddset (&mask, SIGUSR2);
  sigprocmask (SIG_SETMASK, &mask, &old);
  assert_answer ("exec grep SigBlk /proc/self/status >&4", "SigBlk:\t0000000000000800\n");
  assert_failure ("kill -PIPE $$", PATIENT_MS, "it was killed by signal 13 (Broken pipe)");
  sigprocmask (SIG_SETMASK, &old, NULL);
  signal (SIGPIPE, handler);
}
END_TEST

START_TEST (a_program_is_executed_by_its_fd_in_its_directory)
{
  static const char *const cwds[] = { "/usr", "/nonexistent" }, *const pwds[] = { "/usr\n", "/\n" };

  for (size_t i = 0; i < G_N_ELEMENTS (cwds); i++)
    {
      char *argv[4];
      CprAsk ask;

      open_shell (&ask, argv, "pwd >&4");
      cpr_ask_clear (&ask);
      ask.by_fd = true;
      ask.exe_fd = open ("/bin/sh", O_PATH | O_CLOEXEC);
      ask.path = "nothing like this";
      ask.cwd = cwds[i];
      ck_assert (cpr_ask_open (&ask, &error));
      ck_assert (cpr_ask_run (&ask, 1, PATIENT_MS, &error));
      ck_assert_msg (ask.failure == NULL, "%s", ask.failure);
      ck_assert_uint_eq (ask.answer->len, strlen (pwds[i]));
      ck_assert_mem_eq (ask.answer->data, pwds[i], ask.answer->len);
      close (ask.exe_fd);
      clear_shell (&ask);
    }
}
END_TEST

START_TEST (two_are_asked_at_the_same_time)
{
  char *argvs[2][4];
  CprAsk asks[2];
  g_autofree char *folder = g_dir_make_tmp ("libcpr-ask-XXXXXX", NULL), *fifo = g_build_filename (folder, "fifo", NULL);
  g_autofree char *reader = g_strdup_printf ("cat %s >&4", fifo),
                  *writer = g_strdup_printf ("echo hi >%s; exit 3", fifo);

  ck_assert_int_eq (mkfifo (fifo, 0600), 0);
  open_shell (&asks[0], argvs[0], reader); /* waits for the other one */
  open_shell (&asks[1], argvs[1], writer);
  ck_assert (cpr_ask_run (asks, 2, PATIENT_MS, &error));
  ck_assert_ptr_null (asks[0].failure);
  ck_assert_mem_eq (asks[0].answer->data, "hi\n", 3);
  ck_assert_str_eq (asks[1].failure, "it exited with status 3 without an answer");
  clear_shell (&asks[0]);
  clear_shell (&asks[1]);
  unlink (fifo);
  rmdir (folder);
}
END_TEST

START_TEST (a_vmm_that_reaps_all_its_children_is_put_up_with)
{
  void (*handler) (int) = signal (SIGCHLD, SIG_IGN);

  assert_answer ("echo hello >&4", "hello\n");
  assert_failure ("exit 0", PATIENT_MS, "it ended without an answer; its exit status went to another wait");
  assert_failure ("sleep 1000", 50, "it gave no answer within 50 ms, killed");
  signal (SIGCHLD, handler);
}
END_TEST

static int
forbid_pidfd (pid_t pid)
{
  errno = EPERM;
  return -1;
}

START_TEST (where_pidfds_are_forbidden_the_end_is_seen_too)
{
  static const char *const scripts[] = { "exit 7", "sleep 1000", "trap '' TERM; sleep 1000 & exit 7" };
  static const char *const failures[] = { "it exited with status 7 without an answer",
                                          "it gave no answer within 400 ms, killed",
                                          "it exited with status 7 without an answer" };

  for (size_t i = 0; i < G_N_ELEMENTS (scripts); i++)
    {
      CprSys without_pidfds = cpr_sys_kernel;
      char *argv[4];
      CprAsk ask;

      without_pidfds.pidfd_open = forbid_pidfd;
      open_shell (&ask, argv, scripts[i]);
      cpr_sys = &without_pidfds;
      ck_assert (cpr_ask_run (&ask, 1, 400, &error));
      cpr_sys = &cpr_sys_kernel;
      ck_assert_str_eq (ask.failure, failures[i]);
      clear_shell (&ask);
    }
}
END_TEST

static int
forbid_kill (pid_t pid, int number)
{
  errno = EPERM;
  return -1;
}

static int
forbid_signal (int pidfd, int number)
{
  errno = EPERM;
  return -1;
}

START_TEST (who_cannot_be_killed_is_not_waited_for_for_ever)
{
  CprSys without_kill = cpr_sys_kernel;
  char *argv[4];
  pid_t pid = 0;
  CprAsk ask;

  open_shell (&ask, argv, "echo $$; exec sleep 1000");
  without_kill.kill = forbid_kill;
  without_kill.pidfd_send_signal = forbid_signal;
  cpr_sys = &without_kill;
  ck_assert (cpr_ask_run (&ask, 1, 50, &error));
  cpr_sys = &cpr_sys_kernel;
  ck_assert_int_eq (sscanf (ask.failure, "it gave no answer within 50 ms, and process %d can't be killed", &pid), 1);
  ck_assert_int_gt (pid, 0);
  ck_assert_int_eq (ask.pid, 0);
  kill (pid, SIGKILL);
  ck_assert_int_eq (waitpid (pid, NULL, 0), pid);
  clear_shell (&ask);
}
END_TEST

/* One of this program's own calls fails. Then there is no answer, and nothing is left behind. */
START_TEST (each_failing_call_leaves_nothing)
{
  unsigned n;

  for (n = 1;; n++)
    {
      char *argv[] = { (char *) "/bin/sh", (char *) "-c", (char *) "echo hello >&4; sleep 1000", NULL };
      CprAsk ask = { .path = "/bin/sh", .argv = argv, .envp = cpr_ask_make_envp (environ) };
      bool ok;

      n_open++;
      before = process_describe ();
      faults_begin (n, 0, 0);
      ok = cpr_ask_open (&ask, &error) && cpr_ask_run (&ask, 1, 50, &error);
      faults_end ();
      if (ok)
        ck_assert_ptr_nonnull (ask.failure);
      else
        assert_error (&error, CPR_ERROR_SYSTEM, "preflight: ");
      clear_shell (&ask);
      if (faults.failed == NULL)
        break;
    }
  ck_assert_uint_gt (n, 8);
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("ask");
  tcase_add_test (tests, an_answer_is_collected);
  tcase_add_test (tests, the_end_is_the_exit_and_not_that_of_the_pipes);
  tcase_add_test (tests, an_end_without_an_answer_says_how);
  tcase_add_test (tests, what_hangs_is_killed);
  tcase_add_test (tests, output_without_end_is_drained_and_bounded_by_the_deadline);
  tcase_add_test (tests, an_answer_without_end_is_cut_off);
  tcase_add_test (tests, output_does_a_terminal_no_harm);
  if (!under_valgrind ()) /* there the child of a posix_spawn that fails ends with a status */
    {
      tcase_add_test (tests, a_program_that_cannot_be_started_says_why);
      tcase_add_test (tests, a_missing_interpreter_is_told_from_a_missing_program);
    }
  tcase_add_test (tests, nothing_is_open_but_question_and_answer);
  tcase_add_test (tests, the_environment_has_no_supervisor);
  tcase_add_test (tests, signals_are_the_callers_mask_and_their_defaults);
  tcase_add_test (tests, a_program_is_executed_by_its_fd_in_its_directory);
  tcase_add_test (tests, two_are_asked_at_the_same_time);
  tcase_add_test (tests, a_vmm_that_reaps_all_its_children_is_put_up_with);
  tcase_add_test (tests, where_pidfds_are_forbidden_the_end_is_seen_too);
  tcase_add_test (tests, who_cannot_be_killed_is_not_waited_for_for_ever);
  tcase_add_test (tests, each_failing_call_leaves_nothing);
  return run_suite (suite);
}
