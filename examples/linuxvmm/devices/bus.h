/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LINUXVMM_BUS_H
#define LINUXVMM_BUS_H

#include <stdint.h>

#include <glib.h>

/* The bus knows which device answers at which port or memory address. Devices are put on it while
 * no vCPU runs. */
typedef struct _Bus Bus;

typedef enum
{
  BUS_PORTS,
  BUS_MEMORY
} BusSpace;

/* Called by vCPU threads, from inside the gate, several at a time. @offset is counted from the
 * device's beginning; @size is 1, 2, 4 or 8 bytes, and not all of them need be the device's. */
typedef struct
{
  void (*write) (void *device, uint64_t offset, unsigned size, uint64_t value);
  uint64_t (*read) (void *device, uint64_t offset, unsigned size);
} BusDevice;

Bus *bus_new (void);
void bus_free (Bus *bus);

/* No address may have two devices, and there is room for 16 ranges. */
void bus_add (Bus *bus, BusSpace space, uint64_t first, uint64_t size, const BusDevice *ops, void *device);

/* What nobody answers at reads as ones. */
void bus_write (const Bus *bus, BusSpace space, uint64_t address, unsigned size, const void *data);
void bus_read (const Bus *bus, BusSpace space, uint64_t address, unsigned size, void *data);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Bus, bus_free)

#endif
