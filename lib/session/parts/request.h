/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_SESSION_PARTS_REQUEST_H
#define CPR_SESSION_PARTS_REQUEST_H

#include "handoff/carrier.h"

/* A VMM's wishes in a CprUpdate, with the defaults of what it leaves open. */

typedef struct
{
  CprUpdate update; /* the library's copy; `program` and `argv` are both set, or `argv` is missing */
  char **argv;      /* the recorded arguments, where they are update.argv; or NULL */
} CprRequest;

/* Reads @given, of whichever version, and completes it: with @recorded, the recorded arguments,
 * where it has a program and no arguments of its own. To be cleared on failure, too. */
bool cpr_request_read (CprRequest *request, const CprUpdate *given, char *const *recorded, GError **error);
void cpr_request_clear (CprRequest *request);

/* CPR_ERROR_INVALID for a request that is wrong in any session. */
bool cpr_request_check (const CprUpdate *update, GError **error);

/* The request has been checked, here and below. */
const CprCarrierType *cpr_request_get_carrier (const CprUpdate *update);

/* Whether the new program is asked whether it could take the guest over. */
bool cpr_request_wants_answer (const CprUpdate *update);
/* Whether the update fails unless the old program could take the guest back. */
bool cpr_request_wants_way_back (const CprUpdate *update);
/* Whether guardians stand by: only where this program is replaced by the new one. */
bool cpr_request_wants_guardian (const CprUpdate *update);

/* The environment of the new program. */
char *const *cpr_request_get_envp (const CprUpdate *update);

/* How long the answer may take. */
unsigned cpr_request_get_answer_ms (const CprUpdate *update);
/* How long the new program has until the commit. */
uint64_t cpr_request_get_deadline_ns (const CprUpdate *update);
/* How long the guest may stand still; 0: as long as it takes. */
uint64_t cpr_request_get_pause_budget_ns (const CprUpdate *update);

#endif
