/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A field's value in words, for errors. Called by convert.c. */
#include "base/text.h"
#include "stream/value.h"

#define TEXT_MAX 64

static char *
describe_number (const CprSchemaField *field, uint64_t value)
{
  float narrow;
  double wide;

  switch (field->kind)
    {
    case CPR_KIND_BOOL:
      return g_strdup (value != 0 ? "true" : "false");
    case CPR_KIND_UINT:
      return g_strdup_printf ("%" G_GUINT64_FORMAT, value);
    case CPR_KIND_FLOAT:
      memcpy (&narrow, &value, sizeof narrow);
      memcpy (&wide, &value, sizeof wide);
      return g_strdup_printf ("%g", field->width == sizeof narrow ? (double) narrow : wide);
    default:
      return g_strdup_printf ("%" G_GINT64_FORMAT, (int64_t) value);
    }
}

/* The first that isn't the default. */
static char *
describe_numbers (const CprSchemaField *field, CprCursor *cursor, uint32_t count)
{
  const uint8_t *at = cpr_cursor_get (cursor, (size_t) count * field->width);
  bool array = (field->flags & CPR_FIELD_FLAG_ARRAY) != 0;
  uint32_t i = 0;
  g_autofree char *is = NULL, *normal = describe_number (field, field->default_value);

  if (at == NULL)
    return NULL;
  while (i + 1 < count &&
         cpr_number_load (field->kind, field->width, at + (size_t) i * field->width) == field->default_value)
    i++;
  is = describe_number (field, cpr_number_load (field->kind, field->width, at + (size_t) i * field->width));
  return array ? g_strdup_printf ("element %u is %s, its default is %s", i, is, normal)
               : g_strdup_printf ("it is %s, its default is %s", is, normal);
}

static char *
describe_string (const CprSchemaField *field, CprCursor *cursor)
{
  uint32_t len;
  const uint8_t *bytes = cpr_string_value_read (field, cursor, &len, NULL);
  g_autofree char *line = bytes != NULL ? cpr_text_make_line ((const char *) bytes, MIN (len, TEXT_MAX)) : NULL;

  return line != NULL ? g_strdup_printf ("it is '%s'%s, by default there is no text", line, len > TEXT_MAX ? "…" : "")
                      : NULL;
}

char *
cpr_field_describe_value (const CprSchemaField *field, const CprCursor *values)
{
  CprCursor cursor = *values;
  uint32_t count;
  bool present;

  if (!cpr_field_begin (field, &cursor, &present, &count, NULL) || !present)
    return NULL;
  if ((field->flags & CPR_FIELD_FLAG_COUNTED) != 0)
    return g_strdup_printf ("it has %u %s, by default it has none", count,
                            field->kind == CPR_KIND_BYTES ? "bytes" : "elements");
  if (cpr_kind_is_number (field->kind))
    return describe_numbers (field, &cursor, count);
  switch (field->kind)
    {
    case CPR_KIND_STRING:
      return describe_string (field, &cursor);
    case CPR_KIND_BYTES:
      return g_strdup ("by default all its bytes are 0");
    case CPR_KIND_FD:
      return g_strdup ("by default it has no fd");
    default:
      return g_strdup ("it is there, by default it isn't");
    }
}
