/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MINIVMM_RELEASE_H
#define MINIVMM_RELEASE_H

#include "monitor/commands.h"
#include "parts.h"

/* A release of this VMM: the list of what it consists of. The example's is in release.c;
 * tests/vmm has others, with more in them. */
typedef struct
{
  unsigned number;          /* the monitor shows it */
  const Part *const *parts; /* in the order in which they are built; NULL ends the list */
  const Accel *(*get_accel) (void);
  void (*configure) (CprSessionConfig *config); /* changes how the session is set up; or NULL */
  const Option *options;                        /* beside those of options.c; or NULL */
  const Command *commands;                      /* before those of commands.c; or NULL */
} Release;

extern const Release release;

#endif
