/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Any bytes as a preflight's question and as its answer: the library and the specification judge
 * them alike; a question is compared with what a program knows, and an answer comes through
 * being written and read. */
#include <string.h>

#include "../golden/everything.h"
#include "frames.h"
#include "ask/answer.h"
#include "ask/compare.h"
#include "state/executable.h"
#include "preflight-judge.h"

/* The chunks of a stream whose frame is right, or NULL. */
static GArray *
read_frame (const uint8_t *data, size_t size)
{
  GArray *chunks = g_array_new (FALSE, FALSE, sizeof (JudgedChunk));
  CprReader reader;
  CprChunk chunk;

  if (!cpr_reader_open (&reader, data, size, NULL))
    g_clear_pointer (&chunks, g_array_unref);
  while (chunks != NULL && cpr_reader_next (&reader, &chunk))
    {
      JudgedChunk judged = { chunk.type, { chunk.payload.data, chunk.payload.len } };

      g_array_append_val (chunks, judged);
    }
  cpr_reader_clear (&reader);
  return chunks;
}

static void
check_verdict (const char *what, bool judged, const GError *error)
{
  if (judged != (error == NULL))
    g_error ("%s: the library says '%s', the specification something else", what,
             error != NULL ? error->message : "right");
}

/* ---- Answers. */

static void
check_line (const char *text)
{
  g_assert (g_utf8_validate (text, -1, NULL));
  for (; *text != '\0'; text = g_utf8_next_char (text))
    g_assert (g_unichar_isprint (g_utf8_get_char (text)));
}

/* The text, up to the length that is written. */
#define WRITTEN 8000

static void
check_same (const CprAnswer *a, const CprAnswer *b)
{
  g_assert (a->question == b->question && cpr_executable_equal (&a->executable, &b->executable));
  g_assert (a->findings->len == b->findings->len);
  for (guint i = 0; i < a->findings->len; i++)
    {
      const CprFinding *x = a->findings->pdata[i], *y = b->findings->pdata[i];

      g_assert (x->severity == y->severity && x->subject == y->subject);
      g_assert (strncmp (x->name, y->name, WRITTEN) == 0 && strncmp (x->message, y->message, WRITTEN) == 0);
    }
}

/* The findings of one program are read by the program that asked. */
static void
check_written (CprAnswer *answer, const GPtrArray *types)
{
  CprSchemaBuilder builder;
  CprAnswer again;
  CprWriter writer;
  GError *error = NULL;

  cpr_schema_builder_init (&builder);
  for (guint i = 0; types != NULL && i < types->len; i++)
    cpr_schema_builder_add (&builder, types->pdata[i]);
  cpr_writer_init (&writer, -1);
  cpr_answer_write (answer, &builder, &writer);
  g_ptr_array_set_size (answer->findings, (gint) MIN (answer->findings->len, CPR_FINDINGS_MAX));
  cpr_answer_read (&again, writer.data, writer.len, &error);
  g_assert_no_error (error);
  if (types == NULL) /* read before: its messages are as they will be read */
    check_same (answer, &again);
  cpr_answer_clear (&again);
  cpr_writer_clear (&writer);
  cpr_schema_builder_clear (&builder);
}

static void
read_answer (const uint8_t *data, size_t size, const GArray *chunks)
{
  GError *error = NULL;
  CprAnswer answer;
  bool ok = cpr_answer_read (&answer, data, size, &error);

  g_assert (ok == (error == NULL));
  check_verdict ("answer", chunks != NULL && judge_answer ((JudgedChunk *) chunks->data, chunks->len), error);
  g_clear_error (&error);
  if (!ok)
    return;
  for (guint i = 0; i < answer.findings->len; i++)
    check_line (((CprFinding *) answer.findings->pdata[i])->message);
  check_written (&answer, NULL);
  cpr_answer_clear (&answer);
}

/* ---- Questions. */

static void
declare (CprInventory *inventory)
{
  cpr_inventory_add_fd (inventory, "disk", 0);
  cpr_inventory_add_fd (inventory, "monitor", -1);
  cpr_inventory_add_ram (inventory, "pc.ram", 64 << 20);
  cpr_inventory_add_device (inventory, "everything0", &everything_type);
  cpr_inventory_add_device (inventory, "bus0", &everything_bus_type);
}

/* Two answers: one lists the program's types, and one also says what the program would build. */
static void
answer_question (CprQuestion *question, bool declares)
{
  const CprDeviceType *const known[] = { &everything_bus_type, &everything_type, NULL };
  const CprSessionConfig config = { .size = sizeof config, .name = "golden", .device_types = known };
  g_autoptr (CprInventory) inventory = declares ? cpr_inventory_new () : NULL;
  const CprCandidate candidate = { &config, inventory, getppid () };
  CprAnswer answer = { .question = question->checksum, .findings = cpr_findings_new () };
  g_autoptr (GPtrArray) types = NULL;

  if (inventory != NULL)
    declare (inventory);
  answer.executable.build_id = g_strdup ("beef");
  types = cpr_candidate_collect_types (&candidate, answer.findings);
  if (!question->head.schema_only)
    {
      cpr_compare (question, &candidate, types, answer.findings);
      cpr_compare_limits (question, answer.findings);
    }
  check_written (&answer, types);
  cpr_answer_clear (&answer);
}

static void
read_question (const uint8_t *data, size_t size, const GArray *chunks)
{
  CprQuestion question;
  GError *error = NULL;
  bool ok = cpr_question_read (&question, g_memdup2 (data, size), size, &error);

  g_assert (ok == (error == NULL));
  check_verdict ("question", chunks != NULL && judge_question ((JudgedChunk *) chunks->data, chunks->len), error);
  g_clear_error (&error);
  if (ok)
    {
      answer_question (&question, false);
      answer_question (&question, true);
    }
  cpr_question_clear (&question);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  GArray *chunks = read_frame (data, size);

  fuzz_begin ();
  read_answer (data, size, chunks);
  fuzz_end ((1u << 20) + 64 * size);
  fuzz_begin ();
  read_question (data, size, chunks);
  fuzz_end ((1u << 20) + 64 * size);
  g_clear_pointer (&chunks, g_array_unref);
  return 0;
}
