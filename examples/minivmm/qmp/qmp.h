/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MINIVMM_QMP_H
#define MINIVMM_QMP_H

#include <libcpr/libcpr.h>

typedef struct _Machine Machine;

/* The QEMU Machine Protocol: a Unix socket whose clients speak JSON, and which survive an update.
 * It runs in the monitor's main loop. */
typedef struct _Qmp Qmp;

extern const CprDeviceType qmp_type;

/* A program that was built without jansson has none: it fails and says so. */
Qmp *qmp_new (Machine *machine, const char *path, GError **error);
void qmp_free (Qmp *qmp);

/* All that follow do nothing where @qmp is NULL. */

/* For the session's callbacks. What clients are told is in the state, and goes out when an update
 * is committed or undone. */
void qmp_stopped (Qmp *qmp);
void qmp_started (Qmp *qmp);

/* While an update takes its time: answers those that want to know how far it is; false: one of
 * them wants it cancelled. */
bool qmp_serve (Qmp *qmp);

/* After an update: where the guest is in another process now, so are the clients. */
void qmp_leave (Qmp *qmp);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Qmp, qmp_free)

#endif
