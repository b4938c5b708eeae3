/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Values as they stand in the stream: fds by name, strings, and the walk over all values of a
 * struct. Called by encode.c and convert.c, and by cpr-inspect. */
#include "stream/value.h"

#include "base/error.h"

bool
cpr_fd_value_read (const CprSchemaField *field, CprCursor *cursor, const char **name, int *index, GError **error)
{
  uint32_t value;

  *name = cpr_cursor_get_string (cursor);
  value = cpr_cursor_get_u32 (cursor);
  if (cursor->failed)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "field '%s': an fd's name and index are cut off or damaged",
                      field->name);
  if ((*name)[0] == '\0' && value != 0)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "field '%s': an fd without a name has index %u, 0 expected",
                      field->name, value);
  if (value > G_MAXINT)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "field '%s': fd '%s' has index %u, at most %d expected", field->name,
                      *name, value, G_MAXINT);
  *index = (*name)[0] != '\0' ? (int) value : -1;
  return true;
}

bool
cpr_field_throw_cut_off (const CprSchemaField *field, GError **error)
{
  return cpr_throw (error, CPR_ERROR_CORRUPT, "field '%s' is cut off", field->name);
}

bool
cpr_bools_are_sane (const uint8_t *bytes, size_t count)
{
  for (size_t i = 0; i < count; i++)
    if (bytes[i] > 1)
      return false;
  return true;
}

bool
cpr_field_begin (const CprSchemaField *field, CprCursor *cursor, bool *present, uint32_t *count, GError **error)
{
  unsigned presence = 1;

  if ((field->flags & CPR_FIELD_FLAG_OPTIONAL) != 0)
    presence = cpr_cursor_get_u8 (cursor);
  *present = presence != 0;
  *count = field->kind == CPR_KIND_STRING ? 1 : field->count;
  if (presence == 0)
    *count = 0;
  else if ((field->flags & CPR_FIELD_FLAG_COUNTED) != 0)
    *count = cpr_cursor_get_u32 (cursor);
  if (cursor->failed)
    return cpr_field_throw_cut_off (field, error);
  if (presence > 1)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "field '%s': its presence is %u", field->name, presence);
  if (*count > field->count)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "field '%s' has %u of %u elements", field->name, *count, field->count);
  return true;
}

const uint8_t *
cpr_string_value_read (const CprSchemaField *field, CprCursor *cursor, uint32_t *len, GError **error)
{
  const uint8_t *bytes, *zero;

  *len = cpr_cursor_get_u32 (cursor);
  bytes = cpr_cursor_get (cursor, *len);
  zero = bytes != NULL ? memchr (bytes, 0, *len) : NULL;
  if (bytes == NULL)
    cpr_field_throw_cut_off (field, error);
  else if (*len > field->count)
    cpr_throw (error, CPR_ERROR_CORRUPT, "field '%s': a string of %u bytes, at most %u expected", field->name, *len,
               field->count);
  else if (zero != NULL)
    cpr_throw (error, CPR_ERROR_CORRUPT, "field '%s': a string of %u bytes ends before, with a zero byte at %zu",
               field->name, *len, (size_t) (zero - bytes));
  else
    return bytes;
  return NULL;
}

#define TELL(visitor, what, ...)                        \
  do                                                    \
    {                                                   \
      if ((visitor) != NULL && (visitor)->what != NULL) \
        (visitor)->what (__VA_ARGS__);                  \
    }                                                   \
  while (0)

static bool
walk_numbers (const CprSchemaField *field, CprCursor *cursor, uint32_t count, const CprVisitor *visitor, GError **error)
{
  const uint8_t *at = cpr_cursor_get (cursor, (size_t) count * field->width);

  if (at == NULL)
    return cpr_field_throw_cut_off (field, error);
  if (field->kind == CPR_KIND_BOOL && !cpr_bools_are_sane (at, count))
    return cpr_throw (error, CPR_ERROR_CORRUPT, "field '%s': a bool is neither 0 nor 1", field->name);
  for (uint32_t i = 0; visitor != NULL && visitor->number != NULL && i < count; i++)
    visitor->number (field, cpr_number_load (field->kind, field->width, at + (size_t) i * field->width),
                     visitor->user_data);
  return true;
}

