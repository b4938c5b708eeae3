/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_HANDOFF_EXEC_NOTIFY_H
#define CPR_HANDOFF_EXEC_NOTIFY_H

#include <stdbool.h>
#include <sys/types.h>

/* The supervisor that started this VM, by sd_notify(3)'s protocol. It takes the end of the VM's
 * main process for the end of the VM: while a guardian may take the guest back, the guardian is
 * what it has to watch. */

/* Whether there is one: NOTIFY_SOCKET is set. */
bool cpr_notify_is_expected (void);

/* A socket to it, close-on-exec, that doesn't block; -1 with errno. */
int cpr_notify_open (void);

/* Tells it which process is the VM's. */
bool cpr_notify_main_pid (int fd, pid_t pid);

#endif
