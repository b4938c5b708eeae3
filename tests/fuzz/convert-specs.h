/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_TESTS_CONVERT_SPECS_H
#define CPR_TESTS_CONVERT_SPECS_H

#include <libcpr/libcpr.h>

#include "choices.h"

typedef enum
{
  ONE,
  ARRAY,
  COUNTED,
  HEAP,
  LIST,
  POINTER,
  GROUP,
  RETIRED
} Variant;

/* A field before it has a place. */
typedef struct
{
  CprKind kind;
  Variant variant;
  unsigned width, count_width;
  size_t count;
  bool optional, ignorable;
  unsigned group; /* which */
  uint64_t default_value;
} Spec;

/* Turns a field into one that is permitted. */
void spec_fit (Spec *spec);
Spec spec_choose (Choices *choices);
/* Another program's version of the field. */
Spec spec_change (Spec spec, Choices *choices);

/* A number as a field of this kind and width holds it, in 64 bits. */
uint64_t number_fit (CprKind kind, size_t width, uint64_t value);
/* Chooses a number, often one at an edge of what some type can hold. */
uint64_t number_choose (Choices *choices, CprKind kind, size_t width);

#endif
