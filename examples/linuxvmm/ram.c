/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Guest RAM, for main(), for the boot loader, and for devices that read and write it. */
#include "ram.h"

#include "boot/layout.h"

bool
ram_new (GuestRam *ram, CprSession *session, uint64_t size, GError **error)
{
  ram->block = cpr_ram_new (session, "ram", size, NULL, error);
  if (!ram->block)
    return false;
  ram->vaddr = cpr_ram_block_get_vaddr (ram->block);
  ram->low_size = MIN (size, RAM_LOW_MAX);
  ram->high_size = size - ram->low_size;
  return true;
}

void *
ram_at (const GuestRam *ram, uint64_t address, uint64_t size)
{
  if (address <= ram->low_size && size <= ram->low_size - address)
    return ram->vaddr + address;
  if (address >= RAM_HIGH && address - RAM_HIGH <= ram->high_size && size <= ram->high_size - (address - RAM_HIGH))
    return ram->vaddr + ram->low_size + (address - RAM_HIGH);
  return NULL;
}
