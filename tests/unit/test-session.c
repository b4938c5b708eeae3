/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A fresh session, through the public functions. */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "session/core.h"

static Guest guest;
static GError *error;

/* The callback of cpr_fd_open() gives this fd, or fails with or without a reason. */
static int opener_fd;
static bool opener_silent;
static unsigned opener_calls;

static void
setup (void)
{
  guest_init (&guest);
  error = NULL;
  opener_fd = -1;
  opener_silent = false;
  opener_calls = 0;
}

static void
teardown (void)
{
  guest_clear (&guest);
}

static void
assert_config_refused (const CprSessionConfig *config, const char *text)
{
  g_autofree char *before = process_describe ();

  ck_assert_ptr_null (cpr_session_new (config, &error));
  assert_error (&error, CPR_ERROR_INVALID, text);
  assert_process_is (before);
}

START_TEST (new_refuses_names_of_no_and_of_256_bytes)
{
  g_autofree char *longest = name_of (255), *too_long = name_of (256);
  CprSessionConfig config = guest_config (&guest, "");

  assert_config_refused (&config, "VM '': a name has 1 to 255 bytes, not 0");
  config.name = NULL;
  assert_config_refused (&config, "VM ''");
  config.name = too_long;
  assert_config_refused (&config, "not 256");
  cpr_session_free (session_new (&guest, longest));
}
END_TEST

START_TEST (new_refuses_missing_callbacks_and_unknown_policies)
{
  CprSessionConfig config = guest_config (&guest, "vm");

  config.stop = NULL;
  assert_config_refused (&config, "VM 'vm': the stop and start callbacks are needed");
  config = guest_config (&guest, "vm");
  config.start = NULL;
  assert_config_refused (&config, "VM 'vm'");
  config = guest_config (&guest, "vm");
  config.unclaimed_fds = 2;
  assert_config_refused (&config, "VM 'vm': unknown policy 2");
}
END_TEST

START_TEST (new_takes_what_lies_beyond_a_smaller_size_as_0)
{
  CprSessionConfig config = guest_config (&guest, "vm");
  CprSession *session;

  config.size = offsetof (CprSessionConfig, unclaimed_fds);
  config.unclaimed_fds = 77;
  session = cpr_session_new (&config, &error);
  assert_no_error (error);
  ck_assert_ptr_nonnull (session);
  cpr_session_free (session);
}
END_TEST

START_TEST (a_fresh_session_goes_from_fresh_to_active)
{
  CprSession *session = session_new (&guest, "vm");

  ck_assert_int_eq (cpr_session_get_state (session), CPR_SESSION_STATE_FRESH);
  ck_assert (!cpr_session_is_incoming (session));
  ck_assert_int_eq (cpr_session_get_run_state (session), CPR_RUN_STATE_RUNNING);
  ck_assert (cpr_session_load (session, &error));
  ck_assert_int_eq (cpr_session_get_state (session), CPR_SESSION_STATE_LOADED);
  ck_assert_int_eq (guest.starts, 0);
  ck_assert (cpr_session_start (session, &error));
  ck_assert_int_eq (cpr_session_get_state (session), CPR_SESSION_STATE_ACTIVE);
  ck_assert_int_eq (guest.starts, 1);
  cpr_session_free (session);
  ck_assert_int_eq (guest.stops, 0); /* freeing isn't stopping */
}
END_TEST

START_TEST (a_session_that_is_freed_leaves_nothing)
{
  g_autofree char *before = process_describe ();
  CprSession *session = session_new_active (&guest, "vm");

  ck_assert_ptr_nonnull (cpr_ram_new (session, "pc.ram", PAGE, NULL, &error));
  cpr_session_free (session);
  cpr_session_free (NULL);
  assert_process_is (before);
}
END_TEST

START_TEST (a_session_that_is_freed_leaves_added_fds_open)
{
  CprSession *session = session_new (&guest, "vm");
  int fd = eventfd (0, EFD_CLOEXEC);

  ck_assert (cpr_fd_add (session, "irq", 0, fd, &error));
  cpr_session_free (session);
  ck_assert_int_ge (fcntl (fd, F_GETFD), 0);
  close (fd);
}
END_TEST

