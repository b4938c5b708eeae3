/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_SESSION_PARTS_RUN_STATE_H
#define CPR_SESSION_PARTS_RUN_STATE_H

#include "session/parts/states.h"

/* Whether the guest executes. */
bool cpr_run_state_is_live (CprRunState state);

/* The run state after @call, which is one of pause, resume, suspend and wakeup. */
CprRunState cpr_run_state_after (CprRunState state, CprCall call);

/* Stop and start the guest, by the VMM's gate and its callbacks, as far as there are any. After a
 * stop that failed the guest runs as before. */
bool cpr_run_state_stop (const CprSessionConfig *config, GError **error);
void cpr_run_state_start (const CprSessionConfig *config);

#endif
