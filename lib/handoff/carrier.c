/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "handoff/carrier.h"

#include "base/error.h"

static const CprCarrierType *const types[] = { &cpr_carrier_exec, &cpr_carrier_reboot, &cpr_carrier_reboot_pipe };

const CprCarrierType *
cpr_carrier_type_get (CprMode mode)
{
  for (size_t i = 0; i < G_N_ELEMENTS (types); i++)
    if (types[i]->mode == mode)
      return types[i];
  return NULL;
}

const CprCarrierType *
cpr_carrier_type_find (const char *incoming, const char **address, GError **error)
{
  const char *colon = strchr (incoming, ':');

  for (size_t i = 0; colon != NULL && i < G_N_ELEMENTS (types); i++)
    if (types[i]->scheme != NULL && strlen (types[i]->scheme) == (size_t) (colon - incoming) &&
        strncmp (types[i]->scheme, incoming, (size_t) (colon - incoming)) == 0)
      {
        *address = colon + 1;
        return types[i];
      }
  cpr_throw (error, CPR_ERROR_INVALID, "incoming '%s': not known where that is", incoming);
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
