/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `show --json`: section 12 of doc/stream-format.md and nothing else. Called by show.c. */
#include <inttypes.h>
#include <stdio.h>

#include "commands.h"
#include "text.h"

/* Writes the form of doc/stream-format.md, section 12. */
typedef struct
{
  FILE *out;
  unsigned depth;
  bool begun;                  /* something stands before in the same object or list */
  bool keyed;                  /* a key does */
  const CprSchemaField *field; /* the one whose value comes */
} Json;

static void
put_separator (Json *json)
{
  if (!json->keyed && json->depth > 0)
    fprintf (json->out, "%s\n%*s", json->begun ? "," : "", (int) json->depth, "");
  json->keyed = false;
  json->begun = true;
}

static void
begin (Json *json, char bracket)
{
  put_separator (json);
  putc (bracket, json->out);
  json->depth++;
  json->begun = false;
}

static void
end (Json *json, char bracket)
{
  json->depth--;
  if (json->begun)
    fprintf (json->out, "\n%*s", (int) json->depth, "");
  putc (bracket, json->out);
  json->begun = true;
}

static void
put_char (Json *json, gunichar c)
{
  char utf8[6];

  if (c == '"' || c == '\\')
    fprintf (json->out, "\\%c", (char) c);
  else if (c < 0x20 || c == 0x7f)
    fprintf (json->out, "\\u%04x", (unsigned) c);
  else
    fwrite (utf8, 1, (size_t) g_unichar_to_utf8 (c, utf8), json->out);
}

static void
put_bytes (Json *json, const char *bytes, size_t len)
{
  bool utf8 = g_utf8_validate (bytes, (gssize) len, NULL);

  put_separator (json);
  putc ('"', json->out);
  if (utf8)
    for (const char *at = bytes; at < bytes + len; at = g_utf8_next_char (at))
      put_char (json, g_utf8_get_char (at));
  else
    for (size_t i = 0; i < len; i++)
      put_char (json, (uint8_t) bytes[i]);
  putc ('"', json->out);
}

static void
put_string (Json *json, const char *string)
{
  put_bytes (json, string, strlen (string));
}

static void
put_key (Json *json, const char *key)
{
  put_string (json, key);
  fputs (": ", json->out);
  json->keyed = true;
}

static void
put_raw (Json *json, const char *text)
{
  put_separator (json);
  fputs (text, json->out);
}

static void
put_uint (Json *json, const char *key, uint64_t value)
{
  put_key (json, key);
  put_separator (json);
  fprintf (json->out, "%" PRIu64, value);
}

static void
put_text (Json *json, const char *key, const char *value)
{
  put_key (json, key);
  put_string (json, value);
}

static void
begin_member (Json *json, const char *key, char bracket)
{
  put_key (json, key);
  begin (json, bracket);
}

/* ---- The manifest. */

static void
put_frame (Json *json, const CprReader *reader)
{
  begin_member (json, "format", '{');
  put_uint (json, "major", CPR_FORMAT_MAJOR);
  put_uint (json, "minor", reader->minor);
  end (json, '}');
  put_uint (json, "size", reader->len);
  begin_member (json, "chunks", '[');
  for (guint i = 0; i < reader->chunks->len; i++)
    {
      const CprChunk *chunk = &g_array_index (reader->chunks, CprChunk, i);

      begin (json, '{');
      put_uint (json, "type", chunk->type);
      put_uint (json, "flags", chunk->flags);
      put_uint (json, "offset", chunk->offset);
      put_uint (json, "length", chunk->len);
      end (json, '}');
    }
  end (json, ']');
}

static void
put_vm (Json *json, const CprManifest *manifest)
{
  begin_member (json, "vm", '{');
  put_text (json, "name", manifest->vm_name);
  put_text (json, "boot_id", manifest->boot_id);
  put_uint (json, "uid", manifest->uid);
  put_uint (json, "pid", manifest->pid);
  put_uint (json, "generation", manifest->generation);
  put_text (json, "run_state", inspect_run_state_name (manifest->run_state));
  put_uint (json, "saved_ns", manifest->saved_ns);
  put_uint (json, "saved_real_ns", manifest->saved_real_ns);
  put_uint (json, "signal_mask", manifest->signal_mask);
  end (json, '}');
}

static void
put_list (Json *json, const char *key, char **strings)
{
  begin_member (json, key, '[');
  for (; *strings != NULL; strings++)
    put_string (json, *strings);
  end (json, ']');
}

