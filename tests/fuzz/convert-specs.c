/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A field before it has a place in a struct: one that is permitted, and what becomes of it from one
 * program to the next. */
#include "convert-specs.h"

#include <string.h>

/* ---- Numbers. */

uint64_t
number_fit (CprKind kind, size_t width, uint64_t value)
{
  unsigned unused = (unsigned) (64 - 8 * width);

  if (kind == CPR_KIND_BOOL)
    return value & 1;
  value = value << unused >> unused;
  if (kind == CPR_KIND_INT && value >> (63 - unused) != 0)
    value |= ~(UINT64_MAX >> unused);
  return value;
}

static uint64_t
choose_float (Choices *choices)
{
  static const double some[] = { 0.0, -0.0, 1.0, -1.5, 0.1, 1e-40, 1e-45, 1e-46, 1e-310, 3.5e38, -1e300, 16777217.0 };
  static const uint64_t others[] = {
    UINT64_C (0x7ff0000000000000),                                /* infinite */
    UINT64_C (0xfff0000000000000), UINT64_C (0x7ff8000000000000), /* no number, quiet */
    UINT64_C (0x7ff0000020000000),                                /* signalling */
    UINT64_C (0xfff8000000000001),                                /* with more bits than a float has */
    UINT64_C (0x47efffffe0000000),                                /* the greatest float, and a little more */
    UINT64_C (0x47efffffe0000001), UINT64_C (0x36a0000000000000), /* the least float, and half of it */
    UINT64_C (0x3690000000000000),
  };
  unsigned n = choose (choices, 32);
  uint64_t bits;

  if (n < G_N_ELEMENTS (some))
    {
      memcpy (&bits, &some[n], sizeof bits);
      return bits;
    }
  n -= G_N_ELEMENTS (some);
  return n < G_N_ELEMENTS (others) ? others[n] : choose_bytes (choices, 8);
}

uint64_t
number_choose (Choices *choices, CprKind kind, size_t width)
{
  unsigned how;
  uint64_t value;

  if (kind == CPR_KIND_FLOAT)
    {
      value = choose_float (choices);
      if (width == 4 && choose (choices, 2) == 0) /* the same as a float, roughly */
        value = (value >> 63 << 31) | (value >> 29 & 0x7fffffff);
      return number_fit (kind, width, value);
    }
  how = choose_byte (choices);
  if (how < 32)
    value = how;
  else if (how < 64)
    value = choose_bytes (choices, 8);
  else /* around a power of two, or its negative */
    {
      value = (UINT64_C (1) << (how & 63)) + choose (choices, 3) - 1;
      if (how >= 128)
        value = -value;
    }
  return number_fit (kind, width, value);
}

/* ---- Fields. */

static Variant
fit_variant (CprKind kind, Variant variant)
{
  switch (kind)
    {
    case CPR_KIND_BYTES:
      return variant == ONE || variant > HEAP ? ARRAY : variant;
    case CPR_KIND_STRING:
      return variant == HEAP || variant == POINTER ? HEAP : ONE;
    case CPR_KIND_STRUCT:
      return variant == HEAP || variant == RETIRED ? POINTER : variant;
    case CPR_KIND_FD:
      return variant <= COUNTED ? variant : ONE;
    default:
      return variant > HEAP && variant != RETIRED ? ONE : variant;
    }
}

static unsigned
fit_width (CprKind kind, unsigned width)
{
  switch (kind)
    {
    case CPR_KIND_UINT:
    case CPR_KIND_INT:
      return width;
    case CPR_KIND_FLOAT:
      return width < 4 ? 4 : width;
    case CPR_KIND_FD:
      return 4;
    case CPR_KIND_TIME:
      return 8;
    default:
      return 1;
    }
}

void
spec_fit (Spec *spec)
{
  bool number = spec->kind <= CPR_KIND_FLOAT || spec->kind == CPR_KIND_TIME;

  spec->variant = fit_variant (spec->kind, spec->variant);
  spec->width = fit_width (spec->kind, spec->width);
  if (spec->kind == CPR_KIND_STRUCT)
    {
      if (spec->variant == POINTER || spec->variant == GROUP)
        spec->optional = true;
      else if (spec->variant == ONE || spec->variant == ARRAY)
        spec->optional = false;
    }
  if (spec->kind == CPR_KIND_STRING && spec->variant == HEAP)
    spec->optional = true;
  if (spec->variant == RETIRED)
    spec->optional = false;
  spec->ignorable = spec->ignorable && spec->optional;
  if (spec->kind != CPR_KIND_STRING &&
      (spec->variant == ONE || spec->variant == POINTER || spec->variant == GROUP || spec->variant == RETIRED))
    spec->count = 1;
  spec->count = MAX (spec->count, 1);
  if (!number || (!spec->optional && spec->variant != RETIRED))
    spec->default_value = 0;
  else
    spec->default_value = number_fit (spec->kind, spec->width, spec->default_value);
}

static size_t
choose_count (Choices *choices)
{
  unsigned n = choose (choices, 32);

  if (n < 28)
    return 1 + n % 7;
  return n < 30 ? 40 : n == 30 ? 256 : 300;
}

static unsigned
choose_width (Choices *choices)
{
  return 1u << choose (choices, 4);
}

Spec
spec_choose (Choices *choices)
{
  unsigned flags = choose_byte (choices);
  Spec spec = { .optional = (flags & 1) != 0, .ignorable = (flags & 6) == 6 };

  spec.kind = 1 + choose (choices, 9);
  spec.variant = choose (choices, 8);
  spec.width = choose_width (choices);
  spec.count_width = 1u << (flags >> 6);
  if (spec.variant != ONE || spec.kind == CPR_KIND_STRING)
    spec.count = choose_count (choices);
  if (spec.optional || spec.variant == RETIRED)
    spec.default_value = number_choose (choices, spec.kind, fit_width (spec.kind, spec.width));
  spec_fit (&spec);
  return spec;
}

Spec
spec_change (Spec spec, Choices *choices)
{
  switch (choose (choices, 16))
    {
    case 1:
      spec.kind = 1 + choose (choices, 9);
      break;
    case 2:
      spec.variant = choose (choices, 8);
      break;
    case 3:
    case 4:
      spec.width = choose_width (choices);
      break;
    case 5:
      spec.count = choose_count (choices);
      break;
    case 6:
      spec.count_width = choose_width (choices);
      break;
    case 7:
      spec.optional = !spec.optional;
      break;
    case 8:
      spec.ignorable = !spec.ignorable;
      break;
    case 9:
      spec.default_value = number_choose (choices, spec.kind, spec.width);
      break;
    case 10:
      spec.kind = CPR_KIND_BOOL + choose (choices, 3);
      spec.width = choose_width (choices);
      break;
    case 11:
      spec.variant = COUNTED + choose (choices, 2);
      break;
    default:
      break;
    }
  spec_fit (&spec);
  return spec;
}
