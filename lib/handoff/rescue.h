/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_HANDOFF_RESCUE_H
#define CPR_HANDOFF_RESCUE_H

#include <glib.h>

#include "handoff/baton.h"
#include "handoff/program.h"

/* What a guardian needs to execute the old program itself, when the candidate died or took too long: made while the guest still
 * runs, in memory that the guardian shares. */
typedef struct
{
  const CprProgram *program; /* the old one; must stay as long as the guardian */
  int state_fd;
  int *carried;
  unsigned n_carried;
  char **envp;       /* the program's, with the state's variable */
  char *parked_note; /* what is said on stderr, and an end for the pid */
} CprRescue;

CprRescue *cpr_rescue_new (const CprProgram *program, const char *vm_name, int state_fd, GArray *carried);
void cpr_rescue_free (CprRescue *rescue);

/* ---- In the guardian: system calls only. */

/* CLOCK_MONOTONIC. A real function: gcc 12 with AddressSanitizer doesn't survive it inlined here. */
uint64_t cpr_raw_now_ns (void);

/* Sees to it that the candidate @from is dead: fences the baton, kills by @pidfd and waits. False if the baton moved on: then there is
 * nothing to rescue, or somebody else does. */
bool cpr_rescue_fence (CprBatonPage *page, CprBatonWord from, int pidfd, bool died);

/* Offers the fenced baton to this process, for the program that cpr_rescue_execute() makes of it. False if attempts are used up. */
bool cpr_rescue_offer (const CprRescue *rescue, CprBatonPage *page);

/* Returns only on failure. */
void cpr_rescue_execute (const CprRescue *rescue);

/* The end of all attempts: holds everything until somebody sends SIGUSR1, to try once more (returns then, with the baton offered to this
 * process again), or SIGTERM, to give the guest up (false). */
bool cpr_rescue_park (const CprRescue *rescue, CprBatonPage *page);

#endif
