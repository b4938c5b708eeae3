/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_HANDOFF_EXEC_TAKE_UP_H
#define CPR_HANDOFF_EXEC_TAKE_UP_H

#include "handoff/exec/fatal.h"
#include "handoff/incoming.h"

/* The transport of a CprIncoming in exec mode: the carrier's own part, from the take-up to the
 * commit. */
typedef struct
{
  int release_fd;
  CprFdEntry state_entry; /* state_fd and its identity at the take-up, to check it before a way back */
  unsigned closed_std;    /* those of 0, 1 and 2 that were closed at the take-up */
  CprFatal *fatal;        /* NULL: a fatal signal doesn't lead back to the old program */
} CprExecveTaken;

/* The carrier's functions in the new program. */
bool cpr_execve_find (int *fd, GError **error);
bool cpr_execve_take_up (CprIncoming *incoming, const CprSessionConfig *config, const char *address, GError **error);
bool cpr_execve_defer (CprIncoming *incoming, bool deferred, GError **error);
void cpr_execve_committed (CprIncoming *incoming);
bool cpr_execve_give_back (CprIncoming *incoming, GArray *held, GError *reason, GError **error); /* in give-back.c */
void cpr_execve_leave (CprIncoming *incoming);
void cpr_execve_finish (CprIncoming *incoming);
void cpr_execve_clear (CprIncoming *incoming);

#endif
