/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Split virtqueues, for devices: section 2.7 of the virtio specification 1.2. */
#include "devices/virtqueue.h"

#include <linux/virtio_ring.h>

static const CprField virtqueue_fields[] = {
  CPR_FIELD (Virtqueue, size),
  CPR_FIELD (Virtqueue, next_avail),
  CPR_FIELD (Virtqueue, ready),
  CPR_FIELD (Virtqueue, desc),
  CPR_FIELD (Virtqueue, avail),
  CPR_FIELD (Virtqueue, used),
  CPR_FIELD_END,
};

const CprStruct virtqueue_struct = { "Virtqueue", sizeof (Virtqueue), virtqueue_fields };

static struct vring_avail *
get_avail (const Virtqueue *queue, const GuestRam *ram)
{
  return ram_at (ram, queue->avail, sizeof (struct vring_avail) + queue->size * sizeof (uint16_t));
}

static struct vring_used *
get_used (const Virtqueue *queue, const GuestRam *ram)
{
  return ram_at (ram, queue->used, sizeof (struct vring_used) + queue->size * sizeof (struct vring_used_elem));
}

static bool
is_sane (const Virtqueue *queue, const GuestRam *ram)
{
  return queue->size > 0 && queue->size <= VIRTQUEUE_SIZE_MAX && get_avail (queue, ram) && get_used (queue, ram) &&
         ram_at (ram, queue->desc, queue->size * sizeof (struct vring_desc));
}

/* What the guest sends comes before what it wants filled. */
static bool
add_part (Chain *chain, const struct vring_desc *desc, const GuestRam *ram)
{
  const struct iovec part = { ram_at (ram, desc->addr, desc->len), desc->len };

  if (!part.iov_base || desc->flags & VRING_DESC_F_INDIRECT)
    return false;
  if (desc->flags & VRING_DESC_F_WRITE)
    chain->in[chain->n_in++] = part;
  else if (chain->n_in == 0)
    chain->out[chain->n_out++] = part;
  else
    return false;
  return true;
}

/* The descriptors are read once: the guest may change them meanwhile. */
static bool
read_chain (const Virtqueue *queue, const GuestRam *ram, Chain *chain)
{
  const struct vring_desc *table = ram_at (ram, queue->desc, queue->size * sizeof *table);
  uint16_t index = chain->head;

  chain->n_out = chain->n_in = 0;
  for (unsigned n = 0; n < queue->size && index < queue->size; n++)
    {
      const struct vring_desc desc = *(const volatile struct vring_desc *) &table[index];
      if (!add_part (chain, &desc, ram))
        return false;
      if (!(desc.flags & VRING_DESC_F_NEXT))
        return true;
      index = desc.next;
    }
  return false; /* a circle, or an index that is none */
}

VirtqueueResult
virtqueue_pop (Virtqueue *queue, const GuestRam *ram, Chain *chain)
{
  const struct vring_avail *avail;

  if (!queue->ready)
    return VIRTQUEUE_EMPTY;
  if (!is_sane (queue, ram))
    return VIRTQUEUE_BROKEN;
  avail = get_avail (queue, ram);
  if (__atomic_load_n (&avail->idx, __ATOMIC_ACQUIRE) == queue->next_avail)
    return VIRTQUEUE_EMPTY;
  chain->head = avail->ring[queue->next_avail % queue->size];
  queue->next_avail++;
  return read_chain (queue, ram, chain) ? VIRTQUEUE_CHAIN : VIRTQUEUE_BROKEN;
}

void
virtqueue_unpop (Virtqueue *queue)
{
  queue->next_avail--;
}

/* The guest may have moved the queue while the request was done: its answer goes nowhere then. */
bool
virtqueue_push (const Virtqueue *queue, const GuestRam *ram, uint16_t head, uint32_t written)
{
  const struct vring_avail *avail = get_avail (queue, ram);
  struct vring_used *used = get_used (queue, ram);

  if (!is_sane (queue, ram))
    return false;
  used->ring[used->idx % queue->size] = (struct vring_used_elem){ head, written };
  __atomic_store_n (&used->idx, (uint16_t) (used->idx + 1), __ATOMIC_RELEASE);
  __atomic_thread_fence (__ATOMIC_SEQ_CST); /* the guest sets the flag, and then looks at the index */
  return !(__atomic_load_n (&avail->flags, __ATOMIC_RELAXED) & VRING_AVAIL_F_NO_INTERRUPT);
}
