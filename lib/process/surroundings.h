/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_PROCESS_SURROUNDINGS_H
#define CPR_PROCESS_SURROUNDINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "process/program.h"
#include "process/streams.h"

#define CPR_SURROUNDINGS_NAMESPACES 10
#define CPR_SURROUNDINGS_LIMITS     16
#define CPR_SURROUNDINGS_CPUS       1024

/* Everything that a process keeps over an execve and that the command of an update may have
 * changed on the way. The old program records its own before it stops the guest. The process
 * that executes the old program again has to have the same.
 *
 * This is a part of the baton's page and so an ABI between releases: new members go to the end.
 * A member that can't be read is 0. */
typedef struct
{
  uint32_t size; /* of the struct in the program that recorded it; 0: not recorded */
  int32_t nice;
  int32_t policy, priority; /* sched_getscheduler(), sched_getparam() */
  int32_t io_priority;      /* ioprio_get() */
  int32_t oom_score_adj;
  int32_t session, group;
  uint64_t personality;
  uint64_t root_device, root_inode;
  uint64_t namespaces[CPR_SURROUNDINGS_NAMESPACES]; /* inode numbers below /proc/self/ns, in the order of their names */
  uint64_t credentials;                             /* a hash of the users and groups in /proc/self/status */
  uint64_t capabilities;  /* a hash of those that an execve keeps: inheritable, bounding, ambient */
  uint64_t confinement;   /* a hash of no_new_privs and the number of seccomp filters */
  uint64_t control_group; /* a hash of /proc/self/cgroup */
  uint64_t cpus[CPR_SURROUNDINGS_CPUS / 64];
  struct
  {
    uint64_t soft, hard;
  } limits[CPR_SURROUNDINGS_LIMITS];
  CprStream streams[CPR_STREAMS]; /* cpr_streams_restore() puts them back */
} CprSurroundings;

/* Reads those of this process. */
void cpr_surroundings_read (CprSurroundings *surroundings);

/* Gives this process the surroundings @wanted again, as far as it is allowed to. NULL, or the
 * name of the first thing that differs and can't be put back.
 *
 * It only raises hard limits, which takes a privilege: to those of @program, or to those in
 * @wanted. Lowering them when the program is executed then succeeds. Uses no locks and no
 * allocation, for a signal handler. */
const char *cpr_surroundings_restore (const CprSurroundings *wanted, const CprProgram *program);

#endif
