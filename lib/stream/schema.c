/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "stream/schema.h"

#include "base/error.h"

#define ALL_FIELD_FLAGS \
  (CPR_FIELD_FLAG_ARRAY | CPR_FIELD_FLAG_COUNTED | CPR_FIELD_FLAG_OPTIONAL | CPR_FIELD_FLAG_IGNORABLE)

static bool
is_number (CprKind kind)
{
  return kind == CPR_KIND_BOOL || kind == CPR_KIND_UINT || kind == CPR_KIND_INT;
}

/* The same rules for a program's own table and for one from a stream. */
static bool
field_is_sane (CprKind kind, unsigned flags, size_t width, size_t count)
{
  bool optional = (flags & (CPR_FIELD_FLAG_OPTIONAL | CPR_FIELD_FLAG_IGNORABLE)) != 0;
  bool array = (flags & (CPR_FIELD_FLAG_ARRAY | CPR_FIELD_FLAG_COUNTED)) != 0;

  if ((flags & ~ALL_FIELD_FLAGS) != 0 || count == 0 || count > UINT32_MAX || (!array && count != 1))
    return false;
  if ((flags & CPR_FIELD_FLAG_COUNTED) != 0 && (flags & CPR_FIELD_FLAG_ARRAY) == 0)
    return false;
  if ((flags & CPR_FIELD_FLAG_IGNORABLE) != 0 && (flags & CPR_FIELD_FLAG_OPTIONAL) == 0)
    return false;
  if (optional && (array || !is_number (kind)))
    return false;

  switch (kind)
    {
    case CPR_KIND_BOOL:
    case CPR_KIND_BYTES:
      return width == 1;
    case CPR_KIND_UINT:
    case CPR_KIND_INT:
      return width == 1 || width == 2 || width == 4 || width == 8;
    case CPR_KIND_FLOAT:
      return width == 4 || width == 8;
    case CPR_KIND_STRUCT:
      return true;
    default:
      return false;
    }
}

static bool
name_is_sane (const char *name)
{
  return name != NULL && name[0] != '\0' && strlen (name) <= CPR_NAME_MAX;
}

/* A count apart from its array: else the array's elements could change it after it was checked. */
static bool
count_is_sane (const CprStruct *type, const CprField *field)
{
  size_t width = field->count_width, at = field->count_offset;

  return (width == 1 || width == 2 || width == 4 || width == 8) && at <= type->size && width <= type->size - at &&
         (at + width <= field->offset || at >= field->offset + field->width * field->count);
}

static bool
check_own_field (const CprStruct *type, const CprField *field, GHashTable *names, GError **error)
{
  bool counted = (field->flags & CPR_FIELD_FLAG_COUNTED) != 0;

  if (!name_is_sane (field->name) || !field_is_sane (field->kind, field->flags, field->width, field->count))
    return cpr_throw (error, CPR_ERROR_INVALID, "struct '%s': field '%s' can't be right", type->name, field->name);
  if (!g_hash_table_add (names, (char *) field->name))
    return cpr_throw (error, CPR_ERROR_INVALID, "struct '%s': two fields are named '%s'", type->name, field->name);
  if (field->offset > type->size || field->width > (type->size - field->offset) / field->count)
    return cpr_throw (error, CPR_ERROR_INVALID, "struct '%s': field '%s' doesn't lie in its %zu bytes", type->name,
                      field->name, type->size);
  if (counted && !count_is_sane (type, field))
    return cpr_throw (error, CPR_ERROR_INVALID, "struct '%s': the count of '%s' can't be right in %zu bytes",
                      type->name, field->name, type->size);
  if (field->kind == CPR_KIND_STRUCT && (field->type == NULL || field->type->size != field->width))
    return cpr_throw (error, CPR_ERROR_INVALID, "struct '%s': field '%s' isn't of the struct it names", type->name,
                      field->name);
  return true;
}

