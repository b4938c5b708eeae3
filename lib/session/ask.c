/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Asks the new program, and the old one's executable, whether they could take the guest over,
 * with the guest running. Called by preflight.c and by update.c. */
#include "session/ask.h"

#include "ask/compare.h"
#include "ask/exchange.h"
#include "base/checksum.h"
#include "base/error.h"
#include "session/parts/request.h"
#include "session/question.h"
#include "state/executable.h"

/* How often the new program is asked in one preflight, where its file changes meanwhile. */
#define MAX_ROUNDS 3

enum
{
  NEW,
  OLD,
  N_PROGRAMS
};

/* One round of asking. */
typedef struct
{
  const CprUpdate *update;
  char *paths[N_PROGRAMS];
  char **envps[N_PROGRAMS];
  CprAsk asks[N_PROGRAMS];
  uint64_t questions[N_PROGRAMS]; /* their checksums */
  CprSuccessor next;
  GPtrArray *findings;
} Round;

static const char *const titles[N_PROGRAMS] = { [NEW] = "new program", [OLD] = "way back" };

/* ---- The question. */

static bool
put_question (CprSession *session, const CprAsk *ask, uint64_t *checksum, GError **error)
{
  const CprQuestionHead head = cpr_exchange_make_head (ask, false);
  CprWriter writer;
  bool ok =
      cpr_session_write_question (session, &head, &writer, error) && cpr_exchange_put_question (ask, &writer, error);

  *checksum = cpr_checksum (writer.data, writer.len);
  cpr_writer_clear (&writer);
  return ok;
}

