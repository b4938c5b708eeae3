/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Updates that fail: afterwards everything is as it was, and the next call answers the same. */
#include "faults.h"
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/uapi.h"

static Guest guest;
static CprSession *session;
static GError *error;
static char *folder, *path;
static int event, inherited, pipes[2];
static Serial serial;
static Disk disk;
static CprRamBlock *block;

static void
write_program (const char *text, mode_t mode)
{
  ck_assert (g_file_set_contents (path, text, -1, NULL));
  ck_assert_int_eq (chmod (path, mode), 0);
}

/* A session with some of everything, in a process with a mask, a timer and fds of its own. */
static void
setup (void)
{
  const struct itimerval timer = { .it_value = { .tv_sec = 3650 }, .it_interval = { .tv_sec = 77 } };
  sigset_t mask;

  error = NULL;
  folder = g_dir_make_tmp ("libcpr-update-XXXXXX", NULL);
  path = g_build_filename (folder, "program", NULL);
  guest_init (&guest);
  session = session_new_active (&guest, "vm");
  if (under_valgrind ()) /* it opens /proc/self/exe in its own way, without O_CLOEXEC */
    ck_assert_int_eq (cpr_sys->close_range (3, ~0U, CLOSE_RANGE_CLOEXEC), 0);
  serial = serial_example;
  disk = disk_example;
  event = eventfd (0, EFD_CLOEXEC);
  inherited = dup (STDIN_FILENO); /* not close-on-exec, and not in the table */
  ck_assert_int_eq (pipe2 (pipes, O_CLOEXEC), 0);
  ck_assert (cpr_fd_add (session, "irq", 0, event, NULL));
  ck_assert (cpr_fd_add (session, "console", 1, pipes[1], NULL));
  ck_assert (cpr_session_hold_fd (session, pipes[0], NULL));
  ck_assert_int_eq (fcntl (pipes[1], F_SETFD, 0), 0); /* at the VMM's own wish */
  block = cpr_ram_new (session, "pc.ram", 4 * PAGE, NULL, NULL);
  ck_assert_ptr_nonnull (block);
  ck_assert (cpr_device_add (session, "com1", &serial_type, &serial, NULL));
  ck_assert (cpr_device_add (session, "sda", &disk_type, &disk, NULL));
  ck_assert_int_eq (setitimer (ITIMER_REAL, &timer, NULL), 0);
  sigemptyset (&mask);
  sigaddset (&mask, SIGUSR1);
  ck_assert_int_eq (sigprocmask (SIG_BLOCK, &mask, NULL), 0);
}

static void
teardown (void)
{
  const struct itimerval off = { .it_value = { .tv_sec = 0 } };
  sigset_t mask;

  setitimer (ITIMER_REAL, &off, NULL);
  sigemptyset (&mask);
  sigaddset (&mask, SIGUSR1);
  sigprocmask (SIG_UNBLOCK, &mask, NULL);
  cpr_session_free (session);
  guest_clear (&guest);
  cpr_fd_clear (&event);
  cpr_fd_clear (&inherited);
  cpr_fd_clear (&pipes[0]);
  cpr_fd_clear (&pipes[1]);
  unlink (path);
  rmdir (folder);
  g_free (path);
  g_free (folder);
}

/* A failing execve ends valgrind, so that it gets one that is played. */
static bool
update_as (const CprUpdate *update, int exec_errnum)
{
  bool ok;

  if (under_valgrind ())
    faults_begin (0, 0, exec_errnum);
  ok = cpr_session_update (session, update, &error);
  faults_end ();
  return ok;
}

static bool
update_to (const char *program)
{
  char *argv[] = { (char *) program, NULL };
  const CprUpdate update = { .size = sizeof update, .mode = CPR_MODE_EXEC, .flags = update_flags (), .argv = argv };

  return update_as (&update, ENOEXEC);
}

/* RLIMIT_FSIZE holds during the update only, because the test's own results go to a file. */
static rlim_t file_size_limit = RLIM_INFINITY;

