/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bus: devices are put on it when they are built, and vCPUs reach their ports through it. */
#include "devices/bus.h"

#define DEVICES_MAX 8

typedef struct
{
  uint16_t first;
  uint16_t n_ports;
  const BusDevice *ops;
  void *device;
} Range;

struct _Bus
{
  unsigned n_ranges;
  Range ranges[DEVICES_MAX];
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
bus_add (Bus *bus, uint16_t first, uint16_t n_ports, const BusDevice *ops, void *device)
{
  g_assert (bus->n_ranges < DEVICES_MAX);
  bus->ranges[bus->n_ranges++] = (Range){ first, n_ports, ops, device };
}

void
bus_remove (Bus *bus, const void *device)
{
  for (unsigned i = 0; i < bus->n_ranges; i++)
    if (bus->ranges[i].device == device)
      {
        bus->ranges[i] = bus->ranges[--bus->n_ranges];
        return;
      }
}

static const Range *
find_range (const Bus *bus, uint16_t port)
{
  for (unsigned i = 0; i < bus->n_ranges; i++)
    {
      const Range *range = &bus->ranges[i];
      if (port >= range->first && port - range->first < range->n_ports)
        return range;
    }
  return NULL;
}

void
bus_out (Bus *bus, uint16_t port, uint8_t value)
{
  const Range *range = find_range (bus, port);
  if (range)
    range->ops->out (range->device, port - range->first, value);
}

uint8_t
bus_in (Bus *bus, uint16_t port)
{
  const Range *range = find_range (bus, port);
  return range ? range->ops->in (range->device, port - range->first) : 0xff;
}
