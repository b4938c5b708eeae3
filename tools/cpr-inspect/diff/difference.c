/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One line for each difference between two states. Called by all parts of `diff`. */
#include "difference.h"

#include <stdio.h>

void
diff_put (Diff *diff, const char *where, const char *format, ...)
{
  va_list args;

  printf ("%s: ", where);
  va_start (args, format);
  vprintf (format, args);
  va_end (args);
  putchar ('\n');
  diff->differ = true;
}

void
diff_value (Diff *diff, const char *where, const char *what, char *a, char *b)
{
  if (strcmp (a, b) != 0)
    diff_put (diff, where, "%s: %s -> %s", what, a, b);
  g_free (a);
  g_free (b);
}
