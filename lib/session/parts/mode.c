/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The modes' names, and sets of modes. Called by whatever takes modes from the VMM. */
#include "session/parts/mode.h"

#include "base/error.h"
#include "handoff/carrier.h"

/* Modes have small numbers. */
#define N_MODES 31

static unsigned
get_known_modes (void)
{
  unsigned known = 0;

  for (unsigned mode = 0; mode < N_MODES; mode++)
    if (cpr_carrier_type_get ((CprMode) mode) != NULL)
      known |= 1u << mode;
  return known;
}

const char *
cpr_mode_get_name (CprMode mode)
{
  return cpr_carrier_type_get (mode)->name;
}

bool
cpr_modes_check (const char *what, unsigned modes, GError **error)
{
  if (modes == CPR_MODES_ALL || (modes != 0 && (modes & ~get_known_modes ()) == 0))
    return true;
  return cpr_throw (error, CPR_ERROR_INVALID, "%s: 0x%x isn't a set of modes", what, modes);
}

bool
cpr_modes_include (unsigned modes, CprMode mode)
{
  return (unsigned) mode < N_MODES && (modes >> mode & 1) != 0;
}

CprMode
cpr_modes_get_first (unsigned modes)
{
  unsigned mode = 0, known = modes & get_known_modes ();

  while (mode < N_MODES && (known >> mode & 1) == 0)
    mode++;
  return (CprMode) mode;
}
