/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_SESSION_PARTS_MODE_H
#define CPR_SESSION_PARTS_MODE_H

#include <libcpr/libcpr.h>

/* The modes in which the new program gets fds, and so the same RAM and the same devices. */
#define CPR_MODES_WITH_FDS ((unsigned) CPR_MODES_EXEC | CPR_MODES_TRANSFER)

/* The mode's name in messages. */
const char *cpr_mode_get_name (CprMode mode);

/* CPR_ERROR_INVALID where @modes isn't a set of modes; @what has it. */
bool cpr_modes_check (const char *what, unsigned modes, GError **error);

/* Whatever @mode is. */
bool cpr_modes_include (unsigned modes, CprMode mode);

/* One mode that this library knows, of a set that isn't empty. */
CprMode cpr_modes_get_first (unsigned modes);

#endif
