/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Guest RAM as one RAM block, for parts.c. */
#include "ram.h"

void
guest_ram_divide (GuestRam *ram, uint64_t size)
{
  ram->size = size;
  __atomic_store_n (&ram->low_size, MIN (size, GUEST_RAM_LOW_MAX), __ATOMIC_RELAXED);
  __atomic_store_n (&ram->high_size, size - MIN (size, GUEST_RAM_LOW_MAX), __ATOMIC_RELAXED);
}

bool
guest_ram_new (GuestRam *ram, CprSession *session, const Options *options, GError **error)
{
  CprRamOptions ram_options = {
    .size = sizeof ram_options,
    .backend = options->ram_backend,
    .flags = options->prealloc ? CPR_RAM_PREALLOC : 0,
    .path = options->ram_path,
    .fd = -1,
    .max_size = options->ram_max,
  };
  CprRamBlock *block = cpr_ram_new (session, "ram", options->ram_size, &ram_options, error);
  if (!block)
    return false;

  ram->block = block;
  ram->vaddr = cpr_ram_block_get_vaddr (block);
  guest_ram_divide (ram, cpr_ram_block_get_size (block)); /* one that was taken over may have grown */
  ram->max_size = MAX (ram->size, options->ram_max);
  return true;
}
