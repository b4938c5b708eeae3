/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The message that asks a program whether it could take the guest over: the tables of the
 * manifest, the schema, and of the fields only those that may be saved for trial.
 * lib/session/ask.c writes it, and the asked program reads it through ask/exchange.c. */
#include "ask/question.h"

#include "base/checksum.h"
#include "base/error.h"
#include "base/fd.h"

bool
cpr_question_is_one (int fd)
{
  uint32_t type;

  return cpr_fd_read_at (fd, &type, sizeof type, CPR_FORMAT_HEADER_SIZE) && type == CPR_CHUNK_QUESTION;
}

void
cpr_question_write_head (const CprQuestionHead *head, CprWriter *writer)
{
  cpr_writer_begin_chunk (writer, CPR_CHUNK_QUESTION, 0);
  cpr_writer_put_u32 (writer, head->schema_only ? CPR_QUESTION_FLAG_SCHEMA : 0);
  cpr_writer_put_u32 (writer, head->answer_fd);
  cpr_writer_put_u64 (writer, head->pipe_device);
  cpr_writer_put_u64 (writer, head->pipe_inode);
  cpr_writer_end_chunk (writer);
}

static bool
write_tables (const CprAskedVm *vm, CprSchemaBuilder *builder, CprWriter *writer, GError **error)
{
  cpr_manifest_write_vm (&vm->head, writer);
  cpr_manifest_write_tables (vm->fds, vm->ram, writer);
  cpr_manifest_write_vfio (vm->vfio, vm->ram, writer);
  cpr_device_table_write_schema (vm->devices, builder, writer);
  return cpr_device_table_write_list (vm->devices, builder, writer, error);
}

static bool
write_values (const CprAskedVm *vm, CprSchemaBuilder *builder, CprWriter *writer, GError **error)
{
  const CprCodec codec = cpr_fd_table_get_codec (vm->fds);

  return cpr_device_table_write_trial (vm->devices, builder, &codec, writer, error);
}

bool
cpr_question_write_parts (const CprAskedVm *vm, unsigned parts, CprWriter *writer, GError **error)
{
  CprSchemaBuilder builder;
  bool ok = true;

  cpr_schema_builder_init (&builder);
  if ((parts & CPR_QUESTION_TABLES) != 0)
    ok = write_tables (vm, &builder, writer, error);
  if (ok && (parts & CPR_QUESTION_VALUES) != 0)
    ok = write_values (vm, &builder, writer, error);
  cpr_schema_builder_clear (&builder);
  return ok;
}

bool
cpr_question_write (const CprQuestionHead *head, const CprAskedVm *vm, CprWriter *writer, GError **error)
{
  cpr_question_write_head (head, writer);
  if (!cpr_question_write_parts (vm, CPR_QUESTION_TABLES | CPR_QUESTION_VALUES, writer, error))
    return false;
  cpr_writer_finish (writer);
  return true;
}

static bool
read_head (CprQuestionHead *head, CprCursor *cursor, GError **error)
{
  uint32_t flags = cpr_cursor_get_u32 (cursor);

  const uint32_t unknown = flags & ~(uint32_t) CPR_QUESTION_FLAG_SCHEMA;

  head->schema_only = (flags & CPR_QUESTION_FLAG_SCHEMA) != 0;
  head->answer_fd = cpr_cursor_get_u32 (cursor);
  head->pipe_device = cpr_cursor_get_u64 (cursor);
  head->pipe_inode = cpr_cursor_get_u64 (cursor);
  if (!cpr_cursor_check_end (cursor, "head", error))
    return false;
  if (unknown != 0)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "head: its flags are 0x%x, of which 0x%x is unknown", flags, unknown);
  if (head->answer_fd > G_MAXINT)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "head: the fd for the answer should be 0 to %d, and is %u", G_MAXINT,
                      head->answer_fd);
  return true;
}

static bool
check_device (const CprQuestion *question, const CprAskedDevice *device, uint32_t flags, GError **error)
{
  const uint32_t unknown = flags & ~(uint32_t) CPR_DEVICES_FLAG_TRIAL;
  guint n_types = question->manifest.schema.types->len;

  if (device->type >= n_types)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "device '%s': its type has the number %u, and there are %u types",
                      device->name, device->type, n_types);
  if (unknown != 0)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "device '%s': its flags are 0x%x, of which 0x%x is unknown",
                      device->name, flags, unknown);
  if (cpr_question_find_device (question, device->name) != NULL)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "device '%s': it is in the list twice", device->name);
  return true;
}

