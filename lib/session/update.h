/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_SESSION_UPDATE_H
#define CPR_SESSION_UPDATE_H

#include "session/core.h"

/* All of an update, from the checks to the handing over. On failure the guest is as it was, unless
 * another process has it: then the session is LOST. */
bool cpr_session_run_update (CprSession *session, const CprUpdate *update, GError **error);

#endif
