/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_STREAM_STRUCT_H
#define CPR_STREAM_STRUCT_H

#include "stream/value.h"

/* A program's own structs: the tables of fields, and what they describe in memory. */

/* Whether a static table of fields can be right. */
bool cpr_struct_check (const CprStruct *type, GError **error);

/* Writes a struct's fields, packed. */
bool
cpr_struct_encode (const CprStruct *type, const void *source, const CprCodec *codec, CprWriter *writer, GError **error);

/* A field's place in its struct, or the variable that it is. */
static inline uint8_t *
cpr_field_get_place (const CprField *field, const void *owner)
{
  return field->variable != NULL ? field->variable : (uint8_t *) owner + field->offset;
}

/* Where a field's values are: at its place, or on the heap. */
static inline void *
cpr_field_at (const CprField *field, const void *owner)
{
  uint8_t *at = cpr_field_get_place (field, owner);
  void *heap;

  if (field->layout != CPR_LAYOUT_HEAP)
    return at;
  memcpy (&heap, at, sizeof heap);
  return heap;
}

/* Makes a field empty: what an absent one stands for, but for numbers with a default. Frees what
 * it had on the heap. */
void cpr_field_clear (const CprField *field, void *owner);

/* Frees what the elements behind the first @count that are in use have on the heap: of structs
 * in the struct, else nothing. */
void cpr_field_shrink (const CprField *field, void *owner, uint64_t count);

#endif
