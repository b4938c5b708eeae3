/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_SESSION_PREFLIGHT_H
#define CPR_SESSION_PREFLIGHT_H

#include <libcpr/libcpr.h>

#include "handoff/carrier.h"

/* How long an answer may take where the update doesn't say. */
#define CPR_ASK_TIMEOUT_MS 10000

/* The last preflight that found no refusal; good for one update that is soon and asks for the
 * same. */
typedef struct
{
  bool is_there;
  uint64_t hash;     /* of what was asked, and whom */
  uint64_t values;   /* of the fields that were tried */
  uint64_t made_ns;  /* when */
  CprSuccessor next; /* who said that it would take over */
} CprPassed;

void cpr_passed_clear (CprPassed *passed);

/* Asks both programs what they would say to the update. @may_keep: unless a preflight right
 * before asked the same. @result: the findings, where there are any answers; may be NULL.
 * Success leaves session->passed. */
bool cpr_session_pass_preflight (
    CprSession *session, const CprUpdate *update, bool may_keep, CprPreflight **result, GError **error);

/* The same over @carrier, with the program that is there already; and tells it all that it needs
 * before the stop. */
bool cpr_session_ask_over (CprSession *session, const CprUpdate *update, CprCarrier *carrier, GError **error);

#endif
