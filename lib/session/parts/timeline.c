/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The last update: its result and the times of its steps. The order of steps writes them, in both
 * programs; cpr_session_get_update_info() reads them. */
#include "session/parts/timeline.h"

#include <string.h>

#include "base/sys.h"
#include "handoff/exec/guardian.h"
#include "session/parts/run-state.h"

void
cpr_timeline_clear (CprTimeline *timeline)
{
  g_clear_pointer (&timeline->error, g_free);
}

void
cpr_timeline_stamp_at (CprTimeline *timeline, CprStep step, uint64_t ns)
{
  if (!timeline->under_way)
    return;
  timeline->stamps[step] = ns;
  if (timeline->page != NULL)
    atomic_store (&timeline->page->stamps[step], ns);
}

void
cpr_timeline_stamp (CprTimeline *timeline, CprStep step)
{
  cpr_timeline_stamp_at (timeline, step, cpr_now_ns ());
}

bool
cpr_timeline_check_pause (const CprTimeline *timeline, CprStep step, GError **error)
{
  return timeline->page == NULL || timeline->is_way_back ||
         cpr_baton_check_pause (timeline->page, cpr_step_get_name (step), error);
}

/* ---- In the old program. */

void
cpr_timeline_forget (CprTimeline *timeline, CprMode mode)
{
  memset (timeline->stamps, 0, sizeof timeline->stamps);
  timeline->ram_done = timeline->ram_total = 0;
  timeline->failed_ns = timeline->wait_ns = 0;
  timeline->mode = mode;
  timeline->had_guardian = timeline->was_running = timeline->is_way_back = false;
}

void
cpr_timeline_begin (CprTimeline *timeline, bool has_guardian, uint64_t wait_ns)
{
  timeline->wait_ns = wait_ns;
  timeline->had_guardian = has_guardian;
  timeline->under_way = true;
  cpr_timeline_stamp (timeline, CPR_STEP_CHECK);
}

void
cpr_timeline_share (CprTimeline *timeline, CprBatonPage *page)
{
  timeline->page = page;
  page->wait_ns = timeline->wait_ns;
  for (CprStep step = CPR_STEP_CHECK; step <= CPR_STEP_PREFLIGHT; step++)
    atomic_store (&page->stamps[step], timeline->stamps[step]);
}

void
cpr_timeline_stop (CprTimeline *timeline)
{
  for (CprStep step = CPR_STEP_STOP; step < CPR_N_STEPS; step++)
    atomic_store (&timeline->page->stamps[step], 0);
  cpr_timeline_stamp (timeline, CPR_STEP_STOP);
}

void
cpr_timeline_unshare (CprTimeline *timeline)
{
  timeline->page = NULL;
}

void
cpr_timeline_end (CprTimeline *timeline, const GError *reason)
{
  g_free (timeline->error);
  timeline->error = reason != NULL ? g_strdup (reason->message) : NULL;
  timeline->status = reason != NULL ? CPR_UPDATE_FAILED : CPR_UPDATE_COMPLETED;
  timeline->under_way = false;
}

/* ---- In the program that was handed the guest. */

void
cpr_timeline_take_up (CprTimeline *timeline, const CprIncoming *incoming, uint64_t began_ns)
{
  CprBatonPage *page = incoming->baton.page;

  timeline->page = page;
  timeline->under_way = true;
  timeline->mode = incoming->carrier->mode;
  timeline->was_running = cpr_run_state_is_live ((CprRunState) incoming->manifest.run_state);
  timeline->generation = incoming->manifest.generation;
  timeline->had_guardian = cpr_guardians_find (page) != 0;
  timeline->is_way_back = incoming->attempt > CPR_BATON_WAY_THERE;
  if (timeline->is_way_back)
    {
      timeline->status = page->cause != CPR_BATON_CAUSE_NONE ? CPR_UPDATE_RESCUED : CPR_UPDATE_ROLLED_BACK;
      timeline->error = cpr_baton_describe_failure (page);
    }
  else
    {
      timeline->status = CPR_UPDATE_COMPLETED;
      timeline->generation++;
    }
  cpr_timeline_stamp_at (timeline, CPR_STEP_TAKE_UP, began_ns);
}

void
cpr_timeline_commit (CprTimeline *timeline)
{
  const CprBatonPage *page = timeline->page;

  for (CprStep step = 0; step < CPR_N_STEPS; step++)
    timeline->stamps[step] = page->stamps[step];
  timeline->wait_ns = page->wait_ns;
  timeline->failed_ns = timeline->is_way_back ? page->failed_ns : 0;
  timeline->page = NULL;
  timeline->under_way = false;
}

/* ---- For who asks. */

/* The start of the first step after @step that was reached, @end_ns after the last one, or 0. */
static uint64_t
end_of_step (const CprTimeline *timeline, CprStep step, uint64_t end_ns)
{
  for (step++; step < CPR_N_STEPS; step++)
    if (timeline->stamps[step] != 0)
      return timeline->stamps[step];
  return end_ns;
}

static uint64_t
between (uint64_t begin_ns, uint64_t end_ns)
{
  return begin_ns != 0 && end_ns > begin_ns ? end_ns - begin_ns : 0;
}

void
cpr_timeline_fill (const CprTimeline *timeline, uint64_t end_ns, CprUpdateInfo *info)
{
  const uint64_t *stamps = timeline->stamps;
  uint64_t last = 0, total;

  info->status = timeline->status;
  info->generation = timeline->generation;
  info->guardian = timeline->had_guardian;
  info->error = timeline->error;
  info->mode = timeline->mode;
  info->ram_done = timeline->ram_done;
  info->ram_total = timeline->ram_total;
  info->wait_ns = timeline->wait_ns;
  for (CprStep step = 0; step < CPR_N_STEPS; step++)
    {
      uint64_t end = end_of_step (timeline, step, end_ns);

      info->step_ns[step] = between (stamps[step], end);
      last = MAX (last, end);
    }
  total = between (stamps[CPR_STEP_CHECK], last);
  info->total_ns = total > 0 ? timeline->wait_ns + total : 0;
  if (timeline->was_running)
    info->pause_ns = between (stamps[CPR_STEP_STOP], stamps[CPR_STEP_FINISH]);
  info->recover_ns = between (timeline->failed_ns, stamps[CPR_STEP_FINISH]);
}
