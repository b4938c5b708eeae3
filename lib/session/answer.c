/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The whole life of a program that was started to be asked: it reads the question, lets the
 * VMM declare what it would build, answers, and ends. Called by cpr_session_new(). */
#include "session/answer.h"

#include <errno.h>
#include <unistd.h>

#include "ask/answer.h"
#include "ask/compare.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/sys.h"
#include "session/parts/config.h"
#include "state/executable.h"

static bool
read_question (CprQuestion *question, int fd, GError **error)
{
  struct stat st;
  void *data;

  if (cpr_sys->fstat (fd, &st) < 0)
    return cpr_throw_errno (error, errno, "question: fstat");
  if (st.st_uid != geteuid ())
    return cpr_throw (error, CPR_ERROR_MISMATCH, "question: it belongs to user %u, this is user %u", st.st_uid,
                      geteuid ());
  data = g_try_malloc ((size_t) st.st_size);
  if (data == NULL)
    return cpr_throw_errno (error, ENOMEM, "question: %" G_GINT64_FORMAT " bytes", (gint64) st.st_size);
  if (!cpr_fd_read_at (fd, data, (size_t) st.st_size, 0))
    {
      cpr_throw_errno (error, errno, "question: reading %" G_GINT64_FORMAT " bytes", (gint64) st.st_size);
      g_free (data);
      return false;
    }
  if (cpr_question_read (question, data, (size_t) st.st_size, error))
    return true;
  cpr_question_clear (question);
  return false;
}

/* A forged question shall not make this process write into an fd that happens to be open. */
static bool
check_pipe (const CprQuestionHead *head, GError **error)
{
  struct stat st;

  if (cpr_sys->fstat ((int) head->answer_fd, &st) == 0 && S_ISFIFO (st.st_mode) && st.st_dev == head->pipe_device &&
      st.st_ino == head->pipe_inode)
    return true;
  return cpr_throw (error, CPR_ERROR_MISMATCH, "question: fd %u isn't the pipe where it is to be answered",
                    head->answer_fd);
}

static void
find (CprQuestion *question,
      const CprCandidate *candidate,
      const GError *fault,
      const GPtrArray *types,
      GPtrArray *findings)
{
  g_autoptr (GError) error = NULL;

  if (fault != NULL)
    cpr_findings_add (findings, CPR_SEVERITY_REFUSAL, CPR_SUBJECT_PROGRAM, "", "%s", fault->message);
  else if (!cpr_config_check (candidate->config, &error))
    cpr_findings_add (findings, CPR_SEVERITY_REFUSAL, CPR_SUBJECT_PROGRAM, "", "%s", error->message);
  else
    {
      cpr_compare (question, candidate, types, findings);
      cpr_compare_limits (question, findings);
      cpr_compare_surroundings (candidate->asker, findings);
    }
}

static bool
send_answer (const CprAnswer *answer, const GPtrArray *types, int fd, GError **error)
{
  CprSchemaBuilder builder;
  CprWriter writer;
  bool ok;

  cpr_schema_builder_init (&builder);
  for (guint i = 0; i < types->len; i++)
    cpr_schema_builder_add (&builder, types->pdata[i]);
  cpr_writer_init (&writer, -1);
  cpr_answer_write (answer, &builder, &writer);
  ok = cpr_fd_write_all (fd, writer.data, writer.len) || cpr_throw_errno (error, errno, "answer: write");
  cpr_writer_clear (&writer);
  cpr_schema_builder_clear (&builder);
  return ok;
}

void
cpr_session_answer (const CprSessionConfig *config, const GError *fault, int fd, GError **error)
{
  g_autoptr (CprInventory) inventory = config->declare != NULL ? cpr_inventory_new () : NULL;
  const CprCandidate candidate = { config, inventory, getppid () };
  g_autoptr (GPtrArray) types = NULL;
  CprQuestion question;
  CprAnswer answer = { .findings = NULL };

  if (!read_question (&question, fd, error))
    return;
  if (check_pipe (&question.head, error) && cpr_executable_get (&answer.executable, &answer.path, error))
    {
      answer.question = question.checksum;
      answer.findings = cpr_findings_new ();
      if (inventory != NULL)
        config->declare (inventory, config->user_data);
      types = cpr_candidate_collect_types (&candidate, answer.findings);
      if (!question.head.schema_only)
        find (&question, &candidate, fault, types, answer.findings);
      if (send_answer (&answer, types, (int) question.head.answer_fd, error))
        _exit (cpr_findings_count_refusals (answer.findings) > 0);
      cpr_answer_clear (&answer);
    }
  cpr_question_clear (&question);
}
