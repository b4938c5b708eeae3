/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "devices/bus.h"

#include <string.h>

#include "support/error.h"

#define N_SLOTS    4
#define SLOTS_BASE 0x600
#define FIXED_MAX  4

/* What answers at some ports; without ops nothing does. */
typedef struct
{
  uint16_t first;
  uint16_t n_ports;
  const BusDevice *ops;
  void *device;
} Range;

typedef struct
{
  char card[BUS_CARD_NAME_MAX + 1]; /* empty: nothing is in it */
  Range range;
} Slot;

struct _Bus
{
  CprSession *session;
  unsigned n_fixed;
  Range fixed[FIXED_MAX];
  Slot slots[N_SLOTS];
};

static const CprField slot_fields[] = {
  CPR_FIELD_STRING (Slot, card),
  CPR_FIELD_END,
};
static const CprStruct slot_struct = { "Slot", sizeof (Slot), slot_fields };

static const CprField bus_fields[] = {
  CPR_FIELD_STRUCT_ARRAY (Bus, slots, Slot, slot_struct),
  CPR_FIELD_END,
};

const CprDeviceType bus_type = {
  .size = sizeof (CprDeviceType),
  .name = "bus",
  .version = 1,
  .minimum_version = 1,
  .state = { "Bus", sizeof (Bus), bus_fields },
  .trial_save = true, /* changed on the monitor's thread only, which is the one that updates */
};

void
bus_declare (CprInventory *inventory)
{
  cpr_inventory_add_device (inventory, "bus", &bus_type);
}

Bus *
bus_new (CprSession *session, GError **error)
{
  g_autoptr (Bus) bus = g_new0 (Bus, 1);
  bus->session = session;
  for (unsigned i = 0; i < N_SLOTS; i++)
    bus->slots[i].range = (Range){ (uint16_t) (SLOTS_BASE + i * BUS_CARD_PORTS), BUS_CARD_PORTS, NULL, NULL };
  if (!cpr_device_add (session, "bus", &bus_type, bus, error))
    return NULL;
  return g_steal_pointer (&bus);
}

void
bus_free (Bus *bus)
{
  if (!bus)
    return;
  cpr_device_remove (bus->session, "bus", NULL);
  g_free (bus);
}

void
bus_add (Bus *bus, uint16_t first, uint16_t n_ports, const BusDevice *ops, void *device)
{
  g_assert (bus->n_fixed < FIXED_MAX);
  bus->fixed[bus->n_fixed++] = (Range){ first, n_ports, ops, device };
}

/* The slot of that card; of the card "" a free one. */
static Slot *
find_slot (Bus *bus, const char *card)
{
  for (unsigned i = 0; i < N_SLOTS; i++)
    if (!strcmp (bus->slots[i].card, card))
      return &bus->slots[i];
  return NULL;
}

bool
bus_insert_again (Bus *bus, const char *card, const BusDevice *ops, void *device, GError **error)
{
  Slot *slot = find_slot (bus, card);
  if (!slot)
    return throw_error (error, "bus: the card '%s' is in none of the slots", card);
  slot->range.ops = ops;
  slot->range.device = device;
  return true;
}

bool
bus_insert (Bus *bus, const char *card, const BusDevice *ops, void *device, GError **error)
{
  Slot *slot = find_slot (bus, "");
  if (!slot)
    return throw_error (error, "bus: no slot is free for the card '%s'", card);
  g_strlcpy (slot->card, card, sizeof slot->card);
  return bus_insert_again (bus, card, ops, device, error);
}

void
bus_remove (Bus *bus, const char *card)
{
  Slot *slot = find_slot (bus, card);
  if (!slot)
    return;
  slot->card[0] = '\0';
  slot->range.ops = NULL;
}

static const Range *
find_range (const Bus *bus, uint16_t port)
{
  for (unsigned i = 0; i < bus->n_fixed + N_SLOTS; i++)
    {
      const Range *range = i < bus->n_fixed ? &bus->fixed[i] : &bus->slots[i - bus->n_fixed].range;
      if (range->ops && port >= range->first && port - range->first < range->n_ports)
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

void
bus_describe (const Bus *bus, GString *text)
{
  for (unsigned i = 0; i < N_SLOTS; i++)
    g_string_append_printf (text, "slot %u: %s, ports from %#x\n", i,
                            bus->slots[i].card[0] ? bus->slots[i].card : "empty", bus->slots[i].range.first);
}
