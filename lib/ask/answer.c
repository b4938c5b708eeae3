/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The message by which an asked program says what it is and what it found. Written by the asked
 * program and read by the program that asks, on both sides by ask/exchange.c. */
#include "ask/answer.h"

#include "base/error.h"
#include "base/text.h"
#include "stream/reader.h"

/* The longest path, name or message that is written; the longest path of the kernel fits. */
#define TEXT_MAX 8192

enum
{
  VERDICT_YES = 0,
  VERDICT_NO = 1
};

static void
put_text (CprWriter *writer, const char *text)
{
  g_autofree char *part = g_strndup (text, TEXT_MAX);

  cpr_writer_put_string (writer, part);
}

static void
write_finding (const CprFinding *finding, CprWriter *writer)
{
  cpr_writer_begin_chunk (writer, CPR_CHUNK_FINDING, 0);
  cpr_writer_put_u32 (writer, finding->severity);
  cpr_writer_put_u32 (writer, finding->subject);
  put_text (writer, finding->name);
  put_text (writer, finding->message);
  cpr_writer_end_chunk (writer);
}

void
cpr_answer_write (const CprAnswer *answer, const CprSchemaBuilder *types, CprWriter *writer)
{
  cpr_findings_sort (answer->findings); /* where there are too many, losses are left out first */
  cpr_writer_begin_chunk (writer, CPR_CHUNK_ANSWER, 0);
  cpr_writer_put_u64 (writer, answer->question);
  cpr_writer_put_u32 (writer, cpr_findings_count_refusals (answer->findings) > 0 ? VERDICT_NO : VERDICT_YES);
  put_text (writer, answer->path != NULL ? answer->path : "");
  put_text (writer, answer->executable.build_id);
  cpr_writer_put_u64 (writer, answer->executable.device);
  cpr_writer_put_u64 (writer, answer->executable.inode);
  cpr_writer_end_chunk (writer);

  cpr_writer_begin_chunk (writer, CPR_CHUNK_SCHEMA, 0);
  cpr_schema_builder_write (types, writer);
  cpr_writer_end_chunk (writer);

  for (guint i = 0; i < MIN (answer->findings->len, CPR_FINDINGS_MAX); i++)
    write_finding (answer->findings->pdata[i], writer);
  cpr_writer_finish (writer);
}

static bool
read_head (CprAnswer *answer, CprCursor *cursor, uint32_t *verdict, GError **error)
{
  const char *path;

  answer->question = cpr_cursor_get_u64 (cursor);
  *verdict = cpr_cursor_get_u32 (cursor);
  path = cpr_cursor_get_string (cursor);
  answer->path = cpr_text_make_line (path, strlen (path)); /* errors name it */
  answer->executable.build_id = g_strdup (cpr_cursor_get_string (cursor));
  answer->executable.device = cpr_cursor_get_u64 (cursor);
  answer->executable.inode = cpr_cursor_get_u64 (cursor);
  if (!cpr_cursor_check_end (cursor, "head", error))
    return false;
  if (*verdict > VERDICT_NO)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "head: its verdict should be %d or %d, and is %u", VERDICT_YES,
                      VERDICT_NO, *verdict);
  return cpr_build_id_check ("head", answer->executable.build_id, error);
}

static bool
read_schema (CprCursor *cursor, GError **error)
{
  CprSchema schema = { .structs = NULL };
  bool ok = cpr_schema_read (&schema, cursor, error);

  cpr_schema_clear (&schema);
  return ok;
}

static bool
read_finding (CprAnswer *answer, CprCursor *cursor, GError **error)
{
  uint32_t severity = cpr_cursor_get_u32 (cursor), subject = cpr_cursor_get_u32 (cursor);
  const char *name = cpr_cursor_get_string (cursor), *message = cpr_cursor_get_string (cursor);
  g_autofree char *line = cpr_text_make_line (message, strlen (message));

  if (!cpr_cursor_check_end (cursor, "finding", error))
    return false;
  if (severity > CPR_SEVERITY_REFUSAL)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "finding %u: its severity should be %d or %d, and is %u",
                      answer->findings->len, CPR_SEVERITY_LOSS, CPR_SEVERITY_REFUSAL, severity);
  if (subject < CPR_SUBJECT_VM || subject > CPR_SUBJECT_LIMIT)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "finding %u: its subject should be %d to %d, and is %u",
                      answer->findings->len, CPR_SUBJECT_VM, CPR_SUBJECT_LIMIT, subject);
  if (answer->findings->len == CPR_FINDINGS_MAX)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "it has more than %u findings", CPR_FINDINGS_MAX);
  cpr_findings_add (answer->findings, (CprSeverity) severity, (CprSubject) subject, name, "%s", line);
  return true;
}

static bool
check_verdict (const CprAnswer *answer, uint32_t verdict, GError **error)
{
  size_t n = cpr_findings_count_refusals (answer->findings);

  if ((verdict == VERDICT_NO) == (n > 0))
    return true;
  return cpr_throw (error, CPR_ERROR_CORRUPT, "its verdict is %s, which contradicts its findings: %zu are refusals",
                    verdict == VERDICT_NO ? "no" : "yes", n);
}

static bool
read_chunks (CprAnswer *answer, CprReader *reader, GError **error)
{
  uint32_t verdict = VERDICT_NO;
  CprChunk chunk;
  bool ok = true;

  if (reader->kind != CPR_STREAM_ANSWER)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "it is %s, not an answer",
                      reader->kind == CPR_STREAM_QUESTION ? "a question" : "a state");
  while (ok && cpr_reader_next (reader, &chunk))
    if (chunk.type == CPR_CHUNK_ANSWER)
      ok = read_head (answer, &chunk.payload, &verdict, error);
    else if (chunk.type == CPR_CHUNK_SCHEMA)
      ok = read_schema (&chunk.payload, error);
    else
      ok = read_finding (answer, &chunk.payload, error);
  return ok && check_verdict (answer, verdict, error);
}

bool
cpr_answer_read (CprAnswer *answer, const void *data, size_t len, GError **error)
{
  CprReader reader;
  bool ok;

  *answer = (CprAnswer){ .findings = cpr_findings_new () };
  ok = cpr_reader_open (&reader, data, len, error) && read_chunks (answer, &reader, error);
  cpr_reader_clear (&reader);
  if (!ok)
    cpr_answer_clear (answer);
  return ok;
}

void
cpr_answer_clear (CprAnswer *answer)
{
  g_clear_pointer (&answer->path, g_free);
  cpr_executable_clear (&answer->executable);
  g_clear_pointer (&answer->findings, g_ptr_array_unref);
}
