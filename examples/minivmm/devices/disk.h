/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MINIVMM_DISK_H
#define MINIVMM_DISK_H

#include <libcpr/libcpr.h>

/* An image file that no other VM may use meanwhile. The guest has no disk; what matters here is
 * who holds the locks. */
typedef struct _Disk Disk;

/* Opens or takes over the image @path, and locks it. */
Disk *disk_new (CprSession *session, const char *path, GError **error);

/* The guest is about to run here: what was given up for a transfer is taken. */
void disk_hold (Disk *disk);

void disk_free (Disk *disk);

#endif
