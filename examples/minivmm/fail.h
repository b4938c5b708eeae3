/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MINIVMM_FAIL_H
#define MINIVMM_FAIL_H

#include "options.h"

/* For tests of the way back: where --fail-at says @step, this fails, in the way that --fail-by
 * says. True: it isn't this step. */
bool survives (const Options *options, const char *step, GError **error);

#endif
