/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The rule for the names of fds, RAM blocks and devices. Each table calls it before it adds
 * something. */
#include "base/name.h"

#include <string.h>

#include "base/error.h"

bool
cpr_name_check (const char *what, const char *name, GError **error)
{
  size_t len = name != NULL ? strlen (name) : 0;

  if (len > 0 && len <= CPR_NAME_MAX)
    return true;
  return cpr_throw (error, CPR_ERROR_INVALID, "%s '%.32s': a name has 1 to %d bytes, not %zu", what,
                    name != NULL ? name : "", CPR_NAME_MAX, len);
}