static bool
limited_update (const CprUpdate *update, int exec_errnum)
{
  struct rlimit old, limit;
  bool ok;

  getrlimit (RLIMIT_FSIZE, &old);
  limit = old;
  limit.rlim_cur = MIN (old.rlim_max, file_size_limit);
  setrlimit (RLIMIT_FSIZE, &limit);
  ok = update_as (update, exec_errnum);
  setrlimit (RLIMIT_FSIZE, &old);
  return ok;
}

/* This holds after every failure. */
static void
assert_failed (const CprUpdate *update, int code, int errnum, const char *text, int stops, const char *before)
{
  CprUpdateInfo info = { .size = sizeof info };
  int stopped = guest.stops, started = guest.starts;
  bool running = guest.running;

  ck_assert (!limited_update (update, errnum != 0 ? errnum : ENOEXEC));
  ck_assert_ptr_nonnull (error);
  ck_assert_int_eq (cpr_error_get_errno (error), errnum);
  cpr_session_get_update_info (session, &info);
  ck_assert_int_eq (info.status, CPR_UPDATE_FAILED);
  ck_assert_str_eq (info.error, error->message);
  ck_assert_ptr_nonnull (strstr (guest.log->str, error->message));
  assert_error (&error, code, text);
  ck_assert_int_eq (cpr_session_get_state (session), CPR_SESSION_STATE_ACTIVE);
  ck_assert_int_eq (guest.stops - stopped, stops);
  ck_assert_int_eq (guest.starts - started, stops);
  ck_assert (guest.running == running);
  assert_process_is (before);
}

/* Fails, and fails again in the same way. @stops: how often the guest is stopped each time. */
static void
assert_fails (const CprUpdate *update, int code, int errnum, const char *text, int stops)
{
  g_autofree char *before = process_describe ();

  for (int i = 0; i < 2; i++)
    assert_failed (update, code, errnum, text, stops, before);
  assert_serial_eq (&serial, &serial_example);
}

static void
assert_program_fails (const char *program, int code, int errnum, int stops)
{
  char *argv[] = { (char *) program, NULL };
  const CprUpdate update = { .size = sizeof update, .mode = CPR_MODE_EXEC, .flags = update_flags (), .argv = argv };

  assert_fails (&update, code, errnum, program, stops);
}

START_TEST (a_program_that_is_not_there_is_named_before_the_guest_stops)
{
  assert_program_fails ("/nonexistent/vmm", CPR_ERROR_SYSTEM, ENOENT, 0);
  assert_program_fails ("no-such-program-in-path", CPR_ERROR_SYSTEM, ENOENT, 0);
  assert_program_fails ("", CPR_ERROR_INVALID, 0, 0);
}
END_TEST

START_TEST (a_directory_and_a_file_without_x_are_named_before_the_guest_stops)
{
  write_program ("text", 0644);
  assert_program_fails (folder, CPR_ERROR_SYSTEM, EISDIR, 0);
  assert_program_fails (path, CPR_ERROR_SYSTEM, EACCES, 0);
}
END_TEST

START_TEST (execve_that_fails_with_enoexec_leaves_everything)
{
  write_program ("no program of any kind", 0755);
  assert_program_fails (path, CPR_ERROR_SYSTEM, ENOEXEC, 1);
}
END_TEST

START_TEST (execve_that_fails_with_eacces_leaves_everything)
{
  write_program ("#!/etc/passwd\n", 0755);
  assert_program_fails (path, CPR_ERROR_SYSTEM, EACCES, 1);
}
END_TEST

START_TEST (execve_that_fails_with_e2big_leaves_everything)
{
  g_autofree char *argument = g_strnfill (1 << 20, 'x');
  char *argv[] = { (char *) "/bin/true", argument, NULL };
  const CprUpdate update = { .size = sizeof update, .mode = CPR_MODE_EXEC, .flags = update_flags (), .argv = argv };

  assert_fails (&update, CPR_ERROR_SYSTEM, E2BIG, "program '/bin/true': execve", 1);
}
END_TEST

START_TEST (execve_that_fails_without_a_guardian_leaves_everything)
{
  char *argv[] = { path, NULL };
  const CprUpdate update = {
    .size = sizeof update, .mode = CPR_MODE_EXEC, .flags = update_flags () | CPR_UPDATE_NO_GUARDIAN, .argv = argv
  };
  CprUpdateInfo info = { .size = sizeof info };

  write_program ("no program of any kind", 0755);
  assert_fails (&update, CPR_ERROR_SYSTEM, ENOEXEC, path, 1);
  cpr_session_get_update_info (session, &info);
  ck_assert (!info.guardian);
}
END_TEST

