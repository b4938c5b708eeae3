/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_CHARDEV_OPEN_H
#define CPR_CHARDEV_OPEN_H

#include "chardev/spec.h"

/* Each opens one fd, which never waits, with a number above the standard streams; -1 with an
 * error. @name: the character device's. */

int cpr_chardev_open_pty (const char *name, GError **error);
/* @truncate: of a file that is there. */
int cpr_chardev_open_file (const CprChardevSpec *spec, const char *name, bool truncate, GError **error);
/* @suffix: the pair's ".in" or ".out". */
int cpr_chardev_open_pipe (const CprChardevSpec *spec, const char *name, const char *suffix, GError **error);
/* A socket that nobody listens at is replaced. */
int cpr_chardev_open_listener (const CprChardevSpec *spec, const char *name, GError **error);
/* The client that waits longest; -1 with errno. */
int cpr_chardev_accept (const CprChardevSpec *spec, int listener);

/* Begins to connect, and does not wait; -1 with errno. */
int cpr_chardev_begin_connect (const CprChardevSpec *spec);
/* Whether it is connected after at most @timeout_ms. False with errno; EINPROGRESS: not yet. */
bool cpr_chardev_end_connect (const CprChardevSpec *spec, int fd, int timeout_ms);

#endif
