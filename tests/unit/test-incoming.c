/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A state in the environment: taken up by whom it is meant for, refused by everybody else, never
 * ignored. Nothing is executed here: where the library would go back to the old program, the
 * kernel says no. */
#include "faults.h"
#include "machine.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static Guest guest;
static Machine machine;
static CprManifest head;
static Offer offer;
static GError *error;

static void
setup (void)
{
  error = NULL;
  guest_init (&guest);
  machine_init (&machine);
  machine_head (&head);
}

static void
teardown (void)
{
  g_unsetenv (CPR_STATE_VARIABLE);
  faults_end ();
  guest_clear (&guest);
}

static void
hint (int fd)
{
  g_autofree char *number = g_strdup_printf ("%d", fd);

  g_setenv (CPR_STATE_VARIABLE, number, TRUE);
}

/* Of a VM that no state is of, unless it is told so. */
static CprSession *
try_new (const char *name)
{
  CprSessionConfig config = guest_config (&guest, name);

  return cpr_session_new (&config, &error);
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

/* ---- Taken up. */

/* Both sides are in this process: what the new one has taken isn't the old one's to close. */
static CprSession *
take_up (void)
{
  CprSession *session;

  offer_make (&offer, &machine, &head);
  machine.block->owned = false;
  hint (offer.state_fd);
  session = try_new (MACHINE_NAME);
  assert_no_error (error);
  ck_assert_ptr_nonnull (session);
  return session;
}

static void
end (CprSession *session)
{
  faults_begin (0, 0, EPERM); /* before the commit, the end is the way back */
  cpr_session_free (session);
  faults_end ();
  cpr_fd_clear (&machine.block->fd);
  offer_clear (&offer, &machine);
}

static void
add_devices (CprSession *session, Serial *serial, Disk *disk)
{
  ck_assert (cpr_device_add (session, "com1", &serial_type, serial, &error));
  ck_assert (cpr_device_add (session, "sda", &disk_type, disk, &error));
}

static CprRamBlock *
claim_all (CprSession *session, Serial *serial, Disk *disk)
{
  CprRamBlock *block = cpr_ram_new (session, "pc.ram", 4 * PAGE, NULL, &error);

  assert_no_error (error);
  ck_assert_int_eq (cpr_fd_take (session, "console", 0, &error), machine.pipe[0]);
  ck_assert_int_eq (cpr_fd_take (session, "console", 1, &error), machine.pipe[1]);
  add_devices (session, serial, disk);
  return block;
}

START_TEST (a_state_for_this_process_is_taken_up_loaded_and_committed)
{
  Serial serial = { .ier = 0 };
  Disk disk = { .sector = 0 };
  CprUpdateInfo info = { .size = sizeof info };
  CprSession *session;
  CprRamBlock *block;

  strcpy (cpr_ram_block_get_vaddr (machine.block), "guest");
  session = take_up ();
  ck_assert_int_eq (cpr_session_get_state (session), CPR_SESSION_STATE_INCOMING);
  ck_assert (cpr_session_is_incoming (session));
  ck_assert_ptr_null (g_getenv (CPR_STATE_VARIABLE));
  ck_assert_int_eq (fcntl (machine.pipe[0], F_GETFD), FD_CLOEXEC);
  block = claim_all (session, &serial, &disk);
  ck_assert_str_eq (cpr_ram_block_get_vaddr (block), "guest");
  ck_assert (cpr_session_load (session, &error));
  assert_serial_eq (&serial, &serial_example);
  ck_assert_uint_eq (disk.sector, disk_example.sector);
  ck_assert_int_eq (guest.starts, 0);
  ck_assert (cpr_session_start (session, &error));
  ck_assert_int_eq (guest.starts, 1);
  ck_assert_int_eq (cpr_baton_get (offer.exec->baton.page).state, CPR_BATON_OWNED);
  cpr_session_get_update_info (session, &info);
  ck_assert_int_eq (info.status, CPR_UPDATE_COMPLETED);
  ck_assert_uint_eq (info.generation, head.generation + 1);
  end (session);
}
END_TEST

START_TEST (a_state_is_found_without_the_variable)
{
  CprSession *session;

  offer_make (&offer, &machine, &head);
  machine.block->owned = false;
  session = try_new (MACHINE_NAME);
  ck_assert_ptr_nonnull (session);
  ck_assert_int_eq (cpr_session_get_state (session), CPR_SESSION_STATE_INCOMING);
  end (session);
}
END_TEST

START_TEST (a_paused_guest_is_not_started)
{
  Serial serial = { .ier = 0 };
  Disk disk = { .sector = 0 };
  CprSession *session;

  head.run_state = CPR_RUN_STATE_PAUSED;
  session = take_up ();
  claim_all (session, &serial, &disk);
  ck_assert (cpr_session_load (session, &error) && cpr_session_start (session, &error));
  ck_assert_int_eq (guest.starts, 0);
  ck_assert_int_eq (cpr_session_get_run_state (session), CPR_RUN_STATE_PAUSED);
  ck_assert (cpr_session_resume (session, &error));
  ck_assert_int_eq (guest.starts, 1);
  end (session);
}
END_TEST

START_TEST (a_suspended_guest_wakes_on_request_and_for_its_owner_if_it_is_paused_too)
{
  Serial serial = { .ier = 0 };
  Disk disk = { .sector = 0 };
  CprSession *session;

  head.run_state = CPR_RUN_STATE_SUSPENDED + (unsigned) _i;
  session = take_up ();
  claim_all (session, &serial, &disk);
  ck_assert (cpr_session_load (session, &error) && cpr_session_start (session, &error));
  ck_assert_int_eq (guest.starts, 0);
  ck_assert_uint_eq (cpr_session_get_run_state (session), head.run_state);
  ck_assert (cpr_session_wakeup (session, &error));
  ck_assert_int_eq (guest.starts, 1 - _i);
  ck_assert (cpr_session_resume (session, &error));
  ck_assert_int_eq (guest.starts, 1);
  ck_assert_int_eq (guest.stops, 0);
  end (session);
}
END_TEST

START_TEST (the_signal_mask_is_the_old_thread_s)
{
  sigset_t all, old, now;
  CprSession *session;

  head.signal_mask = UINT64_C (1) << (SIGUSR2 - 1) | UINT64_C (1) << (SIGTERM - 1);
  sigfillset (&all);
  sigprocmask (SIG_SETMASK, &all, &old);
  session = take_up ();
  sigprocmask (SIG_SETMASK, &old, &now);
  for (int number = 1; number <= 31; number++)
    ck_assert_int_eq (sigismember (&now, number), number == SIGUSR2 || number == SIGTERM);
  end (session);
}
END_TEST

/* Nothing of the state was applied, and the guest can't be started here any more. */
static void
assert_load_fails (CprSession *session, int code, const char *text)
{
  faults_begin (0, 0, EPERM);
  ck_assert (!cpr_session_load (session, &error));
  faults_end ();
  ck_assert (faults.executed);
  ck_assert_ptr_nonnull (strstr (error->message, "way back"));
  assert_error (&error, code, text);
  ck_assert_int_eq (cpr_session_get_state (session), CPR_SESSION_STATE_LOST);
  ck_assert (!cpr_session_start (session, &error));
  assert_error (&error, CPR_ERROR_STATE, "cpr_session_start");
  ck_assert_int_eq (guest.starts, 0);
}

START_TEST (what_nobody_took_is_named)
{
  CprSession *session = take_up ();
  Serial serial = { .ier = 9 };
  Disk disk = { .sector = 9 };

  add_devices (session, &serial, &disk);
  assert_load_fails (session, CPR_ERROR_MISMATCH, "RAM block 'pc.ram'");
  end (session);
  machine_init (&machine);
  session = take_up ();
  add_devices (session, &serial, &disk);
  ck_assert_ptr_nonnull (cpr_ram_new (session, "pc.ram", 4 * PAGE, NULL, &error));
  cpr_fd_take (session, "console", 0, &error);
  assert_load_fails (session, CPR_ERROR_MISMATCH, "fd 'console' 1: handed over, and nobody took it");
  ck_assert_uint_eq (serial.ier, 9);
  ck_assert_uint_eq (disk.sector, 9);
  end (session);
}
END_TEST

START_TEST (a_missing_device_is_named_and_no_other_gets_its_state)
{
  CprSession *session = take_up ();
  Serial serial = { .ier = 9 };
  Disk disk;

  claim_all (session, &serial, &disk);
  ck_assert (cpr_device_remove (session, "sda", &error));
  assert_load_fails (session, CPR_ERROR_MISMATCH, "device 'sda' of type 'disk' is in the state and not here");
  ck_assert_uint_eq (serial.ier, 9);
  end (session);
}
END_TEST

START_TEST (ram_of_another_size_or_name_is_named)
{
  CprSession *session = take_up ();

  ck_assert_ptr_null (cpr_ram_new (session, "pc.ram", 8 * PAGE, NULL, &error));
  assert_error (&error, CPR_ERROR_MISMATCH, "RAM block 'pc.ram': size is 16384 in the state, 32768 here");
  ck_assert_ptr_null (cpr_ram_new (session, "pc.rom", PAGE, NULL, &error));
  assert_error (&error, CPR_ERROR_NOT_FOUND, "RAM block 'pc.rom'");
  ck_assert_int_eq (cpr_session_get_state (session), CPR_SESSION_STATE_INCOMING);
  end (session);
}
END_TEST

START_TEST (a_missing_or_swapped_fd_is_named)
{
  offer_make (&offer, &machine, &head);
  close (machine.pipe[1]);
  hint (offer.state_fd);
  faults_begin (0, 0, EPERM);
  ck_assert_ptr_null (try_new (MACHINE_NAME));
  faults_end ();
  ck_assert (!faults.executed); /* without a guardian nobody can give it back */
  assert_error (&error, CPR_ERROR_MISMATCH, "fd 'console' 1: fd");
  machine.pipe[1] = -1;
  offer_clear (&offer, &machine);

  machine_init (&machine);
  offer_make (&offer, &machine, &head);
  ck_assert_int_eq (dup3 (machine.pipe[0], machine.pipe[1], O_CLOEXEC), machine.pipe[1]);
  hint (offer.state_fd);
  ck_assert_ptr_null (try_new (MACHINE_NAME));
  assert_error (&error, CPR_ERROR_MISMATCH, "fd 'console' 1: fd");
  offer_clear (&offer, &machine);
}
END_TEST

START_TEST (abort_tells_its_reason_to_the_old_program)
{
  g_autoptr (GError) reason = g_error_new_literal (CPR_ERROR, CPR_ERROR_CALLBACK, "no /dev/kvm");
  CprSession *session = take_up ();

  faults_begin (0, 0, EPERM);
  ck_assert (!cpr_session_abort (session, reason, &error));
  faults_end ();
  ck_assert (faults.executed);
  assert_error (&error, CPR_ERROR_CALLBACK, "no /dev/kvm");
  ck_assert_str_eq (offer.exec->baton.page->reason, "no /dev/kvm");
  ck_assert_uint_eq (cpr_baton_get (offer.exec->baton.page).attempt, 2);
  ck_assert_int_eq (cpr_session_get_state (session), CPR_SESSION_STATE_LOST);
  end (session);
}
END_TEST

START_TEST (the_old_program_on_its_way_back_knows_why)
{
  const CprBatonWord offered = { CPR_BATON_OFFERED, 1, getpid () }, again = { CPR_BATON_OFFERED, 2, getpid () };
  CprUpdateInfo info = { .size = sizeof info };
  CprSession *session;

  offer_make (&offer, &machine, &head);
  machine.block->owned = false;
  ck_assert (cpr_baton_move (offer.exec->baton.page, offered, again));
  strcpy (offer.exec->baton.page->reason, "device 'com1': too new");
  hint (offer.state_fd);
  session = try_new (MACHINE_NAME);
  ck_assert_ptr_nonnull (session);
  cpr_session_get_update_info (session, &info);
  ck_assert_int_eq (info.status, CPR_UPDATE_ROLLED_BACK);
  ck_assert_str_eq (info.error, "device 'com1': too new");
  ck_assert_uint_eq (info.generation, head.generation);
  faults_begin (0, 0, EPERM);
  ck_assert (!cpr_session_load (session, &error));
  ck_assert (!faults.executed); /* one way back, no more */
  faults_end ();
  assert_error (&error, CPR_ERROR_MISMATCH, "this is the way back already");
  end (session);
}
END_TEST

START_TEST (a_forked_child_that_frees_the_session_only_frees_memory)
{
  CprSession *session = take_up ();
  pid_t child = fork ();
  int status;

  if (child == 0)
    {
      faults_begin (0, 0, EPERM);
      cpr_session_free (session);
      _exit (faults.executed || guest.log->len > 0 ? 1 : 0);
    }
  ck_assert_int_eq (waitpid (child, &status, 0), child);
  ck_assert_int_eq (status, 0);
  ck_assert_str_eq (offer.exec->baton.page->reason, "");
  ck_assert_int_eq (cpr_baton_get (offer.exec->baton.page).state, CPR_BATON_OFFERED);
  end (session);
}
END_TEST

START_TEST (who_lost_the_baton_does_not_start)
{
  const CprBatonWord offered = { CPR_BATON_OFFERED, 1, getpid () }, fenced = { CPR_BATON_FENCED, 1, 1 };
  CprSession *session = take_up ();
  Serial serial = { .ier = 0 };
  Disk disk = { .sector = 0 };

  claim_all (session, &serial, &disk);
  ck_assert (cpr_session_load (session, &error));
  ck_assert (cpr_baton_move (offer.exec->baton.page, offered, fenced));
  ck_assert (!cpr_session_start (session, &error));
  assert_error (&error, CPR_ERROR_NOT_OWNER, "process 1");
  ck_assert_int_eq (guest.starts, 0);
  ck_assert_int_eq (cpr_session_get_state (session), CPR_SESSION_STATE_LOST);
  end (session);
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

  tcase_add_checked_fixture (tests, setup, teardown);
  add_refusals (tests);
  tcase_add_test (tests, a_state_for_this_process_is_taken_up_loaded_and_committed);
  tcase_add_test (tests, a_state_is_found_without_the_variable);
  tcase_add_test (tests, a_paused_guest_is_not_started);
  tcase_add_loop_test (tests, a_suspended_guest_wakes_on_request_and_for_its_owner_if_it_is_paused_too, 0, 2);
  tcase_add_test (tests, the_signal_mask_is_the_old_thread_s);
  tcase_add_test (tests, what_nobody_took_is_named);
  tcase_add_test (tests, a_missing_device_is_named_and_no_other_gets_its_state);
  tcase_add_test (tests, ram_of_another_size_or_name_is_named);
  tcase_add_test (tests, a_missing_or_swapped_fd_is_named);
  tcase_add_test (tests, abort_tells_its_reason_to_the_old_program);
  tcase_add_test (tests, the_old_program_on_its_way_back_knows_why);
  tcase_add_test (tests, a_forked_child_that_frees_the_session_only_frees_memory);
  tcase_add_test (tests, who_lost_the_baton_does_not_start);
  tcase_add_test (tests, a_refused_state_without_the_variable_stays_refused);
  return run_suite (suite);
}
