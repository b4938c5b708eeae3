/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session/preflight.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/checksum.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/sys.h"
#include "handoff/answer.h"
#include "handoff/ask.h"
#include "handoff/question.h"
#include "session/private.h"

#define TIMEOUT_MS 10000
/* How long a preflight is good for: what isn't in the hash, such as the libraries of a program, may change any time. */
#define KEEP_NS (UINT64_C (60) * 1000000000)
/* How often it is asked again because the program's file changed meanwhile. */
#define MAX_ROUNDS 3

enum
{
  NEW,
  OLD,
  N_PROGRAMS
};

struct _CprPreflight
{
  GPtrArray *findings; /* CprFinding, sorted */
};

/* One round of asking. */
typedef struct
{
  const CprUpdate *update;
  char *paths[N_PROGRAMS];
  char **envps[N_PROGRAMS];
  CprAsk asks[N_PROGRAMS];
  uint64_t questions[N_PROGRAMS]; /* their checksums */
  CprExecutable next;
  GPtrArray *findings;
} Round;

static const char *const titles[N_PROGRAMS] = { [NEW] = "new program", [OLD] = "way back" };

/* ---- The question. */

/* Everything after QUESTION. */
static bool
write_body (CprSession *session, CprWriter *writer, bool for_hash, GError **error)
{
  CprManifest head = { .vm_name = session->name,
                       .uid = geteuid (),
                       .pid = (uint32_t) getpid (),
                       .generation = session->generation,
                       .run_state = session->run_state };

  if (!cpr_boot_id_get (head.boot_id, error))
    return false;
  if (!for_hash)
    cpr_manifest_stamp (&head);
  cpr_manifest_write_vm (&head, writer);
  cpr_manifest_write_tables (&session->fds, &session->ram, writer);
  cpr_device_table_write_schema (&session->devices, writer);
  cpr_device_table_write_list (&session->devices, writer);
  return for_hash || cpr_device_table_write_trial (&session->devices, &session->fds, writer, error);
}

static bool
write_question (CprSession *session, CprAsk *ask, uint64_t *checksum, GError **error)
{
  const CprQuestionHead head = { .answer_fd = CPR_ASK_FD_ANSWER,
                                 .pipe_device = ask->pipe_device,
                                 .pipe_inode = ask->pipe_inode };
  CprWriter writer;
  bool ok;

  cpr_writer_init (&writer, -1);
  cpr_question_write_head (&head, &writer);
  ok = write_body (session, &writer, false, error);
  if (ok)
    {
      cpr_writer_finish (&writer);
      *checksum = cpr_checksum (writer.data, writer.len);
      ok = cpr_fd_write_all (ask->question_fd, writer.data, writer.len) &&
           cpr_sys->fcntl (ask->question_fd, F_ADD_SEALS, CPR_STATE_SEALS) == 0;
      if (!ok)
        cpr_throw_errno (error, errno, "preflight: writing %zu bytes", writer.len);
    }
  cpr_writer_clear (&writer);
  return ok;
}

static void
put_strings (CprWriter *writer, char *const *strings)
{
  for (; strings != NULL && *strings != NULL; strings++)
    cpr_writer_put (writer, *strings, strlen (*strings) + 1);
  cpr_writer_put_u8 (writer, 0);
}

/* What was asked, and whom: the tables, the command, the file behind it. */
static bool
make_hash (CprSession *session, const CprUpdate *update, const char *path, uint64_t *hash, GError **error)
{
  struct stat st;
  CprWriter writer;
  bool ok;

  if (stat (path, &st) < 0)
    return cpr_throw_errno (error, errno, "program '%s'", path);
  cpr_writer_init (&writer, -1);
  ok = write_body (session, &writer, true, error);
  cpr_writer_put (&writer, path, strlen (path) + 1);
  cpr_writer_put_u32 (&writer, update->flags & CPR_UPDATE_NO_WAY_BACK);
  put_strings (&writer, update->argv);
  put_strings (&writer, update->envp != NULL ? update->envp : environ);
  cpr_writer_put_u64 (&writer, st.st_dev);
  cpr_writer_put_u64 (&writer, st.st_ino);
  cpr_writer_put (&writer, &st.st_mtim, sizeof st.st_mtim);
  cpr_writer_put (&writer, &st.st_ctim, sizeof st.st_ctim);
  *hash = cpr_checksum (writer.data, writer.len);
  cpr_writer_clear (&writer);
  return ok;
}

