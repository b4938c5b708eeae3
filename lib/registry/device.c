/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "registry/device.h"

#include "base/error.h"
#include "stream/convert.h"

/* A device of the largest size more, and the writer's 32-bit length would still hold it. */
#define MAX_STATE (1u << 31)

static void
device_free (void *data)
{
  CprDevice *device = data;

  g_free (device->name);
  g_free (device);
}

void
cpr_device_table_init (CprDeviceTable *table)
{
  table->devices = g_ptr_array_new_with_free_func (device_free);
}

void
cpr_device_table_clear (CprDeviceTable *table)
{
  g_clear_pointer (&table->devices, g_ptr_array_unref);
}

static CprDevice *
find_device (const CprDeviceTable *table, const char *name)
{
  for (guint i = 0; i < table->devices->len; i++)
    {
      CprDevice *device = table->devices->pdata[i];

      if (strcmp (device->name, name) == 0)
        return device;
    }
  return NULL;
}

static bool
check_type (const CprDeviceTable *table, const CprDeviceType *type, GError **error)
{
  if (!cpr_name_check ("type", type->name, error))
    return false;
  if (type->minimum_version > type->version)
    return cpr_throw (error, CPR_ERROR_INVALID, "type '%s': minimum version %u is above version %u", type->name,
                      type->minimum_version, type->version);
  for (guint i = 0; i < table->devices->len; i++)
    {
      const CprDeviceType *other = ((CprDevice *) table->devices->pdata[i])->type;

      if (other == type)
        return true; /* checked before */
      if (strcmp (other->name, type->name) == 0)
        return cpr_throw (error, CPR_ERROR_EXISTS, "there is another type named '%s'", type->name);
    }
  return cpr_struct_check (&type->state, error);
}

bool
cpr_device_table_add (CprDeviceTable *table, const char *name, const CprDeviceType *type, void *state, GError **error)
{
  CprDevice *device;

  if (!cpr_name_check ("device", name, error))
    return false;
  if (find_device (table, name) != NULL)
    return cpr_throw (error, CPR_ERROR_EXISTS, "device '%s': there is one of that name", name);
  if (!check_type (table, type, error))
    {
      g_prefix_error (error, "device '%s': ", name);
      return false;
    }
  device = g_new0 (CprDevice, 1);
  device->name = g_strdup (name);
  device->type = type;
  device->state = state;
  g_ptr_array_add (table->devices, device);
  return true;
}

bool
cpr_device_table_remove (CprDeviceTable *table, const char *name, GError **error)
{
  CprDevice *device = find_device (table, name);

  if (device == NULL)
    return cpr_throw (error, CPR_ERROR_NOT_FOUND, "device '%s': there is none of that name", name);
  g_ptr_array_remove (table->devices, device);
  return true;
}

void
cpr_device_table_write_schema (const CprDeviceTable *table, CprWriter *writer)
{
  CprSchemaBuilder builder;

  cpr_schema_builder_init (&builder);
  for (guint i = 0; i < table->devices->len; i++)
    cpr_schema_builder_add (&builder, ((CprDevice *) table->devices->pdata[i])->type);
  cpr_writer_begin_chunk (writer, CPR_CHUNK_SCHEMA, 0);
  cpr_schema_builder_write (&builder, writer);
  cpr_writer_end_chunk (writer);
  cpr_schema_builder_clear (&builder);
}

/* A callback that fails without saying why is a bug of the VMM that an operator should still be able to read.
 */
static bool
callback_failed (const CprDevice *device, const char *callback, GError **error)
{
  if (error != NULL && *error == NULL)
    cpr_throw (error, CPR_ERROR_CALLBACK, "%s failed without a reason", callback);
  g_prefix_error (error, "device '%s': ", device->name);
  return false;
}

static bool
write_section (const CprDevice *device, CprSchemaBuilder *builder, CprWriter *writer, GError **error)
{
  cpr_writer_begin_chunk (writer, CPR_CHUNK_SECTION, 0);
  cpr_writer_put_string (writer, device->name);
  cpr_writer_put_u32 (writer, cpr_schema_builder_add (builder, device->type));
  cpr_writer_put_u32 (writer, 0);
  if (!cpr_struct_encode (&device->type->state, device->state, writer, error))
    {
      g_prefix_error (error, "device '%s': ", device->name);
      return false;
    }
  if (writer->data->len > MAX_STATE)
    return cpr_throw (error, CPR_ERROR_INVALID, "device '%s': with it the state has more than %u bytes", device->name,
                      MAX_STATE);
  cpr_writer_end_chunk (writer);
  return true;
}

bool
cpr_device_table_write_sections (const CprDeviceTable *table, CprWriter *writer, GError **error)
{
  CprSchemaBuilder builder;
  bool ok = true;

  for (guint i = 0; i < table->devices->len; i++)
    {
      const CprDevice *device = table->devices->pdata[i];

      if (device->type->pre_save != NULL && !device->type->pre_save (device->state, error))
        return callback_failed (device, "pre_save", error);
    }
  cpr_schema_builder_init (&builder);
  for (guint i = 0; ok && i < table->devices->len; i++)
    ok = write_section (table->devices->pdata[i], &builder, writer, error);
  cpr_schema_builder_clear (&builder);
  return ok;
}

