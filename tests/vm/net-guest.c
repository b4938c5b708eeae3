/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A guest of linuxvmm for tests/integration/linuxvmm-net.py, in the place of a Linux kernel. It
 * sends each frame of one kind back, with a number of its own. It needs no interrupts, and no
 * instruction that an interpreter of instructions might lack: it runs wherever there is a /dev/kvm.
 *
 * The program is linked to where linuxvmm enters a kernel, with nothing before its first
 * instruction. */
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <stdint.h>

__asm__(".text\n.globl entry\nentry: jmp run\n");

/* The first virtio device of linuxvmm, see examples/linuxvmm/boot/layout.h. */
#define REGISTERS ((volatile uint32_t *) 0xd0000000)

/* In RAM that nobody else uses. */
#define QUEUES_ADDRESS  0x2000000ULL
#define QUEUE_SPACING   0x10000ULL
#define AVAIL_OFFSET    0x4000
#define USED_OFFSET     0x8000
#define BUFFERS_ADDRESS 0x2100000ULL
#define BUFFER_SIZE     2048

#define N_BUFFERS 16
#define HEADER    sizeof (struct virtio_net_hdr_v1)

enum
{
  RECEIVE,
  SEND
};

/* Of a frame that is sent back. */
typedef struct
{
  uint8_t destination[6], source[6];
  uint8_t type[2];
  uint16_t unused;
  uint64_t number; /* of who sent it */
  uint64_t echo;   /* how many were sent back before */
} __attribute__ ((packed)) Frame;

static const uint8_t frame_type[] = { 0x88, 0xb5 }; /* for experiments */

typedef struct
{
  unsigned index;
  uint16_t next_avail, next_used;
  struct vring_desc *desc;
  volatile struct vring_avail *avail;
  volatile struct vring_used *used;
} Queue;

static void
write_register (unsigned offset, uint32_t value)
{
  REGISTERS[offset / 4] = value;
}

static void
write_address (unsigned offset, const volatile void *address)
{
  write_register (offset, (uint32_t) (uintptr_t) address);
  write_register (offset + 4, 0);
}

static void
set_up_queue (Queue *queue, unsigned index)
{
  const uint64_t address = QUEUES_ADDRESS + index * QUEUE_SPACING;

  queue->index = index;
  queue->next_avail = queue->next_used = 0;
  queue->desc = (struct vring_desc *) address;
  queue->avail = (struct vring_avail *) (address + AVAIL_OFFSET);
  queue->used = (struct vring_used *) (address + USED_OFFSET);
  queue->avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
  write_register (VIRTIO_MMIO_QUEUE_SEL, index);
  write_register (VIRTIO_MMIO_QUEUE_NUM, N_BUFFERS);
  write_address (VIRTIO_MMIO_QUEUE_DESC_LOW, queue->desc);
  write_address (VIRTIO_MMIO_QUEUE_AVAIL_LOW, queue->avail);
  write_address (VIRTIO_MMIO_QUEUE_USED_LOW, queue->used);
  write_register (VIRTIO_MMIO_QUEUE_READY, 1);
}

/* Buffer @id is descriptor @id in either queue. */
static void
put (Queue *queue, uint32_t id, uint32_t len)
{
  struct vring_desc *desc = &queue->desc[id];

  desc->addr = BUFFERS_ADDRESS + id * BUFFER_SIZE;
  desc->len = len;
  desc->flags = queue->index == RECEIVE ? VRING_DESC_F_WRITE : 0;
  queue->avail->ring[queue->next_avail % N_BUFFERS] = (uint16_t) id;
  queue->avail->idx = ++queue->next_avail;
  write_register (VIRTIO_MMIO_QUEUE_NOTIFY, queue->index);
}

static void
negotiate (void)
{
  uint32_t status = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;

  write_register (VIRTIO_MMIO_STATUS, 0);
  write_register (VIRTIO_MMIO_STATUS, status);
  write_register (VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
  write_register (VIRTIO_MMIO_DRIVER_FEATURES, 1U << (VIRTIO_F_VERSION_1 - 32));
  write_register (VIRTIO_MMIO_STATUS, status | VIRTIO_CONFIG_S_FEATURES_OK);
}

/* A frame has come: it goes back, or its buffer does. */
static void
serve (Queue *receive, Queue *send, uint64_t *n_echoes)
{
  const volatile struct vring_used_elem *element = &receive->used->ring[receive->next_used++ % N_BUFFERS];
  uint32_t id = element->id, len = element->len;
  Frame *frame = (Frame *) (BUFFERS_ADDRESS + id * BUFFER_SIZE + HEADER);

  if (frame->type[0] == frame_type[0] && frame->type[1] == frame_type[1])
    {
      frame->echo = (*n_echoes)++;
      put (send, id, len);
    }
  else
    put (receive, id, BUFFER_SIZE);
}

/* `__used__`: only the instruction above knows of it. */
__attribute__ ((__used__, __noreturn__)) static void
run (void)
{
  Queue receive, send;
  uint64_t n_echoes = 0;

  negotiate ();
  set_up_queue (&receive, RECEIVE);
  set_up_queue (&send, SEND);
  write_register (VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
                                          VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK);
  for (uint32_t i = 0; i < N_BUFFERS; i++)
    put (&receive, i, BUFFER_SIZE);
  for (;;)
    {
      if (receive.used->idx != receive.next_used)
        serve (&receive, &send, &n_echoes);
      if (send.used->idx != send.next_used)
        put (&receive, send.used->ring[send.next_used++ % N_BUFFERS].id, BUFFER_SIZE);
    }
}
