/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MINIVMM_BUS_H
#define MINIVMM_BUS_H

#include <libcpr/libcpr.h>

/* The bus: it knows who answers at which port, and has slots for cards. Which card is in which
 * slot is the bus's state; what a card does is the card's. Devices come and go only while no
 * vCPU runs. */
typedef struct _Bus Bus;

#define BUS_CARD_NAME_MAX 15
#define BUS_CARD_PORTS    16

/* Called by vCPU threads, @port counted from the device's first one. */
typedef struct
{
  void (*out) (void *device, unsigned port, uint8_t value);
  uint8_t (*in) (void *device, unsigned port);
} BusDevice;

extern const CprDeviceType bus_type;

/* In a preflight: what bus_new() would add. */
void bus_declare (CprInventory *inventory);

Bus *bus_new (CprSession *session, GError **error);
void bus_free (Bus *bus);

/* A device that is always at the same ports. */
void bus_add (Bus *bus, uint16_t first, uint16_t n_ports, const BusDevice *ops, void *device);

/* A card: into the first free slot, which says at which ports it is; or back into the slot where
 * the bus's state has it: then the bus must have been loaded before the card. */
bool bus_insert (Bus *bus, const char *card, const BusDevice *ops, void *device, GError **error);
bool bus_insert_again (Bus *bus, const char *card, const BusDevice *ops, void *device, GError **error);
void bus_remove (Bus *bus, const char *card);

/* Ports that nobody answers at read as 0xff. */
void bus_out (Bus *bus, uint16_t port, uint8_t value);
uint8_t bus_in (Bus *bus, uint16_t port);

void bus_describe (const Bus *bus, GString *text);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Bus, bus_free)

#endif
