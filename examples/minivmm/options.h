/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MINIVMM_OPTIONS_H
#define MINIVMM_OPTIONS_H

#include <libcpr/libcpr.h>

#define MINIVMM_VCPUS_MAX 64

/* The strings point into main()'s argv. */
typedef struct
{
  bool help;
  const char *name;
  uint64_t ram_size;
  uint64_t ram_max; /* 0: it doesn't grow */
  CprRamBackend ram_backend;
  const char *ram_path;
  bool prealloc;
  unsigned n_vcpus;
  const char *guest;
  const char *serial;
  const char *disk;
  const char *vfio; /* the function's address; NULL: none */
  bool vfio_trap;   /* its BARs */
  CprVfioBackend vfio_backend;
  unsigned dma_parts;
  const char *monitor;
  const char *stay; /* after a transfer: another monitor's path; NULL: end */
  bool no_guardian;
  bool no_preflight;
  bool run_through;
  bool no_way_back; /* there needn't be one */
  unsigned preflight_timeout_ms;
  unsigned deadline_ms;     /* 0: the library's */
  unsigned pause_budget_ms; /* 0: none */
  const char *incoming;     /* where a VM comes from; NULL: a fresh one */
  bool incoming_map;
} Options;

/* One option of the command line. Which of the members after `parse` are used depends on that. */
typedef struct _Option Option;
struct _Option
{
  const char *name;  /* without the dashes; NULL ends a table */
  const char *value; /* what the help calls it; NULL: the option has none */
  const char *help;
  bool (*parse) (const Option *option, const char *value, Options *options, GError **error);
  size_t member; /* where in Options the value goes */
  unsigned least;
  unsigned most;
  const char *const *choices; /* NULL ends the list */
};

/* Without side effects: nothing may happen outside the process before cpr_session_new(). */
bool options_parse (Options *options, char **argv, GError **error);

void options_print_help (void);

/* "64M": a size that guest RAM can have. @what: where it stands, for the error. */
bool options_parse_size (const char *what, const char *value, uint64_t *size, GError **error);

/* For an option's `parse`. */
bool option_choose (const Option *option, const char *value, const char **choice, GError **error);

#endif
