/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_SESSION_PARTS_PASSED_H
#define CPR_SESSION_PARTS_PASSED_H

#include "state/manifest.h"

/* The last preflight that found no refusal; good for one update that is soon and asks for the
 * same. */
typedef struct
{
  bool is_there;
  uint64_t hash;     /* of what was asked, and whom */
  uint64_t values;   /* of the fields that were tried */
  uint64_t made_ns;  /* when */
  CprSuccessor next; /* the program that said it would take over */
} CprPassed;

/* Takes @next. */
void cpr_passed_keep (CprPassed *passed, uint64_t hash, uint64_t values, CprSuccessor *next);
/* Whether it is there, and not too long ago. */
bool cpr_passed_is_fresh (const CprPassed *passed);
void cpr_passed_clear (CprPassed *passed);

#endif