/* The sections of a stream by device name. */
typedef struct
{
  const CprSchemaType *type;
  CprCursor cursor;
  CprPlan *plan; /* one per device type, owned by the table of plans */
} Section;

static GHashTable *
read_sections (const CprSchema *schema, CprReader *reader, GError **error)
{
  g_autoptr (GHashTable) sections = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, g_free);
  CprChunk chunk;

  cpr_reader_rewind (reader);
  while (cpr_reader_next (reader, &chunk))
    {
      const char *name;
      uint32_t index, reserved;
      Section *section;

      if (chunk.type != CPR_CHUNK_SECTION)
        continue;
      name = cpr_cursor_get_name (&chunk.payload);
      index = cpr_cursor_get_u32 (&chunk.payload);
      reserved = cpr_cursor_get_u32 (&chunk.payload);
      if (chunk.payload.failed || index >= schema->types->len || reserved != 0 ||
          g_hash_table_contains (sections, name))
        {
          cpr_throw (error, CPR_ERROR_CORRUPT, "the section at offset %zu can't be right", chunk.offset);
          return NULL;
        }
      section = g_new0 (Section, 1);
      section->type = &g_array_index (schema->types, CprSchemaType, index);
      section->cursor = chunk.payload;
      g_hash_table_insert (sections, (char *) name, section);
    }
  return g_steal_pointer (&sections);
}

static bool
check_section (const CprDevice *device, const CprSchema *schema, GHashTable *plans, Section *section, GError **error)
{
  CprCursor cursor = section->cursor;

  if (strcmp (section->type->name, device->type->name) != 0)
    return cpr_throw (error, CPR_ERROR_MISMATCH, "type is '%s' in the state, '%s' here", section->type->name,
                      device->type->name);
  if (section->type->version > device->type->version || section->type->version < device->type->minimum_version)
    return cpr_throw (error, CPR_ERROR_VERSION, "version is %u in the state, this program loads %u to %u",
                      section->type->version, device->type->minimum_version, device->type->version);
  section->plan = g_hash_table_lookup (plans, device->type);
  if (section->plan == NULL)
    {
      section->plan = cpr_plan_new (schema, section->type->struct_index, &device->type->state, error);
      if (section->plan == NULL)
        return false;
      g_hash_table_insert (plans, (void *) device->type, section->plan);
    }
  if (!cpr_plan_apply (section->plan, &cursor, NULL, error))
    return false;
  if (cpr_cursor_left (&cursor) != 0)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "%zu bytes follow its last field", cpr_cursor_left (&cursor));
  return true;
}

/* Every device has a section that fits, and every section a device. */
static bool
check_sections (
    const CprDeviceTable *table, const CprSchema *schema, GHashTable *plans, GHashTable *sections, GError **error)
{
  GHashTableIter iter;
  void *name, *section;

  for (guint i = 0; i < table->devices->len; i++)
    {
      const CprDevice *device = table->devices->pdata[i];

      section = g_hash_table_lookup (sections, device->name);
      if (section == NULL)
        return cpr_throw (error, CPR_ERROR_MISMATCH, "device '%s': it isn't in the state", device->name);
      if (!check_section (device, schema, plans, section, error))
        {
          g_prefix_error (error, "device '%s': ", device->name);
          return false;
        }
    }
  g_hash_table_iter_init (&iter, sections);
  while (g_hash_table_iter_next (&iter, &name, &section))
    if (((Section *) section)->plan == NULL)
      return cpr_throw (error, CPR_ERROR_MISMATCH, "device '%s' of type '%s' is in the state and not here",
                        (char *) name, ((Section *) section)->type->name);
  return true;
}

bool
cpr_device_table_load (const CprDeviceTable *table, const CprSchema *schema, CprReader *reader, GError **error)
{
  g_autoptr (GHashTable) plans = g_hash_table_new_full (NULL, NULL, NULL, (GDestroyNotify) cpr_plan_free);
  g_autoptr (GHashTable) sections = read_sections (schema, reader, error);

  if (sections == NULL || !check_sections (table, schema, plans, sections, error))
    return false;
  for (guint i = 0; i < table->devices->len; i++)
    {
      const CprDevice *device = table->devices->pdata[i];
      Section *section = g_hash_table_lookup (sections, device->name);

      if (!cpr_plan_apply (section->plan, &section->cursor, device->state, error))
        {
          g_prefix_error (error, "device '%s': ", device->name);
          return false;
        }
      if (device->type->post_load != NULL && !device->type->post_load (device->state, section->type->version, error))
        return callback_failed (device, "post_load", error);
    }
  return true;
}
