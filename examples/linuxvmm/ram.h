/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LINUXVMM_RAM_H
#define LINUXVMM_RAM_H

#include <libcpr/libcpr.h>

/* One block, which the guest has in one or two pieces. */
typedef struct
{
  CprRamBlock *block;
  uint8_t *vaddr;
  uint64_t low_size;  /* from address 0 on */
  uint64_t high_size; /* from RAM_HIGH on */
} GuestRam;

bool ram_new (GuestRam *ram, CprSession *session, uint64_t size, GError **error);

/* NULL: not all of it is RAM. */
void *ram_at (const GuestRam *ram, uint64_t address, uint64_t size);

#endif
