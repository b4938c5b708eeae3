/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MINIVMM_GUESTS_H
#define MINIVMM_GUESTS_H

#include "guests/abi.h"
#include "ram.h"

#define GUEST_RAM_UNIT (2ULL << 20)
#define GUEST_RAM_MIN  (4ULL << 20)
#define GUEST_RAM_MAX  (511ULL << 30)

/* How a vCPU enters the guest: abi.h says which registers these are. */
typedef struct
{
  uint64_t pc;
  uint64_t sp;
  uint64_t vcpu;
  uint64_t n_vcpus;
  uint64_t boot_info;
} GuestEntry;

typedef struct
{
  const char *name; /* NULL ends a list */
  const uint8_t *start;
  const uint8_t *end;
} BuiltInGuest;

/* The guests for one architecture. */
typedef struct
{
  const BuiltInGuest *built_in;
  /* Makes the tables with which the CPU finds all of RAM one to one. Returns where RAM begins that
   * is the guest's. */
  uint64_t (*build_tables) (const GuestRam *ram);
  /* RAM to which an irqchip in the kernel writes by itself when its state is saved or loaded, in
   * the first 2 MiB; both 0: none. */
  uint64_t irqchip_start;
  uint64_t irqchip_end;
} GuestKind;

extern const GuestKind guests_x86;
extern const GuestKind guests_arm64; /* in a VMM for AArch64 only */

/* All vCPUs' reports: sums, and the longest gap. */
typedef struct
{
  uint64_t n_reports;
  uint64_t ticks;
  uint64_t passes;
  uint64_t progress;
  uint64_t errors;
  uint64_t first_bad;
  uint64_t longest_gap;
  uint64_t doubled; /* how often it was let go while another program ran it */
} GuestReport;

/* The guest's counts of a function's DMA. */
typedef struct
{
  uint64_t begun;
  uint64_t msis;
  uint64_t unexplained;
} GuestDmaReport;

/* Makes a fresh VM's RAM: tables, boot info and the guest @name, which is built in or a file. */
bool guest_load (const GuestRam *ram, const GuestKind *kind, const char *name, GError **error);

GuestEntry guest_get_entry (unsigned vcpu, unsigned n_vcpus);

/* Says how much RAM there is by now; a guest looks now and then. */
void guest_tell_ram (const GuestRam *ram);

/* Around each time in which this program runs the guest. */
void guest_claim (const GuestRam *ram);
void guest_release (const GuestRam *ram);

/* Waits until a guest that has something to do before it sleeps has done it; @runs: whether it
 * does, now. */
bool guest_put_to_sleep (const GuestRam *ram, bool runs, GError **error);
/* It finds its devices as if they had been without power. */
void guest_wake (const GuestRam *ram);

/* These may be called while the guest runs. */
void guest_get_report (const GuestRam *ram, unsigned n_vcpus, GuestReport *report);
void guest_get_dma_report (const GuestRam *ram, GuestDmaReport *report);
void guest_reset_gaps (const GuestRam *ram, unsigned n_vcpus);

#endif
