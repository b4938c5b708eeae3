/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MINIVMM_MONITOR_H
#define MINIVMM_MONITOR_H

#include <libcpr/libcpr.h>

typedef struct _Machine Machine;

/* The monitor: a Unix socket with up to 16 clients that survive an update, and the program's
 * main loop. */
typedef struct _Monitor Monitor;

extern const CprDeviceType monitor_type;

/* @path may be NULL: then it only waits for signals. SIGINT and SIGTERM are blocked afterwards,
 * for the main loop to read; so call it before threads are started. */
Monitor *monitor_new (Machine *machine, const char *path, GError **error);
void monitor_free (Monitor *monitor);

/* While an update takes its time: answers those that want to know how far it is; false: one of
 * them wants it cancelled. */
bool monitor_serve (Monitor *monitor);

/* Calls @ready in the main loop when @fd is readable. There is room for 4 of them. */
void monitor_watch (Monitor *monitor, int fd, void (*ready) (void *user_data), void *user_data);
void monitor_unwatch (Monitor *monitor, int fd);

/* The main loop, once the guest runs, until the machine's `quit` is set. It first tells whoever
 * asked for an update how that ended. */
bool monitor_run (Monitor *monitor, GError **error);

/* With --incoming defer an operator says by migrate_incoming when the guest comes. For
 * CprSessionConfig: where from, if it didn't come with this process. The guest is elsewhere. */
char *monitor_choose_incoming (void *user_data, GError **error);

/* The same, if it did come with this process: it stands still here, and runs when this returns.
 * False: the operator gave it up, and it goes back. */
bool monitor_wait (Monitor *monitor, GError **error);

bool monitor_is_waiting (const Monitor *monitor);
/* The operator has said where the guest is. */
void monitor_accept_guest (Monitor *monitor, const char *incoming);
/* Tells that operator why it couldn't come; @monitor may be NULL. */
void monitor_fail (Monitor *monitor, const char *reason);

/* Whoever asks for an update just now goes on at once and is told nothing more than a failure. */
void monitor_detach (Monitor *monitor);

/* After an update: where another process has the guest now, and with it the clients, this one
 * ends, or serves a monitor of its own. */
bool monitor_leave (Monitor *monitor, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Monitor, monitor_free)

#endif
