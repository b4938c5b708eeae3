/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MINIVMM_BUS_H
#define MINIVMM_BUS_H

#include <stdint.h>

#include <glib.h>

/* The bus: it knows who answers at which port. Devices come and go only while no vCPU runs. */
typedef struct _Bus Bus;

/* Called by vCPU threads, @port counted from the device's first one. */
typedef struct
{
  void (*out) (void *device, unsigned port, uint8_t value);
  uint8_t (*in) (void *device, unsigned port);
} BusDevice;

Bus *bus_new (void);
void bus_free (Bus *bus);

/* No ports may have two devices, and there is room for 8 devices. */
void bus_add (Bus *bus, uint16_t first, uint16_t n_ports, const BusDevice *ops, void *device);
void bus_remove (Bus *bus, const void *device);

/* Ports that nobody answers at read as 0xff. */
void bus_out (Bus *bus, uint16_t port, uint8_t value);
uint8_t bus_in (Bus *bus, uint16_t port);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Bus, bus_free)

#endif
