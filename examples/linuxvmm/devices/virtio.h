/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LINUXVMM_VIRTIO_H
#define LINUXVMM_VIRTIO_H

#include "devices/bus.h"
#include "devices/virtqueue.h"

/* A virtio device at memory addresses, with a thread that serves its queues: what all of them have
 * in common. */
typedef struct _Virtio Virtio;

#define VIRTIO_QUEUES_MAX 2
#define VIRTIO_LATER      UINT32_MAX

typedef struct
{
  const char *name; /* of its thread, its fds and its state */
  uint32_t id;      /* of the kind of device */
  uint64_t features;
  unsigned n_queues;
  const void *config; /* what the driver reads of it */
  size_t config_size;
  void *device;

  /* Does a request, on the device's thread, from inside the gate; returns how many bytes it
   * filled. The guest is stopped, and state is saved, before it or after it, and never in its
   * middle. VIRTIO_LATER: nothing was done, and the request stays in its queue until @fd is ready
   * for @events of that queue. */
  uint32_t (*serve) (void *device, unsigned queue, const Chain *chain);
  int fd; /* used only after VIRTIO_LATER */
  short events[VIRTIO_QUEUES_MAX];

  /* The driver has chosen among @features; 0 when it resets the device. NULL: it needn't know. */
  void (*negotiated) (void *device, uint64_t features);
} VirtioType;

typedef struct
{
  CprSession *session;
  CprGate *gate;
  CprKvmVm *vm;
  Bus *bus;
  const GuestRam *ram;
} VirtioPlace;

/* Its address and interrupt are those of @slot, see boot/layout.h. @type must outlive it. */
Virtio *virtio_new (const VirtioPlace *place, unsigned slot, const VirtioType *type, GError **error);

#endif