/* ---- The answers. */

static void
add_failure (Round *round, int who, const char *reason)
{
  cpr_findings_add (round->findings, CPR_SEVERITY_REFUSAL, CPR_SUBJECT_PROGRAM, round->paths[who], "%s '%s': %s",
                    titles[who], round->paths[who], reason);
}

static void
take_findings (Round *round, const CprAnswer *answer)
{
  for (guint i = 0; i < answer->findings->len; i++)
    {
      const CprFinding *finding = answer->findings->pdata[i];

      cpr_findings_add (round->findings, finding->severity, finding->subject, finding->name, "%s", finding->message);
    }
}

static void
take_answer (Round *round, int who)
{
  const CprAsk *ask = &round->asks[who];
  guint first = round->findings->len;
  g_autoptr (GError) error = NULL;
  CprAnswer answer;

  if (ask->failure != NULL)
    add_failure (round, who, ask->failure);
  else if (!cpr_answer_read (&answer, ask->answer->data, ask->answer->len, &error))
    {
      g_autofree char *reason = g_strdup_printf ("its answer is damaged: %s", error->message);

      add_failure (round, who, reason);
    }
  else
    {
      if (answer.question != round->questions[who])
        add_failure (round, who, "its answer is damaged: it is to another question");
      else
        take_findings (round, &answer);
      if (who == NEW)
        cpr_executable_copy (&round->next, &answer.executable);
      cpr_answer_clear (&answer);
    }
  for (guint i = first; i < round->findings->len; i++)
    {
      CprFinding *finding = round->findings->pdata[i];

      finding->way_back = who == OLD;
      if (who == OLD && (round->update->flags & CPR_UPDATE_NO_WAY_BACK) != 0)
        finding->severity = CPR_SEVERITY_LOSS;
    }
}

/* ---- A round. */

static void
choose_programs (CprSession *session, Round *round, char *path)
{
  const CprProgram *self = &session->program;
  g_autofree char *link = g_strdup_printf ("/proc/self/fd/%d", self->exe_fd);
  const CprUpdate *update = round->update;

  round->paths[NEW] = g_strdup (path);
  round->paths[OLD] = g_file_read_link (link, NULL);
  if (round->paths[OLD] == NULL)
    round->paths[OLD] = g_strdup (self->argv[0]);
  round->envps[NEW] = cpr_ask_make_envp (update->envp != NULL ? update->envp : environ);
  round->envps[OLD] = cpr_ask_make_envp (self->envp);
  round->asks[NEW] = (CprAsk){ .path = path, .argv = update->argv, .envp = round->envps[NEW] };
  round->asks[OLD] = (CprAsk){ .path = round->paths[OLD],
                               .by_fd = true,
                               .exe_fd = self->exe_fd,
                               .argv = self->argv,
                               .envp = round->envps[OLD],
                               .cwd = self->cwd };
}

static bool
ask_both (CprSession *session, Round *round, GError **error)
{
  unsigned timeout_ms = round->update->preflight_timeout_ms;
  bool ok = true;

  for (int who = 0; who < N_PROGRAMS; who++)
    ok = cpr_ask_open (&round->asks[who], ok ? error : NULL) && ok;
  for (int who = 0; ok && who < N_PROGRAMS; who++)
    ok = write_question (session, &round->asks[who], &round->questions[who], error);
  ok = ok && cpr_ask_run (round->asks, N_PROGRAMS, timeout_ms != 0 ? timeout_ms : TIMEOUT_MS, error);
  for (int who = 0; who < N_PROGRAMS; who++)
    {
      if (ok)
        take_answer (round, who);
      cpr_ask_clear (&round->asks[who]);
    }
  if (ok)
    cpr_findings_sort (round->findings);
  return ok;
}

static void
round_clear (Round *round)
{
  for (int who = 0; who < N_PROGRAMS; who++)
    {
      g_clear_pointer (&round->paths[who], g_free);
      g_clear_pointer (&round->envps[who], g_strfreev);
    }
  cpr_executable_clear (&round->next);
  g_clear_pointer (&round->findings, g_ptr_array_unref);
}