/* ---- The answers. */

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
  guint first = round->findings->len;
  g_autoptr (GError) error = NULL;
  CprAnswer answer;

  if (cpr_exchange_take_answer (&round->asks[who], round->questions[who], &answer, &error))
    {
      take_findings (round, &answer);
      if (who == NEW)
        {
          round->next = answer.executable;
          answer.executable.build_id = NULL;
        }
      cpr_answer_clear (&answer);
    }
  else
    cpr_findings_add (round->findings, CPR_SEVERITY_REFUSAL, CPR_SUBJECT_PROGRAM, round->paths[who], "%s '%s': %s",
                      titles[who], round->paths[who], error->message);
  for (guint i = first; i < round->findings->len; i++)
    {
      CprFinding *finding = round->findings->pdata[i];

      finding->way_back = who == OLD;
      if (who == OLD && !cpr_request_wants_way_back (round->update))
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
  round->envps[NEW] = cpr_ask_make_envp (cpr_request_get_envp (update));
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
  bool ok = true;

  for (int who = 0; who < N_PROGRAMS; who++)
    ok = cpr_ask_open (&round->asks[who], ok ? error : NULL) && ok;
  for (int who = 0; ok && who < N_PROGRAMS; who++)
    ok = put_question (session, &round->asks[who], &round->questions[who], error);
  ok = ok && cpr_ask_run (round->asks, N_PROGRAMS, cpr_request_get_answer_ms (round->update), error);
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

/* The first refusal as an error, with the program that it comes from. Refusals stand first. */
static bool
throw_refusal (const GPtrArray *findings, const char *title, const char *path, GError **error)
{
  size_t n = cpr_findings_count_refusals (findings);
  const CprFinding *first = findings->pdata[0];
  g_autofree char *from = g_strdup_printf ("%s '%s': ", title, path),
                  *more = n > 1 ? g_strdup_printf (" (and %zu more)", n - 1) : g_strdup ("");

  return cpr_throw (error, CPR_ERROR_REFUSED, "%s%s%s", g_str_has_prefix (first->message, from) ? "" : from,
                    first->message, more);
}

static bool
throw_refusal_of_round (const Round *round, GError **error)
{
  int who = ((const CprFinding *) round->findings->pdata[0])->way_back ? OLD : NEW;

  return throw_refusal (round->findings, titles[who], round->paths[who], error);
}

/* ---- The program is there already. */

/* A loss is a warning: said once, however often a preflight finds it, and however often an update
 * is tried. */
static void
warn (CprSession *session, const GPtrArray *findings, const char *title)
{
  for (guint i = 0; i < findings->len; i++)
    {
      const CprFinding *finding = findings->pdata[i];
      char *message = g_strdup_printf ("preflight: %s%s%s", title, title[0] != '\0' ? ": " : "", finding->message);

      if (!g_hash_table_contains (session->warnings, message))
        cpr_session_log (session, CPR_LOG_WARNING, "%s", message);
      g_hash_table_add (session->warnings, message); /* takes it */
    }
}

static bool
judge (CprSession *session, CprAnswer *answer, GError **error)
{
  cpr_findings_sort (answer->findings);
  if (cpr_findings_count_refusals (answer->findings) > 0)
    return throw_refusal (answer->findings, titles[NEW], answer->path, error);
  warn (session, answer->findings, "");
  return true;
}

/* The way back is this process: memory that the kernel accounts to the new one has to find room
 * here again. */
static bool
check_way_back (CprSession *session, const CprUpdate *update, GError **error)
{
  g_autoptr (GPtrArray) findings = cpr_findings_new ();
  const char *message;

  cpr_compare_locked (&session->fds, &session->ram, &session->vfio, findings);
  if (findings->len == 0)
    return true;
  message = ((const CprFinding *) findings->pdata[0])->message;
  if (cpr_request_wants_way_back (update))
    return cpr_throw (error, CPR_ERROR_REFUSED, "%s: %s", titles[OLD], message);
  warn (session, findings, titles[OLD]);
  return true;
}

bool
cpr_session_ask_over (CprSession *session, const CprUpdate *update, CprCarrier *carrier, GError **error)
{
  bool wants_answer = cpr_request_wants_answer (update), ok;
  const CprQuestionHead head = { .schema_only = false };
  CprAnswer answer = { .findings = NULL };
  CprWriter writer;

  if (wants_answer && !check_way_back (session, update, error))
    return false;
  ok = cpr_session_write_question (session, &head, &writer, error) &&
       carrier->type->ask (carrier, &writer, wants_answer ? &answer : NULL, error);
  if (ok && wants_answer)
    {
      ok = judge (session, &answer, error);
      cpr_answer_clear (&answer);
    }
  cpr_writer_clear (&writer);
  return ok;
}

/* ---- What an update asks for. */

static void
keep (CprSession *session, Round *round, uint64_t hash, uint64_t values)
{
  cpr_passed_keep (&session->passed, hash, values, &round->next);
  warn (session, round->findings, "");
}

/* Asks once. Where the program's file isn't the same afterwards, the answer isn't kept. */
static bool
ask_once (CprSession *session, const CprUpdate *update, char *path, GPtrArray **findings, GError **error)
{
  Round round = { .update = update, .findings = cpr_findings_new () };
  uint64_t before, after, values;
  bool ok;

  choose_programs (session, &round, path);
  cpr_session_hash_values (session, &values);
  ok = cpr_session_hash_question (session, update, path, &before, error) && ask_both (session, &round, error);
  if (ok && findings != NULL)
    {
      g_clear_pointer (findings, g_ptr_array_unref);
      *findings = g_ptr_array_ref (round.findings);
    }
  if (ok && cpr_findings_count_refusals (round.findings) > 0)
    ok = throw_refusal_of_round (&round, error);
  ok = ok && cpr_session_hash_question (session, update, path, &after, error);
  if (ok && before == after)
    keep (session, &round, before, values);
  round_clear (&round);
  return ok;
}

/* Whether the last preflight is good for this update. */
static bool
is_kept (CprSession *session, const CprUpdate *update, const char *path)
{
  const CprPassed *passed = &session->passed;
  uint64_t hash, values;

  if (!cpr_passed_is_fresh (passed))
    return false;
  if (!cpr_session_hash_question (session, update, path, &hash, NULL) || hash != passed->hash)
    return false;
  return cpr_session_hash_values (session, &values) && values == passed->values;
}

bool
cpr_session_ask_programs (
    CprSession *session, const CprUpdate *update, CprAskWhen when, GPtrArray **findings, GError **error)
{
  g_autofree char *path = cpr_program_find (update->program, error);

  if (path == NULL || !cpr_fd_table_verify (&session->fds, 0, error))
    return false;
  if (when == CPR_ASK_UNLESS_PASSED && is_kept (session, update, path))
    return true;
  cpr_passed_clear (&session->passed);
  for (int i = 0; i < MAX_ROUNDS && !session->passed.is_there; i++)
    if (!ask_once (session, update, path, findings, error))
      return false;
  return session->passed.is_there ||
         cpr_throw (error, CPR_ERROR_REFUSED, "new program '%s': its file changed during each of %d preflights", path,
                    MAX_ROUNDS);
}
