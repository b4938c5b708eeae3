/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writes streams for fuzz-stream to begin with into the folder that is named: one of each kind, with each kind of field. */
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "handoff/manifest.h"
#include "registry/device.h"

typedef struct
{
  uint8_t x;
  bool y;
} Inner;

typedef struct
{
  bool flag;
  uint32_t number;
  int16_t pair[2];
  double real;
  uint8_t raw[5];
  char text[12];
  char *heap_text;
  Inner inner;
  Inner *pointer;
  uint16_t *many;
  uint8_t n_many;
  Inner some[3];
  uint32_t n_some;
  int fd, fds[2];
  int64_t time;
} Outer;

static const CprField inner_fields[] = {
  CPR_FIELD (Inner, x),
  CPR_FIELD_IGNORABLE (Inner, y, true),
  CPR_FIELD_END,
};
static const CprStruct inner_struct = { "Inner", sizeof (Inner), inner_fields };

static const CprField outer_fields[] = {
  CPR_FIELD (Outer, flag),
  CPR_FIELD_OPTIONAL (Outer, number, 7),
  CPR_FIELD_ARRAY (Outer, pair),
  CPR_FIELD (Outer, real, CPR_OPTIONAL),
  CPR_FIELD_BYTES (Outer, raw),
  CPR_FIELD_STRING (Outer, text),
  CPR_FIELD_HEAP_STRING (Outer, heap_text, 100),
  CPR_FIELD_STRUCT (Outer, inner, Inner, inner_struct),
  CPR_FIELD_POINTER (Outer, pointer, Inner, inner_struct),
  CPR_FIELD_HEAP_ARRAY (Outer, many, n_many, 1000),
  CPR_FIELD_STRUCT_COUNTED (Outer, some, n_some, Inner, inner_struct, CPR_OPTIONAL),
  CPR_FIELD_FD (Outer, fd),
  CPR_FIELD_FD_ARRAY (Outer, fds),
  CPR_FIELD_TIME (Outer, time),
  CPR_FIELD_END,
};
static bool
save_bulk (void *device, CprBulk *bulk, GError **error)
{
  return cpr_bulk_write (bulk, "some bulk data", 14, error) && cpr_bulk_write (bulk, "and more", 8, error);
}

static const CprDeviceType outer_type = { .size = sizeof (CprDeviceType),
                                          .name = "outer",
                                          .version = 2,
                                          .minimum_version = 1,
                                          .state = { "Outer", sizeof (Outer), outer_fields },
                                          .save_bulk = save_bulk };
static const CprDeviceType inner_type = { .size = sizeof (CprDeviceType),
                                          .name = "inner",
                                          .version = 1,
                                          .minimum_version = 1,
                                          .state = { "Inner", sizeof (Inner), inner_fields } };

/* A program with one VM, two devices, an fd and a block of RAM. */
typedef struct
{
  CprManifest manifest;
  CprDeviceTable devices;
  CprSchemaBuilder builder;
  Outer outer;
  Inner inner, pointer;
  uint16_t many[3];
} Program;

static void
set_up (Program *program)
{
  const CprRamOptions options = { .size = sizeof options, .backend = CPR_RAM_MEMFD };
  CprManifest *manifest = &program->manifest;
  bool ok;

  cpr_manifest_init (manifest);
  manifest->vm_name = g_strdup ("vm");
  strcpy (manifest->boot_id, "01234567-89ab-cdef-0123-456789abcdef");
  manifest->program = (CprProgram){ .exe_fd = -1 };
  manifest->program.argv = g_strsplit ("vmm -x", " ", -1);
  manifest->program.envp = g_strsplit ("HOME=/ LANG=C", " ", -1);
  manifest->program.cwd = g_strdup ("/");
  manifest->successor.build_id = g_strdup ("beef");
  ok = cpr_fd_table_add (&manifest->fds, "tap", 0, dup (STDIN_FILENO), NULL) &&
       cpr_ram_table_add (&manifest->ram, &manifest->fds, "pc", 4096, &options, NULL) != NULL;
  g_assert (ok);

  cpr_device_table_init (&program->devices);
  cpr_schema_builder_init (&program->builder);
  program->outer = (Outer){ .number = 9, .text = "text", .fds = { -1, -1 } };
  program->outer.heap_text = g_strdup ("heap");
  program->outer.pointer = &program->pointer;
  program->outer.many = program->many;
  program->outer.n_many = 3;
  program->outer.n_some = 2;
  program->outer.fd = ((CprFdEntry *) manifest->fds.entries->pdata[0])->fd;
  ok = cpr_device_table_add (&program->devices, "out", &outer_type, &program->outer, NULL) &&
       cpr_device_table_add (&program->devices, "in", &inner_type, &program->inner, NULL);
  g_assert (ok);
}

