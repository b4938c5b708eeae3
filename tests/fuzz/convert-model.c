/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "convert-model.h"

#include <string.h>

bool
model_types_match (const CprDeviceType *from, const CprDeviceType *to)
{
  return strcmp (from->name, to->name) == 0 && from->version >= to->minimum_version && from->version <= to->version;
}

/* ---- Which fields go together. */

static bool
has_alias (const CprField *field, const char *name)
{
  const char *at = field->aliases;
  size_t len = strlen (name);

  while (at != NULL && *at != '\0')
    {
      const char *end = strchrnul (at, ' ');

      if ((size_t) (end - at) == len && strncmp (at, name, len) == 0)
        return true;
      at = *end != '\0' ? end + 1 : end;
    }
  return false;
}

static bool
same_field (const CprField *from, const CprField *to)
{
  return strcmp (from->name, to->name) == 0 || has_alias (to, from->name);
}

/* The field of one struct that is the same as one of the other, or -1. */
static int
find_reader (const CprField *from, const CprStruct *to)
{
  for (int i = 0; to->fields[i].name != NULL; i++)
    if (same_field (from, &to->fields[i]))
      return i;
  return -1;
}

static int
find_writer (const CprStruct *from, const CprField *to)
{
  for (int i = 0; from->fields[i].name != NULL; i++)
    if (same_field (&from->fields[i], to))
      return i;
  return -1;
}

static bool
is_integer (const CprField *field)
{
  return field->kind == CPR_KIND_UINT || field->kind == CPR_KIND_INT || field->kind == CPR_KIND_BOOL;
}

static bool
kinds_match (const CprField *from, const CprField *to)
{
  return from->kind == to->kind || (is_integer (from) && is_integer (to));
}

static bool
shapes_match (const CprField *from, const CprField *to)
{
  if (from->kind == CPR_KIND_STRING)
    return true;
  switch (from->shape)
    {
    case CPR_SHAPE_ONE:
      return to->shape == CPR_SHAPE_ONE;
    case CPR_SHAPE_COUNTED:
      return to->shape == CPR_SHAPE_COUNTED;
    default:
      return to->shape == CPR_SHAPE_ARRAY ? to->count == from->count
                                          : to->shape == CPR_SHAPE_COUNTED && to->count >= from->count;
    }
}

typedef struct
{
  const CprStruct *from, *to;
} Known;

static bool match (const CprStruct *from, const CprStruct *to, GArray *known);

static bool
fields_match (const CprField *from, const CprStruct *to, GArray *known)
{
  int reader = find_reader (from, to);
  const CprField *field = reader >= 0 ? &to->fields[reader] : NULL;

  if (field == NULL) /* what is absent, or may be dropped, is a matter of values */
    return from->optional;
  if (field->layout == CPR_LAYOUT_NONE)
    return true;
  return kinds_match (from, field) && shapes_match (from, field) &&
         (from->kind != CPR_KIND_STRUCT || match (from->type, field->type, known));
}

static bool
match (const CprStruct *from, const CprStruct *to, GArray *known)
{
  Known pair = { from, to };

  for (guint i = 0; i < known->len; i++)
    if (memcmp (&g_array_index (known, Known, i), &pair, sizeof pair) == 0)
      return true;
  for (const CprField *field = from->fields; field->name != NULL; field++)
    {
      int reader = find_reader (field, to);

      if (!fields_match (field, to, known))
        return false;
      /* The field stands in the state under two of its names. */
      if (reader >= 0 && &from->fields[find_writer (from, &to->fields[reader])] != field)
        return false;
    }
  for (const CprField *field = to->fields; field->name != NULL; field++)
    if (find_writer (from, field) < 0 && !field->optional && field->layout != CPR_LAYOUT_NONE)
      return false;
  g_array_append_val (known, pair);
  return true;
}

bool
model_matches (const CprStruct *from, const CprStruct *to)
{
  g_autoptr (GArray) known = g_array_new (FALSE, FALSE, sizeof (Known));

  return match (from, to, known);
}

/* ---- Numbers. */

static bool
convert_integer (const CprField *from, uint64_t value, const CprField *to, uint64_t *result)
{
  __int128 number = from->kind == CPR_KIND_INT ? (__int128) (int64_t) value : (__int128) value, least = 0, most = 1;
  unsigned bits = (unsigned) (8 * to->width);

  if (to->kind == CPR_KIND_UINT)
    most = ((__int128) 1 << bits) - 1;
  else if (to->kind == CPR_KIND_INT)
    {
      most = ((__int128) 1 << (bits - 1)) - 1;
      least = -most - 1;
    }
  *result = (uint64_t) number;
  return number >= least && number <= most;
}

