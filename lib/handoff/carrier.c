/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Finds the table of functions of a mode, by the mode or by the scheme of an address. Also offers
 * what all modes offer in the same way: the fd table, for lib/session, and the baton, for a
 * carrier. */
#include "handoff/carrier.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/sys.h"

static const CprCarrierType *const types[] = { &cpr_carrier_exec, &cpr_carrier_transfer, &cpr_carrier_reboot };

const CprCarrierType *
cpr_carrier_type_get (CprMode mode)
{
  for (size_t i = 0; i < G_N_ELEMENTS (types); i++)
    if (types[i]->mode == mode)
      return types[i];
  return NULL;
}

static bool
is_scheme (const char *scheme, const char *uri, const char *colon)
{
  size_t len = (size_t) (colon - uri);

  return scheme != NULL && strlen (scheme) == len && strncmp (scheme, uri, len) == 0;
}

const CprCarrierType *
cpr_carrier_type_find (const char *incoming, const char **address, GError **error)
{
  const char *colon = strchr (incoming, ':');

  for (size_t i = 0; colon != NULL && i < G_N_ELEMENTS (types); i++)
    if (is_scheme (types[i]->scheme, incoming, colon) || is_scheme (types[i]->alias, incoming, colon))
      {
        *address = colon + 1;
        return types[i];
      }
  cpr_throw (error, CPR_ERROR_INVALID, "incoming '%s': it should begin with unix:, unix-fd:, file: or pipe:", incoming);
  return NULL;
}

bool
cpr_carrier_offer_fds (CprCarrier *carrier, CprFdTable *fds, GError **error)
{
  for (guint i = 0; carrier->type->offer_fd != NULL && i < fds->entries->len; i++)
    {
      CprFdEntry *entry = fds->entries->pdata[i];

      if (!carrier->type->offer_fd (carrier, entry, &entry->where, error))
        return false;
    }
  return true;
}

bool
cpr_carrier_offer_baton (CprCarrier *carrier, pid_t candidate, GError **error)
{
  const CprBatonWord mine = { CPR_BATON_OWNED, 0, getpid () },
                     offered = { CPR_BATON_OFFERED, CPR_BATON_WAY_THERE, candidate };

  cpr_baton_begin_attempt (carrier->page, cpr_now_ns ());
  carrier->lost = !cpr_baton_move (carrier->page, mine, offered);
  if (carrier->lost)
    return cpr_baton_throw_lost (carrier->page, error);
  atomic_store (&carrier->page->stamps[CPR_STEP_EXEC], cpr_now_ns ());
  return true;
}