START_TEST (set_argv_replaces_the_command_line_of_the_way_back)
{
  char *argv[] = { (char *) "vmm", (char *) "--device", NULL }, *none[] = { NULL };
  CprSession *session = session_new_active (&guest, "vm");

  ck_assert (cpr_session_set_argv (session, argv, &error));
  ck_assert (g_strv_equal ((const char *const *) cpr_session_get_argv (session), (const char *const *) argv));
  ck_assert (!cpr_session_set_argv (session, none, &error));
  assert_error (&error, CPR_ERROR_INVALID, "its argv is empty");
  ck_assert_str_eq (cpr_session_get_argv (session)[1], "--device");
  cpr_session_free (session);
}
END_TEST

/* A call about what is registered, with arguments that would do. */
static void
call_registry (CprSession *session, CprCall call)
{
  static Disk disk;

  switch (call)
    {
    case CPR_CALL_FD_TAKE:
      cpr_fd_take (session, "none", 0, &error);
      break;
    case CPR_CALL_RAM_NEW:
      cpr_ram_new (session, "", PAGE, NULL, &error);
      break;
    case CPR_CALL_RAM_REMOVE:
      cpr_ram_remove (session, (CprRamBlock *) (void *) &disk, &error);
      break;
    case CPR_CALL_DEVICE_ADD:
      cpr_device_add (session, "", &disk_type, &disk, &error);
      break;
    case CPR_CALL_DEVICE_REMOVE:
      cpr_device_remove (session, "none", &error);
      break;
    case CPR_CALL_NOTIFIER_ADD:
      cpr_notifier_add (session, 0, 0, (CprNotifierFunc) abort, NULL, &error);
      break;
    default:
      cpr_notifier_remove (session, 0, &error);
      break;
    }
}

/* Any call, with arguments that would do. */
static void
call_session (CprSession *session, CprCall call)
{
  char *argv[] = { (char *) "", NULL };
  const CprUpdate update = { .size = sizeof update, .mode = CPR_MODE_EXEC, .argv = argv };
  g_autoptr (GError) reason = g_error_new_literal (CPR_ERROR, CPR_ERROR_CALLBACK, "no");

  switch (call)
    {
    case CPR_CALL_ABORT:
      cpr_session_abort (session, reason, &error);
      break;
    case CPR_CALL_SET_ARGV:
      cpr_session_set_argv (session, argv, &error);
      break;
    case CPR_CALL_PAUSE:
      cpr_session_pause (session, &error);
      break;
    case CPR_CALL_RESUME:
      cpr_session_resume (session, &error);
      break;
    case CPR_CALL_SUSPEND:
      cpr_session_suspend (session, &error);
      break;
    case CPR_CALL_WAKEUP:
      cpr_session_wakeup (session, &error);
      break;
    case CPR_CALL_UPDATE:
      cpr_session_update (session, &update, &error);
      break;
    case CPR_CALL_START:
      cpr_session_start (session, &error);
      break;
    case CPR_CALL_LOAD:
      cpr_session_load (session, &error);
      break;
    default:
      call_registry (session, call);
      break;
    }
}

/* The call was refused because of the session's state. */
static bool
is_refused (CprSession *session, CprCall call)
{
  bool refused;

  call_session (session, call);
  refused = g_error_matches (error, CPR_ERROR, CPR_ERROR_STATE);
  g_clear_error (&error);
  return refused;
}