/* The update before it got as far as the execve; this one is refused at the door. */
START_TEST (an_update_that_is_refused_at_once_has_no_steps)
{
  char *argv[] = { path, NULL };
  CprUpdate update = { .size = sizeof update, .mode = CPR_MODE_EXEC, .flags = update_flags (), .argv = argv };
  CprUpdateInfo info = { .size = sizeof info };
  uint64_t blocker = cpr_blocker_add (session, CPR_MODES_REBOOT, "a test's", NULL);

  write_program ("no program of any kind", 0755);
  assert_fails (&update, CPR_ERROR_SYSTEM, ENOEXEC, path, 1);
  cpr_session_get_update_info (session, &info);
  ck_assert (info.mode == CPR_MODE_EXEC && info.total_ns > 0 && info.step_ns[CPR_STEP_STOP] > 0);
  update.mode = CPR_MODE_REBOOT;
  update.flags = 0;
  update.argv = NULL;
  update.uri = "file:/nowhere";
  ck_assert (!cpr_session_update (session, &update, &error));
  assert_error (&error, CPR_ERROR_BLOCKED, "a test's");
  cpr_session_get_update_info (session, &info);
  ck_assert (info.status == CPR_UPDATE_FAILED && info.mode == CPR_MODE_REBOOT && !info.guardian);
  ck_assert_uint_eq (info.pause_ns, 0);
  ck_assert_uint_eq (info.total_ns, 0);
  for (CprStep step = 0; step < CPR_STEPS_MAX; step++)
    ck_assert_uint_eq (info.step_ns[step], 0);
  cpr_blocker_remove (session, blocker, NULL);
}
END_TEST

START_TEST (a_paused_guest_stays_paused)
{
  write_program ("no program of any kind", 0755);
  ck_assert (cpr_session_pause (session, NULL));
  assert_program_fails (path, CPR_ERROR_SYSTEM, ENOEXEC, 0);
  ck_assert (!guest.running);
  ck_assert_int_eq (cpr_session_get_run_state (session), CPR_RUN_STATE_PAUSED);
  ck_assert (cpr_session_resume (session, NULL));
  ck_assert (guest.running);
}
END_TEST

START_TEST (arguments_that_cannot_be_right_are_refused)
{
  char *argv[] = { (char *) "/bin/true", NULL };
  const CprUpdate right = { .size = sizeof right, .mode = CPR_MODE_EXEC, .argv = argv };
  CprUpdate update = right;

  update.mode = 0;
  assert_fails (&update, CPR_ERROR_INVALID, 0, "unknown mode 0", 0);
  update.mode = 29;
  assert_fails (&update, CPR_ERROR_INVALID, 0, "unknown mode 29", 0);
  update = right;
  update.flags = 1u << 7;
  assert_fails (&update, CPR_ERROR_INVALID, 0, "flags 0x80", 0);
  update = right;
  update.argv = NULL;
  assert_fails (&update, CPR_ERROR_INVALID, 0, "program should be set, or argv, and neither is", 0);
  update.argv = argv + 1;
  assert_fails (&update, CPR_ERROR_INVALID, 0, "argv is empty", 0);
  update.program = "/bin/true";
  assert_fails (&update, CPR_ERROR_INVALID, 0, "argv is empty", 0);
  update.argv = NULL;
  update.program = "";
  assert_fails (&update, CPR_ERROR_INVALID, 0, "its name is empty", 0);
  update.program = "/nowhere";
  assert_fails (&update, CPR_ERROR_SYSTEM, ENOENT, "program '/nowhere'", 0);
}
END_TEST

START_TEST (private_ram_blocks_the_update)
{
  const CprRamOptions options = { .size = sizeof options, .backend = CPR_RAM_PRIVATE };
  char *argv[] = { (char *) "/bin/true", NULL };
  const CprUpdate update = { .size = sizeof update, .mode = CPR_MODE_EXEC, .argv = argv };

  ck_assert_ptr_nonnull (cpr_ram_new (session, "vga.ram", PAGE, &options, NULL));
  assert_fails (&update, CPR_ERROR_BLOCKED, 0, "RAM block 'vga.ram'", 0);
}
END_TEST

