/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The run state, as the owner and the guest want it: when the guest stops, and that the VMM is told
 * once each time. */
#include "guest.h"

#include "session/parts/run-state.h"

#define RUNNING          CPR_RUN_STATE_RUNNING
#define PAUSED           CPR_RUN_STATE_PAUSED
#define SUSPENDED        CPR_RUN_STATE_SUSPENDED
#define PAUSED_SUSPENDED CPR_RUN_STATE_PAUSED_SUSPENDED

static Guest guest;
static CprSession *session;
static GError *error;

static void
setup (void)
{
  guest_init (&guest);
  error = NULL;
  session = session_new_active (&guest, "vm");
}

static void
teardown (void)
{
  cpr_session_free (session);
  guest_clear (&guest);
}

typedef bool (*Call) (CprSession *, GError **);

static const struct
{
  CprCall call;
  Call public;
  CprRunState after[4]; /* by the state before */
} table[] = {
  { CPR_CALL_PAUSE, cpr_session_pause, { PAUSED, PAUSED, PAUSED_SUSPENDED, PAUSED_SUSPENDED } },
  { CPR_CALL_RESUME, cpr_session_resume, { RUNNING, RUNNING, SUSPENDED, SUSPENDED } },
  { CPR_CALL_SUSPEND, cpr_session_suspend, { SUSPENDED, PAUSED_SUSPENDED, SUSPENDED, PAUSED_SUSPENDED } },
  { CPR_CALL_WAKEUP, cpr_session_wakeup, { RUNNING, PAUSED, RUNNING, PAUSED } },
};

/* Brings the guest there, from wherever it is. */
static void
bring (CprRunState state)
{
  bool paused = state == PAUSED || state == PAUSED_SUSPENDED,
       suspended = state == SUSPENDED || state == PAUSED_SUSPENDED;

  ck_assert (paused ? cpr_session_pause (session, NULL) : cpr_session_resume (session, NULL));
  ck_assert (suspended ? cpr_session_suspend (session, NULL) : cpr_session_wakeup (session, NULL));
  ck_assert_int_eq (cpr_session_get_run_state (session), state);
}

START_TEST (the_table_is_as_the_header_prints_it)
{
  for (size_t i = 0; i < G_N_ELEMENTS (table); i++)
    for (CprRunState before = RUNNING; before <= PAUSED_SUSPENDED; before++)
      ck_assert_int_eq (cpr_run_state_after (before, table[i].call), table[i].after[before]);
  for (CprRunState state = RUNNING; state <= PAUSED_SUSPENDED; state++)
    {
      ck_assert_int_eq (cpr_run_state_after (state, CPR_CALL_UPDATE), state);
      ck_assert (cpr_run_state_is_live (state) == (state == RUNNING));
    }
}
END_TEST

/* The guest of the helpers fails the test when it is stopped or started twice. */
START_TEST (the_vmm_is_called_once_for_each_real_transition)
{
  for (size_t i = 0; i < G_N_ELEMENTS (table); i++)
    for (CprRunState before = RUNNING; before <= PAUSED_SUSPENDED; before++)
      {
        bool was_running, runs = table[i].after[before] == RUNNING;
        int stops, starts;

        bring (before);
        was_running = guest.running;
        stops = guest.stops;
        starts = guest.starts;
        ck_assert (was_running == (before == RUNNING));
        ck_assert (table[i].public(session, &error));
        ck_assert_int_eq (cpr_session_get_run_state (session), table[i].after[before]);
        ck_assert_int_eq (guest.stops - stops, was_running && !runs);
        ck_assert_int_eq (guest.starts - starts, !was_running && runs);
        ck_assert (guest.running == runs);
      }
}
END_TEST

START_TEST (suspend_that_fails_leaves_the_guest_running)
{
  guest.stop = STOP_FAILS;
  ck_assert (!cpr_session_suspend (session, &error));
  ck_assert_str_eq (error->message, "vCPU 1 doesn't answer");
  g_clear_error (&error);
  ck_assert_int_eq (cpr_session_get_run_state (session), RUNNING);
}
END_TEST

START_TEST (an_update_that_fails_leaves_the_run_state)
{
  CprUpdateInfo info = { .size = sizeof info };

  for (CprRunState state = RUNNING; state <= PAUSED_SUSPENDED; state++)
    {
      int stops, starts;

      bring (state);
      stops = guest.stops;
      starts = guest.starts;
      ck_assert (!update_up_to_execve (session, 0, &error));
      assert_error (&error, CPR_ERROR_SYSTEM, "execve");
      ck_assert_int_eq (cpr_session_get_run_state (session), state);
      ck_assert_int_eq (guest.stops - stops, state == RUNNING);
      ck_assert_int_eq (guest.starts - starts, state == RUNNING);
      cpr_session_get_update_info (session, &info);
      ck_assert_uint_eq (info.pause_ns, 0);
    }
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("run-state");

  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, the_table_is_as_the_header_prints_it);
  tcase_add_test (tests, the_vmm_is_called_once_for_each_real_transition);
  tcase_add_test (tests, suspend_that_fails_leaves_the_guest_running);
  tcase_add_test (tests, an_update_that_fails_leaves_the_run_state);
  return run_suite (suite);
}
