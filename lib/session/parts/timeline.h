/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_SESSION_PARTS_TIMELINE_H
#define CPR_SESSION_PARTS_TIMELINE_H

#include "handoff/incoming.h"

/* The last update: how it ended, and when each of its steps began. It lasts from the first step
 * in the old program to the end in whichever program has the guest then; in between, the shared
 * page has the times. */
typedef struct
{
  CprUpdateStatus status;
  CprMode mode;
  uint64_t generation;
  bool had_guardian;
  char *error;      /* why it failed, or NULL */
  bool was_running; /* the guest, before it was stopped */
  bool is_way_back; /* this is the old program again, because the new one has failed */

  bool under_way;     /* from its begin, or the take-up, to its end: only then there are steps */
  CprBatonPage *page; /* where the times go as well, for the other programs; NULL: nowhere */
  uint64_t stamps[CPR_N_STEPS];
  uint64_t wait_ns;   /* before the first step, for what the update before had left */
  uint64_t failed_ns; /* when its failure was known; 0: it didn't fail after the execve */

  _Atomic uint64_t ram_done, ram_total; /* in reboot mode; any thread may ask */
} CprTimeline;

void cpr_timeline_clear (CprTimeline *timeline);

/* The step begins now, or began at @ns. Nothing happens where no update is under way. */
void cpr_timeline_stamp (CprTimeline *timeline, CprStep step);
void cpr_timeline_stamp_at (CprTimeline *timeline, CprStep step, uint64_t ns);

/* CPR_ERROR_PAUSE_BUDGET with the name of @step, the last one, where the guest has stood still
 * for longer than it may. A way back is never too late. */
bool cpr_timeline_check_pause (const CprTimeline *timeline, CprStep step, GError **error);

/* ---- In the old program. */

/* An update is asked for: nothing of the one before it remains but its generation. */
void cpr_timeline_forget (CprTimeline *timeline, CprMode mode);
/* The first step of that update begins. */
void cpr_timeline_begin (CprTimeline *timeline, bool has_guardian, uint64_t wait_ns);
/* From now on, until cpr_timeline_unshare(), other programs know the times, too. */
void cpr_timeline_share (CprTimeline *timeline, CprBatonPage *page);
/* The stop begins. A program that is there already may have taken up its part: no step that it took
 * with the guest running is one of the pause. */
void cpr_timeline_stop (CprTimeline *timeline);
void cpr_timeline_unshare (CprTimeline *timeline);
/* The end: with @reason where it failed, NULL where the guest was handed over. */
void cpr_timeline_end (CprTimeline *timeline, const GError *reason);

/* ---- In the program that was handed the guest. */

/* The take-up began at @began_ns, and has succeeded. */
void cpr_timeline_take_up (CprTimeline *timeline, const CprIncoming *incoming, uint64_t began_ns);
/* The guest runs: no other program has a part in the update any more. */
void cpr_timeline_commit (CprTimeline *timeline);

/* ---- For who asks. */

/* Fills @info but for its size. @end_ns: when the finish had ended; 0: it hasn't. */
void cpr_timeline_fill (const CprTimeline *timeline, uint64_t end_ns, CprUpdateInfo *info);

#endif