static void
assert_follows_table (CprSession *session)
{
  /* A call that leads to the next state isn't tried where it is permitted. */
  static const CprCall calls[] = { CPR_CALL_FD_TAKE,        CPR_CALL_RAM_NEW,       CPR_CALL_RAM_REMOVE,
                                   CPR_CALL_DEVICE_ADD,     CPR_CALL_DEVICE_REMOVE, CPR_CALL_PAUSE,
                                   CPR_CALL_RESUME,         CPR_CALL_SET_ARGV,      CPR_CALL_UPDATE,
                                   CPR_CALL_ABORT,          CPR_CALL_START,         CPR_CALL_LOAD,
                                   CPR_CALL_SUSPEND,        CPR_CALL_WAKEUP,        CPR_CALL_NOTIFIER_ADD,
                                   CPR_CALL_NOTIFIER_REMOVE };
  CprSessionState state = cpr_session_get_state (session);

  for (size_t i = 0; i < G_N_ELEMENTS (calls); i++)
    {
      bool permitted = cpr_call_is_permitted (calls[i], state, false);

      if (permitted && (calls[i] == CPR_CALL_START || calls[i] == CPR_CALL_LOAD))
        continue;
      if (calls[i] == CPR_CALL_ABORT) /* of a session that took up a state only */
        permitted = false;
      ck_assert_msg (is_refused (session, calls[i]) == !permitted, "%s in state %d", cpr_call_get_name (calls[i]),
                     state);
      ck_assert_int_eq (cpr_session_get_state (session), state);
    }
}

START_TEST (calls_are_refused_in_states_that_do_not_permit_them)
{
  CprSession *session = session_new (&guest, "vm");

  assert_follows_table (session);
  ck_assert (cpr_session_load (session, NULL));
  assert_follows_table (session);
  ck_assert (cpr_session_start (session, NULL));
  assert_follows_table (session);
  cpr_session_free (session);
}
END_TEST

/* ---- The fd table. */

START_TEST (fd_add_names_what_is_wrong)
{
  g_autofree char *too_long = name_of (256);
  CprSession *session = session_new (&guest, "vm");
  int fd = eventfd (0, EFD_CLOEXEC);

  ck_assert (!cpr_fd_add (session, "", 0, fd, &error));
  assert_error (&error, CPR_ERROR_INVALID, "fd ''");
  ck_assert (!cpr_fd_add (session, too_long, 0, fd, &error));
  assert_error (&error, CPR_ERROR_INVALID, "256");
  ck_assert (!cpr_fd_add (session, "libcpr:baton", 0, fd, &error));
  assert_error (&error, CPR_ERROR_INVALID, "fd 'libcpr:baton'");
  ck_assert (!cpr_fd_add (session, "irq", -1, fd, &error));
  assert_error (&error, CPR_ERROR_INVALID, "fd 'irq': the index should be 0 or more, and is -1");
  ck_assert (!cpr_fd_add (session, "irq", 0, -1, &error));
  assert_error (&error, CPR_ERROR_INVALID, "fd 'irq' 0: the fd should be 0 or more, and is -1");
  ck_assert (!cpr_fd_add (session, "irq", 0, 1000, &error));
  ck_assert_int_eq (cpr_error_get_errno (error), EBADF);
  assert_error (&error, CPR_ERROR_SYSTEM, "fd 'irq' 0");
  ck_assert_int_eq (cpr_fd_get (session, "irq", 0), -1);
  cpr_session_free (session);
  close (fd);
}
END_TEST

START_TEST (fd_take_and_remove_find_only_what_is_there)
{
  CprSession *session = session_new (&guest, "vm");
  int fd = eventfd (0, EFD_CLOEXEC);

  ck_assert_int_eq (cpr_fd_take (session, "irq", 0, &error), -1);
  assert_error (&error, CPR_ERROR_NOT_FOUND, "fd 'irq' 0");
  ck_assert (!cpr_fd_remove (session, "irq", 0, &error));
  assert_error (&error, CPR_ERROR_NOT_FOUND, "fd 'irq' 0");
  ck_assert (cpr_fd_add (session, "irq", 0, fd, &error));
  ck_assert_int_eq (cpr_fd_take (session, "irq", 0, &error), -1);
  assert_error (&error, CPR_ERROR_EXISTS, "fd 'irq' 0");
  ck_assert_int_eq (cpr_fd_get (session, "irq", 0), fd);
  ck_assert (cpr_fd_remove (session, "irq", 0, &error));
  ck_assert_int_eq (cpr_fd_get (session, "irq", 0), -1);
  ck_assert_int_ge (fcntl (fd, F_GETFD), 0);
  cpr_session_free (session);
  close (fd);
}
END_TEST

