/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_HANDOFF_EXEC_RESCUE_H
#define CPR_HANDOFF_EXEC_RESCUE_H

#include <glib.h>

#include "handoff/baton.h"
#include "process/program.h"

/* All that a guardian needs to execute the old program itself, when the candidate died or took too
 * long. It is made while the guest still runs, in memory that the guardian shares. */
#define CPR_RESCUE_PIDS 4

typedef struct
{
  const CprProgram *program; /* the old one; must stay as long as the guardian */
  int state_fd;
  int *carried;
  unsigned n_carried;
  char *exe_path; /* as cpr_program_make_exe_path() makes it */
  char **envp;    /* the program's, with the state's variable */
  char *pids
      [CPR_RESCUE_PIDS]; /* into `envp`, with room: what names the process there and has to follow it; NULL after the last */
  char *parked_note; /* what is said on stderr, and an end for the pid */
} CprRescue;

CprRescue *cpr_rescue_new (const CprProgram *program, const char *vm_name, int state_fd, GArray *carried);
void cpr_rescue_free (CprRescue *rescue);

/* ---- In the guardian: system calls only. */

/* CLOCK_MONOTONIC. A real function: gcc 12 with AddressSanitizer doesn't survive it inlined
 * here. */
uint64_t cpr_raw_now_ns (void);

/* Sends @signal to the process that @pidfd is open on, by the one system call where a seccomp
 * filter denies the other. */
long cpr_raw_send_signal (int pidfd, pid_t pid, int signal);

/* Waits until the process behind @pidfd has ended, @timeout_ms at most. */
bool cpr_raw_await_death (int pidfd, long timeout_ms);

/* Sees to it that the candidate @from is dead: fences the baton, kills by @pidfd and waits. False
 * if the baton moved on: then there is nothing to rescue, or somebody else does. A process that was
 * killed and isn't dead after 10 s hangs in the kernel, and won't execute an instruction any more:
 * it isn't waited for any longer. */
bool cpr_rescue_fence (CprBatonPage *page, CprBatonWord from, int pidfd, bool died);

/* Offers the fenced baton to this process, for the program that cpr_rescue_execute() makes of
 * it. False if attempts are used up. */
bool cpr_rescue_offer (const CprRescue *rescue, CprBatonPage *page);

/* Returns only on failure. */
void cpr_rescue_execute (const CprRescue *rescue);

/* The end of all attempts: holds everything until somebody sends SIGUSR1, to try once more
 * (returns then, with the baton offered to this process again), or SIGTERM, to give the guest up
 * (false). */
bool cpr_rescue_park (const CprRescue *rescue, CprBatonPage *page);

#endif
