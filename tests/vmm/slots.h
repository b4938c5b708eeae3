/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VMM_SLOTS_H
#define VMM_SLOTS_H

#include "parts.h"

/* Slots for cards on the bus. Which card is in which slot is the state of the device `bus`; what
 * a card does is the card's. Cards come and go only while no vCPU runs. */
typedef struct _Slots Slots;

extern const Part slots_part;
extern const CprDeviceType slots_type; /* of the device `bus` */

Slots *slots_get (void);

/* Into the first free slot, which says at which ports the card is; or back into the slot where
 * the state has it: then the slots must have been loaded before the card. */
bool slots_insert (Slots *slots, const char *card, const BusDevice *ops, void *device, GError **error);
bool slots_insert_again (Slots *slots, const char *card, const BusDevice *ops, void *device, GError **error);
void slots_remove (Slots *slots, const char *card);

void slots_describe (const Slots *slots, GString *text);

#endif
