/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MINIVMM_SERIAL_H
#define MINIVMM_SERIAL_H

#include <libcpr/libcpr.h>

#include "devices/bus.h"

/* A 16550 at the first PC serial port: polled output. */
typedef struct _Serial Serial;

extern const CprDeviceType serial_type;

/* @where is stdio, file:PATH or null. */
Serial *serial_new (CprSession *session, Bus *bus, const char *where, GError **error);
void serial_free (Serial *serial);

/* For the monitor, which may look while the guest runs. */
void serial_describe (Serial *serial, GString *text);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Serial, serial_free)

#endif
