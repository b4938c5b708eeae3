/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Checks the VMM's configuration. Called by load.c, for a new session and for a program that is
 * asked. */
#include "session/parts/config.h"

#include "base/error.h"
#include "base/name.h"
#include "handoff/incoming.h"
#include "session/parts/mode.h"

bool
cpr_config_check (const CprSessionConfig *config, GError **error)
{
  if (!cpr_name_check ("VM", config->name, error))
    return false;
  if (config->gate == NULL && (config->stop == NULL || config->start == NULL))
    return cpr_throw (error, CPR_ERROR_INVALID, "VM '%s': the stop and start callbacks are needed, or a gate",
                      config->name);
  if (config->unclaimed_fds > CPR_UNCLAIMED_CLOSE)
    return cpr_throw (error, CPR_ERROR_INVALID, "VM '%s': unknown policy %u for unclaimed fds", config->name,
                      config->unclaimed_fds);
  if (g_strcmp0 (config->incoming, CPR_INCOMING_DEFER) == 0 && config->choose_incoming == NULL)
    return cpr_throw (error, CPR_ERROR_INVALID, "VM '%s': incoming 'defer' needs the choose_incoming callback",
                      config->name);
  return config->required_modes == 0 || cpr_modes_check ("required_modes", config->required_modes, error);
}
