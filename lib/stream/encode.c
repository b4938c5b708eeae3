/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writes a struct's fields in the order of its table. Called by the devices' save.c. */
#include "base/error.h"
#include "stream/struct.h"

static bool
all_default (const CprField *field, const uint8_t *at)
{
  uint64_t value = cpr_number_load (field->kind, field->width, &field->default_value);

  for (size_t i = 0; i < field->count; i++)
    {
      uint64_t is = cpr_number_load (field->kind, field->width, at + i * field->width);

      if (field->kind == CPR_KIND_BOOL ? (is != 0) != (value != 0) : is != value)
        return false;
    }
  return true;
}

static bool
all_bytes_are (const uint8_t *at, size_t len, uint8_t value)
{
  for (size_t i = 0; i < len; i++)
    if (at[i] != value)
      return false;
  return true;
}

/* Whether an optional field has to be written. */
static bool
is_needed (const CprField *field, const void *owner, const uint8_t *at, uint64_t count)
{
  if (field->needed != NULL)
    return field->needed (owner);
  if (field->shape == CPR_SHAPE_COUNTED)
    return count > 0;
  switch (field->kind)
    {
    case CPR_KIND_STRUCT:
      return at != NULL;
    case CPR_KIND_STRING: /* on the heap even an empty one is something */
      return at != NULL && (field->layout == CPR_LAYOUT_HEAP || *at != '\0');
    case CPR_KIND_BYTES:
      return !all_bytes_are (at, field->count, 0);
    case CPR_KIND_FD:
      return !all_bytes_are (at, field->count * field->width, 0xff);
    default:
      return !all_default (field, at);
    }
}

static uint64_t
count_list (const CprField *field, const void *container)
{
  uint64_t n = 0;

  for (void *at = NULL; n <= field->count && (at = field->list->get_next (container, at)) != NULL;)
    n++;
  return n;
}

static bool
count_elements (const CprField *field, const void *owner, const uint8_t *at, uint64_t *count, GError **error)
{
  *count = field->count;
  if (field->shape != CPR_SHAPE_COUNTED)
    return true;
  if (field->layout == CPR_LAYOUT_LIST)
    *count = count_list (field, at);
  else
    *count = cpr_number_load (CPR_KIND_UINT, field->count_width, (const uint8_t *) owner + field->count_offset);
  if (*count > field->count)
    return cpr_throw (error, CPR_ERROR_INVALID,
                      "field '%s': %s%" G_GUINT64_FORMAT " elements are counted, %zu is the most", field->name,
                      field->layout == CPR_LAYOUT_LIST ? "at least " : "", *count, field->count);
  if (*count > 0 && at == NULL)
    return cpr_throw (error, CPR_ERROR_INVALID,
                      "field '%s': %" G_GUINT64_FORMAT " elements are counted, there are none", field->name, *count);
  return true;
}

static bool
encode_string (const CprField *field, const uint8_t *at, CprWriter *writer, GError **error)
{
  size_t room = field->layout == CPR_LAYOUT_INLINE ? field->count + 1 : SIZE_MAX;
  size_t len = strnlen ((const char *) at, room);

  if (len > field->count)
    return cpr_throw (error, CPR_ERROR_INVALID, "field '%s': a string of more than %zu bytes", field->name,
                      field->count);
  cpr_writer_put_u32 (writer, (uint32_t) len);
  cpr_writer_put (writer, at, len);
  return true;
}

static bool
encode_fd (const CprField *field, const uint8_t *at, const CprCodec *codec, CprWriter *writer, GError **error)
{
  const char *name = "";
  int fd, index = 0;

  memcpy (&fd, at, sizeof fd);
  if (fd >= 0 && (codec == NULL || !codec->find_name (codec->fds, fd, &name, &index)))
    return cpr_throw (error, CPR_ERROR_INVALID, "field '%s': fd %d isn't in the fd table", field->name, fd);
  cpr_writer_put_string (writer, name);
  cpr_writer_put_u32 (writer, (uint32_t) index);
  return true;
}

/* All of it is written as it is, and it is always written. */
static bool
is_plain (const CprField *field)
{
  return field->layout == CPR_LAYOUT_INLINE && field->variable == NULL && !field->optional &&
         field->shape != CPR_SHAPE_COUNTED && cpr_kind_is_plain (field->kind);
}