#define DOUBLE_EXPONENT 0x7ff
#define FLOAT_NAN       0x7f800000u
/* Bits of a double's mantissa that a float doesn't have. */
#define LOST_BITS 29

/* Whether a float is the same number as a double that isn't 0, by the bits of the double. */
static bool
float_holds (uint64_t bits)
{
  unsigned exponent = (unsigned) (bits >> 52 & DOUBLE_EXPONENT);
  uint64_t mantissa = bits & (UINT64_MAX >> 12);
  unsigned lost = LOST_BITS;

  if (exponent == DOUBLE_EXPONENT) /* infinite; or no number, which must be a quiet one to come back as it was */
    return mantissa == 0 || ((mantissa >> 51) != 0 && mantissa << (64 - LOST_BITS) == 0);
  if (exponent > 1023 + 127 || exponent < 1023 - 149)
    return false;
  if (exponent < 1023 - 126) /* below the least normal float each step costs one bit */
    lost += 1023 - 126 - exponent;
  return (mantissa | UINT64_C (1) << 52) << (64 - lost) == 0;
}

static bool
narrow (uint64_t bits, uint64_t *result)
{
  double wide;
  float made;
  uint32_t made_bits;

  memcpy (&wide, &bits, sizeof wide);
  if (bits << 1 != 0 && !float_holds (bits))
    return false;
  made = (float) wide;
  memcpy (&made_bits, &made, sizeof made_bits);
  *result = made_bits;
  return true;
}

static uint64_t
widen (uint32_t bits)
{
  uint64_t sign = (uint64_t) (bits >> 31) << 63, mantissa = bits & 0x7fffff, result;
  double wide;
  float value;

  if ((bits & FLOAT_NAN) == FLOAT_NAN) /* what is no number becomes a quiet one */
    return sign | (uint64_t) DOUBLE_EXPONENT << 52 | mantissa << LOST_BITS | (uint64_t) (mantissa != 0) << 51;
  memcpy (&value, &bits, sizeof value);
  wide = value;
  memcpy (&result, &wide, sizeof result);
  return result;
}

static bool
convert_number (const CprField *from, uint64_t value, const CprField *to, uint64_t *result)
{
  *result = value;
  if (is_integer (from))
    return convert_integer (from, value, to, result);
  if (from->kind != CPR_KIND_FLOAT || from->width == to->width)
    return true;
  if (to->width == 4)
    return narrow (value, result);
  *result = widen ((uint32_t) value);
  return true;
}

/* ---- Values. */

static bool
all_are (const Value *value, uint64_t number)
{
  for (size_t i = 0; i < value->n; i++)
    if (value->numbers[i] != number)
      return false;
  return true;
}

/* Whether an optional field is in the state. */
static bool
is_present (const CprField *field, const Value *value)
{
  if (!field->optional || field->layout == CPR_LAYOUT_NONE)
    return true;
  if (field_is_group (field))
    return value->present;
  if (field->shape == CPR_SHAPE_COUNTED || field->kind == CPR_KIND_STRUCT)
    return value->n > 0;
  if (field->kind == CPR_KIND_STRING)
    return value->present && (value->n > 0 || field->layout == CPR_LAYOUT_HEAP);
  if (field->kind == CPR_KIND_FD)
    return !all_are (value, UINT64_MAX);
  if (field->kind != CPR_KIND_BYTES)
    return !all_are (value, field->default_value);
  for (size_t i = 0; i < value->n; i++)
    if (value->bytes[i] != 0)
      return true;
  return false;
}

static bool
count_fits (const CprField *to, size_t n)
{
  if (to->shape != CPR_SHAPE_COUNTED)
    return true;
  return n <= to->count && (to->layout == CPR_LAYOUT_LIST || to->count_width == 8 || n >> (8 * to->count_width) == 0);
}

/* The reader's own default, or nothing. Members of a group are left as they are. */
static void
set_default (const CprField *to, Value *result, uint64_t number)
{
  size_t n = to->shape == CPR_SHAPE_COUNTED ? 0 : to->count;

  if (to->layout == CPR_LAYOUT_NONE || field_is_group (to))
    return;
  if (to->kind == CPR_KIND_STRUCT)
    {
      result->n = 0;
      if (to->layout != CPR_LAYOUT_INLINE)
        value_set_objects (result, to->type, 0);
      return;
    }
  if (to->kind == CPR_KIND_STRING)
    {
      value_set_bytes (result, NULL, 0);
      result->present = to->layout == CPR_LAYOUT_INLINE;
    }
  else if (to->kind == CPR_KIND_BYTES)
    value_set_bytes (result, NULL, n);
  else
    {
      value_set_numbers (result, n);
      for (size_t i = 0; i < n; i++)
        result->numbers[i] = to->kind == CPR_KIND_FD ? UINT64_MAX : number;
    }
}

