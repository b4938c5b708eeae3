/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_BASE_TEXT_H
#define CPR_BASE_TEXT_H

#include <stddef.h>

/* What another program, or the VMM, said as one line of UTF-8 that does a terminal no harm;
 * maybe empty. */
char *cpr_text_make_line (const char *text, size_t len);

#endif
