/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The schema of device types that travels in the stream, so that another version can convert
 * the fields. Built when saving, parsed when loading. */
#include "stream/schema.h"

#include "base/error.h"
#include "stream/kind.h"
#include "stream/reader.h"

static bool
width_is_sane (CprKind kind, uint32_t width)
{
  switch (kind)
    {
    case CPR_KIND_BOOL:
    case CPR_KIND_BYTES:
    case CPR_KIND_STRING:
      return width == 1;
    case CPR_KIND_UINT:
    case CPR_KIND_INT:
      return width == 1 || width == 2 || width == 4 || width == 8;
    case CPR_KIND_FLOAT:
      return width == 4 || width == 8;
    case CPR_KIND_STRUCT:
      return width == 0;
    case CPR_KIND_FD:
      return width == 4;
    case CPR_KIND_TIME:
      return width == 8;
    default:
      return false;
    }
}

static bool
default_is_sane (const CprSchemaField *field)
{
  uint64_t value = field->default_value;

  if (value == 0)
    return true;
  if ((field->flags & CPR_FIELD_FLAG_OPTIONAL) == 0)
    return false;
  if (field->kind == CPR_KIND_BOOL)
    return value == 1;
  return cpr_kind_is_number (field->kind) && value == cpr_number_load (field->kind, field->width, &value);
}

const char *
cpr_schema_field_find_fault (const CprSchemaField *field)
{
  bool array = (field->flags & CPR_FIELD_FLAG_ARRAY) != 0, counted = (field->flags & CPR_FIELD_FLAG_COUNTED) != 0,
       optional = (field->flags & CPR_FIELD_FLAG_OPTIONAL) != 0;

  if ((field->flags & ~(unsigned) CPR_FIELD_FLAGS) != 0)
    return "it has an unknown flag";
  if (counted && !array)
    return "it counts elements and isn't an array";
  if ((field->flags & CPR_FIELD_FLAG_IGNORABLE) != 0 && !optional)
    return "it is ignorable and isn't optional";
  if (!width_is_sane (field->kind, field->width))
    return "it has a width that its kind doesn't have";
  if (field->count == 0)
    return "it has room for no element";
  if (field->count != 1 && !array && field->kind != CPR_KIND_STRING)
    return "it has several elements and isn't an array";
  if (field->kind == CPR_KIND_BYTES && !array)
    return "it is raw bytes and isn't an array";
  if (field->kind == CPR_KIND_STRING && array)
    return "it is an array of strings, which doesn't exist";
  if (field->kind == CPR_KIND_STRUCT && optional && array && !counted)
    return "it is an optional array of structs and doesn't count them";
  return default_is_sane (field) ? NULL : "it has a default that its kind or a field that isn't optional doesn't have";
}

CprSchemaField
cpr_schema_field_from (const CprField *field)
{
  CprSchemaField made = { .name = field->written_as != NULL ? field->written_as : field->name,
                          .kind = field->kind,
                          .width = field->kind == CPR_KIND_STRUCT ? 0 : (uint32_t) field->width,
                          .count = (uint32_t) field->count,
                          .struct_index = CPR_SCHEMA_NO_STRUCT };

  if (field->shape != CPR_SHAPE_ONE)
    made.flags |= CPR_FIELD_FLAG_ARRAY;
  if (field->shape == CPR_SHAPE_COUNTED)
    made.flags |= CPR_FIELD_FLAG_COUNTED;
  if (field->optional)
    made.flags |= CPR_FIELD_FLAG_OPTIONAL;
  if (field->ignorable)
    made.flags |= CPR_FIELD_FLAG_IGNORABLE;
  if (field->optional && cpr_kind_is_number (field->kind) && field->width >= 1 && field->width <= 8)
    made.default_value = cpr_number_load (field->kind, field->width, &field->default_value);
  return made;
}

void
cpr_schema_builder_init (CprSchemaBuilder *builder)
{
  builder->structs = g_ptr_array_new ();
  builder->types = g_ptr_array_new ();
  builder->indices = g_hash_table_new (NULL, NULL);
}

void
cpr_schema_builder_clear (CprSchemaBuilder *builder)
{
  g_clear_pointer (&builder->structs, g_ptr_array_unref);
  g_clear_pointer (&builder->types, g_ptr_array_unref);
  g_clear_pointer (&builder->indices, g_hash_table_unref);
}