/* The value that the absence of the writer's field stands for. */
static bool
load_absent (const CprField *from, const CprField *to, Value *result)
{
  size_t n = from->shape == CPR_SHAPE_COUNTED ? 0 : from->count;
  uint64_t number = 0;

  if (to->kind == CPR_KIND_STRUCT && to->shape == CPR_SHAPE_ONE && to->layout == CPR_LAYOUT_INLINE &&
      !field_is_group (to))
    return false;
  if (field_is_number (from) && n > 0 && !convert_number (from, from->default_value, to, &number))
    return false;
  set_default (to, result, number);
  if (to->shape != CPR_SHAPE_COUNTED || to->kind == CPR_KIND_STRUCT)
    return true;
  if (!count_fits (to, n))
    return false;
  if (to->kind == CPR_KIND_BYTES)
    {
      value_set_bytes (result, NULL, n);
      return true;
    }
  value_set_numbers (result, n);
  for (size_t i = 0; i < n; i++)
    result->numbers[i] = to->kind == CPR_KIND_FD ? UINT64_MAX : number;
  return true;
}

static bool
load_numbers (
    const CprField *from, const Value *value, const CprField *to, Value *result, const Circumstances *circumstances)
{
  bool retired = from->layout == CPR_LAYOUT_NONE; /* in the state it is a field like another one */
  size_t n = retired ? 1 : value->n;

  value_set_numbers (result, n);
  for (size_t i = 0; i < n; i++)
    {
      if (!convert_number (from, retired ? from->default_value : value->numbers[i], to, &result->numbers[i]))
        return false;
      if (to->kind == CPR_KIND_TIME)
        result->numbers[i] += (uint64_t) circumstances->time_offset_ns;
    }
  return true;
}

static bool
load_fds (const Value *value, Value *result, const Circumstances *circumstances)
{
  value_set_numbers (result, value->n);
  for (size_t i = 0; i < value->n; i++)
    {
      uint64_t fd = value->numbers[i];

      if (fd != UINT64_MAX && fd >= FDS_GONE && circumstances->fds_gone)
        return false;
      result->numbers[i] = fd != UINT64_MAX ? fd + (uint64_t) circumstances->fd_offset : fd;
    }
  return true;
}

static bool
load_structs (
    const CprField *from, const Value *value, const CprField *to, Value *result, const Circumstances *circumstances)
{
  /* A struct that exists is filled. One that doesn't is made, of zeros. */
  if (to->layout == CPR_LAYOUT_LIST || (to->layout == CPR_LAYOUT_HEAP && result->n == 0))
    value_set_objects (result, to->type, value->n);
  result->n = value->n;
  for (size_t i = 0; i < value->n; i++)
    if (!model_load (from->type, value->objects->pdata[i], to->type, result->objects->pdata[i], circumstances))
      return false;
  return true;
}

static bool
load_present (
    const CprField *from, const Value *value, const CprField *to, Value *result, const Circumstances *circumstances)
{
  if (from->layout != CPR_LAYOUT_NONE && !count_fits (to, value->n))
    return false;
  switch (from->kind)
    {
    case CPR_KIND_STRUCT:
      return load_structs (from, value, to, result, circumstances);
    case CPR_KIND_FD:
      return load_fds (value, result, circumstances);
    case CPR_KIND_STRING:
      result->present = true;
      value_set_bytes (result, value->bytes, value->n);
      return value->n <= to->count;
    case CPR_KIND_BYTES:
      value_set_bytes (result, value->bytes, value->n);
      return true;
    default:
      return load_numbers (from, value, to, result, circumstances);
    }
}

bool
model_load (const CprStruct *from,
            const Object *source,
            const CprStruct *to,
            Object *object,
            const Circumstances *circumstances)
{
  for (size_t i = 0; i < source->n_values; i++)
    {
      const CprField *field = &from->fields[i];
      const Value *value = &source->values[i];
      bool present = is_present (field, value);
      int reader = find_reader (field, to);

      if (reader >= 0 && to->fields[reader].layout == CPR_LAYOUT_NONE)
        continue;
      if (reader < 0)
        {
          if (present && !field->ignorable)
            return false;
        }
      else if (present ? !load_present (field, value, &to->fields[reader], &object->values[reader], circumstances)
                       : !load_absent (field, &to->fields[reader], &object->values[reader]))
        return false;
    }
  for (size_t i = 0; i < object->n_values; i++)
    if (find_writer (from, &to->fields[i]) < 0)
      set_default (&to->fields[i], &object->values[i], to->fields[i].default_value);
  return true;
}
