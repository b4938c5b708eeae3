/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_INSPECT_FINDINGS_H
#define CPR_INSPECT_FINDINGS_H

#include "ask/answer.h"
#include "state.h"

/* What `compat` has found out: an answer, or why there is none. */
typedef struct
{
  const char *file;
  const char *vm;      /* NULL: the file couldn't be read */
  const char *program; /* as it was named */
  const CprAnswer *answer;
  const char *code, *reason; /* where there is no answer */
} InspectVerdict;

/* One word for what a finding is about; the manual lists them. */
const char *inspect_finding_get_code (const CprFinding *finding);

/* One line for each finding. */
InspectStatus inspect_findings_show (const CprAnswer *answer);
/* All of it as one line of JSON. */
InspectStatus inspect_verdict_show_json (const InspectVerdict *verdict);

#endif