static void
put_program (Json *json, const CprProgram *program)
{
  begin_member (json, "program", '{');
  put_list (json, "argv", program->argv);
  put_list (json, "environment", program->envp);
  put_text (json, "cwd", program->cwd);
  put_text (json, "comm", program->comm);
  put_uint (json, "umask", program->umask);
  put_uint (json, "ignored_signals", program->ignored_signals);
  begin_member (json, "limits", '[');
  for (unsigned i = 0; i < program->n_limits; i++)
    {
      begin (json, '{');
      put_uint (json, "soft", program->limits[i].rlim_cur);
      put_uint (json, "hard", program->limits[i].rlim_max);
      end (json, '}');
    }
  end (json, ']');
  end (json, '}');
}

static void
put_successor (Json *json, const CprSuccessor *successor)
{
  put_key (json, "successor");
  if (successor->build_id == NULL)
    {
      put_raw (json, "null");
      return;
    }
  begin (json, '{');
  put_uint (json, "device", successor->device);
  put_uint (json, "inode", successor->inode);
  put_text (json, "build_id", successor->build_id);
  end (json, '}');
}

static void
put_stored (Json *json, const CprRamStored *stored)
{
  begin (json, '{');
  put_text (json, "name", stored->name);
  put_uint (json, "size", stored->size);
  put_key (json, "in_place");
  put_raw (json, stored->in_place ? "true" : "false");
  put_uint (json, "type", stored->file.type);
  put_uint (json, "offset", stored->offset);
  put_uint (json, "device", stored->file.device);
  put_uint (json, "inode", stored->file.inode);
  put_uint (json, "special", stored->file.special);
  put_uint (json, "file_size", stored->file.size);
  put_key (json, "stamp_ns");
  put_separator (json);
  fprintf (json->out, "%" PRId64, stored->file.stamp_ns);
  end (json, '}');
}

static void
put_store (Json *json, const CprRamStore *store)
{
  put_key (json, "store");
  if (store == NULL)
    {
      put_raw (json, "null");
      return;
    }
  begin (json, '{');
  put_uint (json, "layout", store->layout);
  begin_member (json, "blocks", '[');
  for (guint i = 0; i < store->blocks->len; i++)
    put_stored (json, store->blocks->pdata[i]);
  end (json, ']');
  end (json, '}');
}

static void
put_fds (Json *json, const CprFdTable *fds)
{
  begin_member (json, "fds", '[');
  for (guint i = 0; i < fds->entries->len; i++)
    {
      const CprFdEntry *entry = fds->entries->pdata[i];

      begin (json, '{');
      put_text (json, "name", entry->name);
      put_uint (json, "index", (uint64_t) entry->index);
      put_uint (json, "fd", (uint64_t) entry->fd);
      put_uint (json, "type", entry->identity.type);
      put_uint (json, "access", entry->identity.access);
      put_uint (json, "device", entry->identity.device);
      put_uint (json, "inode", entry->identity.inode);
      put_uint (json, "socket_domain", entry->identity.socket_domain);
      put_uint (json, "socket_type", entry->identity.socket_type);
      end (json, '}');
    }
  end (json, ']');
}

static void
put_ram (Json *json, const CprRamTable *ram)
{
  begin_member (json, "ram", '[');
  for (guint i = 0; i < ram->blocks->len; i++)
    {
      const CprRamBlock *block = ram->blocks->pdata[i];

      begin (json, '{');
      put_text (json, "name", block->name);
      put_uint (json, "size", block->size);
      put_uint (json, "backing", block->backend);
      put_uint (json, "flags", block->flags);
      end (json, '}');
    }
  end (json, ']');
}

static void
put_assigned (Json *json, const CprVfioDevice *device)
{
  begin (json, '{');
  put_text (json, "name", device->name);
  put_text (json, "address", device->address);
  put_uint (json, "group", device->group);
  begin_member (json, "irqs", '[');
  for (guint i = 0; i < device->irqs->len; i++)
    {
      const CprVfioIrq *irq = &g_array_index (device->irqs, CprVfioIrq, i);

      begin (json, '{');
      put_uint (json, "index", (uint64_t) irq->key >> 16);
      put_uint (json, "vector", (uint64_t) irq->key & CPR_VFIO_IRQ_VECTOR_MAX);
      put_uint (json, "role", irq->role);
      put_uint (json, "flags", irq->enabled);
      end (json, '}');
    }
  end (json, ']');
  end (json, '}');
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
  begin (json, '{');
  put_uint (json, "iova", mapping->iova);
  put_uint (json, "size", mapping->size);
  put_uint (json, "block", get_number (ram, mapping->block));
  put_uint (json, "flags", mapping->flags);
  put_uint (json, "offset", mapping->offset);
  end (json, '}');
}

