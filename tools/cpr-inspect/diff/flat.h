/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_INSPECT_FLAT_H
#define CPR_INSPECT_FLAT_H

#include "../state.h"

/* One value of a device, with the way to it. */
typedef struct
{
  char *path; /* "queue[2].period", ready for printing */
  char *text; /* ready for printing; NULL: a list or bytes */
  CprSchemaField field;
  GPtrArray *list;      /* char *: the elements of a list, but of structs; or NULL */
  const uint8_t *bytes; /* of BYTES; or NULL */
  size_t len;
} FlatValue;

/* A device's values one after the other. */
typedef struct
{
  GPtrArray *values;   /* FlatValue */
  GHashTable *by_path; /* path → FlatValue */
} Flat;

void flat_init (Flat *flat, const InspectState *state, const InspectDevice *device);
void flat_clear (Flat *flat);

#endif