START_TEST (an_fd_that_was_closed_is_named)
{
  char *argv[] = { (char *) "/bin/true", NULL };
  const CprUpdate update = { .size = sizeof update, .mode = CPR_MODE_EXEC, .argv = argv };

  close (pipes[1]);
  assert_fails (&update, CPR_ERROR_MISMATCH, 0, "fd 'console' 1", 0);
  pipes[1] = -1;
}
END_TEST

START_TEST (an_fd_that_is_another_one_now_is_named)
{
  char *argv[] = { (char *) "/bin/true", NULL };
  const CprUpdate update = { .size = sizeof update, .mode = CPR_MODE_EXEC, .argv = argv };

  ck_assert_int_eq (dup3 (pipes[0], pipes[1], O_CLOEXEC), pipes[1]);
  assert_fails (&update, CPR_ERROR_MISMATCH, 0, "fd 'console' 1", 0);
}
END_TEST

START_TEST (stop_that_fails_ends_the_update)
{
  g_autofree char *before = process_describe ();

  guest.stop = STOP_FAILS;
  ck_assert (!update_to ("/bin/true"));
  ck_assert_str_eq (error->message, "vCPU 1 doesn't answer");
  ck_assert_int_eq (error->code, 42);
  g_clear_error (&error);
  guest.stop = STOP_FAILS_SILENTLY;
  ck_assert (!update_to ("/bin/true"));
  assert_error (&error, CPR_ERROR_CALLBACK, "VM 'vm'");
  ck_assert (guest.running);
  ck_assert_int_eq (guest.starts, 1);
  assert_process_is (before);
}
END_TEST

static CprSessionState seen_state;
static bool nested_worked;

static bool
nosy_pre_save (void *device G_GNUC_UNUSED, GError **to)
{
  GError *nested = NULL;

  seen_state = cpr_session_get_state (session);
  nested_worked = update_to ("/bin/true") || cpr_session_pause (session, NULL);
  assert_error (&error, CPR_ERROR_STATE, "cpr_session_update: not permitted in a session that is updating");
  ck_assert (!cpr_fd_remove (session, "irq", 0, &nested));
  assert_error (&nested, CPR_ERROR_STATE, "cpr_fd_remove");
  ck_assert (!cpr_ram_grow (session, block, 8 * PAGE, &nested));
  assert_error (&nested, CPR_ERROR_STATE, "cpr_ram_grow: not permitted in a session that is updating");
  return cpr_throw (to, CPR_ERROR_CALLBACK, "no registers");
}

START_TEST (pre_save_that_fails_lets_the_guest_run_again)
{
  static const CprField fields[] = { CPR_FIELD (Disk, sector), CPR_FIELD_END };
  const CprDeviceType type = {
    .size = sizeof type, .name = "nosy", .state = { "Nosy", sizeof (Disk), fields }, .pre_save = nosy_pre_save
  };
  g_autofree char *before = process_describe ();
  Disk state = { .sector = 1 };

  ck_assert (cpr_device_add (session, "nosy0", &type, &state, NULL));
  ck_assert (!update_to ("/bin/true"));
  assert_error (&error, CPR_ERROR_CALLBACK, "device 'nosy0': no registers");
  ck_assert_int_eq (seen_state, CPR_SESSION_STATE_UPDATING);
  ck_assert (!nested_worked);
  ck_assert (guest.running);
  ck_assert_int_eq (guest.stops, 1);
  ck_assert_int_eq (guest.starts, 2);
  assert_process_is (before);
  ck_assert (cpr_device_remove (session, "nosy0", NULL));
}
END_TEST

START_TEST (a_count_that_is_too_large_lets_the_guest_run_again)
{
  g_autofree char *before = process_describe ();

  serial.n_queue = 1000;
  ck_assert (!update_to ("/bin/true"));
  assert_error (&error, CPR_ERROR_INVALID, "device 'com1': field 'queue'");
  ck_assert (guest.running);
  assert_process_is (before);
}
END_TEST

