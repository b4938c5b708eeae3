/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The events that each notifier is told of, through the public functions. */
#include "faults.h"
#include "successor.h"

#include <errno.h>

static Guest guest;
static CprSession *session;
static GError *error;

/* The events that the notifiers were told of, as in "b:setup a:setup ", and the answer of the
 * notifier named `special` to one event. */
static GString *told;
static struct
{
  char name;
  CprEvent event;
  void (*act) (GError **);
} special;

static const char *const event_names[] = { NULL, "setup", "stopped", "saved", "failed", "done" };

static void
setup (void)
{
  guest_init (&guest);
  error = NULL;
  session = session_new_active (&guest, "vm");
  told = g_string_new (NULL);
  special.act = NULL;
}

static void
teardown (void)
{
  cpr_session_free (session);
  guest_clear (&guest);
  g_string_free (told, TRUE);
}

/* This runs inside a callback: the kernel is played already. */
static bool
call_update (void)
{
  static char *argv[] = { (char *) "/bin/true", NULL };
  const CprUpdate to = {
    .size = sizeof to, .mode = CPR_MODE_EXEC, .flags = update_flags () | CPR_UPDATE_NO_PREFLIGHT, .argv = argv
  };

  return cpr_session_update (session, &to, &error);
}

static bool
update (void)
{
  return update_up_to_execve (session, 0, &error);
}

static bool
hear (CprSession *of, CprEvent event, CprMode mode, void *user_data, GError **veto)
{
  char name = *(const char *) user_data;
  bool acts = special.act != NULL && special.name == name && special.event == event;

  ck_assert_ptr_eq (of, session);
  ck_assert_int_eq (mode, CPR_MODE_EXEC);
  g_string_append_printf (told, "%c:%s ", name, event_names[event]);
  if (acts)
    special.act (veto);
  return !acts || event != CPR_EVENT_SETUP || special.act == NULL;
}

static uint64_t
notify (const char *name, int priority)
{
  uint64_t notifier = cpr_notifier_add (session, CPR_MODES_ALL, priority, hear, (void *) name, &error);

  assert_no_error (error);
  ck_assert_uint_ne (notifier, 0);
  return notifier;
}

static void
assert_told (const char *expected)
{
  ck_assert_str_eq (told->str, expected);
  g_string_truncate (told, 0);
}

/* Lets `name` do something at an event. */
static void
when (char name, CprEvent event, void (*act) (GError **))
{
  special.name = name;
  special.event = event;
  special.act = act;
}

START_TEST (add_refuses_modes_that_there_are_not)
{
  ck_assert_uint_eq (cpr_notifier_add (session, 0, 0, hear, NULL, &error), 0);
  assert_error (&error, CPR_ERROR_INVALID, "notifier: 0x0 isn't a set of modes");
  ck_assert_uint_eq (cpr_notifier_add (session, 1u << 30, 0, hear, NULL, &error), 0);
  assert_error (&error, CPR_ERROR_INVALID, "notifier: 0x40000000");
}
END_TEST

START_TEST (lower_priorities_are_told_first_and_failure_the_other_way_round)
{
  notify ("b", 0);
  notify ("c", 7);
  notify ("d", 0);
  notify ("a", -1);
  ck_assert (!update ());
  assert_error (&error, CPR_ERROR_SYSTEM, "execve");
  assert_told ("a:setup b:setup d:setup c:setup a:stopped b:stopped d:stopped c:stopped "
               "a:saved b:saved d:saved c:saved c:failed d:failed b:failed a:failed ");
  ck_assert (guest.running);
}
END_TEST

static void
refuse (GError **veto)
{
  g_set_error (veto, CPR_ERROR, 77, "dirty pages");
}

static void
refuse_silently (GError **veto)
{
}

START_TEST (a_veto_leaves_nothing_and_only_those_told_of_the_beginning_hear_of_the_end)
{
  g_autofree char *before = process_describe ();
  CprUpdateInfo info = { .size = sizeof info };

  notify ("a", 1);
  notify ("b", 2);
  notify ("c", 3);
  when ('b', CPR_EVENT_SETUP, refuse);
  ck_assert (!update ());
  assert_told ("a:setup b:setup b:failed a:failed ");
  assert_error (&error, 77, "dirty pages");
  when ('a', CPR_EVENT_SETUP, refuse_silently);
  ck_assert (!update ());
  assert_told ("a:setup a:failed ");
  assert_error (&error, CPR_ERROR_CALLBACK, "notifier 1: it vetoed without a reason");
  ck_assert (!faults.executed);
  ck_assert_int_eq (guest.stops, 0);
  ck_assert_int_eq (cpr_session_get_state (session), CPR_SESSION_STATE_ACTIVE);
  assert_process_is (before);
  cpr_session_get_update_info (session, &info);
  ck_assert_int_eq (info.status, CPR_UPDATE_FAILED);
}
END_TEST

