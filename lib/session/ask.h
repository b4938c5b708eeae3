/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_SESSION_ASK_H
#define CPR_SESSION_ASK_H

#include "session/core.h"

typedef enum
{
  CPR_ASK_ALWAYS,
  CPR_ASK_UNLESS_PASSED /* not where a preflight right before asked the same, and passed */
} CprAskWhen;

/* Asks both programs what they would say to the update. @findings: NULL, or where they go, sorted,
 * as far as there are any answers. Success leaves session->passed. */
bool cpr_session_ask_programs (
    CprSession *session, const CprUpdate *update, CprAskWhen when, GPtrArray **findings, GError **error);

/* The same over @carrier, with the program that is there already; and tells it all that it needs
 * before the stop. */
bool cpr_session_ask_over (CprSession *session, const CprUpdate *update, CprCarrier *carrier, GError **error);

#endif
