/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_BASE_NAME_H
#define CPR_BASE_NAME_H

#include <libcpr/libcpr.h>

#define CPR_NAME_MAX 255

/* Whether @name has 1 to 255 bytes; @what says what it names: "RAM block". */
bool cpr_name_check (const char *what, const char *name, GError **error);

#endif