static int
opener (const char *name, int index, void *user_data, GError **to)
{
  ck_assert_str_eq (name, "irq");
  ck_assert_int_eq (index, 4);
  ck_assert_ptr_eq (user_data, &guest);
  opener_calls++;
  if (opener_fd < 0 && !opener_silent)
    g_set_error (to, g_quark_from_static_string ("opener"), 3, "no irq left");
  return opener_fd;
}

START_TEST (fd_open_opens_and_adds_in_a_fresh_session)
{
  CprSession *session = session_new (&guest, "vm");

  opener_fd = eventfd (0, 0);
  ck_assert_int_eq (cpr_fd_open (session, "irq", 4, opener, &guest, &error), opener_fd);
  ck_assert_int_eq (cpr_fd_get (session, "irq", 4), opener_fd);
  ck_assert_int_eq (fcntl (opener_fd, F_GETFD), FD_CLOEXEC);
  ck_assert_int_eq (cpr_fd_open (session, "irq", 4, opener, &guest, &error), -1);
  assert_error (&error, CPR_ERROR_EXISTS, "fd 'irq' 4");
  ck_assert_uint_eq (opener_calls, 1);
  cpr_session_free (session);
  close (opener_fd);
}
END_TEST

START_TEST (fd_open_reports_what_the_callback_reports)
{
  CprSession *session = session_new (&guest, "vm");
  g_autofree char *before = process_describe ();

  opener_fd = -1;
  ck_assert_int_eq (cpr_fd_open (session, "irq", 4, opener, &guest, &error), -1);
  ck_assert (g_error_matches (error, g_quark_from_static_string ("opener"), 3));
  g_clear_error (&error);
  opener_silent = true;
  ck_assert_int_eq (cpr_fd_open (session, "irq", 4, opener, &guest, &error), -1);
  assert_error (&error, CPR_ERROR_CALLBACK, "fd 'irq' 4");
  ck_assert_int_eq (cpr_fd_open (session, "irq", -4, opener, &guest, &error), -1);
  assert_error (&error, CPR_ERROR_INVALID, "fd 'irq'");
  ck_assert_uint_eq (opener_calls, 2);
  assert_process_is (before);
  cpr_session_free (session);
}
END_TEST

START_TEST (fd_open_leaves_open_what_is_another_s)
{
  CprSession *session = session_new (&guest, "vm");

  opener_fd = eventfd (0, EFD_CLOEXEC);
  ck_assert (cpr_fd_add (session, "other", 0, opener_fd, &error));
  ck_assert_int_eq (cpr_fd_open (session, "irq", 4, opener, &guest, &error), -1);
  assert_error (&error, CPR_ERROR_EXISTS, "fd 'irq' 4");
  ck_assert_int_ge (fcntl (opener_fd, F_GETFD), 0);
  cpr_session_free (session);
  close (opener_fd);
}
END_TEST

static void
list_fd (const char *name, int index, int fd G_GNUC_UNUSED, bool claimed, void *user_data)
{
  g_string_append_printf (user_data, "%s %d %d;", name, index, claimed);
}

START_TEST (fd_foreach_shows_the_vmm_s_own_in_order)
{
  CprSession *session = session_new (&guest, "vm");
  g_autoptr (GString) list = g_string_new (NULL);
  int fds[3];

  ck_assert_ptr_nonnull (cpr_ram_new (session, "pc.ram", PAGE, NULL, &error));
  for (int i = 0; i < 3; i++)
    {
      fds[i] = eventfd (0, EFD_CLOEXEC);
      ck_assert (cpr_fd_add (session, i == 1 ? "b" : "a", i, fds[i], &error));
    }
  cpr_fd_foreach (session, list_fd, list);
  ck_assert_str_eq (list->str, "a 0 1;b 1 1;a 2 1;");
  ck_assert_int_eq (cpr_fd_get (session, "libcpr:ram", 0), -1);
  ck_assert (!cpr_fd_remove (session, "libcpr:ram", 0, &error));
  assert_error (&error, CPR_ERROR_INVALID, "fd 'libcpr:ram'");
  cpr_session_free (session);
  for (int i = 0; i < 3; i++)
    close (fds[i]);
}
END_TEST

