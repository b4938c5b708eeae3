/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_HANDOFF_EXEC_TAKE_UP_H
#define CPR_HANDOFF_EXEC_TAKE_UP_H

#include "handoff/exec/fatal.h"
#include "handoff/incoming.h"

/* The transport of a CprIncoming in exec mode: what the new program has of it until the commit. */
typedef struct
{
  int release_fd;
  CprFdEntry state_entry; /* state_fd as it was when it was verified */
  unsigned closed_std;    /* of 0, 1 and 2, when it was taken up */
  CprFatal *fatal;        /* while a fatal signal leads back to the old program */
} CprExecveTaken;

/* The carrier's functions in the new program. */
bool cpr_execve_find (int *fd, GError **error);
bool cpr_execve_take_up (CprIncoming *incoming, const CprSessionConfig *config, const char *address, GError **error);
void cpr_execve_committed (CprIncoming *incoming);
bool cpr_execve_give_back (CprIncoming *incoming, GArray *held, GError *reason, GError **error); /* in give-back.c */
void cpr_execve_finish (CprIncoming *incoming);
void cpr_execve_clear (CprIncoming *incoming);

#endif
