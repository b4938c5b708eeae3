/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LINUXVMM_SERIAL_H
#define LINUXVMM_SERIAL_H

#include <poll.h>

#include <libcpr/libcpr.h>

#include "devices/bus.h"

/* A 16550 at the first PC serial port, with interrupts. */
typedef struct _Serial Serial;

#define SERIAL_FDS 3

/* @where is stdio, pty, file:PATH or null. */
Serial *serial_new (CprSession *session, CprKvmVm *vm, Bus *bus, const char *where, GError **error);

/* For the main loop: what to wait for, and what to do then, from inside the gate. */
void serial_fill_fds (Serial *serial, struct pollfd fds[SERIAL_FDS]);
void serial_serve (Serial *serial, const struct pollfd fds[SERIAL_FDS]);

#endif
