/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_HANDOFF_TRANSFER_START_H
#define CPR_HANDOFF_TRANSFER_START_H

#include <stdbool.h>
#include <sys/types.h>

#include <libcpr/libcpr.h>

/* A new program that this process starts for a transfer: its child, until this process ends. It
 * finds its end of the channel as fd 3, with a greeting in it, and in the variable that tells a
 * program of a state in exec mode. So a libcpr that doesn't know this refuses to start afresh. */
typedef struct
{
  char *path; /* NULL: none is to be started */
  char **envp;
  int its_fd; /* its end of the channel; -1 once it is started */
  pid_t pid;  /* 0: it isn't started, or was reaped */
  int pidfd;
} CprStart;

/* Finds the program of @update and makes the channel. The answer is this process's end, or -1. On
 * failure too cpr_start_clear() clears all. */
int cpr_start_open (CprStart *start, const CprUpdate *update, GError **error);

/* Starts it, with a greeting already in the channel. */
bool cpr_start_run (CprStart *start, const CprUpdate *update, GError **error);

/* Words for how it ended, if it ends within a moment: "it exited with status 1"; NULL if it goes
 * on, if nobody knows, or if none was started. It isn't reaped by that. */
char *cpr_start_describe_end (const CprStart *start);

/* Ends it, with whatever it has started, and reaps it. */
void cpr_start_end (CprStart *start);

/* Leaves the child as it is. */
void cpr_start_clear (CprStart *start);

#endif
