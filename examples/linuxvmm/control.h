/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LINUXVMM_CONTROL_H
#define LINUXVMM_CONTROL_H

#include <poll.h>

#include <libcpr/libcpr.h>

/* A socket for commands, one for each connection: "status", "update PROGRAM", "transfer PROGRAM",
 * "quit". The answer is a line. */
typedef struct _Control Control;

#define CONTROL_FDS 2

/* @path may be NULL: no socket. @describe adds to the answer to "status". */
Control *control_new (CprSession *session,
                      const char *path,
                      void (*describe) (GString *text, void *user_data),
                      void *user_data,
                      GError **error);

/* For the main loop: what to wait for, and what to do then. False: the end of this program,
 * whether or not it still has the guest. */
void control_fill_fds (const Control *control, struct pollfd fds[CONTROL_FDS]);
bool control_serve (Control *control, const struct pollfd fds[CONTROL_FDS]);

#endif
