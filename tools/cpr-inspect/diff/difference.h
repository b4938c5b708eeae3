/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_INSPECT_DIFFERENCE_H
#define CPR_INSPECT_DIFFERENCE_H

#include "../state.h"

/* Two states that are compared, and whether anything differed so far. */
typedef struct
{
  InspectState a, b;
  bool differ;
} Diff;

/* Prints one line, "WHERE: ...": what differs. @where and the texts are ready for printing. */
void diff_put (Diff *diff, const char *where, const char *format, ...) G_GNUC_PRINTF (3, 4);
/* The same for a value: prints nothing where the two texts are equal. Takes and frees them. */
void diff_value (Diff *diff, const char *where, const char *what, char *a, char *b);

#endif