static uint32_t
index_of (const CprSchemaBuilder *builder, const void *thing)
{
  return GPOINTER_TO_UINT (g_hash_table_lookup (builder->indices, thing)) - 1;
}

static void
append (CprSchemaBuilder *builder, GPtrArray *where, const void *thing)
{
  g_ptr_array_add (where, (void *) thing);
  g_hash_table_insert (builder->indices, (void *) thing, GUINT_TO_POINTER (where->len));
}

static void
add_struct (CprSchemaBuilder *builder, const CprStruct *type)
{
  if (g_hash_table_contains (builder->indices, type))
    return;
  for (const CprField *field = type->fields; field->name != NULL; field++)
    if (field->kind == CPR_KIND_STRUCT)
      add_struct (builder, field->type);
  append (builder, builder->structs, type);
}

uint32_t
cpr_schema_builder_add (CprSchemaBuilder *builder, const CprDeviceType *type)
{
  if (!g_hash_table_contains (builder->indices, type))
    {
      add_struct (builder, &type->state);
      append (builder, builder->types, type);
    }
  return index_of (builder, type);
}

static void
write_struct (const CprSchemaBuilder *builder, const CprStruct *type, CprWriter *writer)
{
  uint32_t n_fields = 0;

  while (type->fields[n_fields].name != NULL)
    n_fields++;
  cpr_writer_put_string (writer, type->name);
  cpr_writer_put_u32 (writer, n_fields);
  for (const CprField *field = type->fields; field->name != NULL; field++)
    {
      CprSchemaField made = cpr_schema_field_from (field);

      cpr_writer_put_string (writer, made.name);
      cpr_writer_put_u8 (writer, (uint8_t) made.kind);
      cpr_writer_put_u8 (writer, (uint8_t) made.width);
      cpr_writer_put_u16 (writer, (uint16_t) made.flags);
      cpr_writer_put_u32 (writer, made.count);
      cpr_writer_put_u32 (writer, made.kind == CPR_KIND_STRUCT ? index_of (builder, field->type) : made.struct_index);
      cpr_writer_put_u64 (writer, made.default_value);
    }
}

void
cpr_schema_builder_write (const CprSchemaBuilder *builder, CprWriter *writer)
{
  cpr_writer_put_u32 (writer, builder->structs->len);
  for (guint i = 0; i < builder->structs->len; i++)
    write_struct (builder, builder->structs->pdata[i], writer);
  cpr_writer_put_u32 (writer, builder->types->len);
  for (guint i = 0; i < builder->types->len; i++)
    {
      const CprDeviceType *type = builder->types->pdata[i];

      cpr_writer_put_string (writer, type->name);
      cpr_writer_put_u32 (writer, type->version);
      cpr_writer_put_u32 (writer, type->minimum_version);
      cpr_writer_put_u32 (writer, index_of (builder, &type->state));
    }
}

static void
clear_struct (void *data)
{
  g_array_unref (((CprSchemaStruct *) data)->fields);
}

static bool
read_field (const CprSchema *schema, CprSchemaStruct *owner, CprCursor *cursor, GError **error)
{
  CprSchemaField field;
  const char *fault;

  field.name = cpr_cursor_get_name (cursor);
  field.kind = cpr_cursor_get_u8 (cursor);
  field.width = cpr_cursor_get_u8 (cursor);
  field.flags = cpr_cursor_get_u16 (cursor);
  field.count = cpr_cursor_get_u32 (cursor);
  field.struct_index = cpr_cursor_get_u32 (cursor);
  field.default_value = cpr_cursor_get_u64 (cursor);

  if (cursor->failed)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "schema: struct '%s' is cut off", owner->name);
  fault = cpr_schema_field_find_fault (&field);
  if (fault == NULL && field.kind != CPR_KIND_STRUCT && field.struct_index != CPR_SCHEMA_NO_STRUCT)
    fault = "it names a struct and isn't of one";
  if (fault != NULL)
    return cpr_throw (error, CPR_ERROR_CORRUPT,
                      "schema: struct '%s': field '%s': %s (kind %u, width %u, flags 0x%x, count %u, struct 0x%x, "
                      "default 0x%" G_GINT64_MODIFIER "x)",
                      owner->name, field.name, fault, field.kind, field.width, field.flags, field.count,
                      field.struct_index, field.default_value);
  if (field.kind == CPR_KIND_STRUCT)
    {
      unsigned depth;

      if (field.struct_index >= schema->structs->len)
        return cpr_throw (error, CPR_ERROR_CORRUPT, "schema: struct '%s': field '%s' is of a struct not known yet",
                          owner->name, field.name);
      depth = cpr_schema_get_struct (schema, field.struct_index)->depth;
      owner->depth = MAX (owner->depth, depth + 1);
    }
  g_array_append_val (owner->fields, field);
  return true;
}

