/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `show --json`: section 13 of doc/stream-format.md and nothing else. Called by show.c. */
#include <inttypes.h>
#include <stdio.h>

#include "commands.h"
#include "json-writer.h"
#include "text.h"

/* ---- The manifest. */

static void
put_frame (Json *json, const CprReader *reader)
{
  json_begin_member (json, "format", '{');
  json_put_uint (json, "major", CPR_FORMAT_MAJOR);
  json_put_uint (json, "minor", reader->minor);
  json_end (json, '}');
  json_put_uint (json, "size", reader->len);
  json_begin_member (json, "chunks", '[');
  for (guint i = 0; i < reader->chunks->len; i++)
    {
      const CprChunk *chunk = &g_array_index (reader->chunks, CprChunk, i);

      json_begin (json, '{');
      json_put_uint (json, "type", chunk->type);
      json_put_uint (json, "flags", chunk->flags);
      json_put_uint (json, "offset", chunk->offset);
      json_put_uint (json, "length", chunk->len);
      json_end (json, '}');
    }
  json_end (json, ']');
}

static void
put_vm (Json *json, const CprManifest *manifest)
{
  json_begin_member (json, "vm", '{');
  json_put_text (json, "name", manifest->vm_name);
  json_put_text (json, "boot_id", manifest->boot_id);
  json_put_uint (json, "uid", manifest->uid);
  json_put_uint (json, "pid", manifest->pid);
  json_put_uint (json, "generation", manifest->generation);
  json_put_text (json, "run_state", inspect_run_state_name (manifest->run_state));
  json_put_uint (json, "saved_ns", manifest->saved_ns);
  json_put_uint (json, "saved_real_ns", manifest->saved_real_ns);
  json_put_uint (json, "signal_mask", manifest->signal_mask);
  json_end (json, '}');
}

static void
put_list (Json *json, const char *key, char **strings)
{
  json_begin_member (json, key, '[');
  for (; *strings != NULL; strings++)
    json_put_string (json, *strings);
  json_end (json, ']');
}

static void
put_program (Json *json, const CprProgram *program)
{
  json_begin_member (json, "program", '{');
  put_list (json, "argv", program->argv);
  put_list (json, "environment", program->envp);
  json_put_text (json, "cwd", program->cwd);
  json_put_text (json, "comm", program->comm);
  json_put_uint (json, "umask", program->umask);
  json_put_uint (json, "ignored_signals", program->ignored_signals);
  json_begin_member (json, "limits", '[');
  for (unsigned i = 0; i < program->n_limits; i++)
    {
      json_begin (json, '{');
      json_put_uint (json, "soft", program->limits[i].rlim_cur);
      json_put_uint (json, "hard", program->limits[i].rlim_max);
      json_end (json, '}');
    }
  json_end (json, ']');
  json_end (json, '}');
}

static void
put_successor (Json *json, const CprSuccessor *successor)
{
  json_put_key (json, "successor");
  if (successor->build_id == NULL)
    {
      json_put_raw (json, "null");
      return;
    }
  json_begin (json, '{');
  json_put_uint (json, "device", successor->device);
  json_put_uint (json, "inode", successor->inode);
  json_put_text (json, "build_id", successor->build_id);
  json_end (json, '}');
}

static void
put_stored (Json *json, const CprRamStored *stored)
{
  json_begin (json, '{');
  json_put_text (json, "name", stored->name);
  json_put_uint (json, "size", stored->size);
  json_put_key (json, "in_place");
  json_put_raw (json, stored->in_place ? "true" : "false");
  json_put_uint (json, "type", stored->file.type);
  json_put_uint (json, "offset", stored->offset);
  json_put_uint (json, "device", stored->file.device);
  json_put_uint (json, "inode", stored->file.inode);
  json_put_uint (json, "special", stored->file.special);
  json_put_uint (json, "file_size", stored->file.size);
  json_put_key (json, "stamp_ns");
  json_put_separator (json);
  fprintf (json->out, "%" PRId64, stored->file.stamp_ns);
  json_end (json, '}');
}

static void
put_store (Json *json, const CprRamStore *store)
{
  json_put_key (json, "store");
  if (store == NULL)
    {
      json_put_raw (json, "null");
      return;
    }
  json_begin (json, '{');
  json_put_uint (json, "layout", store->layout);
  json_begin_member (json, "blocks", '[');
  for (guint i = 0; i < store->blocks->len; i++)
    put_stored (json, store->blocks->pdata[i]);
  json_end (json, ']');
  json_end (json, '}');
}