START_TEST (a_veto_counts_after_setup_only)
{
  notify ("a", 0);
  when ('a', CPR_EVENT_STOPPED, refuse);
  ck_assert (!update ());
  assert_told ("a:setup a:stopped a:saved a:failed ");
  assert_error (&error, CPR_ERROR_SYSTEM, "execve");
}
END_TEST

START_TEST (who_was_not_told_of_a_beginning_is_told_nothing)
{
  uint64_t blocker = block_exec (session, "not now");

  notify ("a", 0);
  ck_assert (!update ());
  assert_error (&error, CPR_ERROR_BLOCKED, "not now");
  assert_told ("");
  ck_assert (cpr_blocker_remove (session, blocker, NULL));
  guest.stop = STOP_FAILS;
  ck_assert (!update ());
  g_clear_error (&error);
  assert_told ("a:setup a:failed ");
}
END_TEST

START_TEST (an_update_with_arguments_that_cannot_be_right_is_not_told_of)
{
  const CprUpdate wrong = { .size = sizeof wrong, .mode = (CprMode) 1000 };

  notify ("a", 0);
  ck_assert (!cpr_session_update (session, &wrong, &error));
  assert_error (&error, CPR_ERROR_INVALID, "mode");
  assert_told ("");
}
END_TEST

/* The session's and the guest's state at each event. */
static void
look_around (GError **veto)
{
  bool stands_still = special.event == CPR_EVENT_STOPPED || special.event == CPR_EVENT_SAVED;
  CprUpdateInfo info = { .size = sizeof info };
  GError *refused = NULL;

  ck_assert (guest.running == !stands_still);
  ck_assert_int_eq (cpr_session_get_state (session),
                    stands_still ? CPR_SESSION_STATE_UPDATING : CPR_SESSION_STATE_ACTIVE);
  ck_assert (!call_update ());
  assert_error (&error, CPR_ERROR_STATE, "cpr_session_update");
  ck_assert (cpr_blocker_add (session, CPR_MODES_EXEC, "late", &refused) != 0 ||
             g_error_matches (refused, CPR_ERROR, CPR_ERROR_STATE));
  ck_assert ((refused != NULL) == stands_still);
  ck_assert ((cpr_notifier_add (session, CPR_MODES_EXEC, 0, hear, (void *) "z", NULL) == 0) == stands_still);
  g_clear_error (&refused);
  cpr_session_get_update_info (session, &info);
  if (special.event == CPR_EVENT_FAILED)
    ck_assert_ptr_nonnull (strstr (info.error, "execve"));
}

START_TEST (the_guest_and_the_session_are_as_documented_at_each_event)
{
  notify ("a", 0);
  when ('a', CPR_EVENT_STOPPED, look_around);
  ck_assert (!update ());
  g_clear_error (&error);
  when ('a', CPR_EVENT_SAVED, look_around);
  ck_assert (!update ());
  g_clear_error (&error);
  when ('a', CPR_EVENT_FAILED, look_around);
  ck_assert (!update ());
  assert_error (&error, CPR_ERROR_SYSTEM, "execve");
  assert_blockers (session, CPR_MODES_EXEC, "late|");
}
END_TEST

static void
block_now (GError **veto)
{
  block_exec (session, "slot 3: hot-plug is under way");
  special.act = NULL; /* no veto */
}

START_TEST (a_blocker_added_in_setup_counts)
{
  notify ("a", 0);
  when ('a', CPR_EVENT_SETUP, block_now);
  ck_assert (!update ());
  assert_told ("a:setup a:failed ");
  assert_error (&error, CPR_ERROR_BLOCKED, "hot-plug");
  ck_assert_int_eq (guest.stops, 0);
}
END_TEST

static void
add_private_ram (GError **veto)
{
  const CprRamOptions options = { .size = sizeof options, .backend = CPR_RAM_PRIVATE };

  ck_assert_ptr_nonnull (cpr_ram_new (session, "late", PAGE, &options, NULL));
  special.act = NULL;
}

START_TEST (what_is_registered_in_setup_counts)
{
  notify ("a", 0);
  when ('a', CPR_EVENT_SETUP, add_private_ram);
  ck_assert (!update ());
  assert_error (&error, CPR_ERROR_BLOCKED, "RAM block 'late'");
}
END_TEST

static void
show_blockers (GError **veto)
{
  assert_blockers (session, CPR_MODES_EXEC, "*update: one is under way|");
}

START_TEST (an_update_under_way_is_a_blocker)
{
  notify ("a", 0);
  when ('a', CPR_EVENT_SAVED, show_blockers);
  ck_assert (!update ());
  g_clear_error (&error);
  assert_blockers (session, CPR_MODES_ALL, "");
}
END_TEST

static uint64_t victim;

static void
remove_victim (GError **veto)
{
  ck_assert (cpr_notifier_remove (session, victim, NULL));
  special.act = NULL;
}

static void
add_another (GError **veto)
{
  victim = notify ("x", -5);
  special.act = NULL;
}

