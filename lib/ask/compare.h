/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_ASK_COMPARE_H
#define CPR_ASK_COMPARE_H

#include "ask/findings.h"
#include "ask/question.h"
#include "state/inventory.h"

/* The program that compares: its config, and what its `declare` callback declared, or NULL where it
 * has no such callback. */
typedef struct
{
  const CprSessionConfig *config;
  const CprInventory *inventory;
  pid_t asker; /* whose state the question has to be */
} CprCandidate;

/* The device types that it knows: those of the config and those that were declared, each name
 * once. A faulty type, or a second one of the same name, is a finding and not among them. */
GPtrArray *cpr_candidate_collect_types (const CprCandidate *candidate, GPtrArray *findings);

/* Adds to @findings everything of the question that the candidate couldn't take over. @types:
 * the candidate's. Marks the question's fds, as cpr_fd_table_take() would. */
void cpr_compare (CprQuestion *question, const CprCandidate *candidate, const GPtrArray *types, GPtrArray *findings);

/* The same for this process's resource limits. */
void cpr_compare_limits (const CprQuestion *question, GPtrArray *findings);
/* The same for what an execve may change about this process, beside @asker: capabilities, root
 * directory, mount namespace. */
void cpr_compare_surroundings (pid_t asker, GPtrArray *findings);
/* The effective capabilities of @pid, 0: of this process. */
bool cpr_capabilities_get (pid_t pid, uint64_t *effective);

/* The limit on locked memory alone: whether this process could have as much locked as these tables
 * need. */
void cpr_compare_locked (const CprFdTable *fds, const CprRamTable *ram, const CprVfioTable *vfio, GPtrArray *findings);

#endif
