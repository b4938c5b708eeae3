/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_TESTS_CONVERT_VALUES_H
#define CPR_TESTS_CONVERT_VALUES_H

#include "convert-tables.h"

/* The value of one field of a struct, wherever it lies in memory. */
typedef struct
{
  size_t n;           /* elements; of a string or BYTES: bytes */
  bool present;       /* of a pointer to a struct or string: whether there is one; of a group: whether it is needed */
  bool bad;           /* in memory it is something that can't be saved */
  uint64_t *numbers;  /* numbers and fds, `n` of them */
  uint8_t *bytes;     /* of a string or BYTES */
  GPtrArray *objects; /* of structs; where they are in an array in memory all of it, more than `n` */
} Value;

typedef struct
{
  size_t n_values;
  Value *values; /* one for each field */
} Object;

/* @budget: how many more objects there may be. @bad: NULL, or set where something can't be
 *     saved. */
Object *object_choose (const CprStruct *type, Choices *choices, unsigned *budget, bool *bad);
Object *object_zero (const CprStruct *type);
/* Values that hold nothing yet. */
Object *object_new (const CprStruct *type);
void object_free (void *object);

/* Puts all values into memory of the struct's size, and gets them out of it. */
void object_put (const CprStruct *type, const Object *object, uint8_t *memory);
Object *object_get (const CprStruct *type, const uint8_t *memory);
/* Frees what a struct has on the heap. */
void object_clear_memory (const CprStruct *type, uint8_t *memory);

bool objects_equal (const CprStruct *type, const Object *a, const Object *b);

/* Sets the bytes of @mask that a struct's fields may change. */
void object_mark_fields (const CprStruct *type, uint8_t *mask);

void value_set_objects (Value *value, const CprStruct *type, size_t n);
void value_set_numbers (Value *value, size_t n);
void value_set_bytes (Value *value, const uint8_t *bytes, size_t n);

/* Lists: CprList has no room for the type of the elements, so there is one for each of some
 * slots. */
#define LISTS 16
const CprList *list_slot (unsigned slot);
void list_set_type (unsigned slot, const CprStruct *type);

/* fds: names of the first come in the table, those from FDS_GONE on aren't known to the reader. */
#define FDS_FIRST 10
#define FDS_GONE  14
#define FDS_END   16

#endif
