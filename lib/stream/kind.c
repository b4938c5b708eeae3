/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kinds of fields: which can be converted into which, and numbers of all widths. Called by
 * schema.c, encode.c and convert.c. */
#include "stream/kind.h"

#include <string.h>

static bool
is_integer (CprKind kind)
{
  return kind == CPR_KIND_BOOL || kind == CPR_KIND_UINT || kind == CPR_KIND_INT;
}

uint64_t
cpr_number_load (CprKind kind, size_t width, const void *at)
{
  uint64_t value = 0;
  unsigned unused_bits = (unsigned) (64 - 8 * width);

  memcpy (&value, at, width);
  if (kind == CPR_KIND_INT)
    value = (uint64_t) ((int64_t) (value << unused_bits) >> unused_bits);
  return value;
}

bool
cpr_kinds_convert (CprKind from, CprKind to)
{
  return from == to || (is_integer (from) && is_integer (to));
}

static bool
store_float (size_t width, void *at, size_t from_width, uint64_t value)
{
  double wide;
  float narrow;
  uint64_t again;

  if (from_width == width)
    again = value;
  else if (width == 8)
    {
      memcpy (&narrow, &value, sizeof narrow);
      wide = (double) narrow;
      memcpy (&again, &wide, sizeof wide);
    }
  else
    {
      memcpy (&wide, &value, sizeof wide);
      narrow = (float) wide;
      wide = (double) narrow;
      memcpy (&again, &wide, sizeof wide);
      if (again != value)
        return false;
      memcpy (&again, &narrow, sizeof narrow);
    }
  if (at != NULL)
    memcpy (at, &again, width);
  return true;
}

bool
cpr_number_store (CprKind kind, size_t width, void *at, CprKind from_kind, size_t from_width, uint64_t value)
{
  bool negative = from_kind == CPR_KIND_INT && (int64_t) value < 0;
  uint64_t most = UINT64_MAX >> (64 - 8 * width);

  if (!cpr_kinds_convert (from_kind, kind))
    return false;
  if (kind == CPR_KIND_FLOAT)
    return store_float (width, at, from_width, value);
  if (kind == CPR_KIND_BOOL)
    most = 1;
  else if (kind == CPR_KIND_INT)
    most >>= 1;
  if (negative ? kind != CPR_KIND_INT || ~value > most : value > most)
    return false;
  if (at != NULL)
    memcpy (at, &value, width);
  return true;
}

char *
cpr_kind_describe (CprKind kind, size_t width)
{
  static const char *const names[] = { "?", "bool", "uint", "int", "float", "bytes", "struct", "string", "fd", "time" };
  const char *name = kind < G_N_ELEMENTS (names) ? names[kind] : names[0];

  if (width == 0 || (kind != CPR_KIND_UINT && kind != CPR_KIND_INT && kind != CPR_KIND_FLOAT))
    return g_strdup (name);
  return g_strdup_printf ("%s of %zu byte%s", name, width, width == 1 ? "" : "s");
}
