/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The transport that virtio devices share, and their threads: section 4.2 of the virtio
 * specification 1.2 (memory-mapped registers, version 2). */
#include "devices/virtio.h"

#include <errno.h>
#include <linux/kvm.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "boot/layout.h"
#include "devices/irq.h"
#include "support/error.h"
#include "support/log.h"

#define MAGIC   0x74726976
#define VERSION 2
#define VENDOR  0x52504331 /* "1CPR" */

struct _Virtio
{
  const VirtioType *type;
  CprGate *gate;
  const GuestRam *ram;
  IrqLine irq;
  int kick_fd; /* KVM counts here how often the guest wants its requests looked at */
  pthread_t thread;

  pthread_mutex_t mutex; /* of what follows */
  unsigned n_resets;
  uint64_t driver_features;
  uint32_t device_half, driver_half; /* of the features, and which half is being read and written */
  uint32_t status, interrupt, queue;
  Virtqueue queues[VIRTIO_QUEUES_MAX];
};

static const CprField virtio_fields[] = {
  CPR_FIELD (Virtio, driver_features),
  CPR_FIELD (Virtio, device_half),
  CPR_FIELD (Virtio, driver_half),
  CPR_FIELD (Virtio, status),
  CPR_FIELD (Virtio, interrupt),
  CPR_FIELD (Virtio, queue),
  CPR_FIELD_STRUCT_ARRAY (Virtio, queues, Virtqueue, virtqueue_struct),
  CPR_FIELD_END,
};

static const CprDeviceType virtio_type = {
  .size = sizeof (CprDeviceType),
  .name = "virtio-mmio",
  .version = 1,
  .minimum_version = 1,
  .state = { "Virtio", sizeof (Virtio), virtio_fields },
};

/* ---- Registers. */

static void
negotiate (const Virtio *virtio, uint64_t features)
{
  if (virtio->type->negotiated)
    virtio->type->negotiated (virtio->type->device, features & virtio->type->features);
}

static void
reset (Virtio *virtio)
{
  negotiate (virtio, 0);
  virtio->n_resets++; /* a request that is under way belongs to nobody any more */
  virtio->driver_features = 0;
  virtio->device_half = virtio->driver_half = 0;
  virtio->status = virtio->interrupt = virtio->queue = 0;
  memset (virtio->queues, 0, sizeof virtio->queues);
}

static void
set_half (uint64_t *value, bool high, uint32_t half)
{
  *value = high ? (uint32_t) *value | (uint64_t) half << 32 : (*value & ~0xffffffffULL) | half;
}

static uint32_t
get_half (uint64_t value, uint32_t half)
{
  return half < 2 ? (uint32_t) (value >> (32 * half)) : 0;
}

static void
write_queue (Virtqueue *queue, uint64_t offset, uint32_t value)
{
  switch (offset)
    {
    case VIRTIO_MMIO_QUEUE_NUM:
      queue->size = (uint16_t) MIN (value, UINT16_MAX);
      break;
    case VIRTIO_MMIO_QUEUE_READY:
      queue->ready = value & 1;
      break;
    case VIRTIO_MMIO_QUEUE_DESC_LOW:
    case VIRTIO_MMIO_QUEUE_DESC_HIGH:
      set_half (&queue->desc, offset == VIRTIO_MMIO_QUEUE_DESC_HIGH, value);
      break;
    case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
    case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
      set_half (&queue->avail, offset == VIRTIO_MMIO_QUEUE_AVAIL_HIGH, value);
      break;
    case VIRTIO_MMIO_QUEUE_USED_LOW:
    case VIRTIO_MMIO_QUEUE_USED_HIGH:
      set_half (&queue->used, offset == VIRTIO_MMIO_QUEUE_USED_HIGH, value);
      break;
    }
}

static void
write_status (Virtio *virtio, uint32_t value)
{
  if (value == 0)
    reset (virtio);
  else if (value & ~virtio->status & VIRTIO_CONFIG_S_FEATURES_OK)
    negotiate (virtio, virtio->driver_features);
  virtio->status = value;
}

