/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MINIVMM_OPTIONS_H
#define MINIVMM_OPTIONS_H

#include <libcpr/libcpr.h>

#define MINIVMM_VCPUS_MAX 64
#define MINIVMM_CARDS_MAX 4

/* Which build this is, of a VMM that changes over the years: see serial.c and cards.c. Build 4
 * is for a test, of what an update must not change. */
#ifndef MINIVMM_BUILD
#  define MINIVMM_BUILD 1
#endif

/* The strings point into argv. */
typedef struct
{
  char **argv;
  bool help;
  const char *name;
  uint64_t ram_size;
  CprRamBackend ram_backend;
  const char *ram_path;
  bool prealloc;
  unsigned n_vcpus;
  const char *accel;
  const char *guest;
  const char *serial;
  unsigned n_cards;
  const char *cards[MINIVMM_CARDS_MAX];
  const char *disk;
  const char *vfio; /* the function's address; NULL: none */
  bool vfio_trap;   /* its BARs */
  CprVfioBackend vfio_backend;
  unsigned dma_parts;
  const char *monitor;
  const char *stay; /* after a transfer: another monitor's path; NULL: end */
  bool verify_ram;
  bool guardian;
  bool preflight;
  bool way_back; /* must exist */
  unsigned preflight_timeout_ms;
  const char *fail_at;
  const char *fail_by;
  unsigned deadline_ms;     /* 0: the library's */
  unsigned pause_budget_ms; /* 0: none */
  const char *incoming;     /* where a VM comes from; NULL: a fresh one */
  bool incoming_map;
} Options;

/* Without side effects: nothing may happen outside the process before cpr_session_new(). */
bool options_parse (Options *options, int argc, char **argv, GError **error);

const char *options_get_help (void);

#endif