static void
write_tables (Program *program, CprWriter *writer)
{
  cpr_manifest_write_tables (&program->manifest.fds, &program->manifest.ram, writer);
  cpr_device_table_write_schema (&program->devices, &program->builder, writer);
}

static void
write_state (Program *program, CprWriter *writer)
{
  CprCodec codec = cpr_fd_table_get_codec (&program->manifest.fds);
  GError *error = NULL;

  cpr_manifest_write_vm (&program->manifest, writer);
  cpr_manifest_write_program (&program->manifest.program, &program->manifest.successor, writer);
  cpr_writer_begin_chunk (writer, 1000, CPR_CHUNK_FLAG_OPTIONAL);
  cpr_writer_end_chunk (writer);
  write_tables (program, writer);
  cpr_device_table_write_sections (&program->devices, &program->builder, &codec, writer, &error);
  g_assert_no_error (error);
}

static void
write_question (Program *program, CprWriter *writer, bool schema_only)
{
  CprCodec codec = cpr_fd_table_get_codec (&program->manifest.fds);

  cpr_writer_begin_chunk (writer, CPR_CHUNK_QUESTION, 0);
  cpr_writer_put_u32 (writer, schema_only);
  cpr_writer_put_u32 (writer, 3);
  cpr_writer_put_u64 (writer, 1);
  cpr_writer_put_u64 (writer, 2);
  cpr_writer_end_chunk (writer);
  if (schema_only)
    return;
  cpr_manifest_write_vm (&program->manifest, writer);
  write_tables (program, writer);
  cpr_writer_begin_chunk (writer, CPR_CHUNK_DEVICES, 0);
  cpr_writer_put_u32 (writer, 2);
  cpr_writer_put_string (writer, "out");
  cpr_writer_put_u32 (writer, 0);
  cpr_writer_put_u32 (writer, 1);
  cpr_writer_put_string (writer, "in");
  cpr_writer_put_u32 (writer, 1);
  cpr_writer_put_u32 (writer, 0);
  cpr_writer_end_chunk (writer);
  cpr_device_write_section (program->devices.devices->pdata[0], &program->builder, &codec, writer, NULL);
}

static void
write_answer (Program *program, CprWriter *writer)
{
  cpr_writer_begin_chunk (writer, CPR_CHUNK_ANSWER, 0);
  cpr_writer_put_u64 (writer, 0);
  cpr_writer_put_u32 (writer, 1);
  cpr_writer_put_string (writer, "/vmm");
  cpr_writer_put_string (writer, "beef");
  cpr_writer_put_u64 (writer, 1);
  cpr_writer_put_u64 (writer, 2);
  cpr_writer_end_chunk (writer);
  cpr_device_table_write_schema (&program->devices, &program->builder, writer);
  cpr_writer_begin_chunk (writer, CPR_CHUNK_FINDING, 0);
  cpr_writer_put_u32 (writer, 1);
  cpr_writer_put_u32 (writer, 5);
  cpr_writer_put_string (writer, "in");
  cpr_writer_put_string (writer, "wrong");
  cpr_writer_end_chunk (writer);
}

static void
write_file (const char *folder, const char *name, CprWriter *writer)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);
  GError *error = NULL;

  cpr_writer_finish (writer);
  g_file_set_contents (path, (const char *) writer->data, (gssize) writer->len, &error);
  g_assert_no_error (error);
  cpr_writer_clear (writer);
}

int
main (int argc, char **argv)
{
  g_autofree Program *program = g_new0 (Program, 1);
  CprWriter writer;

  if (argc != 2)
    g_error ("one argument: a folder");
  set_up (program);
  cpr_writer_init (&writer, -1);
  write_state (program, &writer);
  write_file (argv[1], "state", &writer);
  cpr_writer_init (&writer, -1);
  write_question (program, &writer, false);
  write_file (argv[1], "question", &writer);
  cpr_writer_init (&writer, -1);
  write_question (program, &writer, true);
  write_file (argv[1], "question-for-the-schema", &writer);
  cpr_writer_init (&writer, -1);
  write_answer (program, &writer);
  write_file (argv[1], "answer", &writer);
  cpr_schema_builder_clear (&program->builder);
  cpr_device_table_clear (&program->devices);
  cpr_manifest_clear (&program->manifest);
  g_free (program->outer.heap_text);
  return 0;
}
