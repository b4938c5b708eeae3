/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The guests for x86-64, and the tables that they find: page tables and a GDT. */
#include <string.h>

#include "guests/guests.h"

extern const uint8_t guest_ticker_start[] __attribute__ ((visibility ("hidden")));
extern const uint8_t guest_ticker_end[] __attribute__ ((visibility ("hidden")));
extern const uint8_t guest_memcheck_start[] __attribute__ ((visibility ("hidden")));
extern const uint8_t guest_memcheck_end[] __attribute__ ((visibility ("hidden")));
extern const uint8_t guest_edu_start[] __attribute__ ((visibility ("hidden")));
extern const uint8_t guest_edu_end[] __attribute__ ((visibility ("hidden")));

static const BuiltInGuest built_in[] = {
  { "ticker", guest_ticker_start, guest_ticker_end },
  { "memcheck", guest_memcheck_start, guest_memcheck_end },
  { "edu", guest_edu_start, guest_edu_end },
  { .name = NULL },
};

#define PTE_TABLE      0x003 /* present, writable */
#define PTE_HUGE_PAGE  0x083
#define GDT_DATA       0x00cf92000000ffffULL
#define GDT_CODE_64BIT 0x00af9a000000ffffULL

/* For all the RAM that there may be one day. */
static unsigned
count_page_dirs (const GuestRam *ram)
{
  uint64_t end = GUEST_RAM_HIGH + (ram->max_size - MIN (ram->max_size, GUEST_RAM_LOW_MAX));
  return (unsigned) ((end + (1ULL << 30) - 1) >> 30);
}

static uint64_t
build_tables (const GuestRam *ram)
{
  uint64_t *pml4 = guest_ram_at (ram, GUEST_PML4, 4096);
  uint64_t *pdpt = guest_ram_at (ram, GUEST_PDPT, 4096);
  unsigned n_dirs = count_page_dirs (ram);
  uint64_t *pages = guest_ram_at (ram, GUEST_TABLES, 4096ULL * n_dirs);

  memset (pml4, 0, 4096);
  memset (pdpt, 0, 4096);
  pml4[0] = GUEST_PDPT | PTE_TABLE;
  for (unsigned i = 0; i < n_dirs; i++)
    pdpt[i] = (GUEST_TABLES + 4096ULL * i) | PTE_TABLE;
  for (unsigned i = 0; i < 512 * n_dirs; i++)
    pages[i] = (uint64_t) i << 21 | PTE_HUGE_PAGE;

  uint64_t *gdt = guest_ram_at (ram, GUEST_GDT, 4 * sizeof *gdt);
  gdt[0] = gdt[1] = 0;
  gdt[2] = GDT_DATA;
  gdt[3] = GDT_CODE_64BIT;
  return GUEST_TABLES + 4096ULL * n_dirs;
}

const GuestKind guests_x86 = { built_in, build_tables, 0, 0 };
