/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_HANDOFF_EXEC_NOTIFY_H
#define CPR_HANDOFF_EXEC_NOTIFY_H

#include <stdbool.h>
#include <sys/types.h>

/* The supervisor that started this VM, by the protocol of sd_notify(3). A supervisor takes the
 * end of the VM's main process for the end of the VM. While a guardian may take the guest back
 * under its own PID, the supervisor has to watch the guardian instead. */

/* Whether there is a supervisor: NOTIFY_SOCKET is set. */
bool cpr_notify_is_expected (void);

/* Opens a socket to the supervisor that is close-on-exec and doesn't block; -1 with errno. */
int cpr_notify_open (void);

/* Tells the supervisor which process is the VM's. */
bool cpr_notify_main_pid (int fd, pid_t pid);

#endif
