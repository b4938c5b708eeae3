/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_UNIT_SMALL_VMM_H
#define TESTS_UNIT_SMALL_VMM_H

#include "helpers.h"

/* A VMM of a few lines that really executes its successor: the test's own executable, started as
 * `TEST vmm HOW FD URI`. It updates once, and whichever program has the guest in the end answers at
 * FD how that went: "completed", or "failed: " and the reason. */

#define SMALL_VMM_WORD "vmm"

/* Called in the new program before its commit: after cpr_session_new(), and after
 * cpr_session_load(). */
typedef enum
{
  SMALL_VMM_NEW,
  SMALL_VMM_LOADED
} SmallVmmStep;
typedef void (*SmallVmmStart) (CprSession *session, const char *how, SmallVmmStep step);

/* How the update of a VMM is made. HOW is also what SmallVmmStart gets, as far as it isn't one of
 * these. */
#define SMALL_VMM_NOWHERE     "nowhere"    /* the program doesn't exist */
#define SMALL_VMM_TRANSFER    "transfer"   /* to URI */
#define SMALL_VMM_REBOOT      "reboot"     /* to URI, once */
#define SMALL_VMM_SUCCESSOR   "successor:" /* and a HOW: it waits at URI, and makes no update */
#define SMALL_VMM_START       "start:"     /* and a HOW: a transfer to a program that the update starts */
#define SMALL_VMM_LOST        "lost:"      /* the same, without environment variables */
#define SMALL_VMM_NO_URI      ""
#define SMALL_VMM_NO_GUARDIAN "no-guardian:" /* and a HOW: its update does without */

/* What main() returns in such a program. @incoming_flags: of its config. */
int small_vmm_main (char **argv, unsigned incoming_flags, SmallVmmStart start);

/* Starts one; the process is *@pid. @fd: for its answer, or -1. */
pid_t small_vmm_start (const char *how, int fd, const char *uri);

/* Runs one to the end of the connection, when each copy of it is closed. Returns all it said. */
char *small_vmm_get_answer (const char *how, const char *uri);

#endif