static void
put_fds (Json *json, const CprFdTable *fds)
{
  json_begin_member (json, "fds", '[');
  for (guint i = 0; i < fds->entries->len; i++)
    {
      const CprFdEntry *entry = fds->entries->pdata[i];

      json_begin (json, '{');
      json_put_text (json, "name", entry->name);
      json_put_uint (json, "index", (uint64_t) entry->index);
      json_put_uint (json, "fd", (uint64_t) entry->fd);
      json_put_uint (json, "type", entry->identity.type);
      json_put_uint (json, "access", entry->identity.access);
      json_put_uint (json, "device", entry->identity.device);
      json_put_uint (json, "inode", entry->identity.inode);
      json_put_uint (json, "socket_domain", entry->identity.socket_domain);
      json_put_uint (json, "socket_type", entry->identity.socket_type);
      json_end (json, '}');
    }
  json_end (json, ']');
}

static void
put_ram (Json *json, const CprRamTable *ram)
{
  json_begin_member (json, "ram", '[');
  for (guint i = 0; i < ram->blocks->len; i++)
    {
      const CprRamBlock *block = ram->blocks->pdata[i];

      json_begin (json, '{');
      json_put_text (json, "name", block->name);
      json_put_uint (json, "size", block->size);
      json_put_uint (json, "backing", block->backend);
      json_put_uint (json, "flags", block->flags);
      json_end (json, '}');
    }
  json_end (json, ']');
}

static void
put_assigned (Json *json, const CprVfioDevice *device)
{
  json_begin (json, '{');
  json_put_text (json, "name", device->name);
  json_put_text (json, "address", device->address);
  json_put_uint (json, "group", device->group);
  json_begin_member (json, "irqs", '[');
  for (guint i = 0; i < device->irqs->len; i++)
    {
      const CprVfioIrq *irq = &g_array_index (device->irqs, CprVfioIrq, i);

      json_begin (json, '{');
      json_put_uint (json, "index", (uint64_t) irq->key >> 16);
      json_put_uint (json, "vector", (uint64_t) irq->key & CPR_VFIO_IRQ_VECTOR_MAX);
      json_put_uint (json, "role", irq->role);
      json_put_uint (json, "flags", irq->enabled);
      json_end (json, '}');
    }
  json_end (json, ']');
  json_end (json, '}');
}

static uint64_t
get_number (const CprRamTable *ram, const CprRamBlock *block)
{
  guint number = 0;

  g_ptr_array_find (ram->blocks, block, &number);
  return number;
}

static void
put_mapping (Json *json, const CprDmaMapping *mapping, const CprRamTable *ram)
{
  json_begin (json, '{');
  json_put_uint (json, "iova", mapping->iova);
  json_put_uint (json, "size", mapping->size);
  json_put_uint (json, "block", get_number (ram, mapping->block));
  json_put_uint (json, "flags", mapping->flags);
  json_put_uint (json, "offset", mapping->offset);
  json_end (json, '}');
}

static void
put_containers (Json *json, const CprVfioTable *vfio, const CprRamTable *ram)
{
  json_begin_member (json, "containers", '[');
  for (guint i = 0; i < vfio->containers->len; i++)
    {
      const CprVfioContainer *container = vfio->containers->pdata[i];

      json_begin (json, '{');
      json_put_text (json, "name", container->name);
      json_put_uint (json, "backend", container->backend);
      json_put_uint (json, "ioas", container->ioas);
      json_begin_member (json, "devices", '[');
      for (guint k = 0; k < container->devices->len; k++)
        put_assigned (json, container->devices->pdata[k]);
      json_end (json, ']');
      json_begin_member (json, "mappings", '[');
      for (guint k = 0; k < container->dma.mappings->len; k++)
        put_mapping (json, cpr_dma_mappings_get (&container->dma, k), ram);
      json_end (json, ']');
      json_end (json, '}');
    }
  json_end (json, ']');
}

/* ---- The schema. */

static void
put_field (Json *json, const CprSchemaField *field)
{
  json_begin (json, '{');
  json_put_text (json, "name", field->name);
  json_put_uint (json, "kind", field->kind);
  json_put_uint (json, "width", field->width);
  json_put_uint (json, "flags", field->flags);
  json_put_uint (json, "count", field->count);
  if (field->kind == CPR_KIND_STRUCT)
    json_put_uint (json, "struct", field->struct_index);
  else
    {
      json_put_key (json, "struct");
      json_put_raw (json, "null");
    }
  json_put_uint (json, "default", field->default_value);
  json_end (json, '}');
}

