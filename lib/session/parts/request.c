/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads what an update is asked to do: checks it, and has the default of each thing that the VMM
 * leaves open. Called by the order of steps in the old program. */
#include "session/parts/request.h"

#include <unistd.h>

#include "base/error.h"
#include "base/versioned.h"

#define ALL_FLAGS                                                                                                \
  ((unsigned) CPR_UPDATE_NO_GUARDIAN | CPR_UPDATE_NO_PREFLIGHT | CPR_UPDATE_NO_WAY_BACK | CPR_UPDATE_NO_RESCUE | \
   CPR_UPDATE_RAM_IN_PLACE | CPR_UPDATE_RUN_THROUGH)

/* The public header promises these. */
#define DEFAULT_ANSWER_MS   10000
#define DEFAULT_DEADLINE_MS 5000

#define NS_PER_MS UINT64_C (1000000)

/* argv[0] is the new program, as a user of `ps` expects. */
static char **
make_argv (char *const *recorded, const char *program)
{
  char **argv = g_strdupv ((char **) recorded);

  g_free (argv[0]);
  argv[0] = g_strdup (program);
  return argv;
}

bool
cpr_request_read (CprRequest *request, const CprUpdate *given, char *const *recorded, GError **error)
{
  CprUpdate *update = &request->update;

  request->argv = NULL;
  if (!cpr_versioned_read (CPR_VERSIONED_UPDATE, update, given, error))
    return false;
  if (update->argv == NULL && update->program != NULL)
    update->argv = request->argv = make_argv (recorded, update->program);
  else if (update->argv != NULL && update->program == NULL)
    update->program = update->argv[0];
  return true;
}

void
cpr_request_clear (CprRequest *request)
{
  g_clear_pointer (&request->argv, g_strfreev);
}

bool
cpr_request_check (const CprUpdate *update, GError **error)
{
  const CprCarrierType *carrier = cpr_request_get_carrier (update);

  if (carrier == NULL || (update->flags & ~ALL_FLAGS) != 0)
    return cpr_throw (error, CPR_ERROR_INVALID, "update: unknown mode %u or flags 0x%x", update->mode, update->flags);
  return carrier->check (update, error);
}

const CprCarrierType *
cpr_request_get_carrier (const CprUpdate *update)
{
  return cpr_carrier_type_get (update->mode);
}

bool
cpr_request_wants_answer (const CprUpdate *update)
{
  return (update->flags & CPR_UPDATE_NO_PREFLIGHT) == 0;
}

bool
cpr_request_wants_way_back (const CprUpdate *update)
{
  return (update->flags & CPR_UPDATE_NO_WAY_BACK) == 0;
}

bool
cpr_request_wants_guardian (const CprUpdate *update)
{
  return (update->flags & CPR_UPDATE_NO_GUARDIAN) == 0 && cpr_request_get_carrier (update)->starts_program;
}

char *const *
cpr_request_get_envp (const CprUpdate *update)
{
  return update->envp != NULL ? update->envp : environ;
}

unsigned
cpr_request_get_answer_ms (const CprUpdate *update)
{
  return update->preflight_timeout_ms != 0 ? update->preflight_timeout_ms : DEFAULT_ANSWER_MS;
}

uint64_t
cpr_request_get_deadline_ns (const CprUpdate *update)
{
  return (update->deadline_ms != 0 ? update->deadline_ms : DEFAULT_DEADLINE_MS) * NS_PER_MS;
}

uint64_t
cpr_request_get_pause_budget_ns (const CprUpdate *update)
{
  return update->pause_budget_ms * NS_PER_MS;
}
