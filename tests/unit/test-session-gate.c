/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A session whose gate stops and starts the guest's threads, with and without callbacks. */
#include "guest.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

/* Longer than any machine is slow. */
#define PATIENCE_MS 30000

static Guest guest;
static CprGate *gate;
static CprSession *session;
static GError *error;
static bool was_open; /* when a callback was called */
static bool refuses;  /* the stop callback */

static atomic_bool inside, kicked, has_left;

static bool
is_open (void)
{
  if (!cpr_gate_try_enter (gate, 0))
    return false;
  cpr_gate_leave (gate);
  return true;
}

static bool
stop (void *user_data, GError **reason)
{
  was_open = is_open ();
  return !refuses || cpr_throw (reason, CPR_ERROR_CALLBACK, "it doesn't want to");
}

static void
start (void *user_data)
{
  was_open = is_open ();
}

static void
begin (bool has_callbacks, unsigned timeout_ms)
{
  CprSessionConfig config = guest_config (&guest, "vm");

  config.stop = has_callbacks ? stop : NULL;
  config.start = has_callbacks ? start : NULL;
  config.gate = gate;
  config.stop_timeout_ms = timeout_ms;
  session = cpr_session_new (&config, &error);
  ck_assert_msg (session != NULL, "%s", error != NULL ? error->message : "");
  ck_assert (cpr_session_load (session, &error));
  ck_assert (!is_open ());
  ck_assert (cpr_session_start (session, &error));
}

static void
setup (void)
{
  error = NULL;
  inside = kicked = has_left = refuses = was_open = false;
  guest_init (&guest);
  gate = cpr_gate_new (NULL);
}

static void
teardown (void)
{
  cpr_session_free (session);
  cpr_gate_free (gate);
  guest_clear (&guest);
}

static void
kick (void *user_data)
{
  kicked = true;
}

static void *
member_main (void *stays)
{
  cpr_gate_join (gate, "vCPU 0", kick, NULL, NULL);
  if (!cpr_gate_enter (gate))
    return NULL;
  inside = true;
  while (!kicked || (stays != NULL && *(atomic_bool *) stays))
    usleep (100);
  has_left = true;
  cpr_gate_leave (gate);
  return NULL;
}

static pthread_t
start_member (atomic_bool *stays)
{
  pthread_t thread;

  ck_assert_int_eq (pthread_create (&thread, NULL, member_main, stays), 0);
  while (!inside)
    usleep (100);
  return thread;
}

START_TEST (the_gate_alone_stops_and_starts_the_guest)
{
  pthread_t thread;

  begin (false, PATIENCE_MS);
  ck_assert (is_open ());
  thread = start_member (NULL);
  ck_assert_msg (cpr_session_pause (session, &error), "%s", error->message);
  ck_assert (kicked && has_left && !is_open ());
  ck_assert (cpr_session_resume (session, &error));
  ck_assert (is_open ());
  pthread_join (thread, NULL);
}
END_TEST

START_TEST (callbacks_are_called_while_the_gate_is_closed)
{
  begin (true, 0);
  ck_assert (!was_open && is_open ());
  was_open = true;
  ck_assert (cpr_session_pause (session, &error));
  ck_assert (!was_open && !is_open ());
  was_open = true;
  ck_assert (cpr_session_resume (session, &error));
  ck_assert (!was_open && is_open ());
}
END_TEST

START_TEST (a_stop_callback_that_fails_leaves_the_gate_open)
{
  begin (true, 0);
  refuses = true;
  ck_assert (!cpr_session_pause (session, &error));
  assert_error (&error, CPR_ERROR_CALLBACK, "it doesn't want to");
  ck_assert (!was_open && is_open ());
  ck_assert_int_eq (cpr_session_get_run_state (session), CPR_RUN_STATE_RUNNING);
}
END_TEST

START_TEST (a_member_that_stays_is_named_and_the_guest_goes_on)
{
  atomic_bool stays = true;
  pthread_t thread;

  begin (true, 1);
  thread = start_member (&stays);
  was_open = true;
  ck_assert (!cpr_session_pause (session, &error));
  assert_error (&error, CPR_ERROR_BLOCKED, "gate: still inside after 1 ms: 'vCPU 0'");
  ck_assert (was_open); /* no callback was called */
  ck_assert_int_eq (cpr_session_get_run_state (session), CPR_RUN_STATE_RUNNING);
  stays = false;
  pthread_join (thread, NULL);
  ck_assert (is_open ());
}
END_TEST

START_TEST (after_an_update_that_fails_the_gate_is_open)
{
  begin (_i == 1, 0);
  ck_assert (!update_up_to_execve (session, 0, &error));
  assert_error (&error, CPR_ERROR_SYSTEM, "Exec format error");
  ck_assert (!was_open && is_open ());
}
END_TEST

START_TEST (a_paused_guest_stays_so_in_an_update_that_fails)
{
  begin (false, 0);
  ck_assert (cpr_session_pause (session, &error));
  ck_assert (!update_up_to_execve (session, 0, &error));
  g_clear_error (&error);
  ck_assert (!is_open ());
}
END_TEST

START_TEST (one_callback_may_be_missing)
{
  CprSessionConfig config = guest_config (&guest, "vm");

  config.stop = NULL;
  config.gate = gate;
  session = cpr_session_new (&config, &error);
  assert_no_error (error);
  ck_assert_ptr_nonnull (session);
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("session-gate");

  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, the_gate_alone_stops_and_starts_the_guest);
  tcase_add_test (tests, callbacks_are_called_while_the_gate_is_closed);
  tcase_add_test (tests, a_stop_callback_that_fails_leaves_the_gate_open);
  tcase_add_test (tests, a_member_that_stays_is_named_and_the_guest_goes_on);
  tcase_add_loop_test (tests, after_an_update_that_fails_the_gate_is_open, 0, 2);
  tcase_add_test (tests, a_paused_guest_stays_so_in_an_update_that_fails);
  tcase_add_test (tests, one_callback_may_be_missing);
  return run_suite (suite);
}