static void
write_register (Virtio *virtio, uint64_t offset, uint32_t value)
{
  switch (offset)
    {
    case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
      virtio->device_half = value;
      break;
    case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
      virtio->driver_half = value;
      break;
    case VIRTIO_MMIO_DRIVER_FEATURES:
      if (virtio->driver_half < 2)
        set_half (&virtio->driver_features, virtio->driver_half, value);
      break;
    case VIRTIO_MMIO_QUEUE_SEL:
      virtio->queue = value;
      break;
    case VIRTIO_MMIO_INTERRUPT_ACK:
      virtio->interrupt &= ~value;
      break;
    case VIRTIO_MMIO_STATUS:
      write_status (virtio, value);
      break;
    default:
      if (virtio->queue < virtio->type->n_queues)
        write_queue (&virtio->queues[virtio->queue], offset, value);
    }
}

static uint32_t
read_register (const Virtio *virtio, uint64_t offset)
{
  bool has_queue = virtio->queue < virtio->type->n_queues;

  switch (offset)
    {
    case VIRTIO_MMIO_MAGIC_VALUE:
      return MAGIC;
    case VIRTIO_MMIO_VERSION:
      return VERSION;
    case VIRTIO_MMIO_DEVICE_ID:
      return virtio->type->id;
    case VIRTIO_MMIO_VENDOR_ID:
      return VENDOR;
    case VIRTIO_MMIO_DEVICE_FEATURES:
      return get_half (virtio->type->features | 1ULL << VIRTIO_F_VERSION_1, virtio->device_half);
    case VIRTIO_MMIO_QUEUE_NUM_MAX:
      return has_queue ? VIRTQUEUE_SIZE_MAX : 0;
    case VIRTIO_MMIO_QUEUE_READY:
      return has_queue && virtio->queues[virtio->queue].ready;
    case VIRTIO_MMIO_INTERRUPT_STATUS:
      return virtio->interrupt;
    case VIRTIO_MMIO_STATUS:
      return virtio->status;
    default:
      return 0;
    }
}

static void
virtio_write (void *device, uint64_t offset, unsigned size, uint64_t value)
{
  Virtio *virtio = device;

  if (size != 4 || offset >= VIRTIO_MMIO_CONFIG)
    return;
  pthread_mutex_lock (&virtio->mutex);
  write_register (virtio, offset, (uint32_t) value);
  pthread_mutex_unlock (&virtio->mutex);
}

static uint64_t
virtio_read (void *device, uint64_t offset, unsigned size)
{
  Virtio *virtio = device;
  const VirtioType *type = virtio->type;
  uint64_t value = 0;

  if (offset >= VIRTIO_MMIO_CONFIG)
    {
      offset -= VIRTIO_MMIO_CONFIG;
      if (offset < type->config_size)
        memcpy (&value, (const uint8_t *) type->config + offset, MIN (size, type->config_size - offset));
      return value;
    }
  pthread_mutex_lock (&virtio->mutex);
  value = size == 4 ? read_register (virtio, offset) : 0;
  pthread_mutex_unlock (&virtio->mutex);
  return value;
}

static const BusDevice virtio_registers = { virtio_write, virtio_read };

/* ---- The thread. */

static void
interrupt (Virtio *virtio, uint32_t cause)
{
  virtio->interrupt |= cause;
  irq_line_raise (&virtio->irq);
}

static bool
take (Virtio *virtio, unsigned index, Chain *chain, unsigned *n_resets)
{
  VirtqueueResult result = VIRTQUEUE_EMPTY;

  pthread_mutex_lock (&virtio->mutex);
  if ((virtio->status & (VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_NEEDS_RESET)) == VIRTIO_CONFIG_S_DRIVER_OK)
    result = virtqueue_pop (&virtio->queues[index], virtio->ram, chain);
  if (result == VIRTQUEUE_BROKEN)
    {
      virtio->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
      interrupt (virtio, VIRTIO_MMIO_INT_CONFIG);
    }
  *n_resets = virtio->n_resets;
  pthread_mutex_unlock (&virtio->mutex);
  return result == VIRTQUEUE_CHAIN;
}

