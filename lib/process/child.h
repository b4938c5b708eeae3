/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_PROCESS_CHILD_H
#define CPR_PROCESS_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/wait.h>

/* A child that leads a process group of its own. Another thread of the VMM may reap it at any time:
 * then its number may be another process's by now, and nobody is signalled. */

/* Why a program couldn't be started, from posix_spawn's error. @path NULL: it was executed by its
 * fd. */
char *cpr_child_describe_start_failure (const char *path, int errnum);

/* Whether it has ended. It isn't reaped by that. @pidfd: its pidfd, or -1. */
bool cpr_child_has_ended (pid_t pid, int pidfd);

/* Kills the child's process group, and the child, which may have left the group. */
void cpr_child_kill_all (pid_t pid);

typedef enum
{
  CPR_REAPED,
  CPR_REAPED_BY_ANOTHER, /* a thread of the VMM has taken its status */
  CPR_OUTLIVED           /* it still runs, although its end was waited for */
} CprReaped;

/* Takes the status of a child that ends within 3 s, as one that was killed does. */
CprReaped cpr_child_reap (pid_t pid, int pidfd, siginfo_t *info);

/* How it ended: "it exited with status 1" or "it was killed by signal 9 (Killed)". */
char *cpr_child_describe_end (const siginfo_t *info);

#endif