START_TEST (hold_fd_names_what_is_wrong)
{
  CprSession *session = session_new (&guest, "vm");
  int held = eventfd (0, 0), added = eventfd (0, 0);
  g_autofree char *held_name = g_strdup_printf ("held fd %d", held),
                  *added_name = g_strdup_printf ("held fd %d", added);

  ck_assert (!cpr_session_hold_fd (session, -1, &error));
  assert_error (&error, CPR_ERROR_INVALID, "held fd");
  ck_assert (!cpr_session_hold_fd (session, 1000, &error));
  ck_assert_int_eq (cpr_error_get_errno (error), EBADF);
  assert_error (&error, CPR_ERROR_SYSTEM, "held fd 1000");
  ck_assert (cpr_session_hold_fd (session, held, &error));
  ck_assert (!cpr_session_hold_fd (session, held, &error));
  assert_error (&error, CPR_ERROR_EXISTS, held_name);
  ck_assert (cpr_fd_add (session, "irq", 0, added, &error));
  ck_assert (!cpr_session_hold_fd (session, added, &error));
  assert_error (&error, CPR_ERROR_EXISTS, added_name);
  ck_assert (cpr_session_release_fd (session, held, &error));
  ck_assert (!cpr_session_release_fd (session, held, &error));
  assert_error (&error, CPR_ERROR_NOT_FOUND, held_name);
  cpr_session_free (session);
  close (held);
  close (added);
}
END_TEST

/* ---- Pause, resume, times, fork. */

START_TEST (pause_and_resume_call_the_vmm_once_each)
{
  CprSession *session = session_new_active (&guest, "vm");

  ck_assert (cpr_session_resume (session, &error));
  ck_assert_int_eq (guest.starts, 1);
  ck_assert (cpr_session_pause (session, &error) && cpr_session_pause (session, &error));
  ck_assert_int_eq (guest.stops, 1);
  ck_assert_int_eq (cpr_session_get_run_state (session), CPR_RUN_STATE_PAUSED);
  ck_assert_int_eq (cpr_session_get_state (session), CPR_SESSION_STATE_ACTIVE);
  ck_assert (cpr_session_resume (session, &error));
  ck_assert_int_eq (guest.starts, 2);
  ck_assert_int_eq (cpr_session_get_run_state (session), CPR_RUN_STATE_RUNNING);
  cpr_session_free (session);
}
END_TEST

START_TEST (pause_that_fails_leaves_the_guest_running)
{
  CprSession *session = session_new_active (&guest, "vm");

  guest.stop = STOP_FAILS;
  ck_assert (!cpr_session_pause (session, &error));
  ck_assert_str_eq (error->message, "vCPU 1 doesn't answer");
  g_clear_error (&error);
  guest.stop = STOP_FAILS_SILENTLY;
  ck_assert (!cpr_session_pause (session, &error));
  assert_error (&error, CPR_ERROR_CALLBACK, "VM 'vm'");
  ck_assert_int_eq (cpr_session_get_run_state (session), CPR_RUN_STATE_RUNNING);
  cpr_session_free (session);
}
END_TEST

START_TEST (update_info_of_a_fresh_session_is_empty_and_keeps_to_the_caller_s_size)
{
  CprSession *session = session_new_active (&guest, "vm");
  CprUpdateInfo info;

  memset (&info, 0xee, sizeof info);
  info.size = offsetof (CprUpdateInfo, error);
  cpr_session_get_update_info (session, &info);
  ck_assert_uint_eq (info.size, offsetof (CprUpdateInfo, error));
  ck_assert_int_eq (info.status, CPR_UPDATE_NONE);
  ck_assert_uint_eq (info.generation, 0);
  ck_assert_uint_eq (info.total_ns, UINT64_C (0xeeeeeeeeeeeeeeee));
  info.size = sizeof info;
  cpr_session_get_update_info (session, &info);
  ck_assert_ptr_null (info.error);
  ck_assert_uint_eq (info.total_ns, 0);
  cpr_session_free (session);
}
END_TEST

