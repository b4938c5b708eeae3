/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The public functions that add devices and remove them. The VMM calls them. */
#include "session/core.h"

bool
cpr_device_add (CprSession *session, const char *name, const CprDeviceType *type, void *device, GError **error)
{
  g_return_val_if_fail (session != NULL && name != NULL && type != NULL && device != NULL, false);

  return cpr_session_check_call (session, CPR_CALL_DEVICE_ADD, error) &&
         cpr_device_table_add (&session->devices, name, type, device, error);
}

bool
cpr_device_remove (CprSession *session, const char *name, GError **error)
{
  g_return_val_if_fail (session != NULL && name != NULL, false);

  return cpr_session_check_call (session, CPR_CALL_DEVICE_REMOVE, error) &&
         cpr_device_table_remove (&session->devices, name, error);
}
