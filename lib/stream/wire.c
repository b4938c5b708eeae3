/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The end of a payload. Whoever reads a chunk's payload asks here whether it was read to its end
 * and no further. */
#include "stream/wire.h"

#include "base/error.h"

bool
cpr_cursor_check_end (const CprCursor *cursor, const char *what, GError **error)
{
  if (cursor->failed)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "%s: the value at or before byte %zu of %zu is cut off or malformed",
                      what, cursor->pos, cursor->len);
  if (cpr_cursor_left (cursor) > 0)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "%s: its last value ends at byte %zu of %zu", what, cursor->pos,
                      cursor->len);
  return true;
}
