/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Guest RAM as one RAM block, for parts.c. */
#include "ram.h"

bool
guest_ram_new (GuestRam *ram, CprSession *session, const Options *options, GError **error)
{
  CprRamOptions ram_options = {
    .size = sizeof ram_options,
    .backend = options->ram_backend,
    .flags = options->prealloc ? CPR_RAM_PREALLOC : 0,
    .path = options->ram_path,
    .fd = -1,
  };
  CprRamBlock *block = cpr_ram_new (session, "ram", options->ram_size, &ram_options, error);
  if (!block)
    return false;

  ram->block = block;
  ram->vaddr = cpr_ram_block_get_vaddr (block);
  ram->size = options->ram_size;
  ram->low_size = MIN (ram->size, GUEST_RAM_LOW_MAX);
  ram->high_size = ram->size - ram->low_size;
  return true;
}
