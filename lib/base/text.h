/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_BASE_TEXT_H
#define CPR_BASE_TEXT_H

#include <stddef.h>

/* The words of another program, or of the VMM, as one line of UTF-8 that does a terminal no harm;
 * maybe empty. */
char *cpr_text_make_line (const char *text, size_t len);

#endif