static bool
walk_bytes (const CprSchemaField *field, CprCursor *cursor, uint32_t len, const CprVisitor *visitor, GError **error)
{
  const uint8_t *bytes;

  if (field->kind == CPR_KIND_STRING)
    {
      bytes = cpr_string_value_read (field, cursor, &len, error);
      if (bytes == NULL)
        return false;
    }
  else
    {
      bytes = cpr_cursor_get (cursor, len);
      if (bytes == NULL)
        return cpr_field_throw_cut_off (field, error);
    }
  TELL (visitor, bytes, bytes, len, visitor->user_data);
  return true;
}

static bool
walk_fd (
    const CprSchemaField *field, CprCursor *cursor, const CprCodec *codec, const CprVisitor *visitor, GError **error)
{
  const char *name;
  int index;

  if (!cpr_fd_value_read (field, cursor, &name, &index, error))
    return false;
  if (index >= 0 && codec != NULL && codec->find_fd (codec->fds, name, index) < 0)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "field '%s': the fd '%s' %d isn't in the state", field->name, name,
                      index);
  TELL (visitor, fd, name, index, visitor->user_data);
  return true;
}

static bool
walk_values (const CprSchema *schema,
             const CprSchemaField *field,
             CprCursor *cursor,
             uint32_t count,
             const CprCodec *codec,
             const CprVisitor *visitor,
             GError **error)
{
  switch (field->kind)
    {
    case CPR_KIND_BYTES:
    case CPR_KIND_STRING:
      return walk_bytes (field, cursor, count, visitor, error);
    case CPR_KIND_STRUCT:
      for (uint32_t i = 0; i < count; i++)
        if (!cpr_struct_walk (schema, field->struct_index, cursor, codec, visitor, error))
          {
            g_prefix_error (error, "field '%s': ", field->name);
            return false;
          }
      return true;
    case CPR_KIND_FD:
      for (uint32_t i = 0; i < count; i++)
        if (!walk_fd (field, cursor, codec, visitor, error))
          return false;
      return true;
    default:
      return walk_numbers (field, cursor, count, visitor, error);
    }
}

bool
cpr_field_walk (const CprSchema *schema,
                const CprSchemaField *field,
                CprCursor *cursor,
                const CprCodec *codec,
                const CprVisitor *visitor,
                GError **error)
{
  bool list = (field->flags & CPR_FIELD_FLAG_ARRAY) != 0 && field->kind != CPR_KIND_BYTES;
  uint32_t count;
  bool present;

  if (!cpr_field_begin (field, cursor, &present, &count, error))
    return false;
  TELL (visitor, begin_field, field, visitor->user_data);
  if (!present)
    {
      TELL (visitor, absent, visitor->user_data);
      return true;
    }
  if (list)
    TELL (visitor, begin_list, count, visitor->user_data);
  if (!walk_values (schema, field, cursor, count, codec, visitor, error))
    return false;
  if (list)
    TELL (visitor, end_list, visitor->user_data);
  return true;
}

bool
cpr_struct_walk (const CprSchema *schema,
                 uint32_t struct_index,
                 CprCursor *cursor,
                 const CprCodec *codec,
                 const CprVisitor *visitor,
                 GError **error)
{
  const CprSchemaStruct *type = cpr_schema_get_struct (schema, struct_index);

  TELL (visitor, begin_struct, visitor->user_data);
  for (guint i = 0; i < type->fields->len; i++)
    if (!cpr_field_walk (schema, &g_array_index (type->fields, CprSchemaField, i), cursor, codec, visitor, error))
      return false;
  TELL (visitor, end_struct, visitor->user_data);
  return true;
}
