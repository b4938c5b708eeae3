/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LINUXVMM_SERIAL_LINE_H
#define LINUXVMM_SERIAL_LINE_H

#include <libcpr/libcpr.h>

/* What is at the other end of the serial port's cable. */
typedef struct
{
  int in, out; /* -1: nothing */
} SerialLine;

/* @where is stdio, pty, file:PATH or null. What it opens survives an update. */
bool serial_line_open (SerialLine *line, CprSession *session, const char *where, GError **error);

#endif
