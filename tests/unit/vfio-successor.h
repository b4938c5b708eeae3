/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_UNIT_VFIO_SUCCESSOR_H
#define TESTS_UNIT_VFIO_SUCCESSOR_H

#include "vfio-programs.h"

/* How the new program of a transfer ends. */
typedef enum
{
  CANCELLED_EARLY, /* while it prepares itself */
  GIVES_UP,        /* this and the next two: when the kernel has its addresses */
  DIES,
  CANCELLED,
  COMMITS,
  MAPS_MORE /* right after the commit */
} VfioEnding;

/* Its exit code when it runs the guest with all that was handed over. */
#define VFIO_SUCCESSOR_RUNS_IT 7

typedef struct
{
  int ends[2];
  pid_t pid;
  char uri[32]; /* for the update */
} VfioSuccessor;

/* Forks it, with the device and the mappings of vfio_map_all() to be taken over. Where it is
 * cancelled, this process gets SIGUSR2. */
void vfio_successor_start (VfioSuccessor *successor, VfioEnding ending);
/* Waits for its end: its exit code, or -1 if a signal killed it. */
int vfio_successor_end (VfioSuccessor *successor, VfioEnding ending);

#endif
