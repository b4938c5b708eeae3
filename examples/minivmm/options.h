/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MINIVMM_OPTIONS_H
#define MINIVMM_OPTIONS_H

#include <libcpr/libcpr.h>

#define MINIVMM_VCPUS_MAX 64

/* Which build this is; a later one knows more, see serial.c. */
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
  const char *disk;
  const char *monitor;
  bool verify_ram;
  bool guardian;
  const char *fail_at;
  const char *fail_by;
  unsigned deadline_ms; /* 0: the library's */
} Options;

/* Without side effects: nothing may happen outside the process before cpr_session_new(). */
bool options_parse (Options *options, int argc, char **argv, GError **error);

const char *options_get_help (void);

#endif
