/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LINUXVMM_OPTIONS_H
#define LINUXVMM_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#define CPUS_MAX 64

typedef struct
{
  const char *kernel;
  const char *initrd; /* NULL: none */
  const char *append;
  const char *disk; /* NULL: none */
  const char *net;  /* NULL: none */
  const char *rng;  /* NULL: none */
  const char *serial;
  const char *control;  /* NULL: none */
  const char *incoming; /* NULL: none */
  uint64_t memory;
  unsigned n_cpus;
  bool help;
} Options;

/* The texts are those of @argv. */
bool options_parse (Options *options, char **argv, GError **error);
void options_print_help (void);

/* How many virtio devices the guest has. */
unsigned options_count_virtio (const Options *options);

/* @argv without --incoming, for g_free(): a fresh VM. */
char **options_without_incoming (char *const *argv);

#endif