/* The first refusal as an error, with the program that it comes from. */
static bool
throw_refusal (const Round *round, GError **error)
{
  size_t n = cpr_findings_count_refusals (round->findings);
  const CprFinding *first = round->findings->pdata[0];
  int who = first->way_back ? OLD : NEW;
  g_autofree char *title = g_strdup_printf ("%s '%s': ", titles[who], round->paths[who]),
                  *more = n > 1 ? g_strdup_printf (" (and %zu more)", n - 1) : g_strdup ("");

  return cpr_throw (error, CPR_ERROR_REFUSED, "%s%s%s", g_str_has_prefix (first->message, title) ? "" : title,
                    first->message, more);
}

/* ---- What an update asks for. */

void
cpr_passed_clear (CprPassed *passed)
{
  cpr_executable_clear (&passed->next);
  passed->is_there = false;
}

/* Asks once. Success: what was asked is what there still is; or not, then *again. */
static bool
ask_once (CprSession *session, const CprUpdate *update, char *path, CprPreflight **result, bool *again, GError **error)
{
  Round round = { .update = update, .findings = cpr_findings_new () };
  uint64_t before, after;
  bool ok;

  choose_programs (session, &round, path);
  ok = make_hash (session, update, path, &before, error) && ask_both (session, &round, error);
  if (ok && result != NULL)
    {
      g_clear_pointer (result, cpr_preflight_free);
      *result = g_new0 (CprPreflight, 1);
      (*result)->findings = g_ptr_array_ref (round.findings);
    }
  if (ok && cpr_findings_count_refusals (round.findings) > 0)
    ok = throw_refusal (&round, error);
  ok = ok && make_hash (session, update, path, &after, error);
  if (ok && before == after)
    {
      session->passed = (CprPassed){ .is_there = true, .hash = before, .made_ns = cpr_now_ns () };
      cpr_executable_copy (&session->passed.next, &round.next);
      for (guint i = 0; i < round.findings->len; i++)
        cpr_session_log (session, CPR_LOG_WARNING, "preflight: %s",
                         ((const CprFinding *) round.findings->pdata[i])->message);
    }
  *again = ok && before != after;
  round_clear (&round);
  return ok;
}

static bool
ask (CprSession *session, const CprUpdate *update, char *path, CprPreflight **result, GError **error)
{
  bool again = true;

  cpr_passed_clear (&session->passed);
  for (int i = 0; i < MAX_ROUNDS && again; i++)
    if (!ask_once (session, update, path, result, &again, error))
      return false;
  return !again || cpr_throw (error, CPR_ERROR_REFUSED, "new program '%s': its file changes all the while", path);
}

bool
cpr_session_pass_preflight (CprSession *session, const CprUpdate *update, CprPreflight **result, GError **error)
{
  g_autofree char *path = cpr_execve_find_program (update->argv[0], error);

  return path != NULL && ask (session, update, path, result, error);
}

bool
cpr_session_keeps_preflight (CprSession *session, const CprUpdate *update, GError **error)
{
}

bool
cpr_session_preflight (CprSession *session, const CprUpdate *update, CprPreflight **result, GError **error)
{
  CprUpdate own = { .size = sizeof own };
  CprPreflight *made = NULL;
  bool ok;

  g_return_val_if_fail (session != NULL && update != NULL, false);

  if (result != NULL)
    *result = NULL;
  if (!cpr_session_check_call (session, CPR_CALL_PREFLIGHT, error))
    return false;
  memcpy (&own, update, MIN (update->size, sizeof own));
  ok = cpr_session_check_update (session, &own, error) && cpr_session_pass_preflight (session, &own, &made, error);
  if (result != NULL)
    *result = made;
  else
    cpr_preflight_free (made);
  return ok;
}

size_t
cpr_preflight_get_n_findings (const CprPreflight *preflight)
{
  g_return_val_if_fail (preflight != NULL, 0);

  return preflight->findings->len;
}

const CprFinding *
cpr_preflight_get_finding (const CprPreflight *preflight, size_t index)
{
  g_return_val_if_fail (preflight != NULL && index < preflight->findings->len, NULL);

  return preflight->findings->pdata[index];
}

void
cpr_preflight_free (CprPreflight *preflight)
{
  if (preflight == NULL)
    return;
  g_ptr_array_unref (preflight->findings);
  g_free (preflight);
}
