/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_SESSION_PREFLIGHT_H
#define CPR_SESSION_PREFLIGHT_H

#include "session/core.h"

/* All of a preflight that the VMM asks for by itself. @findings: where they go, sorted; NULL where
 * nobody was asked. */
bool cpr_session_run_preflight (CprSession *session, const CprUpdate *update, GPtrArray **findings, GError **error);

#endif
