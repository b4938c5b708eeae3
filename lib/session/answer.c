/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The whole life of a program that was started to be asked: it reads the question, lets the VMM
 * declare or rehearse what it would build, answers, and ends. Called by load.c. */
#include "session/answer.h"

#include <errno.h>
#include <unistd.h>

#include "ask/exchange.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/sys.h"

/* A forged question shall not make this process write into an fd that happens to be open. */
static bool
check_pipe (const CprQuestionHead *head, GError **error)
{
  struct stat st;

  if (cpr_sys->fstat ((int) head->answer_fd, &st) == 0 && S_ISFIFO (st.st_mode) && st.st_dev == head->pipe_device &&
      st.st_ino == head->pipe_inode)
    return true;
  return cpr_throw (error, CPR_ERROR_MISMATCH, "question: fd %u should be the pipe for the answer, and is another file",
                    head->answer_fd);
}

static bool
send_answer (const CprWriter *answer, int fd, GError **error)
{
  return cpr_fd_write_all (fd, answer->data, answer->len) ||
         cpr_throw_errno (error, errno, "answer: writing %zu bytes", answer->len);
}

/* Returns only on failure. A rehearsed start-up may have closed the pipe. */
static bool
answer (const CprAsked *asked, CprQuestion *question, GError **error)
{
  CprAnswer answer;
  CprWriter writer;

  if (!check_pipe (&question->head, error) || !cpr_exchange_answer (asked, question, &answer, &writer, error))
    return false;
  if (send_answer (&writer, (int) question->head.answer_fd, error))
    _exit (cpr_findings_count_refusals (answer.findings) > 0);
  cpr_writer_clear (&writer);
  cpr_answer_clear (&answer);
  return false;
}

/* A list of types is all of the answer to a question for the types alone. */
static bool
wants_rehearsal (const CprSessionConfig *config, const CprQuestionHead *head)
{
  return (config->incoming_flags & CPR_INCOMING_REHEARSE) != 0 && (!head->schema_only || config->device_types == NULL);
}

bool
cpr_session_answer (CprSession *session, const GError *fault, int fd, GError **error)
{
  g_autoptr (CprRehearsal) rehearsal = cpr_rehearsal_new (getppid ());
  const CprAsked asked = { .config = &session->config, .fault = fault, .asker = rehearsal->asker, .is_executed = true };
  const CprQuestionHead *head = &rehearsal->question.head;

  if (!cpr_exchange_read_question (fd, &rehearsal->question, error) || !check_pipe (head, error))
    return false;
  if (fault != NULL || !wants_rehearsal (&session->config, head))
    return answer (&asked, &rehearsal->question, error);
  cpr_fd_set_cloexec ((int) head->answer_fd, true);
  cpr_sys->close (fd);
  g_unsetenv (CPR_STATE_VARIABLE);
  session->rehearsal = g_steal_pointer (&rehearsal);
  return true;
}

/* ---- The rehearsal. */

bool
cpr_session_begin_rehearsal (CprSession *session, GError **error)
{
  g_autoptr (GError) reason = NULL;

  session->was_incoming = true;
  session->state = CPR_SESSION_STATE_INCOMING;
  session->run_state = (CprRunState) session->rehearsal->question.manifest.run_state;
  session->timeline.mode = CPR_MODE_EXEC;
  return cpr_rehearsal_fill_fds (session->rehearsal, &session->fds, &reason) ||
         cpr_session_end_rehearsal (session, reason, error);
}

/* An answer to why the start-up failed. */
static bool
answer_failure (CprSession *session, const char *reason, GError **error)
{
  g_autoptr (GError) fault =
      g_error_new (CPR_ERROR, CPR_ERROR_REFUSED, "start-up: it failed in its rehearsal: %s", reason);
  const CprAsked asked = {
    .config = &session->config, .fault = fault, .asker = session->rehearsal->asker, .is_executed = true
  };

  return answer (&asked, &session->rehearsal->question, error);
}

/* The types of the config's list, ended by NULL, but for those of devices: each device is loaded as
 * one of the type with which it was added. */
static GPtrArray *
list_other_types (const CprSession *session)
{
  const CprDeviceType *const *listed = session->config.device_types;
  GPtrArray *others = g_ptr_array_new ();

  for (; listed != NULL && *listed != NULL; listed++)
    if ((*listed)->name == NULL || !g_hash_table_contains (session->devices.types, (*listed)->name))
      g_ptr_array_add (others, (void *) *listed);
  g_ptr_array_add (others, NULL);
  return others;
}

/* A program whose start-up has come to its load. */
typedef struct
{
  CprSessionConfig config;
  GPtrArray *types;
  CprInventory *built;
  CprAsked asked;
} Built;

static void
built_init (Built *built, const CprSession *session, const CprQuestion *question)
{
  built->config = session->config;
  built->types = list_other_types (session);
  built->config.device_types = (const CprDeviceType *const *) built->types->pdata;
  built->built = cpr_rehearsal_list (question, &session->fds, &session->ram, &session->devices, &session->vfio);
  built->asked = (CprAsked){ .config = &built->config, .built = built->built };
}

static void
built_clear (Built *built)
{
  g_ptr_array_unref (built->types);
  cpr_inventory_free (built->built);
}

bool
cpr_session_end_rehearsal (CprSession *session, const GError *reason, GError **error)
{
  CprRehearsal *rehearsal = session->rehearsal;
  Built built;

  session->state = CPR_SESSION_STATE_LOST;
  if (reason != NULL)
    return answer_failure (session, reason->message, error);
  built_init (&built, session, &rehearsal->question);
  built.asked.asker = rehearsal->asker;
  built.asked.is_executed = true;
  answer (&built.asked, &rehearsal->question, error);
  built_clear (&built);
  return false;
}

/* ---- The same where the start-up is no rehearsal. */

/* A loss is a warning, a refusal the end. */
static bool
judge (const CprSession *session, GPtrArray *findings, GError **error)
{
  size_t n = cpr_findings_count_refusals (findings);

  cpr_findings_sort (findings);
  for (guint i = (guint) n; i < findings->len; i++)
    cpr_session_log (session, CPR_LOG_WARNING, "start-up: %s", ((const CprFinding *) findings->pdata[i])->message);
  return n == 0 || cpr_throw (error, CPR_ERROR_REFUSED, "%s", ((const CprFinding *) findings->pdata[0])->message);
}

bool
cpr_session_check_start_up (CprSession *session, GError **error)
{
  CprQuestion *question = session->incoming->question;
  CprAnswer answer;
  CprWriter writer;
  Built built;
  bool ok;

  if (question == NULL || (session->config.incoming_flags & CPR_INCOMING_REHEARSE) == 0)
    return true;
  built_init (&built, session, question);
  built.asked.asker = (pid_t) question->manifest.pid; /* as it was compared before */
  ok = cpr_exchange_answer (&built.asked, question, &answer, &writer, error);
  built_clear (&built);
  if (!ok)
    return false;
  ok = judge (session, answer.findings, error);
  cpr_writer_clear (&writer);
  cpr_answer_clear (&answer);
  return ok;
}
