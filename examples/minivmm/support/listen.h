/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MINIVMM_LISTEN_H
#define MINIVMM_LISTEN_H

#include <stdbool.h>

#include <glib.h>

/* A socket that listens at @path, non-blocking and close-on-exec; -1 with an error, which begins
 * with @who. The socket of a dead VM, which is still in the file system, is replaced. */
int listen_at (const char *who, const char *path, int backlog, GError **error);

/* Where the socket @fd listens. */
char *listen_get_path (int fd);

#endif
