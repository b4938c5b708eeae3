/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The commands `schema` and `compat`: a preflight's question to a program, and its answer. Called
 * by main.c. */
#include <stdio.h>
#include <unistd.h>

#include "ask/exchange.h"
#include "base/checksum.h"
#include "commands.h"
#include "findings.h"
#include "process/program.h"
#include "text.h"

/* One question to one program, and its answer. */
typedef struct
{
  char **command;
  unsigned timeout_ms;
  char *path;
  char **envp;
  CprAsk ask;
  CprAnswer answer;
  const char *code; /* where there is no answer: one word, and why */
  char *reason;
} Talk;

/* ---- The question. */

static void
copy_chunk (const CprChunk *chunk, CprWriter *writer)
{
  cpr_writer_begin_chunk (writer, chunk->type, 0);
  cpr_writer_put (writer, chunk->payload.data, (size_t) chunk->len);
  cpr_writer_end_chunk (writer);
}

static void
write_devices (const InspectState *state, CprWriter *writer)
{
  const GArray *types = state->manifest.schema.types;

  cpr_writer_begin_chunk (writer, CPR_CHUNK_DEVICES, 0);
  cpr_writer_put_u32 (writer, state->devices->len);
  for (guint i = 0; i < state->devices->len; i++)
    {
      const InspectDevice *device = &g_array_index (state->devices, InspectDevice, i);

      cpr_writer_put_string (writer, device->name);
      cpr_writer_put_u32 (writer, (uint32_t) (device->type - &g_array_index (types, CprSchemaType, 0)));
      cpr_writer_put_u32 (writer, CPR_DEVICES_FLAG_TRIAL);
    }
  cpr_writer_end_chunk (writer);
}

static void
write_vm (const CprManifest *manifest, CprWriter *writer)
{
  CprManifest head = *manifest;

  head.pid = (uint32_t) getpid ();
  head.uid = geteuid ();
  cpr_manifest_write_vm (&head, writer);
}

/* The state as a question of this process, which is the one that asks. */
static void
write_state (InspectState *state, CprWriter *writer)
{
  CprChunk chunk;

  write_vm (&state->manifest, writer);
  cpr_reader_rewind (&state->reader);
  while (cpr_reader_next (&state->reader, &chunk))
    {
      if (chunk.type == CPR_CHUNK_FDS || chunk.type == CPR_CHUNK_RAM || chunk.type == CPR_CHUNK_DMA ||
          chunk.type == CPR_CHUNK_SCHEMA || chunk.type == CPR_CHUNK_SECTION)
        copy_chunk (&chunk, writer);
      if (chunk.type == CPR_CHUNK_SCHEMA)
        write_devices (state, writer);
    }
}

/* The same of another's question. */
static void
write_question (CprQuestion *question, CprWriter *writer)
{
  CprChunk chunk;

  write_vm (&question->manifest, writer);
  cpr_reader_rewind (&question->reader);
  while (cpr_reader_next (&question->reader, &chunk))
    if (chunk.type != CPR_CHUNK_QUESTION && chunk.type != CPR_CHUNK_VM && chunk.type != CPR_CHUNK_END)
      copy_chunk (&chunk, writer);
}

/* @state: NULL: only what the program knows is asked for. */
static bool
put_question (const CprAsk *ask, InspectState *state, uint64_t *checksum, GError **error)
{
  const CprQuestionHead head = cpr_exchange_make_head (ask, state == NULL);
  CprWriter writer;
  bool ok;

  cpr_writer_init (&writer, -1);
  cpr_question_write_head (&head, &writer);
  if (state != NULL && state->question != NULL)
    write_question (state->question, &writer);
  else if (state != NULL)
    write_state (state, &writer);
  cpr_writer_finish (&writer);
  *checksum = cpr_checksum (writer.data, writer.len);
  ok = cpr_exchange_put_question (ask, &writer, error);
  cpr_writer_clear (&writer);
  return ok;
}

static bool
ask (Talk *talk, InspectState *state, GError **error)
{
  CprAsk *child = &talk->ask;
  uint64_t question;

  *child = (CprAsk){ .path = talk->path, .argv = talk->command, .envp = talk->envp };
  return cpr_ask_open (child, error) && put_question (child, state, &question, error) &&
         cpr_ask_run (child, 1, talk->timeout_ms, error) &&
         cpr_exchange_take_answer (child, question, &talk->answer, error);
}

