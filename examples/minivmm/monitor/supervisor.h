/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MINIVMM_SUPERVISOR_H
#define MINIVMM_SUPERVISOR_H

#include <stdint.h>

/* Tells a supervisor that watches this process, see sd_watchdog_enabled(3), that its main loop
 * goes round: when that is due, which @next_ns, 0 at first, keeps. In how many ms the next time
 * is, for poll(); -1: nobody watches it. */
int supervisor_tell (int64_t *next_ns);

#endif
