/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef GOLDEN_STORED_H
#define GOLDEN_STORED_H

#include "registry/ram/store.h"

/* A state of reboot mode with its RAM, always of the same bytes. It was written to
 * tests/golden/v1/reboot-area.cpr.gz and reboot-pipe.cpr, and never changes. */

#define STORED_RAM_SIZE   (CPR_RAM_PIECE + 4 * 4096) /* "pc.ram", a memfd: two pieces */
#define STORED_ROM_SIZE   8192                       /* "rom", private memory */
#define STORED_NVRAM_SIZE 4096                       /* "nvram", in place in a file */

/* A copied block has bytes in its first page, in the fourth and in the last one, and zeros in the
 * rest. */
void stored_fill (uint8_t *memory, size_t size);

/* Where the area begins; the stream is short. */
#define STORED_BASE CPR_RAM_AREA_ALIGN

/* Writes the state into @file, which is empty. */
void stored_write (CprRamLayout layout, int file);

#endif