START_TEST (the_file_size_limit_is_an_error_and_no_signal)
{
  char *argv[] = { (char *) "/bin/true", NULL };
  const CprUpdate update = { .size = sizeof update, .mode = CPR_MODE_EXEC, .flags = update_flags (), .argv = argv };
  g_autoptr (GArray) spare = g_array_new (FALSE, FALSE, sizeof (int));

  for (int i = 0; i < 100; i++) /* the state is larger than the baton's page then */
    {
      int fd = dup (event);

      ck_assert (cpr_fd_add (session, "spare", i, fd, NULL));
      g_array_append_val (spare, fd);
    }
  file_size_limit = 4096;
  assert_fails (&update, CPR_ERROR_SYSTEM, EFBIG, "state: writing", 1);
  file_size_limit = 100;
  assert_fails (&update, CPR_ERROR_SYSTEM, EFBIG, "baton", 0);
  for (guint i = 0; i < spare->len; i++)
    close (g_array_index (spare, int, i));
}
END_TEST

START_TEST (no_free_fd_is_an_error_whichever_is_the_last_one)
{
  g_autofree char *before = process_describe ();
  struct rlimit old, limit;
  int lowest = dup (event);
  unsigned failures = 0;

  close (lowest);
  getrlimit (RLIMIT_NOFILE, &old);
  limit = old;
  write_program ("no program of any kind", 0755);
  for (int spare = 0; spare < 16; spare++)
    {
      limit.rlim_cur = (rlim_t) (lowest + spare);
      setrlimit (RLIMIT_NOFILE, &limit);
      ck_assert (!update_to (path));
      setrlimit (RLIMIT_NOFILE, &old);
      failures += cpr_error_get_errno (error) == EMFILE;
      assert_error (&error, CPR_ERROR_SYSTEM, "");
      ck_assert (guest.running);
      ck_assert_int_eq (guest.starts, guest.stops + 1);
      assert_process_is (before);
    }
  ck_assert_uint_ge (failures, 3); /* state, eventfd, baton, … */
}
END_TEST

/* Fails the n-th call, for every n until none is left; the last one fails by the execve. */
static unsigned
run_faults (unsigned flags, int errnum, int exec_errnum)
{
  char *argv[] = { (char *) "/bin/true", NULL };
  const CprUpdate update = {
    .size = sizeof update, .mode = CPR_MODE_EXEC, .flags = flags, .argv = argv, .reply_fd = event
  };
  g_autofree char *before = process_describe ();

  for (unsigned n = 1;; n++)
    {
      int reply;
      int stops = guest.stops, starts = guest.starts;
      CprUpdateInfo info = { .size = sizeof info };

      faults_begin (n, errnum, exec_errnum);
      ck_assert (!cpr_session_update (session, &update, &error));
      faults_end ();
      ck_assert_msg (error->message[0] != '\0' && error->domain == CPR_ERROR, "%s", error->message);
      if (faults.failed == NULL)
        ck_assert_int_eq (cpr_error_get_errno (error), exec_errnum);
      cpr_session_get_update_info (session, &info);
      ck_assert_str_eq (info.error, error->message);
      g_clear_error (&error);
      reply = cpr_session_take_reply_fd (session, NULL, NULL);
      cpr_fd_clear (&reply);
      ck_assert_msg (guest.stops - stops == guest.starts - starts && guest.stops - stops <= 1,
                     "%s: %d stops, %d starts", faults.failed, guest.stops - stops, guest.starts - starts);
      ck_assert (guest.running);
      ck_assert_int_eq (cpr_session_get_state (session), CPR_SESSION_STATE_ACTIVE);
      ck_assert_msg (faults.mappings == 0, "%s: %d mappings are left", faults.failed, faults.mappings);
      assert_process_is (before);
      if (faults.failed == NULL)
        return n - 1;
    }
}

START_TEST (every_call_that_fails_leaves_everything)
{
  unsigned calls = run_faults (update_flags (), 0, ENOEXEC);

  ck_assert_uint_gt (calls, 20);
  ck_assert_uint_eq (run_faults (update_flags (), EMFILE, E2BIG), calls);
  ck_assert_uint_eq (run_faults (update_flags (), ENOMEM, EACCES), calls);
  assert_serial_eq (&serial, &serial_example);
}
END_TEST

