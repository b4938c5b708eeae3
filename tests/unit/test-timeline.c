/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The last update: what is recorded of it, where, and what is made of that for who asks. */
#include "helpers.h"

#include "session/parts/timeline.h"

#define MS UINT64_C (1000000)

static CprTimeline timeline;
static CprBatonPage page;
static GError *error;

static void
setup (void)
{
  timeline = (CprTimeline){ .status = CPR_UPDATE_NONE };
  page = (CprBatonPage){ .magic = 0 };
  error = NULL;
}

static void
teardown (void)
{
  cpr_timeline_clear (&timeline);
}

static CprUpdateInfo
ask (uint64_t end_ns)
{
  CprUpdateInfo info = { .size = sizeof info };

  cpr_timeline_fill (&timeline, end_ns, &info);
  return info;
}

/* As the old program. */
static void
begin (CprMode mode, bool has_guardian, uint64_t wait_ns)
{
  cpr_timeline_forget (&timeline, mode);
  cpr_timeline_begin (&timeline, has_guardian, wait_ns);
}

/* As a program that was handed the guest by exec mode. */
static void
take_up (unsigned attempt)
{
  CprIncoming incoming = { .carrier = &cpr_carrier_exec, .baton.page = &page, .attempt = attempt };

  incoming.manifest.generation = 7;
  cpr_timeline_take_up (&timeline, &incoming, 50 * MS);
}

START_TEST (no_step_is_recorded_outside_of_an_update)
{
  CprUpdateInfo info;

  cpr_timeline_stamp (&timeline, CPR_STEP_LOAD);
  cpr_timeline_stamp (&timeline, CPR_STEP_FINISH);
  info = ask (0);
  for (CprStep step = 0; step < CPR_N_STEPS; step++)
    ck_assert_uint_eq (info.step_ns[step], 0);
  ck_assert_uint_eq (info.total_ns, 0);
}
END_TEST

START_TEST (a_step_lasts_until_the_next_that_was_reached)
{
  CprUpdateInfo info;

  begin (CPR_MODE_EXEC, true, 5 * MS);
  timeline.was_running = true;
  cpr_timeline_stamp_at (&timeline, CPR_STEP_CHECK, 10 * MS);
  cpr_timeline_stamp_at (&timeline, CPR_STEP_STOP, 12 * MS);
  cpr_timeline_stamp_at (&timeline, CPR_STEP_FINISH, 15 * MS);
  info = ask (19 * MS);
  ck_assert_uint_eq (info.step_ns[CPR_STEP_CHECK], 2 * MS);
  ck_assert_uint_eq (info.step_ns[CPR_STEP_PREFLIGHT], 0);
  ck_assert_uint_eq (info.step_ns[CPR_STEP_STOP], 3 * MS);
  ck_assert_uint_eq (info.step_ns[CPR_STEP_FINISH], 4 * MS);
  ck_assert_uint_eq (info.pause_ns, 3 * MS);
  ck_assert_uint_eq (info.wait_ns, 5 * MS);
  ck_assert_uint_eq (info.total_ns, 5 * MS + 9 * MS);
  ck_assert (info.guardian && info.mode == CPR_MODE_EXEC);
  ck_assert_uint_eq (ask (0).total_ns, 5 * MS + 5 * MS);
}
END_TEST

START_TEST (a_new_update_forgets_the_times_of_the_last)
{
  begin (CPR_MODE_EXEC, true, 0);
  cpr_timeline_stamp (&timeline, CPR_STEP_PREFLIGHT);
  cpr_timeline_stamp (&timeline, CPR_STEP_GUARDIAN);
  timeline.ram_done = timeline.ram_total = 1;
  begin (CPR_MODE_REBOOT, false, 0);
  for (CprStep step = CPR_STEP_PREFLIGHT; step < CPR_N_STEPS; step++)
    ck_assert_uint_eq (timeline.stamps[step], 0);
  ck_assert_uint_eq (ask (0).ram_total, 0);
  ck_assert (!ask (0).guardian);
}
END_TEST

START_TEST (other_programs_see_the_times_while_they_are_shared)
{
  begin (CPR_MODE_EXEC, true, 3 * MS);
  cpr_timeline_stamp_at (&timeline, CPR_STEP_PREFLIGHT, 8 * MS);
  cpr_timeline_share (&timeline, &page);
  ck_assert_uint_eq (page.wait_ns, 3 * MS);
  ck_assert_uint_eq (page.stamps[CPR_STEP_CHECK], timeline.stamps[CPR_STEP_CHECK]);
  ck_assert_uint_eq (page.stamps[CPR_STEP_PREFLIGHT], 8 * MS);
  cpr_timeline_stamp_at (&timeline, CPR_STEP_SAVE, 9 * MS);
  ck_assert_uint_eq (page.stamps[CPR_STEP_SAVE], 9 * MS);
  cpr_timeline_unshare (&timeline);
  cpr_timeline_stamp_at (&timeline, CPR_STEP_EXEC, 10 * MS);
  ck_assert_uint_eq (page.stamps[CPR_STEP_EXEC], 0);
}
END_TEST