static void
give_back (Virtio *virtio, unsigned index, const Chain *chain, uint32_t written, unsigned n_resets)
{
  pthread_mutex_lock (&virtio->mutex);
  if (written == VIRTIO_LATER && n_resets == virtio->n_resets)
    virtqueue_unpop (&virtio->queues[index]);
  else if (n_resets == virtio->n_resets && virtqueue_push (&virtio->queues[index], virtio->ram, chain->head, written))
    interrupt (virtio, VIRTIO_MMIO_INT_VRING);
  pthread_mutex_unlock (&virtio->mutex);
}

/* One request. Whoever stops the guest waits for no more than that. A request that has to wait adds
 * to @events what it waits for. */
static bool
serve_one (Virtio *virtio, unsigned index, short *events)
{
  static __thread Chain chain;
  unsigned n_resets;

  if (!take (virtio, index, &chain, &n_resets))
    return false;
  uint32_t written = virtio->type->serve (virtio->type->device, index, &chain);
  give_back (virtio, index, &chain, written, n_resets);
  if (written != VIRTIO_LATER)
    return true;
  *events |= virtio->type->events[index];
  return false;
}

/* Of each queue one request. False: nothing is left to be done, until there is one of @events. */
static bool
serve_all (Virtio *virtio, short *events)
{
  bool served = false;

  *events = 0;
  for (unsigned i = 0; i < virtio->type->n_queues; i++)
    served = serve_one (virtio, i, events) || served;
  return served;
}

/* A kick that was read before an update is forgotten with the program that read it, so the
 * thread looks into the queues each time that it has come through the gate. */
static void *
virtio_main (void *data)
{
  Virtio *virtio = data;
  struct pollfd fds[] = { { .fd = virtio->kick_fd, .events = POLLIN }, { .fd = -1 } };
  uint64_t count;

  cpr_gate_join (virtio->gate, virtio->type->name, NULL, NULL, NULL);
  while (cpr_gate_enter (virtio->gate))
    {
      if (read (virtio->kick_fd, &count, sizeof count) < 0 && errno != EAGAIN)
        log_line ("%s: errno %d", virtio->type->name, errno);
      bool served = serve_all (virtio, &fds[1].events);
      cpr_gate_leave (virtio->gate);
      fds[1].fd = fds[1].events ? virtio->type->fd : -1;
      if (!served)
        poll (fds, G_N_ELEMENTS (fds), -1);
    }
  return NULL;
}

/* ---- Building it. */

Virtio *
virtio_new (const VirtioPlace *place, unsigned slot, const VirtioType *type, GError **error)
{
  Virtio *virtio = g_new0 (Virtio, 1);
  const uint64_t address = VIRTIO_ADDRESS + slot * VIRTIO_SIZE;

  virtio->type = type;
  virtio->gate = place->gate;
  virtio->ram = place->ram;
  pthread_mutex_init (&virtio->mutex, NULL);
  virtio->kick_fd = cpr_fd_open_eventfd (place->session, type->name, 0, error);
  if (virtio->kick_fd < 0 || !irq_line_new (&virtio->irq, place->session, place->vm, VIRTIO_IRQ + slot, error) ||
      !cpr_kvm_ioeventfd_add (place->vm, virtio->kick_fd, address + VIRTIO_MMIO_QUEUE_NOTIFY, 4, 0, 0, error) ||
      !cpr_device_add (place->session, type->name, &virtio_type, virtio, error))
    return NULL;
  bus_add (place->bus, BUS_MEMORY, address, VIRTIO_SIZE, &virtio_registers, virtio);
  errno = pthread_create (&virtio->thread, NULL, virtio_main, virtio);
  if (errno)
    {
      throw_errno (error, "%s: thread", type->name);
      return NULL;
    }
  return virtio;
}
