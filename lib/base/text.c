/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Makes one harmless line out of what another program said. Errors and findings that quote
 * somebody go through it. */
#include "base/text.h"

#include <glib.h>

char *
cpr_text_make_line (const char *text, size_t len)
{
  g_autofree char *valid = g_utf8_make_valid (text, (gssize) len);
  GString *line = g_string_sized_new (len);

  g_strstrip (valid);
  for (const char *at = valid; *at != '\0'; at = g_utf8_next_char (at))
    {
      gunichar c = g_utf8_get_char (at);

      g_string_append_unichar (line, c == '\n' || c == '\t' ? ' ' : g_unichar_isprint (c) ? c : '?');
    }
  return g_string_free (line, FALSE);
}
