/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The order of steps of a preflight without an update. Called by cpr_session_preflight(). */
#include "session/preflight.h"

#include "base/error.h"
#include "session/ask.h"
#include "session/kvm.h"
#include "session/parts/request.h"

static bool
check_can_start (const CprUpdate *update, GError **error)
{
  const CprCarrierType *type = cpr_request_get_carrier (update);

  return type->starts_program ||
         cpr_throw (error, CPR_ERROR_INVALID, "preflight: in mode %s the update itself asks", type->name);
}

bool
cpr_session_run_preflight (CprSession *session, const CprUpdate *update, GPtrArray **findings, GError **error)
{
  *findings = NULL;
  return cpr_request_check (update, error) &&
         cpr_blockers_check (session->blockers, update->mode, session->run_state, error) &&
         check_can_start (update, error) && cpr_session_check_kvm (session, error) &&
         cpr_session_ask_programs (session, update, CPR_ASK_ALWAYS, findings, error);
}
