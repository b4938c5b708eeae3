/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The guests for AArch64, and the one table of pages that they find. */
#include <string.h>

#include "guests/guests.h"

extern const uint8_t guest_arm64_ticker_start[] __attribute__ ((visibility ("hidden")));
extern const uint8_t guest_arm64_ticker_end[] __attribute__ ((visibility ("hidden")));
extern const uint8_t guest_arm64_memcheck_start[] __attribute__ ((visibility ("hidden")));
extern const uint8_t guest_arm64_memcheck_end[] __attribute__ ((visibility ("hidden")));

static const BuiltInGuest built_in[] = {
  { "ticker", guest_arm64_ticker_start, guest_arm64_ticker_end },
  { "memcheck", guest_arm64_memcheck_start, guest_arm64_memcheck_end },
  { .name = NULL },
};

/* Blocks of 1 GiB that have been accessed and only EL1 may access. Attributes by their number in
 * MAIR_EL1, see kvm-arm64.c. */
#define BLOCK        0x401
#define BLOCK_NORMAL (BLOCK | 0 << 2 | 3 << 8)                  /* inner shareable */
#define BLOCK_DEVICE (BLOCK | 1 << 2 | 1ULL << 53 | 1ULL << 54) /* without code */

#define DEVICES (GUEST_GIC_DIST >> 30)

G_STATIC_ASSERT (GUEST_GIC_REDIST + MINIVMM_VCPUS_MAX * GUEST_GIC_REDIST_SIZE <= GUEST_PORTS);
G_STATIC_ASSERT (GUEST_RAM_LOW_MAX >> 30 <= DEVICES && GUEST_RAM_HIGH >> 30 > DEVICES);

/* Nothing beyond the RAM that there may be one day: a CPU may read ahead. */
static uint64_t
build_tables (const GuestRam *ram)
{
  uint64_t *table = guest_ram_at (ram, GUEST_PDPT, 4096);
  uint64_t low = MIN (ram->max_size, GUEST_RAM_LOW_MAX), high = ram->max_size - low;
  uint64_t n_low = (low + (1ULL << 30) - 1) >> 30, n_high = (high + (1ULL << 30) - 1) >> 30;

  memset (table, 0, 4096);
  for (uint64_t i = 0; i < n_low; i++)
    table[i] = i << 30 | BLOCK_NORMAL;
  table[DEVICES] = (uint64_t) DEVICES << 30 | BLOCK_DEVICE;
  for (uint64_t i = GUEST_RAM_HIGH >> 30; i < (GUEST_RAM_HIGH >> 30) + n_high; i++)
    table[i] = i << 30 | BLOCK_NORMAL;
  memset (guest_ram_at (ram, GUEST_TABLES, GUEST_GIC_TABLES_END - GUEST_TABLES), 0,
          GUEST_GIC_TABLES_END - GUEST_TABLES);
  return GUEST_GIC_TABLES_END;
}

const GuestKind guests_arm64 = { built_in, build_tables, GUEST_TABLES, GUEST_GIC_TABLES_END };
