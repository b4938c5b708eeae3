/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bus's slots, for cards.c and the cards: a part of the machine, and a device with state. */
#include "slots.h"

#include <string.h>

#include "support/error.h"

#define N_SLOTS       4
#define SLOTS_BASE    0x600
#define CARD_NAME_MAX 15
#define CARD_PORTS    16

typedef struct
{
  char card[CARD_NAME_MAX + 1]; /* empty: nothing is in it */
  void *device;
} Slot;

struct _Slots
{
  Bus *bus;
  Slot slots[N_SLOTS];
};

static Slots the_slots;

static const CprField slot_fields[] = {
  CPR_FIELD_STRING (Slot, card),
  CPR_FIELD_END,
};
static const CprStruct slot_struct = { "Slot", sizeof (Slot), slot_fields };

static const CprField slots_fields[] = {
  CPR_FIELD_STRUCT_ARRAY (Slots, slots, Slot, slot_struct),
  CPR_FIELD_END,
};

const CprDeviceType slots_type = {
  .size = sizeof (CprDeviceType),
  .name = "bus",
  .version = 1,
  .minimum_version = 1,
  .state = { "Bus", sizeof (Slots), slots_fields },
  .trial_save = true, /* changed on the monitor's thread only, which is the one that updates */
};

Slots *
slots_get (void)
{
  return &the_slots;
}

/* The slot of that card; of the card "" a free one. */
static Slot *
find_slot (Slots *slots, const char *card)
{
  for (unsigned i = 0; i < N_SLOTS; i++)
    if (!strcmp (slots->slots[i].card, card))
      return &slots->slots[i];
  return NULL;
}

static uint16_t
get_first_port (const Slots *slots, const Slot *slot)
{
  return (uint16_t) (SLOTS_BASE + (slot - slots->slots) * CARD_PORTS);
}

bool
slots_insert_again (Slots *slots, const char *card, const BusDevice *ops, void *device, GError **error)
{
  Slot *slot = find_slot (slots, card);
  if (!slot)
    return throw_error (error, "bus: the card '%s' is in none of the slots", card);
  slot->device = device;
  bus_add (slots->bus, get_first_port (slots, slot), CARD_PORTS, ops, device);
  return true;
}

bool
slots_insert (Slots *slots, const char *card, const BusDevice *ops, void *device, GError **error)
{
  Slot *slot = find_slot (slots, "");
  if (!slot)
    return throw_error (error, "bus: no slot is free for the card '%s'", card);
  g_strlcpy (slot->card, card, sizeof slot->card);
  return slots_insert_again (slots, card, ops, device, error);
}

void
slots_remove (Slots *slots, const char *card)
{
  Slot *slot = find_slot (slots, card);
  if (!slot)
    return;
  slot->card[0] = '\0';
  bus_remove (slots->bus, slot->device);
}

void
slots_describe (const Slots *slots, GString *text)
{
  for (unsigned i = 0; i < N_SLOTS; i++)
    {
      const Slot *slot = &slots->slots[i];
      g_string_append_printf (text, "slot %u: %s, ports from %#x\n", i, *slot->card ? slot->card : "empty",
                              get_first_port (slots, slot));
    }
}

/* ---- The part. */

static bool
build (Machine *machine, GError **error)
{
  the_slots.bus = machine->bus;
  return cpr_device_add (machine->session, "bus", &slots_type, &the_slots, error);
}

static void
clear (Machine *machine)
{
  if (machine->session)
    cpr_device_remove (machine->session, "bus", NULL);
}

const Part slots_part = { .build = build, .clear = clear };
