/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LINUXVMM_VIRTQUEUE_H
#define LINUXVMM_VIRTQUEUE_H

#include <sys/uio.h>

#include "ram.h"

#define VIRTQUEUE_SIZE_MAX 128
#define CHAIN_PARTS_MAX    VIRTQUEUE_SIZE_MAX

/* A split virtqueue, which is in guest RAM, as far as it is state: where the guest has put it, and
 * how far this side has read it. The index of the used ring is in guest RAM only. */
typedef struct
{
  uint16_t size, next_avail;
  bool ready;
  uint64_t desc, avail, used;
} Virtqueue;

extern const CprStruct virtqueue_struct;

/* A request: what the guest sends, then what it wants filled. */
typedef struct
{
  uint16_t head;
  unsigned n_out, n_in;
  struct iovec out[CHAIN_PARTS_MAX], in[CHAIN_PARTS_MAX];
} Chain;

typedef enum
{
  VIRTQUEUE_EMPTY,
  VIRTQUEUE_CHAIN,
  VIRTQUEUE_BROKEN /* the guest's driver is wrong */
} VirtqueueResult;

/* Takes the next request out. */
VirtqueueResult virtqueue_pop (Virtqueue *queue, const GuestRam *ram, Chain *chain);

/* Puts the one that was taken out last back in its place. */
void virtqueue_unpop (Virtqueue *queue);

/* Gives it back, with @written bytes filled. True: the guest wants an interrupt. */
bool virtqueue_push (const Virtqueue *queue, const GuestRam *ram, uint16_t head, uint32_t written);

#endif
