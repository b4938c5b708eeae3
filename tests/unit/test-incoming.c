/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A state that is refused: by a program that it isn't meant for, or because it is damaged. It is
 * never ignored. Nothing is executed here: where the library would go back to the old program, the
 * kernel says no. */
#include "faults.h"
#include "incoming-state.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static GError *error;

static void
setup (void)
{
  error = NULL;
  incoming_setup ();
}

/* A session that takes up the state that is there. */
static CprSession *
try_new (const char *vm_name)
{
  return incoming_try_new (vm_name, &error);
}

static void
assert_hint_refused (const char *value)
{
  g_autofree char *text = g_strdup_printf (CPR_STATE_VARIABLE "=%s", value);
  g_autofree char *before = NULL;

  g_setenv (CPR_STATE_VARIABLE, value, TRUE);
  before = process_describe ();
  for (int i = 0; i < 2; i++)
    {
      ck_assert_ptr_null (try_new (MACHINE_NAME));
      assert_error (&error, CPR_ERROR_MISMATCH, text);
      assert_process_is (before);
    }
}

static void
assert_hint_at_fd_refused (int fd)
{
  g_autofree char *number = g_strdup_printf ("%d", fd);

  ck_assert_int_gt (fd, 2);
  assert_hint_refused (number);
  close (fd);
}

START_TEST (a_hint_that_is_no_number_of_an_fd_is_refused)
{
  static const char *const values[] = { "",  "x", "3x",   " 3",         "-1",
                                        "0", "2", "1000", "2147483648", "99999999999999999999" };

  for (size_t i = 0; i < G_N_ELEMENTS (values); i++)
    assert_hint_refused (values[i]);
  machine_clear (&machine);
}
END_TEST

START_TEST (a_hint_at_something_else_is_refused)
{
  int unsealed = cpr_memfd_new ("unit-test", 0), rubbish = cpr_memfd_new ("unit-test", 0),
      empty = cpr_memfd_new ("unit-test", 0), closed = dup (unsealed);
  g_autofree char *number = g_strdup_printf ("%d", closed);
  CprWriter writer;

  close (closed);
  assert_hint_refused (number);
  assert_hint_at_fd_refused (open ("/etc/passwd", O_RDONLY | O_CLOEXEC));
  assert_hint_at_fd_refused (eventfd (0, EFD_CLOEXEC));
  machine_write_to_memory (&machine, &head, &writer); /* the real thing, but it could still change */
  ck_assert (cpr_fd_write_all (unsealed, writer.data, writer.len));
  assert_hint_at_fd_refused (unsealed);
  ck_assert (cpr_fd_write_all (rubbish, "rubbish, sealed", 15));
  ck_assert_int_eq (fcntl (rubbish, F_ADD_SEALS, CPR_STATE_SEALS), 0);
  assert_hint_at_fd_refused (rubbish);
  ck_assert_int_eq (fcntl (empty, F_ADD_SEALS, CPR_STATE_SEALS), 0);
  assert_hint_at_fd_refused (empty);
  cpr_writer_clear (&writer);
  machine_clear (&machine);
}
END_TEST

START_TEST (a_sealed_state_that_is_damaged_is_refused)
{
  int fd = cpr_memfd_new ("unit-test", 0);

  ck_assert (cpr_fd_write_all (fd, CPR_FORMAT_MAGIC "and then rubbish", 24));
  ck_assert_int_eq (fcntl (fd, F_ADD_SEALS, CPR_STATE_SEALS), 0);
  hint (fd);
  ck_assert_ptr_null (try_new (MACHINE_NAME));
  assert_error (&error, CPR_ERROR_CORRUPT, "state: ");
  ck_assert_int_eq (close (fd), 0); /* a refused state stays open */
  machine_clear (&machine);
}
END_TEST

