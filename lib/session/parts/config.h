/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_SESSION_PARTS_CONFIG_H
#define CPR_SESSION_PARTS_CONFIG_H

#include <libcpr/libcpr.h>

/* CPR_ERROR_INVALID for a configuration that is wrong in any program. */
bool cpr_config_check (const CprSessionConfig *config, GError **error);

#endif
