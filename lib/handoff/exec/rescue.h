/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_HANDOFF_EXEC_RESCUE_H
#define CPR_HANDOFF_EXEC_RESCUE_H

#include <glib.h>

#include "handoff/baton.h"
#include "process/program.h"

/* Everything that a guardian needs to execute the old program itself, when the candidate died or
 * took too long. It is made while the guest still runs, in memory that the guardian shares. */
#define CPR_RESCUE_PIDS 4

typedef struct
{
  const CprProgram *program; /* the old one; must live as long as the guardian */
  int state_fd;
  int *carried;
  unsigned n_carried;
  char *exe_path; /* as cpr_program_make_exe_path() makes it */
  char **envp;    /* the old program's environment, with the variable that names the state */
  /* Places in `envp` that name the process, with room for another PID; NULL ends the list. */
  char *pids[CPR_RESCUE_PIDS];
  char *parked_note; /* the head of the line for stderr, with room for the rest */
} CprRescue;

CprRescue *cpr_rescue_new (const CprProgram *program, const char *vm_name, int state_fd, GArray *carried);
void cpr_rescue_free (CprRescue *rescue);

/* ---- In the guardian: system calls only. */

/* CLOCK_MONOTONIC. A function of its own: gcc 12 with AddressSanitizer crashes when it is inlined
 * here. */
uint64_t cpr_raw_now_ns (void);

/* Sends @signal to the process behind @pidfd: by pidfd_send_signal(), or by kill() where a
 * seccomp filter denies that. Zero or -errno. */
long cpr_raw_send_signal (int pidfd, pid_t pid, int signal);

/* Waits until @fd has one of @events, at most @timeout_ms. */
bool cpr_raw_await (int fd, short events, long timeout_ms);
/* The same until the process behind @pidfd has ended. */
bool cpr_raw_await_death (int pidfd, long timeout_ms);

/* Makes sure that the candidate of @from is dead: fences the baton, kills by @pidfd and waits.
 * False if the baton moved on: then there is nothing to rescue, or another process does it. The
 * wait ends after 10 s even if a killed candidate isn't dead: it hangs in the kernel then, and
 * will execute no instruction any more. */
bool cpr_rescue_fence (CprBatonPage *page, CprBatonWord from, int pidfd, bool died);

/* Offers the fenced baton to this process, for the program that cpr_rescue_execute() turns it
 * into. False if the attempts are used up. */
bool cpr_rescue_offer (const CprRescue *rescue, CprBatonPage *page);

/* Executes the old program. Returns only on failure. */
void cpr_rescue_execute (const CprRescue *rescue);

/* The end of all attempts: the guest is parked. This process keeps its RAM, fds and state until
 * it gets SIGUSR1 or SIGTERM. After SIGUSR1 the baton is offered to this process for one more
 * attempt, and the result is true. After SIGTERM, which gives the guest up, it is false. */
bool cpr_rescue_park (const CprRescue *rescue, CprBatonPage *page);

#endif
