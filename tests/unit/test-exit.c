/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The end of the new program before its commit, by exit() and its like: the old program gets the
 * guest back in the same process, and the reason that it was told. */
#include "helpers.h"
#include "small-vmm.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* What a HOW may begin with: without the flag, and with a reason. */
#define UNFLAGGED "unflagged:"
#define TOLD      "told:"

/* ---- In the new program, before its commit. */

static void *
exit_elsewhere (void *unused G_GNUC_UNUSED)
{
  exit (3);
}

static void
exit_in_thread (void)
{
  pthread_t thread;

  if (pthread_create (&thread, NULL, exit_elsewhere, NULL) == 0)
    for (;;)
      pause ();
}

static void
exit_in_child (void)
{
  pid_t child = fork ();

  if (child == 0)
    exit (3);
  waitpid (child, NULL, 0);
}

static void
close_all (void)
{
  for (int fd = STDERR_FILENO + 1; fd < 64; fd++)
    close (fd);
}

/* By a system call that a seccomp filter catches: the instruction isn't run again. */
static void
be_caught (void)
{
  struct sock_filter code[] = { BPF_STMT (BPF_LD | BPF_W | BPF_ABS, offsetof (struct seccomp_data, nr)),
                                BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, SYS_times, 0, 1),
                                BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_TRAP),
                                BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_ALLOW) };
  const struct sock_fprog filter = { G_N_ELEMENTS (code), code };

  prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  prctl (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
  syscall (SYS_times, NULL);
}

static void
end_by (const char *how)
{
  if (strcmp (how, "exit") == 0)
    exit (3);
  if (strcmp (how, "_exit") == 0)
    _exit (3);
  if (strcmp (how, "crash") == 0)
    abort ();
  if (strcmp (how, "caught") == 0)
    be_caught ();
  if (strcmp (how, "thread") == 0)
    exit_in_thread ();
  if (strcmp (how, "child") == 0)
    exit_in_child ();
  if (strcmp (how, "last-thread") == 0)
    pthread_exit (NULL);
  if (strcmp (how, "closing") == 0)
    {
      atexit (close_all);
      exit (3);
    }
}

static void
end_start_up (CprSession *session, const char *how, SmallVmmStep step)
{
  bool is_told = g_str_has_prefix (how, TOLD);

  how += is_told ? strlen (TOLD) : 0;
  how += g_str_has_prefix (how, UNFLAGGED) ? strlen (UNFLAGGED) : 0;
  if (is_told)
    {
      cpr_session_set_reason (session, "no key");
      cpr_session_set_reason (session, "no licence\n");
    }
  if (strcmp (how, "forgotten") == 0)
    {
      cpr_session_set_reason (session, "no licence");
      cpr_session_set_reason (session, NULL);
      exit (3);
    }
  if (strcmp (how, "loaded") == 0 && step == SMALL_VMM_LOADED)
    exit (3);
  if (strcmp (how, "race") == 0 && step == SMALL_VMM_LOADED)
    {
      pthread_t thread;

      pthread_create (&thread, NULL, exit_elsewhere, NULL);
    }
  if (strcmp (how, "free") == 0)
    {
      cpr_session_free (session);
      _exit (5);
    }
  end_by (how);
}

/* Registered before cpr_session_new(), and so called after the library's handler, if at all. */
static void
end_at_once (void)
{
  _exit (9);
}

static int
be_vmm (char **argv)
{
  bool is_flagged = !g_str_has_prefix (argv[2], UNFLAGGED);

  atexit (end_at_once);
  return small_vmm_main (argv, is_flagged ? CPR_INCOMING_EXIT_GOES_BACK : 0, end_start_up);
}

/* ---- In the test. */

static const struct
{
  const char *how, *answer;
} ends[] = {
  { "exit", "rolled-back: the new program exited with status 3 in step claim" },
  { "loaded", "rolled-back: the new program exited with status 3 in step commit" },
  { "forgotten", "rolled-back: the new program exited with status 3 in step claim" },
  { TOLD "exit", "rolled-back: no licence" },
  { TOLD "free", "rolled-back: no licence" },
  { SMALL_VMM_NO_GUARDIAN TOLD "exit", "rolled-back: no licence" },
  { TOLD "thread", "rolled-back: no licence" },
  { "thread", "rolled-back: the new program exited with status 3 in step claim" },
  { SMALL_VMM_NO_GUARDIAN "thread", "rolled-back: the new program exited with status 3 in step claim" },
  { TOLD "last-thread", "rolled-back: no licence" },
  { TOLD "closing", "rolled-back: no licence" },
  { TOLD "child", "completed" },
  { TOLD "crash", "rolled-back: the new program got signal 6 (SIGABRT) in step claim; before that: no licence" },
  { "caught", "rescued: the new program was killed by signal 31 (Bad system call) in step claim" },
  { TOLD "_exit", "rescued: the new program exited with status 3 in step claim; before that: no licence" },
  { UNFLAGGED "exit", "rescued: the new program exited with status 9 in step claim" },
};