static const char *
get_failure_code (const CprAsk *ask, const GError *error)
{
  if (ask->timed_out || ask->outlived)
    return "no-answer-in-time";
  if (ask->failure != NULL)
    return "no-answer";
  return g_error_matches (error, CPR_ERROR, CPR_ERROR_CORRUPT) ? "answer-damaged" : "system";
}

/* False where there is no answer: talk_end() is called then, too. */
static bool
talk_begin (Talk *talk, char **command, unsigned timeout_ms, InspectState *state)
{
  g_autoptr (GError) error = NULL;

  *talk = (Talk){ .command = command, .timeout_ms = timeout_ms };
  talk->path = cpr_program_find (command[0], &error);
  talk->envp = cpr_ask_make_envp (environ);
  if (talk->path != NULL && ask (talk, state, &error))
    return true;
  talk->code = talk->path != NULL ? get_failure_code (&talk->ask, error) : "program-missing";
  talk->reason = g_strdup (error->message);
  return false;
}

/* Why there is no answer. */
static InspectStatus
complain (const Talk *talk)
{
  g_autofree char *program = inspect_text_escape (talk->command[0], strlen (talk->command[0]));
  g_autofree char *message = inspect_text_escape_message (talk->reason);

  fprintf (stderr, "cpr-inspect: %s%s%s\n", talk->path != NULL ? program : "", talk->path != NULL ? ": " : "", message);
  return INSPECT_UNASKED;
}

static void
talk_end (Talk *talk)
{
  if (talk->reason == NULL)
    cpr_answer_clear (&talk->answer);
  if (talk->path != NULL)
    cpr_ask_clear (&talk->ask);
  g_strfreev (talk->envp);
  g_free (talk->path);
  g_free (talk->reason);
}

/* The answer's schema, which was verified before. */
static void
show_types (const GByteArray *data)
{
  CprSchema schema = { .structs = NULL };
  CprReader reader;
  CprChunk chunk;

  if (cpr_reader_open (&reader, data->data, data->len, NULL))
    while (cpr_reader_next (&reader, &chunk))
      if (chunk.type == CPR_CHUNK_SCHEMA && cpr_schema_read (&schema, &chunk.payload, NULL))
        inspect_show_schema (&schema);
  cpr_schema_clear (&schema);
  cpr_reader_clear (&reader);
}

InspectStatus
inspect_schema (char **command, unsigned timeout_ms)
{
  InspectStatus status;
  Talk talk;

  if (talk_begin (&talk, command, timeout_ms, NULL))
    {
      show_types (talk.ask.answer);
      status = inspect_findings_show (&talk.answer);
    }
  else
    status = complain (&talk);
  talk_end (&talk);
  return status;
}

/* Asks, and tells what came of it. */
static InspectStatus
compare (InspectState *state, const char *file, char **command, unsigned timeout_ms, bool json)
{
  InspectVerdict verdict = { .file = file, .program = command[0] };
  InspectStatus status;
  Talk talk;
  bool ok = talk_begin (&talk, command, timeout_ms, state);

  verdict.vm = state->question != NULL ? state->question->manifest.vm_name : state->manifest.vm_name;
  if (ok)
    verdict.answer = &talk.answer;
  verdict.code = talk.code;
  verdict.reason = talk.reason;
  if (json)
    status = inspect_verdict_show_json (&verdict);
  else
    status = ok ? inspect_findings_show (&talk.answer) : complain (&talk);
  talk_end (&talk);
  return status;
}

/* The file is at fault. */
static InspectStatus
refuse (const char *file, char **command, bool json, const char *code, const char *complaint)
{
  const InspectVerdict verdict = { .file = file, .program = command[0], .code = code, .reason = complaint };
  g_autofree char *escaped = inspect_text_escape (file, strlen (file));

  if (json)
    return inspect_verdict_show_json (&verdict);
  fprintf (stderr, "cpr-inspect: %s: %s\n", escaped, complaint);
  return INSPECT_UNASKED;
}

InspectStatus
inspect_compat (const char *file, char **command, unsigned timeout_ms, bool json)
{
  g_autofree char *complaint = NULL;
  InspectState state;
  InspectStatus status = inspect_state_read (&state, file, true, &complaint);

  if (status == INSPECT_YES)
    status = compare (&state, file, command, timeout_ms, json);
  else
    status = refuse (file, command, json, status == INSPECT_NO ? "state-damaged" : "state-unreadable", complaint);
  inspect_state_close (&state);
  return status;
}
