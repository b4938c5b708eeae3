/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Loads the devices' sections: finds each device's section, converts its fields, and calls its
 * functions, in the order that device.c makes. Called by lib/session. */
#include "base/error.h"
#include "base/populate.h"
#include "registry/device/bulk.h"
#include "registry/device/device.h"

typedef struct
{
  const CprSchemaType *type;
  CprCursor fields;
  const CprPlan *plan; /* NULL: no device has claimed the section */
} Section;

struct _CprDeviceLoad
{
  GPtrArray *devices; /* in the order of loading */
  const CprSchema *schema;
  CprPlans *plans;
  GHashTable *sections;
  CprReader *reader;
  const CprCodec *codec;
};

bool
cpr_section_read (
    const CprSchema *schema, const CprChunk *chunk, const char **name, const CprSchemaType **type, CprCursor *fields)
{
  CprCursor cursor = chunk->payload;
  uint32_t index, reserved;

  *name = cpr_cursor_get_name (&cursor);
  index = cpr_cursor_get_u32 (&cursor);
  reserved = cpr_cursor_get_u32 (&cursor);
  if (cursor.failed || index >= schema->types->len || reserved != 0)
    return false;
  *type = &g_array_index (schema->types, CprSchemaType, index);
  *fields = (CprCursor){ .data = cursor.data + cursor.pos, .len = cpr_cursor_left (&cursor) };
  return true;
}

static GHashTable *
read_sections (const CprSchema *schema, CprReader *reader, GError **error)
{
  g_autoptr (GHashTable) sections = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, g_free);
  CprChunk chunk;

  cpr_reader_rewind (reader);
  while (cpr_reader_next (reader, &chunk))
    {
      g_autofree Section *section = NULL;
      const char *name;

      if (chunk.type != CPR_CHUNK_SECTION)
        continue;
      section = g_new0 (Section, 1);
      if (!cpr_section_read (schema, &chunk, &name, &section->type, &section->fields))
        {
          cpr_throw (error, CPR_ERROR_CORRUPT,
                     "the section at offset %" G_GUINT64_FORMAT
                     " should begin with a device's name, one of %u device types and a 0, and doesn't",
                     chunk.offset, schema->types->len);
          return NULL;
        }
      if (g_hash_table_contains (sections, name))
        {
          cpr_throw (error, CPR_ERROR_CORRUPT,
                     "device '%s' has two sections, the second one at offset %" G_GUINT64_FORMAT, name, chunk.offset);
          return NULL;
        }
      g_hash_table_insert (sections, (char *) name, g_steal_pointer (&section));
    }
  return g_steal_pointer (&sections);
}

/* Fails if there is bulk data of a device without a section. */
static bool
check_bulk (CprReader *reader, GHashTable *sections, GError **error)
{
  for (guint i = 0; i < reader->bulk->len; i++)
    {
      const CprBulkData *bulk = reader->bulk->pdata[i];

      reader->at = g_array_index (reader->chunks, CprChunk, bulk->first).offset;
      if (!g_hash_table_contains (sections, bulk->device))
        return cpr_throw (error, CPR_ERROR_CORRUPT, "device '%s' has bulk data and no section", bulk->device);
    }
  return true;
}

bool
cpr_sections_verify (const CprSchema *schema, CprReader *reader, const CprCodec *codec, GError **error)
{
  g_autoptr (GHashTable) sections = read_sections (schema, reader, error);
  CprChunk chunk;

  if (sections == NULL)
    return false;
  cpr_reader_rewind (reader);
  while (cpr_reader_next (reader, &chunk))
    {
      const CprSchemaType *type;
      const char *name;
      CprCursor fields;

      if (chunk.type != CPR_CHUNK_SECTION)
        continue;
      cpr_section_read (schema, &chunk, &name, &type, &fields);
      if (!cpr_struct_walk (schema, type->struct_index, &fields, codec, NULL, error))
        {
          g_prefix_error (error, "device '%s': ", name);
          return false;
        }
      if (cpr_cursor_left (&fields) != 0)
        return cpr_throw (error, CPR_ERROR_CORRUPT, "device '%s': %zu bytes follow its last field", name,
                          cpr_cursor_left (&fields));
    }
  return check_bulk (reader, sections, error);
}

static bool
check_device (CprDeviceLoad *load, const CprDevice *device, GError **error)
{
  Section *section = g_hash_table_lookup (load->sections, device->name);

  if (section == NULL)
    return cpr_throw (error, CPR_ERROR_MISMATCH, "device '%s': it isn't in the state", device->name);
  if (!cpr_device_type_accepts (device->type, section->type, load->plans, &section->fields, load->codec, &section->plan,
                                error))
    {
      g_prefix_error (error, "device '%s': ", device->name);
      return false;
    }
  if (cpr_reader_find_bulk (load->reader, device->name) != NULL && device->type->load_bulk == NULL)
    return cpr_throw (error, CPR_ERROR_MISMATCH,
                      "device '%s': the state has bulk data, and the type here has no load_bulk", device->name);
  return true;
}