/* Refused, and the way back is tried where it may be: then both reasons are told. */
static void
assert_offer_refused (const char *name, int code, const char *text, bool goes_back)
{
  faults_begin (0, 0, EPERM);
  ck_assert_ptr_null (try_new (name));
  faults_end ();
  ck_assert_ptr_nonnull (error);
  ck_assert_msg (faults.executed == goes_back, "%s", error->message);
  if (goes_back)
    ck_assert_ptr_nonnull (strstr (error->message, "way back"));
  assert_error (&error, code, text);
  ck_assert_int_eq (guest.starts, 0);
  ck_assert_int_eq (faults.mappings, 0);
  g_unsetenv (CPR_STATE_VARIABLE);
  offer_clear (&offer, &machine);
}

START_TEST (a_state_of_another_vm_is_refused)
{
  offer_make (&offer, &machine, &head);
  hint (offer.state_fd);
  assert_offer_refused ("other", CPR_ERROR_MISMATCH, "state: it is of VM 'unit', this is VM 'other'", true);
}
END_TEST

START_TEST (a_state_of_another_boot_is_refused)
{
  head.boot_id[0] = head.boot_id[0] == 'f' ? 'e' : 'f';
  offer_make (&offer, &machine, &head);
  hint (offer.state_fd);
  assert_offer_refused (MACHINE_NAME, CPR_ERROR_MISMATCH, head.boot_id, true);
}
END_TEST

START_TEST (a_run_state_that_there_is_not_is_refused)
{
  head.run_state = CPR_RUN_STATE_PAUSED_SUSPENDED + 1;
  offer_make (&offer, &machine, &head);
  hint (offer.state_fd);
  assert_offer_refused (MACHINE_NAME, CPR_ERROR_CORRUPT, "VM: its run state should be 0 to 3, and is 4", false);
}
END_TEST

START_TEST (a_state_that_another_user_saved_is_refused)
{
  head.uid = geteuid () + 1;
  offer_make (&offer, &machine, &head);
  hint (offer.state_fd);
  assert_offer_refused (MACHINE_NAME, CPR_ERROR_MISMATCH, "state: user ", true);
}
END_TEST

/* In a child, because it gives its rights away. */
static int
refuse_as_another_user (void)
{
  if (seteuid (12345) < 0)
    return 77;
  if (try_new (MACHINE_NAME) != NULL)
    return 1;
  return g_error_matches (error, CPR_ERROR, CPR_ERROR_MISMATCH) && strstr (error->message, "12345") != NULL ? 0 : 2;
}

START_TEST (a_state_that_belongs_to_another_user_is_refused)
{
  pid_t child;
  int status;

  offer_make (&offer, &machine, &head);
  hint (offer.state_fd);
  child = geteuid () == 0 ? fork () : -1;
  if (child == 0)
    _exit (refuse_as_another_user ());
  if (child > 0) /* only root can become somebody else */
    {
      ck_assert_int_eq (waitpid (child, &status, 0), child);
      ck_assert_int_eq (status, 0);
    }
  offer_clear (&offer, &machine);
}
END_TEST

START_TEST (a_state_that_was_taken_up_before_is_refused)
{
  const CprBatonWord offered = { CPR_BATON_OFFERED, 1, getpid () }, owned = { CPR_BATON_OWNED, 1, getpid () };

  offer_make (&offer, &machine, &head);
  ck_assert (cpr_baton_move (offer.exec->baton.page, offered, owned));
  hint (offer.state_fd);
  assert_offer_refused (MACHINE_NAME, CPR_ERROR_MISMATCH, "took it up before", false);
}
END_TEST

START_TEST (a_state_that_a_guardian_has_fenced_or_parked_is_refused)
{
  const CprBatonWord offered = { CPR_BATON_OFFERED, 1, getpid () };

  for (CprBatonState state = CPR_BATON_FENCED; state <= CPR_BATON_PARKED; state++)
    {
      offer_make (&offer, &machine, &head);
      ck_assert (cpr_baton_move (offer.exec->baton.page, offered, (CprBatonWord){ state, 1, 1 }));
      hint (offer.state_fd);
      faults_begin (0, 0, EPERM);
      ck_assert_ptr_null (try_new (MACHINE_NAME));
      faults_end ();
      ck_assert (!faults.executed);
      ck_assert (error != NULL && error->domain == CPR_ERROR);
      g_clear_error (&error);
      offer_clear (&offer, &machine);
      machine_init (&machine);
    }
  machine_clear (&machine);
}
END_TEST

