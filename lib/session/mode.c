/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session/mode.h"

#include "base/error.h"

static const char *const mode_names[] = { [CPR_MODE_EXEC] = "exec" };

#define KNOWN_MODES ((unsigned) CPR_MODES_EXEC)

const char *
cpr_mode_get_name (CprMode mode)
{
  return mode_names[mode];
}

bool
cpr_modes_check (const char *what, unsigned modes, GError **error)
{
  if (modes == CPR_MODES_ALL || (modes != 0 && (modes & ~KNOWN_MODES) == 0))
    return true;
  return cpr_throw (error, CPR_ERROR_INVALID, "%s: 0x%x isn't a set of modes", what, modes);
}

bool
cpr_modes_include (unsigned modes, CprMode mode)
{
  return (unsigned) mode < G_N_ELEMENTS (mode_names) && (modes >> mode & 1) != 0;
}

CprMode
cpr_modes_get_first (unsigned modes)
{
  unsigned mode = CPR_MODE_EXEC;

  while (mode < G_N_ELEMENTS (mode_names) - 1 && (modes >> mode & 1) == 0)
    mode++;
  return (CprMode) mode;
}
