/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Saves the devices' sections, once the guest stands still. Called by lib/session. */
#include "base/error.h"
#include "registry/device/bulk.h"
#include "registry/device/device.h"
#include "stream/format.h"

void
cpr_device_table_write_schema (const CprDeviceTable *table, CprSchemaBuilder *builder, CprWriter *writer)
{
  for (guint i = 0; i < table->devices->len; i++)
    cpr_schema_builder_add (builder, ((CprDevice *) table->devices->pdata[i])->type);
  cpr_writer_begin_chunk (writer, CPR_CHUNK_SCHEMA, 0);
  cpr_schema_builder_write (builder, writer);
  cpr_writer_end_chunk (writer);
}

bool
cpr_device_callback_failed (const CprDevice *device, const char *callback, GError **error)
{
  if (error != NULL && *error == NULL)
    cpr_throw (error, CPR_ERROR_CALLBACK, "%s failed without a reason", callback);
  g_prefix_error (error, "device '%s': ", device->name);
  return false;
}

bool
cpr_device_write_section (
    const CprDevice *device, CprSchemaBuilder *builder, const CprCodec *codec, CprWriter *writer, GError **error)
{
  cpr_writer_begin_chunk (writer, CPR_CHUNK_SECTION, 0);
  cpr_writer_put_string (writer, device->name);
  cpr_writer_put_u32 (writer, cpr_schema_builder_add (builder, device->type));
  cpr_writer_put_u32 (writer, 0);
  if (!cpr_struct_encode (&device->type->state, device->state, codec, writer, error))
    {
      g_prefix_error (error, "device '%s': ", device->name);
      return false;
    }
  if (cpr_writer_chunk_len (writer) > CPR_LIMIT_PAYLOAD)
    return cpr_throw (error, CPR_ERROR_INVALID, "device '%s': its fields have %zu bytes, more than %u; see save_bulk",
                      device->name, cpr_writer_chunk_len (writer), CPR_LIMIT_PAYLOAD);
  cpr_writer_end_chunk (writer);
  return true;
}

static bool
write_bulk (const CprDevice *device, CprWriter *writer, GError **error)
{
  CprBulk bulk = { .device = device->name, .writer = writer };

  if (device->type->save_bulk == NULL || device->type->save_bulk (device->state, &bulk, error))
    return true;
  return cpr_device_callback_failed (device, "save_bulk", error);
}

bool
cpr_device_table_write_sections (
    CprDeviceTable *table, CprSchemaBuilder *builder, const CprCodec *codec, CprWriter *writer, GError **error)
{
  g_autoptr (GPtrArray) devices = cpr_device_table_sort (table, error);

  if (devices == NULL)
    return false;
  for (guint i = 0; i < devices->len; i++)
    {
      const CprDevice *device = devices->pdata[i];

      if (device->type->pre_save != NULL && !device->type->pre_save (device->state, error))
        return cpr_device_callback_failed (device, "pre_save", error);
    }
  for (guint i = 0; i < devices->len; i++)
    if (!cpr_device_write_section (devices->pdata[i], builder, codec, writer, error))
      return false;
  for (guint i = 0; i < devices->len; i++)
    if (!write_bulk (devices->pdata[i], writer, error))
      return false;
  return true;
}

size_t
cpr_device_table_guess_sections (const CprDeviceTable *table)
{
  size_t size = 0;

  for (guint i = 0; i < table->devices->len; i++)
    {
      const CprDevice *device = table->devices->pdata[i];

      size +=
          CPR_FORMAT_CHUNK_HEADER_SIZE + strlen (device->name) + device->type->state.size + CPR_FORMAT_CHECKSUM_SIZE;
    }
  return size;
}

bool
cpr_device_table_write_list (CprDeviceTable *table, CprSchemaBuilder *builder, CprWriter *writer, GError **error)
{
  g_autoptr (GPtrArray) devices = cpr_device_table_sort (table, error); /* only to find a circle before the stop */

  if (devices == NULL)
    return false;
  cpr_writer_begin_chunk (writer, CPR_CHUNK_DEVICES, 0);
  cpr_writer_put_u32 (writer, devices->len);
  for (guint i = 0; i < devices->len; i++)
    {
      const CprDevice *device = devices->pdata[i];

      cpr_writer_put_string (writer, device->name);
      cpr_writer_put_u32 (writer, cpr_schema_builder_add (builder, device->type));
      cpr_writer_put_u32 (writer, device->type->trial_save ? CPR_DEVICES_FLAG_TRIAL : 0);
    }
  cpr_writer_end_chunk (writer);
  return true;
}

bool
cpr_device_table_write_trial (
    const CprDeviceTable *table, CprSchemaBuilder *builder, const CprCodec *codec, CprWriter *writer, GError **error)
{
  for (guint i = 0; i < table->devices->len; i++)
    {
      const CprDevice *device = table->devices->pdata[i];

      if (device->type->trial_save && !cpr_device_write_section (device, builder, codec, writer, error))
        return false;
    }
  return true;
}