START_TEST (a_notifier_that_is_removed_in_a_callback_is_told_nothing_more)
{
  notify ("a", 0);
  victim = notify ("b", 1);
  notify ("c", 2);
  when ('a', CPR_EVENT_SETUP, remove_victim);
  ck_assert (!update ());
  g_clear_error (&error);
  assert_told ("a:setup c:setup a:stopped c:stopped a:saved c:saved c:failed a:failed ");
  victim = notify ("d", 0);
  when ('d', CPR_EVENT_FAILED, remove_victim); /* itself */
  ck_assert (!update ());
  g_clear_error (&error);
  assert_told (
      "a:setup d:setup c:setup a:stopped d:stopped c:stopped a:saved d:saved c:saved c:failed d:failed a:failed ");
  ck_assert (!cpr_notifier_remove (session, victim, &error));
  assert_error (&error, CPR_ERROR_NOT_FOUND, "notifier 4: there is none");
}
END_TEST

START_TEST (a_notifier_that_is_added_in_a_callback_is_told_of_the_next_update)
{
  notify ("a", 0);
  when ('a', CPR_EVENT_SETUP, add_another);
  ck_assert (!update ());
  g_clear_error (&error);
  assert_told ("a:setup a:stopped a:saved a:failed ");
  ck_assert (!update ());
  g_clear_error (&error);
  assert_told ("x:setup a:setup x:stopped a:stopped x:saved a:saved a:failed x:failed ");
}
END_TEST

START_TEST (a_fresh_start_is_not_told_of)
{
  CprSessionConfig config = guest_config (&guest, "vm");

  cpr_session_free (session);
  guest.running = false;
  session = cpr_session_new (&config, &error);
  notify ("a", 0);
  ck_assert (cpr_session_load (session, NULL) && cpr_session_start (session, NULL));
  assert_told ("");
}
END_TEST

/* ---- The program that comes out of an update. */

static void
try_update (GError **veto)
{
  ck_assert (guest.running);
  ck_assert_int_eq (cpr_session_get_state (session), CPR_SESSION_STATE_ACTIVE);
  ck_assert (!call_update ());
  assert_error (&error, CPR_ERROR_STATE, "cpr_session_update: not permitted in a notifier's callback");
}

/* The session becomes one that took up a state, with the notifiers a and b. */
static void
take_up (Successor *successor, unsigned attempt)
{
  cpr_session_free (session);
  guest.running = false;
  successor_init (successor, &guest, attempt);
  strcpy (successor->page->reason, "device 'sda': no");
  session = successor->session;
  notify ("b", 2);
  notify ("a", 1);
}

static void
end (Successor *successor)
{
  session = NULL;
  successor_clear (successor);
}

START_TEST (the_new_program_is_told_done)
{
  Successor successor;

  take_up (&successor, 1);
  when ('b', CPR_EVENT_DONE, try_update);
  ck_assert (cpr_session_load (session, NULL));
  assert_told ("");
  ck_assert (cpr_session_start (session, NULL));
  assert_told ("a:done b:done ");
  end (&successor);
}
END_TEST

START_TEST (the_old_program_executed_again_is_told_failed)
{
  Successor successor;

  take_up (&successor, 2);
  when ('b', CPR_EVENT_FAILED, try_update);
  ck_assert (cpr_session_load (session, NULL) && cpr_session_start (session, NULL));
  assert_told ("b:failed a:failed ");
  end (&successor);
}
END_TEST

START_TEST (a_new_program_that_fails_tells_nobody)
{
  Successor successor;

  take_up (&successor, 1);
  ck_assert (cpr_device_remove (session, "sda", NULL));
  faults_begin (0, 0, EPERM);
  ck_assert (!cpr_session_load (session, &error));
  faults_end ();
  assert_error (&error, CPR_ERROR_MISMATCH, "device 'sda'");
  assert_told ("");
  end (&successor);
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("events");

  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, add_refuses_modes_that_there_are_not);
  tcase_add_test (tests, lower_priorities_are_told_first_and_failure_the_other_way_round);
  tcase_add_test (tests, a_veto_leaves_nothing_and_only_those_told_of_the_beginning_hear_of_the_end);
  tcase_add_test (tests, a_veto_counts_after_setup_only);
  tcase_add_test (tests, who_was_not_told_of_a_beginning_is_told_nothing);
  tcase_add_test (tests, an_update_with_arguments_that_cannot_be_right_is_not_told_of);
  tcase_add_test (tests, the_guest_and_the_session_are_as_documented_at_each_event);
  tcase_add_test (tests, a_blocker_added_in_setup_counts);
  tcase_add_test (tests, what_is_registered_in_setup_counts);
  tcase_add_test (tests, an_update_under_way_is_a_blocker);
  tcase_add_test (tests, a_notifier_that_is_removed_in_a_callback_is_told_nothing_more);
  tcase_add_test (tests, a_notifier_that_is_added_in_a_callback_is_told_of_the_next_update);
  tcase_add_test (tests, a_fresh_start_is_not_told_of);
  tcase_add_test (tests, the_new_program_is_told_done);
  tcase_add_test (tests, the_old_program_executed_again_is_told_failed);
  tcase_add_test (tests, a_new_program_that_fails_tells_nobody);
  return run_suite (suite);
}