static bool
read_struct (CprSchema *schema, CprCursor *cursor, GError **error)
{
  g_autoptr (GHashTable) names = g_hash_table_new (g_str_hash, g_str_equal);
  CprSchemaStruct made = { .name = cpr_cursor_get_name (cursor), .depth = 1 };
  uint32_t n_fields = cpr_cursor_get_u32 (cursor);
  bool ok = true;

  if (cursor->failed || n_fields == 0 || n_fields > CPR_LIMIT_FIELDS)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "schema: struct '%s' has %u fields", made.name, n_fields);
  made.fields = g_array_new (FALSE, FALSE, sizeof (CprSchemaField));
  for (uint32_t i = 0; ok && i < n_fields; i++)
    {
      ok = read_field (schema, &made, cursor, error);
      if (ok && !g_hash_table_add (names, (char *) g_array_index (made.fields, CprSchemaField, i).name))
        ok = cpr_throw (error, CPR_ERROR_CORRUPT, "schema: struct '%s' has two fields of one name", made.name);
    }
  if (ok && made.depth > CPR_LIMIT_DEPTH)
    ok = cpr_throw (error, CPR_ERROR_CORRUPT, "schema: struct '%s' is nested more than %d deep", made.name,
                    CPR_LIMIT_DEPTH);
  g_array_append_val (schema->structs, made);
  return ok;
}

static bool
read_types (CprSchema *schema, CprCursor *cursor, GError **error)
{
  g_autoptr (GHashTable) names = g_hash_table_new (g_str_hash, g_str_equal);
  uint32_t n_types = cpr_cursor_get_u32 (cursor);

  for (uint32_t i = 0; i < n_types; i++)
    {
      CprSchemaType type = { .name = cpr_cursor_get_name (cursor) };

      type.version = cpr_cursor_get_u32 (cursor);
      type.minimum_version = cpr_cursor_get_u32 (cursor);
      type.struct_index = cpr_cursor_get_u32 (cursor);
      if (cursor->failed)
        return cpr_throw (error, CPR_ERROR_CORRUPT, "schema: device type %u of %u is cut off, or has no name", i,
                          n_types);
      if (type.struct_index >= schema->structs->len)
        return cpr_throw (error, CPR_ERROR_CORRUPT, "schema: device type '%s' is of struct %u, there are %u", type.name,
                          type.struct_index, schema->structs->len);
      if (type.minimum_version > type.version)
        return cpr_throw (error, CPR_ERROR_CORRUPT, "schema: device type '%s' has version %u, and reads from %u on",
                          type.name, type.version, type.minimum_version);
      if (!g_hash_table_add (names, (char *) type.name))
        return cpr_throw (error, CPR_ERROR_CORRUPT, "schema: two device types are named '%s'", type.name);
      g_array_append_val (schema->types, type);
    }
  return true;
}

bool
cpr_schema_read (CprSchema *schema, CprCursor *cursor, GError **error)
{
  uint32_t n_structs = cpr_cursor_get_u32 (cursor);

  schema->structs = g_array_new (FALSE, FALSE, sizeof (CprSchemaStruct));
  g_array_set_clear_func (schema->structs, clear_struct);
  schema->types = g_array_new (FALSE, FALSE, sizeof (CprSchemaType));
  for (uint32_t i = 0; i < n_structs; i++)
    if (!read_struct (schema, cursor, error))
      return false;
  if (!read_types (schema, cursor, error))
    return false;
  return cpr_cursor_check_end (cursor, "schema", error);
}

void
cpr_schema_clear (CprSchema *schema)
{
  g_clear_pointer (&schema->structs, g_array_unref);
  g_clear_pointer (&schema->types, g_array_unref);
}

const CprSchemaStruct *
cpr_schema_get_struct (const CprSchema *schema, uint32_t index)
{
  return &g_array_index (schema->structs, CprSchemaStruct, index);
}
