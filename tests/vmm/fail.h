/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VMM_FAIL_H
#define VMM_FAIL_H

#include "parts.h"

/* Parts that do nothing but fail. Each is built where the step that it is named after ends, and
 * fails if --fail-at says that step, in the way that --fail-by says. The first part stands for the
 * step `new`, the last one for `devices`. In the step `load` the device `update` fails, which is
 * loaded last; in the steps `start`, `decided` and `running` functions fail that main() calls
 * then. */
extern const Part fail_first_part;
extern const Part fail_ram_part;
extern const Part fail_fds_part;
extern const Part fail_last_part;

#endif
