/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_UNIT_CARRY_H
#define TESTS_UNIT_CARRY_H

#include "helpers.h"
#include "stream/convert.h"

/* One program's tables write, and another program's tables read. Each reading is done twice, as
 * loading does it: first as a check without a destination, then for real. Bytes that pass the check
 * must not fail afterwards. */

/* A struct as it was written, with its schema as it was read. */
typedef struct
{
  CprWriter writer;
  CprSchema schema;
  uint32_t index;   /* of the struct */
  CprCursor fields; /* the struct's bytes */
} Carried;

/* Returns false if the struct can't be encoded. Clear @carried in any case. */
bool carried_write (Carried *carried, const CprStruct *from, const void *source, const CprCodec *codec, GError **error);
/* Takes bytes that no writer wrote. */
void carried_make (Carried *carried, const CprStruct *from, const void *bytes, size_t len);
bool carried_read (const Carried *carried, const CprStruct *to, void *target, const CprCodec *codec, GError **error);
void carried_clear (Carried *carried);

/* Writes and reads; @codec: NULL for structs without fds. */
bool carry_with (const CprStruct *from,
                 const void *source,
                 const CprStruct *to,
                 void *target,
                 const CprCodec *codec,
                 GError **error);
bool carry (const CprStruct *from, const void *source, const CprStruct *to, void *target, GError **error);

#endif
