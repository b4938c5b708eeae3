/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The result of a preflight that found no refusal, kept for the update after it. The preflight
 * keeps it; the update uses it and forgets it. */
#include "session/parts/passed.h"

#include "base/sys.h"
#include "state/executable.h"

/* How long a preflight is good for: what isn't in the hash, such as the libraries of a program,
 * may change any time. */
#define KEEP_NS (UINT64_C (60) * 1000000000)

void
cpr_passed_keep (CprPassed *passed, uint64_t hash, uint64_t values, CprSuccessor *next)
{
  cpr_passed_clear (passed);
  *passed = (CprPassed){ true, hash, values, cpr_now_ns (), *next };
  next->build_id = NULL;
}

bool
cpr_passed_is_fresh (const CprPassed *passed)
{
  return passed->is_there && cpr_now_ns () - passed->made_ns < KEEP_NS;
}

void
cpr_passed_clear (CprPassed *passed)
{
  cpr_executable_clear (&passed->next);
  *passed = (CprPassed){ .is_there = false };
}
