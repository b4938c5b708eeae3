/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bus: devices are put on it when they are built, and vCPUs reach them through it. */
#include "devices/bus.h"

#include <string.h>

#define RANGES_MAX 16

typedef struct
{
  BusSpace space;
  uint64_t first, size;
  const BusDevice *ops;
  void *device;
} Range;

struct _Bus
{
  unsigned n_ranges;
  Range ranges[RANGES_MAX];
};

Bus *
bus_new (void)
{
  return g_new0 (Bus, 1);
}

void
bus_free (Bus *bus)
{
  g_free (bus);
}

void
bus_add (Bus *bus, BusSpace space, uint64_t first, uint64_t size, const BusDevice *ops, void *device)
{
  g_assert (bus->n_ranges < RANGES_MAX);
  bus->ranges[bus->n_ranges++] = (Range){ space, first, size, ops, device };
}

static const Range *
find_range (const Bus *bus, BusSpace space, uint64_t address)
{
  for (unsigned i = 0; i < bus->n_ranges; i++)
    {
      const Range *range = &bus->ranges[i];
      if (range->space == space && address >= range->first && address - range->first < range->size)
        return range;
    }
  return NULL;
}

void
bus_write (const Bus *bus, BusSpace space, uint64_t address, unsigned size, const void *data)
{
  const Range *range = find_range (bus, space, address);
  uint64_t value = 0;

  memcpy (&value, data, size);
  if (range)
    range->ops->write (range->device, address - range->first, size, value);
}

void
bus_read (const Bus *bus, BusSpace space, uint64_t address, unsigned size, void *data)
{
  const Range *range = find_range (bus, space, address);
  uint64_t value = range ? range->ops->read (range->device, address - range->first, size) : UINT64_MAX;

  memcpy (data, &value, size);
}
