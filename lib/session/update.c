/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/signals.h"
#include "base/sys.h"
#include "session/private.h"

#define ALL_UPDATE_FLAGS \
  ((unsigned) CPR_UPDATE_NO_GUARDIAN | CPR_UPDATE_NO_PREFLIGHT | CPR_UPDATE_NO_WAY_BACK | CPR_UPDATE_NO_RESCUE)

static const char *const step_names[CPR_N_STEPS] = { "check",   "preflight", "guardian", "stop",   "save",  "exec",
                                                     "take-up", "claim",     "load",     "commit", "finish" };

const char *
cpr_step_get_name (CprStep step)
{
  return (unsigned) step < CPR_N_STEPS ? step_names[step] : NULL;
}

#define DEFAULT_DEADLINE_MS 5000

/* The state while it is written. */
typedef struct
{
  CprWriter writer;
  CprSchemaBuilder builder;
} State;

bool
cpr_session_check_update (const CprSession *session, const CprUpdate *update, GError **error)
{
  if (update->mode != CPR_MODE_EXEC || (update->flags & ~ALL_UPDATE_FLAGS) != 0)
    return cpr_throw (error, CPR_ERROR_INVALID, "update: unknown mode %u or flags 0x%x", update->mode, update->flags);
  if (update->argv == NULL || update->argv[0] == NULL)
    return cpr_throw (error, CPR_ERROR_INVALID, "update: argv is empty");
  return cpr_blockers_check (session->blockers, update->mode, error);
}

bool
cpr_session_make_head (const CprSession *session, CprManifest *head, GError **error)
{
  *head = (CprManifest){ .vm_name = session->name,
                         .uid = geteuid (),
                         .pid = (uint32_t) getpid (),
                         .generation = session->generation,
                         .run_state = session->run_state,
                         .saved_ns = cpr_now_ns (),
                         .saved_real_ns = cpr_real_now_ns (),
                         .signal_mask = cpr_signals_get_mask () };
  return cpr_boot_id_get (head->boot_id, error);
}

/* All of it is known before the guest stops: nothing can be registered while an update is under way. */
static bool
write_manifest (CprSession *session, CprSchemaBuilder *builder, CprWriter *writer, GError **error)
{
  CprManifest head;

  if (!cpr_session_make_head (session, &head, error))
    return false;
  cpr_manifest_write_vm (&head, writer);
  cpr_manifest_write_program (&session->program, session->passed.is_there ? &session->passed.next : NULL, writer);
  cpr_manifest_write_tables (&session->fds, &session->ram, writer);
  cpr_manifest_write_vfio (&session->vfio, &session->ram, writer);
  cpr_device_table_write_schema (&session->devices, builder, writer);
  return true;
}

static void
stamp (CprSession *session, CprExecve *exec, CprStep step)
{
  session->stamps[step] = cpr_now_ns ();
  exec->baton.page->stamps[step] = session->stamps[step];
}

/* With the guest stopped. Returns only on failure, with nothing left to undo but the stop. */
static void
save_and_go (CprSession *session, CprExecve *exec, State *state, GError **error)
{
  CprCodec codec = cpr_fd_table_get_codec (&session->fds);

  if (!cpr_baton_check_pause (exec->baton.page, "stop", error))
    return;
  stamp (session, exec, CPR_STEP_SAVE);
  if (cpr_device_table_write_sections (&session->devices, &state->builder, &codec, &state->writer, error) &&
      cpr_execve_seal (exec, &state->writer, error))
    {
      cpr_notifiers_tell (session->notifiers, session, CPR_MODE_EXEC, CPR_EVENT_SAVED);
      if (cpr_baton_check_pause (exec->baton.page, "save", error))
        cpr_execve_go (exec, error);
    }
}

/* Returns only on failure, with the guest as it was. */
static void
stop_and_go (CprSession *session, CprExecve *exec, State *state, GError **error)
{
  GError *reason = NULL;

  stamp (session, exec, CPR_STEP_STOP);
  if (!session->was_running || cpr_session_call_stop (session, &reason))
    {
      cpr_notifiers_tell (session->notifiers, session, CPR_MODE_EXEC, CPR_EVENT_STOPPED);
      save_and_go (session, exec, state, &reason);
      if (exec->lost)
        session->state = CPR_SESSION_STATE_LOST;
      else if (session->was_running)
        session->config.start (session->config.user_data);
    }
  g_propagate_error (error, reason);
}

/* With the guest running; the undo of what it prepared is the caller's. */
static void
launch (CprSession *session, CprExecve *exec, GError **error)
{
  State state;

  session->state = CPR_SESSION_STATE_UPDATING;
  for (CprStep step = CPR_STEP_CHECK; step <= CPR_STEP_PREFLIGHT; step++)
    exec->baton.page->stamps[step] = session->stamps[step];
  cpr_writer_init (&state.writer, exec->state_fd);
  cpr_schema_builder_init (&state.builder);
  if (write_manifest (session, &state.builder, &state.writer, error))
    {
      stamp (session, exec, CPR_STEP_GUARDIAN);
      if (cpr_execve_launch_guardian (exec, error))
        stop_and_go (session, exec, &state, error);
    }
  cpr_writer_clear (&state.writer);
  cpr_schema_builder_clear (&state.builder);
  if (session->state == CPR_SESSION_STATE_UPDATING)
    session->state = CPR_SESSION_STATE_ACTIVE;
}

