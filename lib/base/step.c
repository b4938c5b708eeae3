/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The steps' names: for users, and on all floors for messages, those of signal handlers too. */
#include <libcpr/libcpr.h>

static const char *const names[] = { "check",   "preflight", "guardian", "stop",   "save",  "exec",
                                     "take-up", "claim",     "load",     "commit", "finish" };

G_STATIC_ASSERT (G_N_ELEMENTS (names) == CPR_N_STEPS && CPR_N_STEPS <= CPR_STEPS_MAX);

const char *
cpr_step_get_name (CprStep step)
{
  return (unsigned) step < CPR_N_STEPS ? names[step] : NULL;
}
