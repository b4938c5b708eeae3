/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MINIVMM_GUESTS_H
#define MINIVMM_GUESTS_H

#include "guests/abi.h"
#include "ram.h"

#define GUEST_RAM_UNIT (2ULL << 20)
#define GUEST_RAM_MIN  (4ULL << 20)
#define GUEST_RAM_MAX  (511ULL << 30)

/* The registers with which a vCPU enters the guest. */
typedef struct
{
  uint64_t rip;
  uint64_t rsp;
  uint64_t rdi;
  uint64_t rsi;
  uint64_t rdx;
} GuestEntry;

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

/* Makes a fresh VM's RAM: page tables, GDT, boot info and the guest @name, which is built in or
 * a file. */
bool guest_load (const GuestRam *ram, const char *name, GError **error);

GuestEntry guest_get_entry (unsigned vcpu, unsigned n_vcpus);

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
