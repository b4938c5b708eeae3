/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MINIVMM_RAM_H
#define MINIVMM_RAM_H

#include "options.h"

/* Guest RAM: one RAM block, in the guest below 3 GiB and, what is more, from 4 GiB on. */
typedef struct
{
  CprRamBlock *block;
  uint8_t *vaddr;
  uint64_t size;
  uint64_t max_size; /* that it can grow to */
  uint64_t low_size;
  uint64_t high_size;
} GuestRam;

#define GUEST_RAM_LOW_MAX (3ULL << 30)
#define GUEST_RAM_HIGH    (4ULL << 30)

/* Creates or takes over the block "ram"; it belongs to the session. */
bool guest_ram_new (GuestRam *ram, CprSession *session, const Options *options, GError **error);

/* Where the guest finds the first @size bytes. */
void guest_ram_divide (GuestRam *ram, uint64_t size);

/* Where @size bytes at the guest-physical address @gpa are, or NULL if that isn't RAM. */
static inline void *
guest_ram_at (const GuestRam *ram, uint64_t gpa, uint64_t size)
{
  uint64_t low_size = __atomic_load_n (&ram->low_size, __ATOMIC_RELAXED); /* it may grow now */
  if (gpa < low_size && size <= low_size - gpa)
    return ram->vaddr + gpa;
  uint64_t high_size = __atomic_load_n (&ram->high_size, __ATOMIC_RELAXED);
  gpa -= GUEST_RAM_HIGH;
  if (gpa < high_size && size <= high_size - gpa)
    return ram->vaddr + GUEST_RAM_LOW_MAX + gpa;
  return NULL;
}

#endif
