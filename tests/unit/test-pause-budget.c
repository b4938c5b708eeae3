/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A pause that exceeds its budget ends the update, wherever that is noticed. It never ends the way
 * back. */
#include "faults.h"
#include "successor.h"

#include <errno.h>

#define MS UINT64_C (1000000)

static Guest guest;
static GError *error;
static unsigned stop_us, save_us; /* how long they take */

static void
setup (void)
{
  guest_init (&guest);
  error = NULL;
  stop_us = save_us = 0;
}

static void
teardown (void)
{
  faults_end ();
  g_unsetenv (CPR_STATE_VARIABLE);
  guest_clear (&guest);
}

START_TEST (the_budget_counts_from_the_stop_and_0_is_none)
{
  CprBatonPage page = { .pause_budget_ns = 0 };

  page.stamps[CPR_STEP_STOP] = cpr_now_ns () - 1000 * MS;
  ck_assert (cpr_baton_check_pause (&page, "load", &error));
  page.pause_budget_ns = 3600 * 1000 * MS;
  ck_assert (cpr_baton_check_pause (&page, "load", &error));
  page.pause_budget_ns = 999 * MS;
  ck_assert (!cpr_baton_check_pause (&page, "load", &error));
  ck_assert (g_str_has_prefix (error->message, "pause budget of 999 ms: 1"));
  assert_error (&error, CPR_ERROR_PAUSE_BUDGET, " ms had passed in step load");
}
END_TEST

/* ---- In the old program. */

static bool
stop_slowly (void *user_data, GError **reason)
{
  Guest *of = user_data;

  of->running = false;
  of->stops++;
  g_usleep (stop_us);
  return true;
}

static bool
save_slowly (CprSession *session, CprEvent event, CprMode mode, void *user_data, GError **veto)
{
  if (event == CPR_EVENT_SAVED)
    g_usleep (save_us);
  return true;
}

static CprSession *
session_new_slow (void)
{
  CprSessionConfig config = guest_config (&guest, "vm");
  CprSession *session;

  config.stop = stop_slowly;
  config.user_data = &guest;
  session = cpr_session_new (&config, &error);
  assert_no_error (error);
  ck_assert_uint_ne (cpr_notifier_add (session, CPR_MODES_EXEC, 0, save_slowly, NULL, NULL), 0);
  ck_assert (cpr_session_load (session, NULL) && cpr_session_start (session, NULL));
  return session;
}

static void
update (CprSession *session, unsigned pause_budget_ms)
{
  ck_assert (!update_up_to_execve (session, pause_budget_ms, &error));
}

START_TEST (a_stop_that_takes_too_long_is_undone)
{
  CprSession *session = session_new_slow ();

  stop_us = 2000;
  update (session, 1);
  assert_error (&error, CPR_ERROR_PAUSE_BUDGET, "ms had passed in step stop");
  ck_assert (!faults.executed);
  ck_assert (guest.running);
  update (session, 0);
  assert_error (&error, CPR_ERROR_SYSTEM, "execve");
  ck_assert (faults.executed);
  cpr_session_free (session);
}
END_TEST

START_TEST (a_save_that_takes_too_long_is_undone)
{
  CprSession *session = session_new_slow ();
  CprUpdateInfo info = { .size = sizeof info };

  save_us = 600 * 1000;
  update (session, 500);
  assert_error (&error, CPR_ERROR_PAUSE_BUDGET, "pause budget of 500 ms: ");
  ck_assert (!faults.executed);
  ck_assert (guest.running);
  cpr_session_get_update_info (session, &info);
  ck_assert_int_eq (info.status, CPR_UPDATE_FAILED);
  ck_assert_ptr_nonnull (strstr (info.error, "ms had passed in step "));
  cpr_session_free (session);
}
END_TEST

START_TEST (a_guest_that_stands_still_has_no_pause)
{
  CprSession *session = session_new_slow ();

  save_us = 2000;
  ck_assert (cpr_session_suspend (session, NULL));
  update (session, 1);
  assert_error (&error, CPR_ERROR_SYSTEM, "execve");
  ck_assert (faults.executed);
  cpr_session_free (session);
}
END_TEST

/* ---- In the program that takes the guest over. */

static void
take_up (Successor *to, unsigned attempt)
{
  successor_init (to, &guest, attempt);
  to->page->stamps[CPR_STEP_STOP] = cpr_now_ns ();
  to->page->pause_budget_ns = 3600 * 1000 * MS;
}

static void
use_up (Successor *to)
{
  to->page->stamps[CPR_STEP_STOP] = cpr_now_ns () - 3601 * 1000 * MS;
}

typedef bool (*Call) (CprSession *, GError **);

/* The way back is tried, and the guest isn't started here. */
static void
assert_goes_back (Successor *to, Call call, const char *step)
{
  faults_begin (0, 0, EPERM);
  ck_assert (!call (to->session, &error));
  faults_end ();
  ck_assert (faults.executed);
  ck_assert_str_eq (to->page->reason, strstr (error->message, "pause budget of 3600000 ms: 3601"));
  assert_error (&error, CPR_ERROR_PAUSE_BUDGET, step);
  ck_assert_int_eq (cpr_session_get_state (to->session), CPR_SESSION_STATE_LOST);
  ck_assert_int_eq (guest.starts, 0);
  successor_clear (to);
}

START_TEST (a_start_up_that_takes_too_long_leads_back)
{
  Successor to;

  take_up (&to, 1);
  use_up (&to);
  assert_goes_back (&to, cpr_session_load, "ms had passed in step claim");
}
END_TEST

START_TEST (the_last_look_is_right_before_the_commit)
{
  Successor to;

  take_up (&to, 1);
  ck_assert (cpr_session_load (to.session, &error));
  use_up (&to);
  assert_goes_back (&to, cpr_session_start, "ms had passed in step commit");
}
END_TEST

START_TEST (within_the_budget_the_guest_starts)
{
  Successor to;

  take_up (&to, 1);
  ck_assert (cpr_session_load (to.session, &error) && cpr_session_start (to.session, &error));
  ck_assert_int_eq (guest.starts, 1);
  successor_clear (&to);
}
END_TEST

START_TEST (the_way_back_is_never_too_late)
{
  Successor to;

  take_up (&to, 2);
  use_up (&to);
  ck_assert (cpr_session_load (to.session, &error) && cpr_session_start (to.session, &error));
  ck_assert_int_eq (guest.starts, 1);
  successor_clear (&to);
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("pause-budget");

  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, the_budget_counts_from_the_stop_and_0_is_none);
  tcase_add_test (tests, a_stop_that_takes_too_long_is_undone);
  tcase_add_test (tests, a_save_that_takes_too_long_is_undone);
  tcase_add_test (tests, a_guest_that_stands_still_has_no_pause);
  tcase_add_test (tests, a_start_up_that_takes_too_long_leads_back);
  tcase_add_test (tests, the_last_look_is_right_before_the_commit);
  tcase_add_test (tests, within_the_budget_the_guest_starts);
  tcase_add_test (tests, the_way_back_is_never_too_late);
  return run_suite (suite);
}
