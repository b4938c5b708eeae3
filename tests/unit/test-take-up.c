/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A state that is taken up: it is claimed, loaded and committed, or goes back to the old program.
 * Nothing is executed here: where the library would go back, the kernel says no. */
#include "faults.h"
#include "incoming-state.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
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
  strcpy (offer.exec->baton.page->reason, "device 'com1':\ntoo \033[31mnew\n"); /* as the new program put it */
  hint (offer.state_fd);
  session = try_new (MACHINE_NAME);
  ck_assert_ptr_nonnull (session);
  cpr_session_get_update_info (session, &info);
  ck_assert_int_eq (info.status, CPR_UPDATE_ROLLED_BACK);
  ck_assert_str_eq (info.error, "device 'com1': too ?[31mnew");
  ck_assert_uint_eq (info.generation, head.generation);
  faults_begin (0, 0, EPERM);
  ck_assert (!cpr_session_load (session, &error));
  ck_assert (!faults.executed); /* one way back, no more */
  faults_end ();
  assert_error (&error, CPR_ERROR_MISMATCH, "after the new program failed (device 'com1': too ?[31mnew)");
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

static void *
load_and_start (void *session)
{
  ck_assert (cpr_session_load (session, &error) && cpr_session_start (session, &error));
  return NULL;
}

static void
do_nothing (int number G_GNUC_UNUSED)
{
}

/* The thread that took the state up got a stack for the handlers of fatal signals, and another
 * thread can't take it away. */
START_TEST (a_commit_in_another_thread_leaves_this_one_a_stack_for_signals)
{
  const struct sigaction on_stack = { .sa_handler = do_nothing, .sa_flags = SA_ONSTACK };
  Serial serial = { .ier = 0 };
  Disk disk = { .sector = 0 };
  unsigned char is_there;
  CprSession *session;
  pthread_t thread;
  stack_t stack;

  session = take_up ();
  claim_all (session, &serial, &disk);
  ck_assert_int_eq (pthread_create (&thread, NULL, load_and_start, session), 0);
  ck_assert_int_eq (pthread_join (thread, NULL), 0);
  ck_assert_int_eq (sigaltstack (NULL, &stack), 0);
  ck_assert ((stack.ss_flags & SS_DISABLE) != 0 || mincore (stack.ss_sp, PAGE, &is_there) == 0);
  ck_assert_int_eq (sigaction (SIGUSR1, &on_stack, NULL), 0);
  ck_assert_int_eq (raise (SIGUSR1), 0);
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

int
main (void)
{
  BEGIN_SUITE ("take-up");

  tcase_add_checked_fixture (tests, setup, incoming_teardown);
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
  tcase_add_test (tests, a_commit_in_another_thread_leaves_this_one_a_stack_for_signals);
  tcase_add_test (tests, who_lost_the_baton_does_not_start);
  return run_suite (suite);
}
