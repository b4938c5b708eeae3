/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The commands `schema` and `compat`: a preflight's question to a program, and its answer. Called
 * by main.c. */
#include <stdio.h>
#include <unistd.h>

#include "ask/exchange.h"
#include "base/checksum.h"
#include "commands.h"
#include "process/program.h"
#include "text.h"

#define TIMEOUT_MS 10000

/* One question to one program, and its answer. */
typedef struct
{
  char **command;
  char *path;
  char **envp;
  CprAsk ask;
  CprAnswer answer;
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

/* The state as a question of this process, which is the one that asks. */
static void
write_body (InspectState *state, CprWriter *writer)
{
  CprManifest head = state->manifest;
  CprChunk chunk;

  head.pid = (uint32_t) getpid ();
  head.uid = geteuid ();
  cpr_manifest_write_vm (&head, writer);
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

/* @state: NULL: only what the program knows is asked for. */
static bool
put_question (const CprAsk *ask, InspectState *state, uint64_t *checksum, GError **error)
{
  const CprQuestionHead head = cpr_exchange_make_head (ask, state == NULL);
  CprWriter writer;
  bool ok;

  cpr_writer_init (&writer, -1);
  cpr_question_write_head (&head, &writer);
  if (state != NULL)
    write_body (state, &writer);
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
         cpr_ask_run (child, 1, TIMEOUT_MS, error) && cpr_exchange_take_answer (child, question, &talk->answer, error);
}

/* Says why not, where there is no answer. */
static bool
talk_begin (Talk *talk, char **command, InspectState *state)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *program = inspect_text_escape (command[0], strlen (command[0])), *message = NULL;

  *talk = (Talk){ .command = command };
  talk->path = cpr_program_find (command[0], &error);
  if (talk->path != NULL)
    {
      talk->envp = cpr_ask_make_envp (environ);
      if (ask (talk, state, &error))
        return true;
      cpr_ask_clear (&talk->ask);
    }
  message = inspect_text_escape_message (error->message);
  fprintf (stderr, "cpr-inspect: %s%s%s\n", talk->path != NULL ? program : "", talk->path != NULL ? ": " : "", message);
  g_strfreev (talk->envp);
  g_free (talk->path);
  return false;
}

static void
talk_end (Talk *talk)
{
  cpr_answer_clear (&talk->answer);
  cpr_ask_clear (&talk->ask);
  g_strfreev (talk->envp);
  g_free (talk->path);
}

static InspectStatus
show_findings (const CprAnswer *answer)
{
  for (guint i = 0; i < answer->findings->len; i++)
    {
      const CprFinding *finding = answer->findings->pdata[i];
      g_autofree char *message = inspect_text_escape_message (finding->message);

      printf ("%s: %s\n", finding->severity == CPR_SEVERITY_REFUSAL ? "refusal" : "loss", message);
    }
  return cpr_findings_count_refusals (answer->findings) > 0 ? INSPECT_NO : INSPECT_YES;
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
inspect_schema (char **command)
{
  InspectStatus status;
  Talk talk;

  if (!talk_begin (&talk, command, NULL))
    return INSPECT_TROUBLE;
  show_types (talk.ask.answer);
  status = show_findings (&talk.answer);
  talk_end (&talk);
  return status;
}

InspectStatus
inspect_compat (const char *file, char **command)
{
  InspectStatus status = INSPECT_TROUBLE;
  InspectState state;
  Talk talk;

  if (inspect_state_open (&state, file, "cpr-inspect: ") == INSPECT_YES && talk_begin (&talk, command, &state))
    {
      status = show_findings (&talk.answer);
      talk_end (&talk);
    }
  inspect_state_close (&state);
  return status;
}
