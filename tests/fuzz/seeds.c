/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Makes the first inputs of each kind from the golden state, and writes them into a folder. */
#include "../golden/everything.h"
#include "ask/answer.h"
#include "ask/question.h"

static void
copy_chunk (const CprChunk *chunk, CprWriter *writer)
{
  cpr_writer_begin_chunk (writer, chunk->type, chunk->flags);
  cpr_writer_put (writer, chunk->payload.data, chunk->payload.len);
  cpr_writer_end_chunk (writer);
}

static void
put_device (CprWriter *writer, const char *name, uint32_t type)
{
  cpr_writer_put_string (writer, name);
  cpr_writer_put_u32 (writer, type);
  cpr_writer_put_u32 (writer, CPR_DEVICES_FLAG_TRIAL);
}

/* The state's tables and sections as a question. */
static void
write_question (const CprWriter *state, CprWriter *writer)
{
  const CprQuestionHead head = { .answer_fd = 3, .pipe_device = 1, .pipe_inode = 2 };
  CprReader reader;
  CprChunk chunk;
  bool ok = cpr_reader_open (&reader, state->data, state->len, NULL);

  g_assert (ok);
  cpr_question_write_head (&head, writer);
  while (cpr_reader_next (&reader, &chunk))
    {
      if (chunk.type == CPR_CHUNK_VM || (chunk.type >= CPR_CHUNK_FDS && chunk.type <= CPR_CHUNK_SECTION))
        copy_chunk (&chunk, writer);
      if (chunk.type != CPR_CHUNK_SCHEMA)
        continue;
      cpr_writer_begin_chunk (writer, CPR_CHUNK_DEVICES, 0);
      cpr_writer_put_u32 (writer, 2);
      put_device (writer, "everything0", 0);
      put_device (writer, "bus0", 1);
      cpr_writer_end_chunk (writer);
    }
  cpr_reader_clear (&reader);
  cpr_writer_finish (writer);
}

static void
write_answer (CprWriter *writer)
{
  CprAnswer answer = { .path = g_strdup ("/vmm"), .findings = cpr_findings_new () };
  CprSchemaBuilder builder;

  answer.executable.build_id = g_strdup ("beef");
  cpr_findings_add (answer.findings, CPR_SEVERITY_REFUSAL, CPR_SUBJECT_DEVICE, "bus0", "it isn't here");
  cpr_findings_add (answer.findings, CPR_SEVERITY_LOSS, CPR_SUBJECT_FD, "disk", "it would be opened again");
  cpr_schema_builder_init (&builder);
  cpr_schema_builder_add (&builder, &everything_bus_type);
  cpr_answer_write (&answer, &builder, writer);
  cpr_schema_builder_clear (&builder);
  cpr_answer_clear (&answer);
}

static void
write_file (const char *folder, const char *name, CprWriter *writer)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);
  GError *error = NULL;

  g_file_set_contents (path, (const char *) writer->data, (gssize) writer->len, &error);
  g_assert_no_error (error);
  cpr_writer_clear (writer);
}

int
main (int argc, char **argv)
{
  const CprQuestionHead schema_only = { .schema_only = true, .answer_fd = 3 };
  CprWriter state, writer;

  if (argc != 2)
    g_error ("one argument: a folder");
  everything_write (&state);
  cpr_writer_init (&writer, -1);
  write_question (&state, &writer);
  write_file (argv[1], "question", &writer);
  write_file (argv[1], "state", &state);
  cpr_writer_init (&writer, -1);
  cpr_question_write_head (&schema_only, &writer);
  cpr_writer_finish (&writer);
  write_file (argv[1], "question-for-the-schema", &writer);
  cpr_writer_init (&writer, -1);
  write_answer (&writer);
  write_file (argv[1], "answer", &writer);
  return 0;
}