/* Whoever isn't the process of the baton neither takes the state up nor goes back. */
static int
refuse_in_another_process (void)
{
  faults_begin (0, 0, EPERM);
  if (try_new (MACHINE_NAME) != NULL)
    return 1;
  if (faults.executed)
    return 2;
  return error->domain == CPR_ERROR && strstr (error->message, "meant for process") != NULL ? 0 : 3;
}

static void
assert_another_process_refuses (void)
{
  pid_t child = fork ();
  int status;

  if (child == 0)
    _exit (refuse_in_another_process ());
  ck_assert_int_eq (waitpid (child, &status, 0), child);
  ck_assert_int_eq (status, 0);
}

START_TEST (another_process_refuses_with_the_variable_and_without)
{
  offer_make (&offer, &machine, &head);
  hint (offer.state_fd);
  assert_another_process_refuses ();
  g_unsetenv (CPR_STATE_VARIABLE);
  assert_another_process_refuses ();
  offer_clear (&offer, &machine);
}
END_TEST

START_TEST (a_fresh_start_beside_a_waiting_guardian_is_refused)
{
  int ends[2], status;
  pid_t guardian;
  char byte;

  ck_assert_int_eq (pipe2 (ends, O_CLOEXEC), 0);
  guardian = (pid_t) syscall (SYS_clone, 0, 0, 0, 0, 0); /* a fork without an exit signal, as a guardian is one */
  if (guardian == 0)
    {
      close (ends[1]);
      _exit (read (ends[0], &byte, 1) == 0 ? 0 : 1);
    }
  ck_assert_int_gt (guardian, 0);
  ck_assert_ptr_null (try_new (MACHINE_NAME));
  assert_error (&error, CPR_ERROR_MISMATCH, "state: an update is under way in this process");
  close (ends[1]);
  ck_assert_int_eq (waitpid (guardian, &status, __WALL), guardian);
  ck_assert_int_eq (status, 0);
  cpr_session_free (session_new (&guest, MACHINE_NAME));
  close (ends[0]);
  machine_clear (&machine);
}
END_TEST

static void
add_refusals (TCase *tests)
{
  tcase_add_test (tests, a_hint_that_is_no_number_of_an_fd_is_refused);
  tcase_add_test (tests, a_hint_at_something_else_is_refused);
  tcase_add_test (tests, a_sealed_state_that_is_damaged_is_refused);
  tcase_add_test (tests, a_state_of_another_vm_is_refused);
  tcase_add_test (tests, a_state_of_another_boot_is_refused);
  tcase_add_test (tests, a_run_state_that_there_is_not_is_refused);
  tcase_add_test (tests, a_state_that_another_user_saved_is_refused);
  tcase_add_test (tests, a_state_that_belongs_to_another_user_is_refused);
  tcase_add_test (tests, a_state_that_was_taken_up_before_is_refused);
  tcase_add_test (tests, a_state_that_a_guardian_has_fenced_or_parked_is_refused);
  tcase_add_test (tests, another_process_refuses_with_the_variable_and_without);
  if (!under_valgrind ()) /* it doesn't know such a clone */
    tcase_add_test (tests, a_fresh_start_beside_a_waiting_guardian_is_refused);
}

START_TEST (a_refused_state_without_the_variable_stays_refused)
{
  CprSessionConfig config;

  offer_make (&offer, &machine, &head);
  config = guest_config (&guest, "other");
  for (int i = 0; i < 2; i++)
    {
      faults_begin (0, 0, EPERM);
      ck_assert_ptr_null (cpr_session_new (&config, &error));
      faults_end ();
      ck_assert_ptr_nonnull (error);
      g_clear_error (&error);
    }
  offer_clear (&offer, &machine);
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("incoming");

  tcase_add_checked_fixture (tests, setup, incoming_teardown);
  add_refusals (tests);
  tcase_add_test (tests, a_refused_state_without_the_variable_stays_refused);
  return run_suite (suite);
}
