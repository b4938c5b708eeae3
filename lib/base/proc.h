/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_BASE_PROC_H
#define CPR_BASE_PROC_H

#include <stdbool.h>

#include <glib.h>

/* Says why nothing is found at @path, a path below /proc; NULL: nothing need be there. */
const char *cpr_proc_describe_absence (const char *path);

/* CPR_ERROR_SYSTEM with @path, and what is missing. */
bool cpr_proc_throw (GError **error, int errnum, const char *path);

#endif
