/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LINUXVMM_DISK_H
#define LINUXVMM_DISK_H

#include "devices/virtio.h"

/* A virtio disk, which is an image file. */
typedef struct _Disk Disk;

Disk *disk_new (const VirtioPlace *place, unsigned slot, const char *path, GError **error);

/* How many requests it has done in the guest's life. */
typedef struct
{
  uint64_t reads, writes, flushes;
} DiskCounts;

DiskCounts disk_get_counts (Disk *disk);

#endif
