/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_TESTS_CONVERT_TABLES_H
#define CPR_TESTS_CONVERT_TABLES_H

#include <libcpr/libcpr.h>

#include "choices.h"
#include "fuzz.h"

/* Tables of fields that a writer and a reader could have, made from an input: much alike, since
 * a reader comes from a writer by changes that happen to programs. They obey all rules.
 *
 * A struct in memory begins with 8 bytes that no field describes; in the first of them bit n
 * says that the n-th group of fields is needed. */
typedef struct
{
  Choices *choices;
  GPtrArray *structs; /* Table */
  GArray *pairs;      /* Pair, whole ones that may be used again */
  GPtrArray *strings;
  unsigned n_fields; /* so far */
  unsigned n_lists;
} Tables;

typedef struct
{
  const CprStruct *writer, *reader;
  unsigned depth; /* structs within, themselves included */
} Pair;

#define TABLES_HEADER 8
#define TABLES_GROUPS 8

void tables_init (Tables *tables, Choices *choices);
void tables_clear (Tables *tables);

Pair tables_make_pair (Tables *tables);

/* Changes one of the tables so that it may be wrong. Afterwards the tables may only be checked. */
void tables_spoil (Tables *tables, Choices *choices);

static inline bool
field_is_group (const CprField *field)
{
  return field->needed != NULL;
}

static inline bool
field_is_number (const CprField *field)
{
  return field->kind <= CPR_KIND_FLOAT || field->kind == CPR_KIND_TIME;
}

/* The bit of the header that says whether the group is needed. */
unsigned field_get_group (const CprField *field);

#endif
