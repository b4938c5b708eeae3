/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An operator decides when a guest comes, and from where: the time limit stands still meanwhile,
 * and the VMM is asked for the address only if no state came with the process. */
#include "faults.h"
#include "handoff/transfer/arrival.h"
#include "successor.h"

#include <unistd.h>

#define SECOND UINT64_C (1000000000)

static Guest guest;
static GError *error;
static const char *chosen;
static unsigned n_asked;

static void
setup (void)
{
  guest_init (&guest);
  error = NULL;
  chosen = NULL;
  n_asked = 0;
}

static void
teardown (void)
{
  g_unsetenv (CPR_STATE_VARIABLE);
  guest_clear (&guest);
}

/* ---- Where the state comes from. */

static char *
choose (void *user_data, GError **reason)
{
  n_asked++;
  if (g_strcmp0 (chosen, "error") == 0)
    g_set_error (reason, g_quark_from_static_string ("vmm"), 3, "the operator went away");
  return chosen != NULL && strcmp (chosen, "error") != 0 ? g_strdup (chosen) : NULL;
}

static CprSessionConfig
make_config (void)
{
  CprSessionConfig config = guest_config (&guest, "vm");

  config.incoming = "defer";
  config.choose_incoming = choose;
  return config;
}

static void
assert_refused (const CprSessionConfig *config, int code, const char *text)
{
  g_autofree char *before = process_describe ();

  ck_assert_ptr_null (cpr_session_new (config, &error));
  assert_error (&error, code, text);
  assert_process_is (before);
}

START_TEST (defer_without_a_callback_is_refused)
{
  CprSessionConfig config = make_config ();

  config.choose_incoming = NULL;
  assert_refused (&config, CPR_ERROR_INVALID, "incoming 'defer' needs the choose_incoming callback");
}
END_TEST

START_TEST (the_address_that_is_chosen_is_used)
{
  CprSessionConfig config = make_config ();

  chosen = "file:/nonexistent/state";
  assert_refused (&config, CPR_ERROR_SYSTEM, "/nonexistent/state");
  chosen = "nowhere";
  assert_refused (&config, CPR_ERROR_INVALID, "incoming 'nowhere'");
  chosen = "defer";
  assert_refused (&config, CPR_ERROR_INVALID, "incoming 'defer'");
  ck_assert_uint_eq (n_asked, 3);
}
END_TEST

START_TEST (the_error_of_the_callback_is_the_session_s)
{
  CprSessionConfig config = make_config ();

  assert_refused (&config, CPR_ERROR_CALLBACK, "choose_incoming failed without an error");
  chosen = "error";
  ck_assert_ptr_null (cpr_session_new (&config, &error));
  ck_assert (g_error_matches (error, g_quark_from_static_string ("vmm"), 3));
  g_clear_error (&error);
}
END_TEST

START_TEST (nobody_is_asked_with_a_config_that_is_wrong_or_has_an_address)
{
  CprSessionConfig config = make_config ();

  config.unclaimed_fds = 2;
  assert_refused (&config, CPR_ERROR_INVALID, "unknown policy 2");
  config = make_config ();
  config.incoming = "file:/nonexistent/state";
  assert_refused (&config, CPR_ERROR_SYSTEM, "/nonexistent/state");
  config.incoming = NULL;
  cpr_session_free (cpr_session_new (&config, &error));
  assert_no_error (error);
  ck_assert_uint_eq (n_asked, 0);
}
END_TEST

/* ---- The time limit. */

START_TEST (a_fresh_session_has_no_limit_to_stop)
{
  CprSession *session = session_new (&guest, "vm");

  ck_assert (cpr_session_defer (session, true, &error));
  ck_assert (cpr_session_load (session, &error));
  ck_assert (cpr_session_defer (session, false, &error));
  ck_assert (cpr_session_start (session, &error));
  ck_assert (!cpr_session_defer (session, true, &error));
  assert_error (&error, CPR_ERROR_STATE, "cpr_session_defer: not permitted in a session that is active");
  cpr_session_free (session);
}
END_TEST

START_TEST (the_limit_of_an_update_stands_still_and_starts_again)
{
  Successor successor;
  uint64_t attempt_ns, before;

  successor_init (&successor, &guest, 1);
  successor.page->timeout_ns = 5 * SECOND;
  successor.page->deadline_ns = cpr_now_ns () + SECOND;
  attempt_ns = successor.page->attempt_ns;
  ck_assert (cpr_session_defer (successor.session, true, &error));
  ck_assert_uint_eq (successor.page->deadline_ns, 0);
  ck_assert (cpr_session_load (successor.session, &error));
  ck_assert (cpr_session_defer (successor.session, true, &error)); /* twice does no harm */
  ck_assert_uint_eq (successor.page->deadline_ns, 0);
  before = cpr_now_ns ();
  ck_assert (cpr_session_defer (successor.session, false, &error));
  ck_assert_uint_ge (successor.page->deadline_ns, before + 5 * SECOND);
  ck_assert_uint_le (successor.page->deadline_ns, cpr_now_ns () + 5 * SECOND);
  ck_assert_uint_eq (successor.page->attempt_ns, attempt_ns);
  ck_assert (cpr_session_start (successor.session, &error));
  successor_clear (&successor);
}
END_TEST

START_TEST (an_update_without_a_limit_stays_without_one)
{
  Successor successor;

  successor_init (&successor, &guest, 1);
  successor.page->timeout_ns = 0;
  successor.page->deadline_ns = 0;
  ck_assert (cpr_session_defer (successor.session, true, &error));
  ck_assert (cpr_session_defer (successor.session, false, &error));
  ck_assert_uint_eq (successor.page->deadline_ns, 0);
  ck_assert (cpr_session_load (successor.session, &error) && cpr_session_start (successor.session, &error));
  successor_clear (&successor);
}
END_TEST

START_TEST (a_guest_that_was_taken_back_has_no_limit_to_stop)
{
  Successor successor;
  CprBatonWord offered, fenced;

  successor_init (&successor, &guest, 1);
  offered = cpr_baton_get (successor.page);
  fenced = (CprBatonWord){ CPR_BATON_FENCED, offered.attempt, 1 };
  successor.page->deadline_ns = SECOND;
  ck_assert (cpr_baton_move (successor.page, offered, fenced));
  ck_assert (!cpr_session_defer (successor.session, true, &error));
  assert_error (&error, CPR_ERROR_NOT_OWNER, "it is meant for process 1");
  ck_assert_uint_eq (successor.page->deadline_ns, SECOND);
  successor_clear (&successor);
}
END_TEST

START_TEST (the_old_program_of_a_transfer_cant_be_kept_waiting)
{
  ck_assert (!cpr_arrival_defer (NULL, true, &error));
  assert_error (&error, CPR_ERROR_STATE, "not possible in transfer mode");
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("defer");

  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, defer_without_a_callback_is_refused);
  tcase_add_test (tests, the_address_that_is_chosen_is_used);
  tcase_add_test (tests, the_error_of_the_callback_is_the_session_s);
  tcase_add_test (tests, nobody_is_asked_with_a_config_that_is_wrong_or_has_an_address);
  tcase_add_test (tests, a_fresh_session_has_no_limit_to_stop);
  tcase_add_test (tests, the_limit_of_an_update_stands_still_and_starts_again);
  tcase_add_test (tests, an_update_without_a_limit_stays_without_one);
  tcase_add_test (tests, a_guest_that_was_taken_back_has_no_limit_to_stop);
  tcase_add_test (tests, the_old_program_of_a_transfer_cant_be_kept_waiting);
  return run_suite (suite);
}
