/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process/program.h"

static GError *error;
static char *argv_of_main[] = { (char *) "vmm", (char *) "", (char *) "--ram=1G", NULL };

static void
setup (void)
{
  error = NULL;
}

START_TEST (record_keeps_what_it_takes_to_start_again)
{
  g_autofree char *before = process_describe (), *cwd = g_get_current_dir ();
  CprProgram program;
  mode_t mode = umask (0);

  umask (mode);
  signal (SIGUSR2, SIG_IGN);
  ck_assert (cpr_program_record (&program, argv_of_main, &error));
  ck_assert_uint_eq (g_strv_length (program.argv), 3);
  ck_assert_str_eq (program.argv[2], "--ram=1G");
  ck_assert_str_eq (program.cwd, cwd);
  ck_assert_uint_eq (program.umask, mode);
  ck_assert_uint_ne (program.ignored_signals >> (SIGUSR2 - 1) & 1, 0);
  ck_assert_uint_eq (program.ignored_signals >> (SIGTERM - 1) & 1, 0);
  if (!under_valgrind ()) /* it opens /proc/self/exe in its own way */
    ck_assert_int_eq (fcntl (program.exe_fd, F_GETFD), FD_CLOEXEC);
  cpr_program_clear (&program);
  signal (SIGUSR2, SIG_DFL);
  assert_process_is (before);
}
END_TEST

START_TEST (record_reads_the_command_line_where_main_does_not_tell)
{
  g_autofree char *text = NULL;
  CprProgram program;
  size_t len;

  ck_assert (g_file_get_contents ("/proc/self/cmdline", &text, &len, NULL));
  ck_assert (cpr_program_record (&program, NULL, &error));
  ck_assert_str_eq (program.argv[0], text);
  cpr_program_clear (&program);
}
END_TEST

START_TEST (record_that_fails_leaves_nothing)
{
  g_autofree char *before = process_describe ();
  CprProgram program;

  faults_begin (1, EMFILE, 0);
  ck_assert (!cpr_program_record (&program, argv_of_main, &error));
  faults_end ();
  cpr_program_clear (&program);
  ck_assert_int_eq (cpr_error_get_errno (error), EMFILE);
  assert_error (&error, CPR_ERROR_SYSTEM, "/proc/self/exe");
  assert_process_is (before);
}
END_TEST

START_TEST (the_state_s_variable_is_set_replaced_and_removed)
{
  char *const envp[] = { (char *) "A=1", (char *) "LIBCPR_STATE=9", (char *) "LIBCPR_STATES=8", (char *) "B=", NULL };
  g_auto (GStrv) with = cpr_program_make_envp (envp, 7), without = cpr_program_make_envp (envp, -1),
                 alone = cpr_program_make_envp (NULL, 3);
  g_autofree char *first = g_strjoinv (" ", with), *second = g_strjoinv (" ", without),
                  *third = g_strjoinv (" ", alone);

  ck_assert_str_eq (first, "A=1 LIBCPR_STATES=8 B= LIBCPR_STATE=7");
  ck_assert_str_eq (second, "A=1 LIBCPR_STATES=8 B=");
  ck_assert_str_eq (third, "LIBCPR_STATE=3");
}
END_TEST

static CprCursor
payload_of (CprWriter *writer)
{
  return written_from (writer, CPR_FORMAT_HEADER_SIZE);
}

START_TEST (a_program_round_trips)
{
  CprProgram program, read;
  CprWriter writer;
  CprCursor cursor;

  ck_assert (cpr_program_record (&program, argv_of_main, &error));
  cpr_writer_init (&writer, -1);
  cpr_program_write (&program, &writer);
  cursor = payload_of (&writer);
  ck_assert (cpr_program_read (&read, &cursor, &error));
  ck_assert (g_strv_equal ((const char *const *) read.argv, (const char *const *) program.argv));
  ck_assert (g_strv_equal ((const char *const *) read.envp, (const char *const *) program.envp));
  ck_assert_str_eq (read.cwd, program.cwd);
  ck_assert_str_eq (read.comm, program.comm);
  ck_assert_uint_eq (read.umask, program.umask);
  ck_assert_uint_eq (read.ignored_signals, program.ignored_signals);
  ck_assert_mem_eq (read.limits, program.limits, sizeof read.limits);
  ck_assert_int_eq (read.exe_fd, -1);
  cpr_program_clear (&read);
  cpr_program_clear (&program);
  cpr_writer_clear (&writer);
}
END_TEST