static void
put_containers (Json *json, const CprVfioTable *vfio, const CprRamTable *ram)
{
  begin_member (json, "containers", '[');
  for (guint i = 0; i < vfio->containers->len; i++)
    {
      const CprVfioContainer *container = vfio->containers->pdata[i];

      begin (json, '{');
      put_text (json, "name", container->name);
      put_uint (json, "backend", container->backend);
      put_uint (json, "ioas", container->ioas);
      begin_member (json, "devices", '[');
      for (guint k = 0; k < container->devices->len; k++)
        put_assigned (json, container->devices->pdata[k]);
      end (json, ']');
      begin_member (json, "mappings", '[');
      for (guint k = 0; k < container->dma.mappings->len; k++)
        put_mapping (json, cpr_dma_mappings_get (&container->dma, k), ram);
      end (json, ']');
      end (json, '}');
    }
  end (json, ']');
}

/* ---- The schema. */

static void
put_field (Json *json, const CprSchemaField *field)
{
  begin (json, '{');
  put_text (json, "name", field->name);
  put_uint (json, "kind", field->kind);
  put_uint (json, "width", field->width);
  put_uint (json, "flags", field->flags);
  put_uint (json, "count", field->count);
  if (field->kind == CPR_KIND_STRUCT)
    put_uint (json, "struct", field->struct_index);
  else
    {
      put_key (json, "struct");
      put_raw (json, "null");
    }
  put_uint (json, "default", field->default_value);
  end (json, '}');
}

static void
put_schema (Json *json, const CprSchema *schema)
{
  begin_member (json, "structs", '[');
  for (guint i = 0; i < schema->structs->len; i++)
    {
      const CprSchemaStruct *type = cpr_schema_get_struct (schema, i);

      begin (json, '{');
      put_text (json, "name", type->name);
      begin_member (json, "fields", '[');
      for (guint j = 0; j < type->fields->len; j++)
        put_field (json, &g_array_index (type->fields, CprSchemaField, j));
      end (json, ']');
      end (json, '}');
    }
  end (json, ']');
  begin_member (json, "types", '[');
  for (guint i = 0; i < schema->types->len; i++)
    {
      const CprSchemaType *type = &g_array_index (schema->types, CprSchemaType, i);

      begin (json, '{');
      put_text (json, "name", type->name);
      put_uint (json, "version", type->version);
      put_uint (json, "minimum_version", type->minimum_version);
      put_uint (json, "struct", type->struct_index);
      end (json, '}');
    }
  end (json, ']');
}

/* ---- Values. */

static void
on_field (const CprSchemaField *field, void *data)
{
  ((Json *) data)->field = field;
  put_key (data, field->name);
}

static void
on_absent (void *data)
{
  put_raw (data, "null");
}

static void
on_begin_list (uint32_t count G_GNUC_UNUSED, void *data)
{
  begin (data, '[');
}

static void
on_end_list (void *data)
{
  end (data, ']');
}

static void
on_begin_struct (void *data)
{
  begin (data, '{');
}

static void
on_end_struct (void *data)
{
  end (data, '}');
}

static void
on_number (const CprSchemaField *field, uint64_t value, void *data)
{
  Json *json = data;

  put_separator (json);
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
      put_bytes (json, (const char *) bytes, len);
      return;
    }
  hex = inspect_text_hex (bytes, len);
  put_string (json, hex);
}

static void
on_fd (const char *name, int index, void *data)
{
  Json *json = data;

  if (index < 0)
    {
      put_raw (json, "null");
      return;
    }
  begin (json, '{');
  put_text (json, "name", name);
  put_uint (json, "index", (uint64_t) index);
  end (json, '}');
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

  begin_member (json, "devices", '[');
  for (guint i = 0; i < state->devices->len; i++)
    {
      const InspectDevice *device = &g_array_index (state->devices, InspectDevice, i);

      begin (json, '{');
      put_text (json, "name", device->name);
      put_text (json, "type", device->type->name);
      put_key (json, "fields");
      inspect_device_walk (state, device, &visitor);
      end (json, '}');
    }
  end (json, ']');
}

static void
put_bulk (Json *json, const GPtrArray *bulk)
{
  begin_member (json, "bulk", '[');
  for (guint i = 0; i < bulk->len; i++)
    {
      const CprBulkData *data = bulk->pdata[i];

      begin (json, '{');
      put_text (json, "device", data->device);
      put_uint (json, "size", data->size);
      end (json, '}');
    }
  end (json, ']');
}

void
inspect_show_json (const InspectState *state)
{
  const CprManifest *manifest = &state->manifest;
  Json json = { .out = stdout };

  begin (&json, '{');
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
  end (&json, '}');
  putc ('\n', json.out);
}
