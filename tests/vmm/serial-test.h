/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VMM_SERIAL_TEST_H
#define VMM_SERIAL_TEST_H

#include "devices/serial.h"

/* Describes all of it, with what only this release has. */
void serial_describe_all (Serial *serial, GString *text);

/* Sets a number that a guest can't set, or not to any value. */
bool serial_set (Serial *serial, const char *field, uint64_t value, GError **error);

/* Closes the file, as a constructor that fails would. */
void serial_close (Serial *serial);

#endif