START_TEST (every_prefix_of_a_program_and_a_byte_more_are_refused)
{
  CprProgram program, read;
  CprWriter writer;

  ck_assert (cpr_program_record (&program, argv_of_main, &error));
  cpr_writer_init (&writer, -1);
  cpr_program_write (&program, &writer);
  cpr_writer_put_u8 (&writer, 0);
  for (size_t len = payload_of (&writer).len + 1; len-- > 0;)
    {
      CprCursor cursor = payload_of (&writer);
      bool whole = len == cursor.len - 1;

      cursor.len = len;
      ck_assert (cpr_program_read (&read, &cursor, &error) == whole);
      if (!whole)
        assert_error (&error, CPR_ERROR_CORRUPT, "program: ");
      cpr_program_clear (&read);
    }
  cpr_program_clear (&program);
  cpr_writer_clear (&writer);
}
END_TEST

START_TEST (a_program_without_argv_is_refused)
{
  char *none[] = { NULL };
  CprProgram program, read;
  CprWriter writer;
  CprCursor cursor;

  ck_assert (cpr_program_record (&program, argv_of_main, &error));
  g_strfreev (program.argv);
  program.argv = g_strdupv (none);
  cpr_writer_init (&writer, -1);
  cpr_program_write (&program, &writer);
  cursor = payload_of (&writer);
  ck_assert (!cpr_program_read (&read, &cursor, &error));
  assert_error (&error, CPR_ERROR_CORRUPT, "program: ");
  cpr_program_clear (&read);
  cpr_program_clear (&program);
  cpr_writer_clear (&writer);
}
END_TEST

/* A child changes its folder, mask, limit and disposition, and gets them back. */
static int
restore_in_child (void)
{
  struct rlimit limit, now;
  CprProgram program;
  g_autofree char *cwd = NULL;
  struct sigaction action;

  if (chdir ("/usr") < 0 || umask (031) == (mode_t) -1)
    return 1;
  signal (SIGUSR2, SIG_IGN);
  signal (SIGUSR1, SIG_DFL);
  getrlimit (RLIMIT_NOFILE, &limit);
  if (!cpr_program_record (&program, argv_of_main, NULL))
    return 2;
  now = limit;
  now.rlim_cur = limit.rlim_cur / 2;
  setrlimit (RLIMIT_NOFILE, &now);
  signal (SIGUSR2, SIG_DFL);
  signal (SIGUSR1, SIG_IGN);
  umask (0);
  if (chdir ("/") < 0)
    return 3;
  cpr_program_restore (&program);
  cpr_program_clear (&program);
  cwd = g_get_current_dir ();
  getrlimit (RLIMIT_NOFILE, &now);
  if (strcmp (cwd, "/usr") != 0 || umask (0) != 031 || now.rlim_cur != limit.rlim_cur)
    return 4;
  sigaction (SIGUSR2, NULL, &action);
  if (action.sa_handler != SIG_IGN)
    return 5;
  sigaction (SIGUSR1, NULL, &action);
  return action.sa_handler != SIG_IGN ? 0 : 6;
}

START_TEST (restore_gives_back_what_was_recorded)
{
  pid_t child = fork ();
  int status;

  if (child == 0)
    _exit (restore_in_child ());
  ck_assert_int_eq (waitpid (child, &status, 0), child);
  ck_assert_int_eq (status, 0);
}
END_TEST

START_TEST (find_program_searches_path_and_checks)
{
  g_autofree char *found = cpr_program_find ("sh", &error), *given = cpr_program_find ("/bin/sh", &error);

  ck_assert (g_path_is_absolute (found));
  ck_assert_str_eq (given, "/bin/sh");
  ck_assert_ptr_null (cpr_program_find ("/bin/sh/x", &error));
  ck_assert_int_eq (cpr_error_get_errno (error), ENOTDIR);
  assert_error (&error, CPR_ERROR_SYSTEM, "program '/bin/sh/x'");
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("program");

  tcase_add_checked_fixture (tests, setup, NULL);
  tcase_add_test (tests, record_keeps_what_it_takes_to_start_again);
  tcase_add_test (tests, record_reads_the_command_line_where_main_does_not_tell);
  tcase_add_test (tests, record_that_fails_leaves_nothing);
  tcase_add_test (tests, the_state_s_variable_is_set_replaced_and_removed);
  tcase_add_test (tests, a_program_round_trips);
  tcase_add_test (tests, every_prefix_of_a_program_and_a_byte_more_are_refused);
  tcase_add_test (tests, a_program_without_argv_is_refused);
  tcase_add_test (tests, restore_gives_back_what_was_recorded);
  tcase_add_test (tests, find_program_searches_path_and_checks);
  return run_suite (suite);
}
