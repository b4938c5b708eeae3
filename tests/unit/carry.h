/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_UNIT_CARRY_H
#define TESTS_UNIT_CARRY_H

#include "helpers.h"
#include "stream/convert.h"

/* What one program's tables wrote is read by another program's. Each reading is done twice, as
 * loading does it: a check without a destination, and then for real; what passes the check must
 * not fail afterwards. */

/* A struct as it was written, with its schema as it was read. */
typedef struct
{
  CprWriter writer;
  CprSchema schema;
  uint32_t index;   /* of the struct */
  CprCursor fields; /* the struct's bytes */
} Carried;

/* False: it can't be encoded. Clear it in any case. */
bool carried_write (Carried *carried, const CprStruct *from, const void *source, const CprCodec *codec, GError **error);
/* Bytes that nobody wrote. */
void carried_make (Carried *carried, const CprStruct *from, const void *bytes, size_t len);
bool carried_read (const Carried *carried, const CprStruct *to, void *target, const CprCodec *codec, GError **error);
void carried_clear (Carried *carried);

/* All of it. */
bool carry (const CprStruct *from, const void *source, const CprStruct *to, void *target, GError **error);

#endif
