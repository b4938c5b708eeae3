/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MINIVMM_LOG_H
#define MINIVMM_LOG_H

#include <sys/types.h>

#include <glib.h>

/* As write(), but it never waits for a reader: without room it fails with EAGAIN. The flags of
 * the open file, which other processes share, stay as they are. */
ssize_t write_at_once (int fd, const void *data, size_t size);

/* Prints the name of the program and one line on stderr, from any thread. Where nobody reads
 * stderr the line is dropped, and the next line that can be printed says how many were. */
void log_line (const char *format, ...) G_GNUC_PRINTF (1, 2);

#endif
