/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_UNIT_PROGRAMS_H
#define TESTS_UNIT_PROGRAMS_H

#include "helpers.h"

/* Two programs with devices: one saves, and the other loads. The state between them is complete,
 * but its manifest has only a schema. */
typedef struct
{
  CprDeviceTable saved, loaded;
  CprFdTable fds; /* of both */
  CprSchemaBuilder builder;
  CprWriter writer;
  int fd;             /* where the state goes instead of memory, or -1 */
  char *verify_error; /* of the last load: what is wrong with the sections for any program; NULL: nothing */
} Programs;

void programs_init (Programs *programs);
void programs_clear (Programs *programs);
void programs_use_fd (Programs *programs);

/* The header and everything before the first SECTION; then sections made by hand; then the end. */
void programs_begin (Programs *programs);
void programs_end (Programs *programs);
/* The head of a section; its fields are to follow, and the end of the chunk. */
void programs_begin_section (Programs *programs, const char *device, uint32_t type, uint32_t reserved);

bool programs_save (Programs *programs, GError **error);
/* Checks all, then gives the devices their state. */
bool programs_load (Programs *programs, GError **error);
/* Both, which have to work. */
void programs_carry (Programs *programs);

#endif
