/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The exchange of a preflight, both sides of it: a question goes out, the program that is asked
 * declares, compares and answers, and its answer comes back. All modes that ask do it here. Called
 * by lib/session/ask.c, lib/session/answer.c, both sides of a transfer and cpr-inspect. */
#include "ask/exchange.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "ask/compare.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/sys.h"
#include "state/seal.h"

/* The longest question that is read: a memfd may claim any size. */
#define QUESTION_MAX (UINT64_C (256) << 20)

static bool
check_file (int fd, const char *what, uint64_t max, struct stat *st, GError **error)
{
  if (cpr_sys->fstat (fd, st) < 0)
    return cpr_throw_errno (error, errno, "%s: fstat", what);
  if (!S_ISREG (st->st_mode))
    return cpr_throw (error, CPR_ERROR_CORRUPT, "%s: it should be in a memfd, and is in a file of the type 0%o", what,
                      st->st_mode & S_IFMT);
  if ((uint64_t) st->st_size > max)
    return cpr_throw (error, CPR_ERROR_CORRUPT,
                      "%s: it has %" G_GINT64_FORMAT " bytes, and may have %" G_GUINT64_FORMAT, what,
                      (gint64) st->st_size, max);
  return true;
}

/* All bytes of the memfd @fd, which are the caller's; NULL with an error. */
static void *
read_message (int fd, const char *what, uint64_t max, struct stat *st, GError **error)
{
  g_autofree void *data = NULL;
  size_t len;

  if (!check_file (fd, what, max, st, error))
    return NULL;
  len = (size_t) st->st_size;
  data = g_try_malloc (len + 1);
  if (data != NULL && cpr_fd_read_at (fd, data, len, 0))
    return g_steal_pointer (&data);
  cpr_throw_errno (error, data == NULL ? ENOMEM : errno, "%s: reading %zu bytes", what, len);
  return NULL;
}

/* ---- The program that asks. */

CprQuestionHead
cpr_exchange_make_head (const CprAsk *ask, bool schema_only)
{
  return (CprQuestionHead){ .schema_only = schema_only,
                            .answer_fd = CPR_ASK_FD_ANSWER,
                            .pipe_device = ask->pipe_device,
                            .pipe_inode = ask->pipe_inode };
}

bool
cpr_exchange_put_question (const CprAsk *ask, const CprWriter *question, GError **error)
{
  if (cpr_fd_write_all (ask->question_fd, question->data, question->len) &&
      cpr_sys->lseek (ask->question_fd, 0, SEEK_SET) == 0 &&
      cpr_sys->fcntl (ask->question_fd, F_ADD_SEALS, CPR_STATE_SEALS) == 0)
    return true;
  return cpr_throw_errno (error, errno, "preflight: writing a question of %zu bytes", question->len);
}

/* The reader calls every stream a state. */
static void
prefix_damage (GError **error)
{
  const char *text;
  char *message;

  if (error == NULL)
    return;
  text = (*error)->message + (g_str_has_prefix ((*error)->message, "state: ") ? strlen ("state: ") : 0);
  message = g_strconcat ("its answer is damaged: ", text, NULL);
  g_free ((*error)->message);
  (*error)->message = message;
}

static bool
read_answer (CprAnswer *answer, const void *data, size_t len, uint64_t question, GError **error)
{
  if (!cpr_answer_read (answer, data, len, error))
    {
      prefix_damage (error);
      return false;
    }
  if (answer->question == question)
    return true;
  cpr_throw (error, CPR_ERROR_CORRUPT,
             "its answer is damaged: it is to question %016" G_GINT64_MODIFIER "x, and %016" G_GINT64_MODIFIER
             "x was asked",
             answer->question, question);
  cpr_answer_clear (answer);
  return false;
}

bool
cpr_exchange_take_answer (const CprAsk *ask, uint64_t question, CprAnswer *answer, GError **error)
{
  if (ask->failure != NULL)
    return cpr_throw (error, CPR_ERROR_REFUSED, "%s", ask->failure);
  return read_answer (answer, ask->answer->data, ask->answer->len, question, error);
}

bool
cpr_exchange_read_answer (int fd, uint64_t question, CprAnswer *answer, GError **error)
{
  struct stat st;
  g_autofree void *data = read_message (fd, "its answer", CPR_ANSWER_MAX, &st, error);

  return data != NULL && read_answer (answer, data, (size_t) st.st_size, question, error);
}

/* ---- The program that is asked. */

bool
cpr_exchange_read_question (int fd, CprQuestion *question, GError **error)
{
  g_autofree void *data = NULL;
  struct stat st;

  if (!cpr_stream_is_sealed (fd))
    return cpr_throw (error, CPR_ERROR_CORRUPT, "question: it should be in a sealed memfd, and fd %d isn't one", fd);
  data = read_message (fd, "question", QUESTION_MAX, &st, error);
  if (data == NULL)
    return false;
  if (st.st_uid != geteuid ())
    return cpr_throw (error, CPR_ERROR_MISMATCH, "question: it belongs to user %u, this is user %u", st.st_uid,
                      geteuid ());
  if (cpr_question_read (question, g_steal_pointer (&data), (size_t) st.st_size, error))
    return true;
  cpr_question_clear (question);
  return false;
}

/* A program with a faulty config can't become a session: nothing else of it counts. */
static void
find (const CprAsked *asked,
      const CprCandidate *candidate,
      CprQuestion *question,
      const GPtrArray *types,
      GPtrArray *findings)
{
  if (asked->fault != NULL)
    {
      cpr_findings_add (findings, CPR_SEVERITY_REFUSAL, CPR_SUBJECT_PROGRAM, "", "%s", asked->fault->message);
      return;
    }
  cpr_compare (question, candidate, types, findings);
  cpr_findings_drop_doubles (findings); /* of what was declared twice */
  cpr_compare_limits (question, findings);
  if (asked->is_executed)
    cpr_compare_surroundings (asked->asker, findings);
}

static void
write_answer (const CprAnswer *answer, const GPtrArray *types, CprWriter *writer)
{
  CprSchemaBuilder builder;

  cpr_schema_builder_init (&builder);
  for (guint i = 0; i < types->len; i++)
    cpr_schema_builder_add (&builder, types->pdata[i]);
  cpr_writer_init (writer, -1);
  cpr_answer_write (answer, &builder, writer);
  cpr_schema_builder_clear (&builder);
}

/* Whether `declare` is complete, or adds to what there is. */
static bool
may_declare (const CprAsked *asked)
{
  bool adds = (asked->config->incoming_flags & CPR_INCOMING_REHEARSE) != 0;

  return asked->config->declare != NULL && (asked->built != NULL || !adds);
}

bool
cpr_exchange_answer (const CprAsked *asked, CprQuestion *question, CprAnswer *answer, CprWriter *writer, GError **error)
{
  const CprSessionConfig *config = asked->config;
  g_autoptr (CprInventory) own = asked->built == NULL && may_declare (asked) ? cpr_inventory_new () : NULL;
  CprInventory *inventory = own != NULL ? own : asked->built;
  const CprCandidate candidate = { config, inventory, asked->asker };
  g_autoptr (GPtrArray) types = NULL;

  *answer = (CprAnswer){ .question = question->checksum };
  if (!cpr_executable_get (&answer->executable, &answer->path, error))
    return false;
  answer->findings = cpr_findings_new ();
  if (may_declare (asked))
    config->declare (inventory, config->user_data);
  types = cpr_candidate_collect_types (&candidate, answer->findings);
  if (!question->head.schema_only)
    find (asked, &candidate, question, types, answer->findings);
  write_answer (answer, types, writer);
  return true;
}
