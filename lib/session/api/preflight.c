/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The public functions of a preflight and of what it finds. The VMM calls them. */
#include "session/preflight.h"

#include "session/parts/request.h"

struct _CprPreflight
{
  GPtrArray *findings; /* CprFinding, sorted */
};

/* Takes @findings. NULL: nobody was asked. */
static CprPreflight *
make_result (GPtrArray *findings)
{
  CprPreflight *preflight;

  if (findings == NULL)
    return NULL;
  preflight = g_new (CprPreflight, 1);
  preflight->findings = findings;
  return preflight;
}

bool
cpr_session_preflight (CprSession *session, const CprUpdate *update, CprPreflight **result, GError **error)
{
  g_autoptr (GPtrArray) findings = NULL;
  CprRequest request = { .argv = NULL };
  bool ok;

  g_return_val_if_fail (session != NULL && update != NULL, false);

  ok = cpr_session_check_call (session, CPR_CALL_PREFLIGHT, error) &&
       cpr_request_read (&request, update, session->program.argv, error) &&
       cpr_session_run_preflight (session, &request.update, &findings, error);
  cpr_request_clear (&request);
  if (result != NULL)
    *result = make_result (g_steal_pointer (&findings));
  return ok;
}

size_t
cpr_preflight_get_n_findings (const CprPreflight *preflight)
{
  g_return_val_if_fail (preflight != NULL, 0);

  return preflight->findings->len;
}

const CprFinding *
cpr_preflight_get_finding (const CprPreflight *preflight, size_t index)
{
  g_return_val_if_fail (preflight != NULL && index < preflight->findings->len, NULL);

  return preflight->findings->pdata[index];
}

void
cpr_preflight_free (CprPreflight *preflight)
{
  if (preflight == NULL)
    return;
  g_ptr_array_unref (preflight->findings);
  g_free (preflight);
}