/* As many plain fields as lie together, from @field on: where they begin, and their bytes. Returns
 * the field after them. */
static const CprField *
find_run (const CprField *field, size_t *begin, size_t *len)
{
  *begin = field->offset;
  *len = 0;
  for (; field->name != NULL && field->offset == *begin + *len && is_plain (field); field++)
    *len += field->count * field->width;
  return field;
}

/* An array of structs of plain fields only, run by run: a vCPU's MSRs are hundreds of them. False
 * if there is any other field, and nothing is written. */
static bool
encode_plain_structs (const CprField *field, const uint8_t *at, uint64_t count, CprWriter *writer)
{
  size_t begin, len, size = 0, done = 0;
  const CprField *first = field->type->fields;
  uint8_t *to;

  for (const CprField *member = first; member->name != NULL; size += len)
    if (!is_plain (member))
      return false;
    else
      member = find_run (member, &begin, &len);
  to = cpr_writer_add (writer, count * size);
  for (const CprField *member = first; member->name != NULL; done += len)
    {
      member = find_run (member, &begin, &len);
      for (uint64_t i = 0; i < count; i++)
        memcpy (to + i * size + done, at + i * field->width + begin, len);
    }
  return true;
}

static bool
encode_structs (
    const CprField *field, const uint8_t *at, uint64_t count, const CprCodec *codec, CprWriter *writer, GError **error)
{
  const void *element;

  if (field->layout == CPR_LAYOUT_INLINE && encode_plain_structs (field, at, count, writer))
    return true;
  element = field->layout == CPR_LAYOUT_LIST ? field->list->get_next (at, NULL) : at;
  for (uint64_t i = 0; i < count; i++)
    {
      if (!cpr_struct_encode (field->type, element, codec, writer, error))
        {
          g_prefix_error (error, "field '%s': ", field->name);
          return false;
        }
      if (field->layout == CPR_LAYOUT_LIST)
        element = field->list->get_next (at, element);
      else
        element = (const uint8_t *) element + field->width;
    }
  return true;
}

static bool
encode_values (
    const CprField *field, const uint8_t *at, uint64_t count, const CprCodec *codec, CprWriter *writer, GError **error)
{
  uint8_t *to;

  switch (field->kind)
    {
    case CPR_KIND_STRUCT:
      return encode_structs (field, at, count, codec, writer, error);
    case CPR_KIND_STRING:
      return encode_string (field, at, writer, error);
    case CPR_KIND_FD:
      for (uint64_t i = 0; i < count; i++)
        if (!encode_fd (field, at + i * field->width, codec, writer, error))
          return false;
      return true;
    case CPR_KIND_BOOL: /* a bool that holds anything but 0 and 1 is a bug elsewhere; it isn't spread */
      to = cpr_writer_add (writer, count);
      for (uint64_t i = 0; i < count; i++)
        to[i] = at[i] != 0;
      return true;
    default:
      cpr_writer_put (writer, at, count * field->width);
      return true;
    }
}

static bool
encode_field (const CprField *field, const void *owner, const CprCodec *codec, CprWriter *writer, GError **error)
{
  const uint8_t *at = cpr_field_at (field, owner);
  uint64_t count;

  if (field->layout == CPR_LAYOUT_NONE)
    {
      cpr_writer_put (writer, &field->default_value, field->width);
      return true;
    }
  if (!count_elements (field, owner, at, &count, error))
    return false;
  if (field->optional)
    {
      bool present = is_needed (field, owner, at, count);

      cpr_writer_put_u8 (writer, present);
      if (!present)
        return true;
    }
  if (field->shape == CPR_SHAPE_COUNTED)
    cpr_writer_put_u32 (writer, (uint32_t) count);
  return encode_values (field, at, count, codec, writer, error);
}

bool
cpr_struct_encode (const CprStruct *type, const void *source, const CprCodec *codec, CprWriter *writer, GError **error)
{
  size_t begin, len;

  for (const CprField *field = type->fields; field->name != NULL;)
    if (is_plain (field))
      {
        field = find_run (field, &begin, &len);
        cpr_writer_put (writer, (const uint8_t *) source + begin, len);
      }
    else if (encode_field (field, source, codec, writer, error))
      field++;
    else
      return false;
  return true;
}
