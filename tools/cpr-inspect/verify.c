/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The command `verify`. Called by main.c. */
#include "commands.h"

InspectStatus
inspect_verify (char **files)
{
  InspectStatus worst = INSPECT_YES;

  for (; *files != NULL; files++)
    {
      InspectState state;
      InspectStatus status = inspect_state_open (&state, *files, "");

      worst = MAX (worst, status);
      inspect_state_close (&state);
    }
  return worst;
}
