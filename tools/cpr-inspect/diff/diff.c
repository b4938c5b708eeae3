/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The command `diff`: the differences between two states. Called by main.c. */
#include <stdio.h>

#include "../commands.h"
#include "parts.h"
#include "../text.h"

static bool
compare (Diff *diff)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *message = NULL;

  diff_manifests (diff);
  diff_types (diff);
  diff_devices (diff);
  if (diff_bulk (diff, &error))
    return true;
  message = inspect_text_escape_message (error->message);
  fprintf (stderr, "cpr-inspect: %s\n", message);
  return false;
}

InspectStatus
inspect_diff (char **files)
{
  g_autofree Diff *diff = g_new0 (Diff, 1); /* too large for the stack */
  InspectStatus status = INSPECT_TROUBLE;
  bool both = inspect_state_open (&diff->a, files[0], "cpr-inspect: ") == INSPECT_YES;

  both = inspect_state_open (&diff->b, files[1], "cpr-inspect: ") == INSPECT_YES && both;
  if (both && compare (diff))
    status = diff->differ ? INSPECT_NO : INSPECT_YES;
  inspect_state_close (&diff->a);
  inspect_state_close (&diff->b);
  return status;
}