START_TEST (steps_have_names)
{
  for (int i = 0; i < CPR_N_STEPS; i++)
    {
      ck_assert_ptr_nonnull (cpr_step_get_name ((CprStep) i));
      for (int j = 0; j < i; j++)
        ck_assert_str_ne (cpr_step_get_name ((CprStep) i), cpr_step_get_name ((CprStep) j));
    }
  ck_assert_str_eq (cpr_step_get_name (CPR_STEP_TAKE_UP), "take-up");
  ck_assert_ptr_null (cpr_step_get_name (CPR_N_STEPS));
  ck_assert_ptr_null (cpr_step_get_name ((CprStep) -1));
}
END_TEST

START_TEST (a_forked_child_may_free_the_session)
{
  CprSession *session = session_new_active (&guest, "vm");
  CprRamBlock *block = cpr_ram_new (session, "pc.ram", PAGE, NULL, &error);
  int status;
  pid_t child = fork ();

  if (child == 0)
    {
      cpr_session_free (session);
      _exit (0);
    }
  ck_assert_int_eq (waitpid (child, &status, 0), child);
  ck_assert (WIFEXITED (status) && WEXITSTATUS (status) == 0);
  memset (cpr_ram_block_get_vaddr (block), 1, PAGE);
  cpr_session_free (session);
}
END_TEST

static void
add_fds (TCase *tests)
{
  tcase_add_test (tests, fd_add_names_what_is_wrong);
  tcase_add_test (tests, fd_take_and_remove_find_only_what_is_there);
  tcase_add_test (tests, fd_open_opens_and_adds_in_a_fresh_session);
  tcase_add_test (tests, fd_open_reports_what_the_callback_reports);
  tcase_add_test (tests, fd_open_leaves_open_what_is_another_s);
  tcase_add_test (tests, fd_foreach_shows_the_vmm_s_own_in_order);
  tcase_add_test (tests, hold_fd_names_what_is_wrong);
}

START_TEST (new_refuses_an_empty_argv)
{
  char *none[] = { NULL };
  CprSessionConfig config;

  config = guest_config (&guest, "vm");
  config.argv = none;
  ck_assert_ptr_null (cpr_session_new (&config, &error));
  assert_error (&error, CPR_ERROR_INVALID, "argv is empty");
}
END_TEST

START_TEST (fd_add_refuses_a_held_fd)
{
  CprSession *session;
  int fd = file_new (1);

  session = session_new (&guest, "vm");
  ck_assert (cpr_session_hold_fd (session, fd, &error));
  ck_assert (!cpr_fd_add (session, "disk", 0, fd, &error));
  assert_error (&error, CPR_ERROR_EXISTS, "fd 'disk' 0");
  cpr_session_free (session);
  close (fd);
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("session");

  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, new_refuses_names_of_no_and_of_256_bytes);
  tcase_add_test (tests, new_refuses_missing_callbacks_and_unknown_policies);
  tcase_add_test (tests, new_takes_what_lies_beyond_a_smaller_size_as_0);
  tcase_add_test (tests, a_fresh_session_goes_from_fresh_to_active);
  tcase_add_test (tests, a_session_that_is_freed_leaves_nothing);
  tcase_add_test (tests, a_session_that_is_freed_leaves_added_fds_open);
  tcase_add_test (tests, set_argv_replaces_the_command_line_of_the_way_back);
  tcase_add_test (tests, calls_are_refused_in_states_that_do_not_permit_them);
  add_fds (tests);
  tcase_add_test (tests, pause_and_resume_call_the_vmm_once_each);
  tcase_add_test (tests, pause_that_fails_leaves_the_guest_running);
  tcase_add_test (tests, update_info_of_a_fresh_session_is_empty_and_keeps_to_the_caller_s_size);
  tcase_add_test (tests, steps_have_names);
  tcase_add_test (tests, a_forked_child_may_free_the_session);
  tcase_add_test (tests, new_refuses_an_empty_argv);
  tcase_add_test (tests, fd_add_refuses_a_held_fd);
  return run_suite (suite);
}