START_TEST (the_old_program_knows_why_the_new_one_ended)
{
  g_autofree char *text = small_vmm_get_answer (ends[_i].how, SMALL_VMM_NO_URI);

  ck_assert_msg (strcmp (text, ends[_i].answer) == 0, "%s: '%s', expected '%s'", ends[_i].how, text, ends[_i].answer);
}
END_TEST

/* After the commit an exit() is the VMM's own, before or after the answer. Before it, no commit
 * follows. At the very moment the process ends, and the guardian takes the guest back. */
START_TEST (an_exit_in_a_thread_may_come_with_the_commit)
{
  for (int i = 0; i < 30; i++)
    {
      g_autofree char *text = small_vmm_get_answer ("race", SMALL_VMM_NO_URI);

      ck_assert_msg (strcmp (text, "completed") == 0 || strcmp (text, "") == 0 || strcmp (text, ends[1].answer) == 0 ||
                         strcmp (text, "rescued: the new program exited with status 9 in step commit") == 0,
                     "'%s'", text);
    }
}
END_TEST

static void
assert_transfer (const char *how, const char *expected)
{
  g_autofree char *from = NULL, *to = NULL, *text = NULL;
  int sockets[2];

  ck_assert_int_eq (socketpair (AF_UNIX, SOCK_STREAM, 0, sockets), 0);
  from = g_strdup_printf ("unix-fd:%d", sockets[0]);
  to = g_strdup_printf ("unix-fd:%d", sockets[1]);
  small_vmm_start (how, -1, to);
  close (sockets[1]);
  text = small_vmm_get_answer (SMALL_VMM_TRANSFER, from);
  close (sockets[0]);
  ck_assert_msg (g_str_has_prefix (text, "failed: new program: ") && strstr (text, expected) != NULL,
                 "%s: '%s', expected '%s'", how, text, expected);
}

START_TEST (in_transfer_mode_the_old_program_is_told_why)
{
  assert_transfer (SMALL_VMM_SUCCESSOR TOLD "exit", "new program: no licence");
  assert_transfer (SMALL_VMM_SUCCESSOR "exit", "new program: the new program exited with status 3");
  assert_transfer (SMALL_VMM_SUCCESSOR TOLD "thread", "; before that: no licence");
  assert_transfer (SMALL_VMM_SUCCESSOR TOLD "_exit", "; before that: no licence");
}
END_TEST

START_TEST (in_reboot_mode_the_file_gets_its_name_back)
{
  g_autofree char *folder = g_dir_make_tmp ("libcpr-XXXXXX", NULL), *path = g_build_filename (folder, "vm", NULL),
                  *uri = g_strconcat ("file:", path, NULL), *text = small_vmm_get_answer (SMALL_VMM_REBOOT, uri);

  ck_assert_str_eq (text, "completed");
  small_vmm_start (SMALL_VMM_SUCCESSOR "exit", -1, uri);
  while (wait (NULL) > 0)
    ;
  ck_assert_int_eq (unlink (path), 0);
  ck_assert_int_eq (rmdir (folder), 0);
}
END_TEST

static int
run_tests (void)
{
  BEGIN_SUITE ("exit");

  if (under_valgrind ()) /* it can't follow the guardian */
    return run_suite (suite);
  tcase_add_loop_test (tests, the_old_program_knows_why_the_new_one_ended, 0, G_N_ELEMENTS (ends));
  tcase_add_test (tests, an_exit_in_a_thread_may_come_with_the_commit);
  tcase_add_test (tests, in_transfer_mode_the_old_program_is_told_why);
  tcase_add_test (tests, in_reboot_mode_the_file_gets_its_name_back);
  return run_suite (suite);
}

int
main (int argc, char **argv)
{
  if (argc > 1 && strcmp (argv[1], SMALL_VMM_WORD) == 0)
    return be_vmm (argv);
  return run_tests ();
}