static void
put_schema (Json *json, const CprSchema *schema)
{
  json_begin_member (json, "structs", '[');
  for (guint i = 0; i < schema->structs->len; i++)
    {
      const CprSchemaStruct *type = cpr_schema_get_struct (schema, i);

      json_begin (json, '{');
      json_put_text (json, "name", type->name);
      json_begin_member (json, "fields", '[');
      for (guint j = 0; j < type->fields->len; j++)
        put_field (json, &g_array_index (type->fields, CprSchemaField, j));
      json_end (json, ']');
      json_end (json, '}');
    }
  json_end (json, ']');
  json_begin_member (json, "types", '[');
  for (guint i = 0; i < schema->types->len; i++)
    {
      const CprSchemaType *type = &g_array_index (schema->types, CprSchemaType, i);

      json_begin (json, '{');
      json_put_text (json, "name", type->name);
      json_put_uint (json, "version", type->version);
      json_put_uint (json, "minimum_version", type->minimum_version);
      json_put_uint (json, "struct", type->struct_index);
      json_end (json, '}');
    }
  json_end (json, ']');
}

/* ---- Values. */

static void
on_field (const CprSchemaField *field, void *data)
{
  ((Json *) data)->field = field;
  json_put_key (data, field->name);
}

static void
on_absent (void *data)
{
  json_put_raw (data, "null");
}

static void
on_begin_list (uint32_t count G_GNUC_UNUSED, void *data)
{
  json_begin (data, '[');
}

static void
on_end_list (void *data)
{
  json_end (data, ']');
}

static void
on_begin_struct (void *data)
{
  json_begin (data, '{');
}

static void
on_end_struct (void *data)
{
  json_end (data, '}');
}

static void
on_number (const CprSchemaField *field, uint64_t value, void *data)
{
  Json *json = data;

  json_put_separator (json);
  if (field->kind == CPR_KIND_BOOL)
    fputs (value != 0 ? "true" : "false", json->out);
  else if (field->kind == CPR_KIND_FLOAT)
    fprintf (json->out, "\"0x%0*" PRIx64 "\"", (int) (2 * field->width), value);
  else if (field->kind == CPR_KIND_UINT)
    fprintf (json->out, "%" PRIu64, value);
  else
    fprintf (json->out, "%" PRId64, (int64_t) value);
}

static void
on_bytes (const uint8_t *bytes, size_t len, void *data)
{
  Json *json = data;
  g_autofree char *hex = NULL;

  if (json->field->kind == CPR_KIND_STRING)
    {
      json_put_bytes (json, (const char *) bytes, len);
      return;
    }
  hex = inspect_text_hex (bytes, len);
  json_put_string (json, hex);
}

static void
on_fd (const char *name, int index, void *data)
{
  Json *json = data;

  if (index < 0)
    {
      json_put_raw (json, "null");
      return;
    }
  json_begin (json, '{');
  json_put_text (json, "name", name);
  json_put_uint (json, "index", (uint64_t) index);
  json_end (json, '}');
}

static void
put_devices (Json *json, const InspectState *state)
{
  const CprVisitor visitor = { .begin_field = on_field,
                               .absent = on_absent,
                               .begin_list = on_begin_list,
                               .end_list = on_end_list,
                               .begin_struct = on_begin_struct,
                               .end_struct = on_end_struct,
                               .number = on_number,
                               .bytes = on_bytes,
                               .fd = on_fd,
                               .user_data = json };

  json_begin_member (json, "devices", '[');
  for (guint i = 0; i < state->devices->len; i++)
    {
      const InspectDevice *device = &g_array_index (state->devices, InspectDevice, i);

      json_begin (json, '{');
      json_put_text (json, "name", device->name);
      json_put_text (json, "type", device->type->name);
      json_put_key (json, "fields");
      inspect_device_walk (state, device, &visitor);
      json_end (json, '}');
    }
  json_end (json, ']');
}

static void
put_bulk (Json *json, const GPtrArray *bulk)
{
  json_begin_member (json, "bulk", '[');
  for (guint i = 0; i < bulk->len; i++)
    {
      const CprBulkData *data = bulk->pdata[i];

      json_begin (json, '{');
      json_put_text (json, "device", data->device);
      json_put_uint (json, "size", data->size);
      json_end (json, '}');
    }
  json_end (json, ']');
}

void
inspect_show_json (const InspectState *state)
{
  const CprManifest *manifest = &state->manifest;
  Json json = { .out = stdout };

  json_begin (&json, '{');
  put_frame (&json, &state->reader);
  put_vm (&json, manifest);
  put_program (&json, &manifest->program);
  put_successor (&json, &manifest->successor);
  put_store (&json, manifest->store);
  put_fds (&json, &manifest->fds);
  put_ram (&json, &manifest->ram);
  put_containers (&json, &manifest->vfio, &manifest->ram);
  put_schema (&json, &manifest->schema);
  put_devices (&json, state);
  put_bulk (&json, state->reader.bulk);
  json_end (&json, '}');
  putc ('\n', json.out);
}
