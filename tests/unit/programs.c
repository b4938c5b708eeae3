/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "programs.h"

#include <unistd.h>

void
programs_init (Programs *programs)
{
  *programs = (Programs){ .fd = -1 };
  cpr_device_table_init (&programs->saved);
  cpr_device_table_init (&programs->loaded);
  cpr_fd_table_init (&programs->fds);
}

void
programs_clear (Programs *programs)
{
  cpr_schema_builder_clear (&programs->builder);
  cpr_writer_clear (&programs->writer);
  cpr_device_table_clear (&programs->saved);
  cpr_device_table_clear (&programs->loaded);
  cpr_fd_table_clear (&programs->fds);
  cpr_fd_clear (&programs->fd);
  g_clear_pointer (&programs->verify_error, g_free);
}

void
programs_use_fd (Programs *programs)
{
  programs->fd = file_new (0);
}

void
programs_begin (Programs *programs)
{
  static const uint32_t before[] = { CPR_CHUNK_VM, CPR_CHUNK_PROGRAM, CPR_CHUNK_FDS, CPR_CHUNK_RAM };

  cpr_schema_builder_clear (&programs->builder);
  cpr_schema_builder_init (&programs->builder);
  cpr_writer_clear (&programs->writer);
  if (programs->fd >= 0)
    ck_assert (ftruncate (programs->fd, 0) == 0 && lseek (programs->fd, 0, SEEK_SET) == 0);
  cpr_writer_init (&programs->writer, programs->fd);
  for (size_t i = 0; i < G_N_ELEMENTS (before); i++)
    {
      cpr_writer_begin_chunk (&programs->writer, before[i], 0);
      cpr_writer_end_chunk (&programs->writer);
    }
  cpr_device_table_write_schema (&programs->saved, &programs->builder, &programs->writer);
}

void
programs_end (Programs *programs)
{
  ck_assert (cpr_writer_finish (&programs->writer));
}

void
programs_begin_section (Programs *programs, const char *device, uint32_t type, uint32_t reserved)
{
  cpr_writer_begin_chunk (&programs->writer, CPR_CHUNK_SECTION, 0);
  cpr_writer_put_string (&programs->writer, device);
  cpr_writer_put_u32 (&programs->writer, type);
  cpr_writer_put_u32 (&programs->writer, reserved);
}

bool
programs_save (Programs *programs, GError **error)
{
  CprCodec codec = cpr_fd_table_get_codec (&programs->fds);

  programs_begin (programs);
  if (!cpr_device_table_write_sections (&programs->saved, &programs->builder, &codec, &programs->writer, error))
    return false;
  programs_end (programs);
  return true;
}

static bool
load (Programs *programs, CprReader *reader, const CprSchema *schema, GError **error)
{
  CprCodec codec = cpr_fd_table_get_codec (&programs->fds);
  g_autoptr (CprDeviceLoad) load = cpr_device_load_new (&programs->loaded, schema, error);

  return load != NULL && cpr_device_load_check (load, reader, &codec, error) && cpr_device_load_apply (load, error);
}

/* The check that needs no program comes first: a state that loads must pass it. */
static bool
verify_and_load (Programs *programs, CprReader *reader, const CprSchema *schema, GError **error)
{
  CprCodec codec = cpr_fd_table_get_codec (&programs->fds);
  GError *reason = NULL;
  bool verified = cpr_sections_verify (schema, reader, &codec, &reason), ok = load (programs, reader, schema, error);

  ck_assert_msg (verified || !ok, "the check failed and loading did not: %s", reason != NULL ? reason->message : "");
  programs->verify_error = g_strdup (verified ? NULL : reason->message);
  g_clear_error (&reason);
  return ok;
}

bool
programs_load (Programs *programs, GError **error)
{
  CprSchema schema = { NULL, NULL };
  CprReader reader;
  CprChunk chunk;
  bool ok;

  g_clear_pointer (&programs->verify_error, g_free);
  ok = programs->fd >= 0 ? cpr_reader_open_fd (&reader, programs->fd, error)
                         : cpr_reader_open (&reader, programs->writer.data, programs->writer.len, error);
  while (ok && cpr_reader_next (&reader, &chunk) && chunk.type != CPR_CHUNK_SCHEMA)
    ;
  ok = ok && cpr_schema_read (&schema, &chunk.payload, error) && verify_and_load (programs, &reader, &schema, error);
  cpr_schema_clear (&schema);
  cpr_reader_clear (&reader);
  return ok;
}

void
programs_carry (Programs *programs)
{
  GError *error = NULL;

  ck_assert_msg (programs_save (programs, &error), "%s", error != NULL ? error->message : "");
  ck_assert_msg (programs_load (programs, &error), "%s", error != NULL ? error->message : "");
}
