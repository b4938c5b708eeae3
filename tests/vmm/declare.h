/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VMM_DECLARE_H
#define VMM_DECLARE_H

#include <libcpr/libcpr.h>

/* In a preflight this program names what its start-up would build, and doesn't rehearse it. */
void declare_instead (CprSessionConfig *config);

#endif