static bool
check_struct (const CprStruct *type, unsigned depth, GError **error)
{
  g_autoptr (GHashTable) names = g_hash_table_new (g_str_hash, g_str_equal);
  const CprField *field = type->fields;

  if (!name_is_sane (type->name) || field == NULL || field->name == NULL)
    return cpr_throw (error, CPR_ERROR_INVALID, "struct '%s': it has no name or no fields",
                      type->name != NULL ? type->name : "");
  if (type->size > CPR_LIMIT_STRUCT)
    return cpr_throw (error, CPR_ERROR_INVALID, "struct '%s': %zu bytes are more than %d", type->name, type->size,
                      CPR_LIMIT_STRUCT);
  if (depth > CPR_LIMIT_DEPTH)
    return cpr_throw (error, CPR_ERROR_INVALID, "struct '%s': nested more than %d deep", type->name, CPR_LIMIT_DEPTH);
  for (; field->name != NULL; field++)
    {
      if (!check_own_field (type, field, names, error))
        return false;
      if (field->kind == CPR_KIND_STRUCT && !check_struct (field->type, depth + 1, error))
        return false;
    }
  if (g_hash_table_size (names) > CPR_LIMIT_FIELDS)
    return cpr_throw (error, CPR_ERROR_INVALID, "struct '%s': more than %d fields", type->name, CPR_LIMIT_FIELDS);
  return true;
}

bool
cpr_struct_check (const CprStruct *type, GError **error)
{
  return check_struct (type, 1, error);
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
      bool is_struct = field->kind == CPR_KIND_STRUCT;

      cpr_writer_put_string (writer, field->name);
      cpr_writer_put_u8 (writer, (uint8_t) field->kind);
      cpr_writer_put_u8 (writer, is_struct ? 0 : (uint8_t) field->width);
      cpr_writer_put_u16 (writer, (uint16_t) field->flags);
      cpr_writer_put_u32 (writer, (uint32_t) field->count);
      cpr_writer_put_u32 (writer, is_struct ? index_of (builder, field->type) : CPR_SCHEMA_NO_STRUCT);
      cpr_writer_put_u64 (writer, field->default_value);
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

  field.name = cpr_cursor_get_name (cursor);
  field.kind = cpr_cursor_get_u8 (cursor);
  field.width = cpr_cursor_get_u8 (cursor);
  field.flags = cpr_cursor_get_u16 (cursor);
  field.count = cpr_cursor_get_u32 (cursor);
  field.struct_index = cpr_cursor_get_u32 (cursor);
  field.default_value = cpr_cursor_get_u64 (cursor);

  if (cursor->failed)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "schema: struct '%s' is cut off", owner->name);
  if (!field_is_sane (field.kind, field.flags, field.width, field.count))
    return cpr_throw (error, CPR_ERROR_CORRUPT, "schema: struct '%s': field '%s' can't be right", owner->name,
                      field.name);
  if (field.kind == CPR_KIND_STRUCT)
    {
      unsigned depth;

      if (field.struct_index >= schema->structs->len)
        return cpr_throw (error, CPR_ERROR_CORRUPT, "schema: struct '%s': field '%s' is of a struct not known yet",
                          owner->name, field.name);
      depth = g_array_index (schema->structs, CprSchemaStruct, field.struct_index).depth;
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
      type.struct_index = cpr_cursor_get_u32 (cursor);
      if (cursor->failed || type.struct_index >= schema->structs->len)
        return cpr_throw (error, CPR_ERROR_CORRUPT, "schema: device type %u of %u can't be right", i, n_types);
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
  if (cursor->failed || cpr_cursor_left (cursor) != 0)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "schema: cut off, or bytes after its end");
  return true;
}

void
cpr_schema_clear (CprSchema *schema)
{
  g_clear_pointer (&schema->structs, g_array_unref);
  g_clear_pointer (&schema->types, g_array_unref);
}
