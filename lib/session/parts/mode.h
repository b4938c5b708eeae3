/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_SESSION_PARTS_MODE_H
#define CPR_SESSION_PARTS_MODE_H

#include <libcpr/libcpr.h>

/* What modes are called in messages. */
const char *cpr_mode_get_name (CprMode mode);

/* CPR_ERROR_INVALID where @modes isn't a set of modes; @what has it. */
bool cpr_modes_check (const char *what, unsigned modes, GError **error);

/* Whatever @mode is. */
bool cpr_modes_include (unsigned modes, CprMode mode);

/* Of a set that isn't empty: one that this library knows. */
CprMode cpr_modes_get_first (unsigned modes);

#endif