/* With the guest running. */
static bool
ask_first (CprSession *session, const CprUpdate *update, GError **error)
{
  if ((update->flags & CPR_UPDATE_NO_PREFLIGHT) != 0)
    {
      cpr_passed_clear (&session->passed);
      return true;
    }
  session->stamps[CPR_STEP_PREFLIGHT] = cpr_now_ns ();
  return cpr_session_pass_preflight (session, update, true, NULL, error);
}

/* As PID 1 of a namespace this process takes the guardian along when it dies. */
static bool
can_rescue (const CprUpdate *update)
{
  return (update->flags & CPR_UPDATE_NO_RESCUE) == 0 && getpid () != 1;
}

static void
prepare_and_launch (CprSession *session, const CprUpdate *update, GError **error)
{
  bool was_running = cpr_run_state_is_live (session->run_state);
  const CprExecvePlan plan = {
    .argv = update->argv,
    .envp = update->envp != NULL ? update->envp : environ,
    .vm_name = session->name,
    .self = &session->program,
    .held = session->held,
    .with_guardian = (update->flags & CPR_UPDATE_NO_GUARDIAN) == 0,
    .with_rescue = can_rescue (update),
    .timeout_ns = (update->deadline_ms != 0 ? update->deadline_ms : DEFAULT_DEADLINE_MS) * UINT64_C (1000000),
    .pause_budget_ns = was_running ? update->pause_budget_ms * UINT64_C (1000000) : 0,
  };
  CprExecve exec;

  session->was_running = was_running;
  if (cpr_execve_prepare (&exec, &plan, &session->fds, error))
    {
      launch (session, &exec, error);
      cpr_execve_clear (&exec);
    }
}

static void
run_update (CprSession *session, const CprUpdate *update, GError **error)
{
  if (!cpr_session_check_update (session, update, error))
    return;
  if (session->finish != NULL)
    cpr_finish_wait (session->finish);
  memset (session->stamps, 0, sizeof session->stamps);
  session->failed_ns = 0;
  session->stamps[CPR_STEP_CHECK] = cpr_now_ns ();
  session->had_guardian = (update->flags & CPR_UPDATE_NO_GUARDIAN) == 0;

  /* Here nothing has been made that a veto had to undo, and what they register is still collected. */
  if (cpr_notifiers_set_up (session->notifiers, session, update->mode, error) &&
      cpr_blockers_close (session->blockers, update->mode, error))
    {
      if (ask_first (session, update, error))
        prepare_and_launch (session, update, error);
      cpr_blockers_open (session->blockers);
    }
}

bool
cpr_session_update (CprSession *session, const CprUpdate *update, GError **error)
{
  CprUpdate own = { .size = sizeof own };
  GError *reason = NULL;

  g_return_val_if_fail (session != NULL && update != NULL, false);
  if (!cpr_session_check_call (session, CPR_CALL_UPDATE, error))
    return false;

  memcpy (&own, update, MIN (update->size, sizeof own));
  run_update (session, &own, &reason);
  cpr_passed_clear (&session->passed); /* it was good for one update */
  session->status = CPR_UPDATE_FAILED;
  g_free (session->error);
  session->error = g_strdup (reason->message);
  cpr_session_log (session, CPR_LOG_ERROR, "update failed, the guest %s: %s",
                   session->state == CPR_SESSION_STATE_LOST ? "is another process's" : "goes on here", reason->message);
  if (session->state != CPR_SESSION_STATE_LOST)
    cpr_notifiers_tell (session->notifiers, session, own.mode, CPR_EVENT_FAILED);
  g_propagate_error (error, reason);
  return false;
}

/* The begin of the first step after @step that was reached, or 0. */
static uint64_t
end_of_step (const uint64_t *stamps, int step)
{
  for (int i = step + 1; i <= CPR_N_STEPS; i++)
    if (stamps[i] != 0)
      return stamps[i];
  return 0;
}

static void
fill_times (const CprSession *session, CprUpdateInfo *info)
{
  uint64_t stamps[CPR_N_STEPS + 1], last = 0;

  memcpy (stamps, session->stamps, sizeof stamps);
  if (session->finish != NULL && session->status != CPR_UPDATE_FAILED)
    stamps[CPR_N_STEPS] = cpr_finish_get_end (session->finish);
  for (int i = 0; i < CPR_N_STEPS; i++)
    {
      uint64_t end = end_of_step (stamps, i);

      if (stamps[i] != 0 && end > stamps[i])
        info->step_ns[i] = end - stamps[i];
      last = MAX (last, end);
    }
  if (stamps[CPR_STEP_CHECK] != 0 && last > stamps[CPR_STEP_CHECK])
    info->total_ns = last - stamps[CPR_STEP_CHECK];
  if (session->was_running && stamps[CPR_STEP_STOP] != 0 && stamps[CPR_STEP_FINISH] > stamps[CPR_STEP_STOP])
    info->pause_ns = stamps[CPR_STEP_FINISH] - stamps[CPR_STEP_STOP];
  if (session->failed_ns != 0 && stamps[CPR_STEP_FINISH] > session->failed_ns)
    info->recover_ns = stamps[CPR_STEP_FINISH] - session->failed_ns;
}

void
cpr_session_get_update_info (const CprSession *session, CprUpdateInfo *info)
{
  CprUpdateInfo own = { .size = sizeof own };
  size_t size;

  g_return_if_fail (session != NULL && info != NULL);

  size = info->size;
  own.status = session->status;
  own.generation = session->generation;
  own.guardian = session->had_guardian;
  own.error = session->error;
  fill_times (session, &own);
  memcpy (info, &own, MIN (size, sizeof own));
  info->size = size;
}