static bool
check_devices (CprDeviceLoad *load, GError **error)
{
  GHashTableIter iter;
  void *name, *section;

  for (guint i = 0; i < load->devices->len; i++)
    if (!check_device (load, load->devices->pdata[i], error))
      return false;
  g_hash_table_iter_init (&iter, load->sections);
  while (g_hash_table_iter_next (&iter, &name, &section))
    if (((Section *) section)->plan == NULL)
      return cpr_throw (error, CPR_ERROR_MISMATCH, "device '%s' of type '%s' is in the state and not here",
                        (char *) name, ((Section *) section)->type->name);
  return check_bulk (load->reader, load->sections, error);
}

static const CprSchemaType *
find_schema_type (const CprSchema *schema, const char *name)
{
  for (guint i = 0; i < schema->types->len; i++)
    if (strcmp (g_array_index (schema->types, CprSchemaType, i).name, name) == 0)
      return &g_array_index (schema->types, CprSchemaType, i);
  return NULL;
}

CprDeviceLoad *
cpr_device_load_new (CprDeviceTable *table, const CprSchema *schema, GError **error)
{
  CprDeviceLoad *load;
  GPtrArray *devices = cpr_device_table_sort (table, error);

  if (devices == NULL)
    return NULL;
  load = g_new0 (CprDeviceLoad, 1);
  load->devices = devices;
  load->schema = schema;
  load->plans = cpr_plans_new (schema);
  for (guint i = 0; i < devices->len; i++)
    {
      const CprDeviceType *type = ((const CprDevice *) devices->pdata[i])->type;
      const CprSchemaType *from = find_schema_type (schema, type->name);

      if (from != NULL)
        cpr_plans_get (load->plans, from->struct_index, &type->state, NULL);
    }
  return load;
}

void
cpr_device_load_touch (CprDeviceLoad *load)
{
  for (guint i = 0; i < load->devices->len; i++)
    {
      const CprDevice *device = load->devices->pdata[i];

      cpr_populate (device->state, device->type->state.size);
    }
}

bool
cpr_device_load_check (CprDeviceLoad *load, CprReader *reader, const CprCodec *codec, GError **error)
{
  load->reader = reader;
  load->codec = codec;
  load->sections = read_sections (load->schema, reader, error);
  return load->sections != NULL && check_devices (load, error);
}

static bool
load_bulk (const CprDeviceLoad *load, const CprDevice *device, GError **error)
{
  const CprBulkData *data = cpr_reader_find_bulk (load->reader, device->name);
  CprBulk bulk;
  bool ok;

  if (data == NULL)
    return true;
  cpr_bulk_open (&bulk, load->reader, data);
  ok = device->type->load_bulk (device->state, &bulk, error);
  cpr_bulk_clear (&bulk);
  if (!ok)
    return cpr_device_callback_failed (device, "load_bulk", error);
  return bulk.left == 0 ||
         cpr_throw (error, CPR_ERROR_MISMATCH,
                    "device '%s': load_bulk should read all of its bulk data, and left %" G_GUINT64_FORMAT " bytes",
                    device->name, bulk.left);
}

static bool
load_device (const CprDeviceLoad *load, const CprDevice *device, GError **error)
{
  const Section *section = g_hash_table_lookup (load->sections, device->name);
  CprCursor fields = section->fields;

  if (device->type->pre_load != NULL && !device->type->pre_load (device->state, section->type->version, error))
    return cpr_device_callback_failed (device, "pre_load", error);
  if (!cpr_plan_apply (section->plan, &fields, device->state, load->codec, error))
    {
      g_prefix_error (error, "device '%s': ", device->name);
      return false;
    }
  if (!load_bulk (load, device, error))
    return false;
  if (device->type->post_load != NULL && !device->type->post_load (device->state, section->type->version, error))
    return cpr_device_callback_failed (device, "post_load", error);
  return true;
}

bool
cpr_device_load_apply (CprDeviceLoad *load, GError **error)
{
  for (guint i = 0; i < load->devices->len; i++)
    if (!load_device (load, load->devices->pdata[i], error))
      return false;
  return true;
}

void
cpr_device_load_free (CprDeviceLoad *load)
{
  if (load == NULL)
    return;
  g_clear_pointer (&load->devices, g_ptr_array_unref);
  g_clear_pointer (&load->sections, g_hash_table_unref);
  g_clear_pointer (&load->plans, cpr_plans_free);
  g_free (load);
}