static bool
read_devices (CprQuestion *question, CprCursor *cursor, GError **error)
{
  uint32_t n = cpr_cursor_get_u32 (cursor);

  for (uint32_t i = 0; i < n; i++)
    {
      CprAskedDevice device = { .name = cpr_cursor_get_name (cursor) };
      uint32_t flags;

      device.type = cpr_cursor_get_u32 (cursor);
      flags = cpr_cursor_get_u32 (cursor);
      if (cursor->failed)
        break;
      if (!check_device (question, &device, flags, error))
        return false;
      device.has_section = (flags & CPR_DEVICES_FLAG_TRIAL) != 0;
      g_array_append_val (question->devices, device);
      g_hash_table_insert (question->by_name, (char *) device.name, GUINT_TO_POINTER (question->devices->len));
    }
  return cpr_cursor_check_end (cursor, "list of devices", error);
}

static bool
check_section (const CprAskedDevice *device, const char *name, uint32_t type, GError **error)
{
  if (device == NULL)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "device '%s': it has a section, and isn't in the list", name);
  if (!device->has_section)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "device '%s': it has a section, and the list says that it has none",
                      name);
  if (device->fields.data != NULL)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "device '%s': it has two sections", name);
  if (device->type != type)
    return cpr_throw (error, CPR_ERROR_CORRUPT,
                      "device '%s': its type has the number %u in the list, %u in its section", name, device->type,
                      type);
  return true;
}

static bool
read_section (CprQuestion *question, const CprChunk *chunk, GError **error)
{
  const CprSchema *schema = &question->manifest.schema;
  const CprSchemaType *type;
  CprAskedDevice *device;
  CprCursor fields;
  const char *name;

  if (!cpr_section_read (schema, chunk, &name, &type, &fields))
    return cpr_throw (error, CPR_ERROR_CORRUPT,
                      "section at offset %" G_GUINT64_FORMAT
                      ": it should begin with a name, the number of a type below %u, and 0",
                      chunk->offset, schema->types->len);
  device = cpr_question_find_device (question, name);
  if (!check_section (device, name, (uint32_t) (type - &g_array_index (schema->types, CprSchemaType, 0)), error))
    return false;
  device->fields = fields;
  return true;
}

static bool
read_chunk (CprQuestion *question, CprChunk *chunk, GError **error)
{
  switch (chunk->type)
    {
    case CPR_CHUNK_QUESTION:
      return read_head (&question->head, &chunk->payload, error);
    case CPR_CHUNK_DEVICES:
      return read_devices (question, &chunk->payload, error);
    case CPR_CHUNK_SECTION:
      return read_section (question, chunk, error);
    default: /* the manifest, read before */
      return true;
    }
}

static bool
check_sections (const CprQuestion *question, GError **error)
{
  for (guint i = 0; i < question->devices->len; i++)
    {
      const CprAskedDevice *device = &g_array_index (question->devices, CprAskedDevice, i);

      if (device->has_section && device->fields.data == NULL)
        return cpr_throw (error, CPR_ERROR_CORRUPT, "device '%s': its section is missing", device->name);
    }
  return true;
}

static bool
read_all (CprQuestion *question, size_t len, GError **error)
{
  CprChunk chunk;

  if (!cpr_reader_open (&question->reader, question->data, len, error))
    return false;
  if (question->reader.kind != CPR_STREAM_QUESTION)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "it is %s, not a question",
                      question->reader.kind == CPR_STREAM_ANSWER ? "an answer" : "a state");
  if (!cpr_manifest_read (&question->manifest, &question->reader, error))
    return false;
  cpr_reader_rewind (&question->reader);
  while (cpr_reader_next (&question->reader, &chunk))
    if (!read_chunk (question, &chunk, error))
      return false;
  if (question->head.schema_only && question->manifest.vm_name != NULL)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "it asks for the schema only, and describes a VM");
  if (!question->head.schema_only && question->manifest.vm_name == NULL)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "it asks about a VM, and describes none");
  return check_sections (question, error);
}

bool
cpr_question_read (CprQuestion *question, void *data, size_t len, GError **error)
{
  *question = (CprQuestion){ .data = data, .checksum = cpr_checksum (data, len) };
  cpr_manifest_init (&question->manifest);
  question->devices = g_array_new (FALSE, FALSE, sizeof (CprAskedDevice));
  question->by_name = g_hash_table_new (g_str_hash, g_str_equal);
  if (read_all (question, len, error))
    return true;
  g_prefix_error (error, "question: ");
  return false;
}

void
cpr_question_clear (CprQuestion *question)
{
  if (question->devices == NULL)
    return;
  g_clear_pointer (&question->devices, g_array_unref);
  g_clear_pointer (&question->by_name, g_hash_table_unref);
  cpr_manifest_clear (&question->manifest);
  cpr_reader_clear (&question->reader);
  g_clear_pointer (&question->data, g_free);
}

CprAskedDevice *
cpr_question_find_device (const CprQuestion *question, const char *name)
{
  guint at = GPOINTER_TO_UINT (g_hash_table_lookup (question->by_name, name));

  return at != 0 ? &g_array_index (question->devices, CprAskedDevice, at - 1) : NULL;
}
