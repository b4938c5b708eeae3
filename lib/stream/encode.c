/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "stream/schema.h"

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
cpr_number_store (CprKind kind, size_t width, void *at, CprKind from_kind, uint64_t value)
{
  bool negative = from_kind == CPR_KIND_INT && (int64_t) value < 0;
  uint64_t most = UINT64_MAX >> (64 - 8 * width);

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

static bool
has_default (const CprField *field, const void *at)
{
  uint64_t value = cpr_number_load (field->kind, field->width, at);

  return value == cpr_number_load (field->kind, field->width, &field->default_value);
}

static bool
encode_field (const CprStruct *type, const CprField *field, const uint8_t *source, CprWriter *writer, GError **error)
{
  const uint8_t *at = source + field->offset;
  uint64_t count = field->count;

  if ((field->flags & CPR_FIELD_FLAG_OPTIONAL) != 0)
    {
      bool present = !has_default (field, at);

      cpr_writer_put_u8 (writer, present);
      if (!present)
        return true;
    }
  if ((field->flags & CPR_FIELD_FLAG_COUNTED) != 0)
    {
      count = cpr_number_load (CPR_KIND_UINT, field->count_width, source + field->count_offset);
      if (count > field->count)
        return cpr_throw (error, CPR_ERROR_INVALID,
                          "field '%s' of struct '%s': %" G_GUINT64_FORMAT " elements are counted, %zu is the most",
                          field->name, type->name, count, field->count);
      cpr_writer_put_u32 (writer, (uint32_t) count);
    }

  switch (field->kind)
    {
    case CPR_KIND_STRUCT:
      for (uint64_t i = 0; i < count; i++)
        if (!cpr_struct_encode (field->type, at + i * field->width, writer, error))
          return false;
      return true;
    case CPR_KIND_BOOL: /* a bool that holds anything but 0 and 1 is a bug elsewhere; it isn't spread */
      for (uint64_t i = 0; i < count; i++)
        cpr_writer_put_u8 (writer, at[i] != 0);
      return true;
    default:
      cpr_writer_put (writer, at, count * field->width);
      return true;
    }
}

bool
cpr_struct_encode (const CprStruct *type, const void *source, CprWriter *writer, GError **error)
{
  for (const CprField *field = type->fields; field->name != NULL; field++)
    if (!encode_field (type, field, source, writer, error))
      return false;
  return true;
}