START_TEST (every_call_that_fails_without_a_guardian_leaves_everything)
{
  ck_assert_uint_gt (run_faults (update_flags () | CPR_UPDATE_NO_GUARDIAN, 0, ENOEXEC), 20);
  ck_assert_uint_gt (run_faults (update_flags () | CPR_UPDATE_NO_GUARDIAN, ENOMEM, E2BIG), 20);
}
END_TEST

START_TEST (every_call_that_fails_leaves_a_paused_guest_paused)
{
  char *argv[] = { (char *) "/bin/true", NULL };
  const CprUpdate update = { .size = sizeof update, .mode = CPR_MODE_EXEC, .flags = update_flags (), .argv = argv };
  unsigned n = 0;

  ck_assert (cpr_session_pause (session, NULL));
  do
    {
      faults_begin (++n, 0, ENOEXEC);
      ck_assert (!cpr_session_update (session, &update, NULL));
      faults_end ();
      ck_assert (!guest.running);
      ck_assert_int_eq (guest.starts, 1);
    }
  while (faults.failed != NULL);
}
END_TEST

START_TEST (fifty_failures_in_a_row_leave_nothing)
{
  g_autofree char *before = process_describe ();

  write_program ("no program of any kind", 0755);
  for (int i = 0; i < 50; i++)
    {
      ck_assert (!update_to (path));
      assert_error (&error, CPR_ERROR_SYSTEM, path);
    }
  assert_process_is (before);
  ck_assert_int_eq (guest.stops, 50);
}
END_TEST

START_TEST (the_session_can_be_used_and_freed_after_a_failure)
{
  write_program ("no program of any kind", 0755);
  ck_assert (!update_to (path));
  assert_error (&error, CPR_ERROR_SYSTEM, path);
  ck_assert_int_eq (cpr_fd_get (session, "irq", 0), event);
  ck_assert (cpr_fd_remove (session, "irq", 0, NULL));
  ck_assert (cpr_fd_add (session, "irq", 0, event, NULL));
  ck_assert (cpr_session_pause (session, NULL) && cpr_session_resume (session, NULL));
  ck_assert (cpr_ram_remove (session, block, NULL));
}
END_TEST

static void
add_faults (TCase *tests)
{
  tcase_add_test (tests, the_file_size_limit_is_an_error_and_no_signal);
  tcase_add_test (tests, no_free_fd_is_an_error_whichever_is_the_last_one);
  tcase_add_test (tests, every_call_that_fails_leaves_everything);
  tcase_add_test (tests, every_call_that_fails_without_a_guardian_leaves_everything);
  tcase_add_test (tests, every_call_that_fails_leaves_a_paused_guest_paused);
  tcase_add_test (tests, fifty_failures_in_a_row_leave_nothing);
}

int
main (void)
{
  BEGIN_SUITE ("update");

  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, a_program_that_is_not_there_is_named_before_the_guest_stops);
  tcase_add_test (tests, a_directory_and_a_file_without_x_are_named_before_the_guest_stops);
  tcase_add_test (tests, execve_that_fails_with_enoexec_leaves_everything);
  tcase_add_test (tests, execve_that_fails_with_eacces_leaves_everything);
  tcase_add_test (tests, execve_that_fails_with_e2big_leaves_everything);
  tcase_add_test (tests, execve_that_fails_without_a_guardian_leaves_everything);
  tcase_add_test (tests, an_update_that_is_refused_at_once_has_no_steps);
  tcase_add_test (tests, a_paused_guest_stays_paused);
  tcase_add_test (tests, arguments_that_cannot_be_right_are_refused);
  tcase_add_test (tests, private_ram_blocks_the_update);
  tcase_add_test (tests, an_fd_that_was_closed_is_named);
  tcase_add_test (tests, an_fd_that_is_another_one_now_is_named);
  tcase_add_test (tests, stop_that_fails_ends_the_update);
  tcase_add_test (tests, pre_save_that_fails_lets_the_guest_run_again);
  tcase_add_test (tests, a_count_that_is_too_large_lets_the_guest_run_again);
  add_faults (tests);
  tcase_add_test (tests, the_session_can_be_used_and_freed_after_a_failure);
  return run_suite (suite);
}
