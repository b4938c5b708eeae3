/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The update, for the control socket: the only file that starts one. */
#include "update.h"

#include <stdio.h>

/* Of programs on a slow or busy machine; the guest waits for them only where something hangs. */
#define PREFLIGHT_TIMEOUT_MS 60000
#define DEADLINE_MS          30000

bool
update_run (CprSession *session, CprMode mode, const char *program, int client)
{
  const CprUpdate update = {
    .size = sizeof update,
    .mode = mode,
    .program = program,
    .preflight_timeout_ms = PREFLIGHT_TIMEOUT_MS,
    .deadline_ms = DEADLINE_MS,
    .reply_fd = client,
  };
  g_autoptr (GError) error = NULL;

  if (cpr_session_update (session, &update, &error))
    return true;
  if (!cpr_session_reply (session)) /* nothing had begun yet: the call isn't permitted now */
    dprintf (client, "failed: %s\n", error->message);
  return false;
}
