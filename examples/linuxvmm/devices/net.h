/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LINUXVMM_NET_H
#define LINUXVMM_NET_H

#include "devices/virtio.h"

/* A virtio network card, whose cable leads to a tap interface of the host. */
typedef struct _Net Net;

/* @where: tap,ifname=NAME[,mac=ADDRESS] */
Net *net_new (const VirtioPlace *place, unsigned slot, const char *where, GError **error);

/* How many frames the guest got and sent in its life. */
typedef struct
{
  uint64_t received, sent;
} NetCounts;

NetCounts net_get_counts (Net *net);

#endif