START_TEST (what_a_program_did_before_the_stop_is_no_part_of_the_pause)
{
  begin (CPR_MODE_TRANSFER, false, 0);
  cpr_timeline_share (&timeline, &page);
  page.stamps[CPR_STEP_TAKE_UP] = page.stamps[CPR_STEP_CLAIM] = 1;
  cpr_timeline_stop (&timeline);
  ck_assert_uint_ne (page.stamps[CPR_STEP_STOP], 0);
  ck_assert_uint_eq (page.stamps[CPR_STEP_TAKE_UP], 0);
  ck_assert_uint_eq (page.stamps[CPR_STEP_CLAIM], 0);
}
END_TEST

START_TEST (a_failed_update_has_its_reason_until_the_next_ends)
{
  GError *reason = g_error_new_literal (CPR_ERROR, CPR_ERROR_REFUSED, "why");

  begin (CPR_MODE_EXEC, true, 0);
  cpr_timeline_end (&timeline, reason);
  ck_assert_int_eq (ask (0).status, CPR_UPDATE_FAILED);
  ck_assert_str_eq (ask (0).error, "why");
  g_error_free (reason);
  begin (CPR_MODE_EXEC, true, 0);
  ck_assert_str_eq (ask (0).error, "why");
  cpr_timeline_end (&timeline, NULL);
  ck_assert_int_eq (ask (0).status, CPR_UPDATE_COMPLETED);
  ck_assert_ptr_null (ask (0).error);
}
END_TEST

START_TEST (an_update_that_completed_is_the_next_generation)
{
  take_up (CPR_BATON_WAY_THERE);
  ck_assert_uint_eq (ask (0).generation, 8);
  ck_assert_int_eq (ask (0).status, CPR_UPDATE_COMPLETED);
  page.stamps[CPR_STEP_STOP] = 40 * MS;
  page.failed_ns = 45 * MS;
  cpr_timeline_stamp_at (&timeline, CPR_STEP_FINISH, 60 * MS);
  cpr_timeline_commit (&timeline);
  ck_assert_uint_eq (ask (0).pause_ns, 20 * MS);
  ck_assert_uint_eq (ask (0).step_ns[CPR_STEP_TAKE_UP], 10 * MS);
  ck_assert_uint_eq (ask (0).recover_ns, 0);
}
END_TEST

START_TEST (a_way_back_is_the_same_generation_and_knows_how_long_it_took)
{
  take_up (CPR_BATON_LAST_ROLLBACK);
  ck_assert_uint_eq (ask (0).generation, 7);
  ck_assert_int_eq (ask (0).status, CPR_UPDATE_ROLLED_BACK);
  page.failed_ns = 45 * MS;
  cpr_timeline_stamp_at (&timeline, CPR_STEP_FINISH, 60 * MS);
  cpr_timeline_commit (&timeline);
  ck_assert_uint_eq (ask (0).recover_ns, 15 * MS);
}
END_TEST

START_TEST (a_guardian_s_way_back_is_a_rescue)
{
  page.cause = CPR_BATON_CAUSE_TIMEOUT;
  take_up (CPR_BATON_LAST_RESCUE);
  ck_assert_int_eq (ask (0).status, CPR_UPDATE_RESCUED);
  ck_assert_ptr_nonnull (ask (0).error);
}
END_TEST

/* The update after it has a pause of its own. */
START_TEST (only_a_way_back_is_never_too_late)
{
  page.pause_budget_ns = MS;
  page.stamps[CPR_STEP_STOP] = cpr_now_ns () - 1000 * MS;
  take_up (CPR_BATON_LAST_ROLLBACK);
  ck_assert (cpr_timeline_check_pause (&timeline, CPR_STEP_LOAD, &error));
  cpr_timeline_commit (&timeline);

  begin (CPR_MODE_EXEC, true, 0);
  cpr_timeline_share (&timeline, &page);
  ck_assert (!cpr_timeline_check_pause (&timeline, CPR_STEP_SAVE, &error));
  assert_error (&error, CPR_ERROR_PAUSE_BUDGET, "step save");
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("timeline");

  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, no_step_is_recorded_outside_of_an_update);
  tcase_add_test (tests, a_step_lasts_until_the_next_that_was_reached);
  tcase_add_test (tests, a_new_update_forgets_the_times_of_the_last);
  tcase_add_test (tests, other_programs_see_the_times_while_they_are_shared);
  tcase_add_test (tests, what_a_program_did_before_the_stop_is_no_part_of_the_pause);
  tcase_add_test (tests, a_failed_update_has_its_reason_until_the_next_ends);
  tcase_add_test (tests, an_update_that_completed_is_the_next_generation);
  tcase_add_test (tests, a_way_back_is_the_same_generation_and_knows_how_long_it_took);
  tcase_add_test (tests, a_guardian_s_way_back_is_a_rescue);
  tcase_add_test (tests, only_a_way_back_is_never_too_late);
  return run_suite (suite);
}
