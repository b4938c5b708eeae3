/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LINUXVMM_SERIAL_H
#define LINUXVMM_SERIAL_H

#include <poll.h>

#include <libcpr/libcpr.h>

#include "devices/bus.h"

/* A 16550 at the first PC serial port, with interrupts. */
typedef struct _Serial Serial;

#define SERIAL_FDS (1 + CPR_CHARDEV_FDS)

/* @where: a backend of <libcpr/chardev.h>. */
Serial *serial_new (CprSession *session, CprKvmVm *vm, Bus *bus, const char *where, GError **error);

/* For the main loop: what to wait for, and for how many ms, and what to do then, from inside the
 * gate. */
int serial_fill_fds (Serial *serial, struct pollfd fds[SERIAL_FDS]);
void serial_serve (Serial *serial);

/* The guest has ended or left: gives back the terminal. */
void serial_end (Serial *serial);

#endif
