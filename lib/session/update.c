/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The order of steps in the old program, from the checks to the handing over, and the undoing
 * of each step when a later one fails. */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/signals.h"
#include "base/sys.h"
#include "base/versioned.h"
#include "session/private.h"

#define ALL_UPDATE_FLAGS                                                                                         \
  ((unsigned) CPR_UPDATE_NO_GUARDIAN | CPR_UPDATE_NO_PREFLIGHT | CPR_UPDATE_NO_WAY_BACK | CPR_UPDATE_NO_RESCUE | \
   CPR_UPDATE_RAM_IN_PLACE)

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
  const CprCarrierType *type = cpr_carrier_type_get (update->mode);

  if (type == NULL || (update->flags & ~ALL_UPDATE_FLAGS) != 0)
    return cpr_throw (error, CPR_ERROR_INVALID, "update: unknown mode %u or flags 0x%x", update->mode, update->flags);
  return type->check (update, error) && cpr_blockers_check (session->blockers, update->mode, session->run_state, error);
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

/* All of it is known before the guest stops: nothing can be registered while an update is under
 * way. */
static bool
write_manifest (CprSession *session, CprCarrier *carrier, CprSchemaBuilder *builder, CprWriter *writer, GError **error)
{
  CprManifest head;

  if (!cpr_session_make_head (session, &head, error))
    return false;
  cpr_manifest_write_vm (&head, writer);
  cpr_manifest_write_program (&session->program, session->passed.is_there ? &session->passed.next : NULL, writer);
  if (carrier->type->describe != NULL)
    carrier->type->describe (carrier, writer);
  cpr_manifest_write_tables (&session->fds, &session->ram, writer);
  cpr_manifest_write_vfio (&session->vfio, &session->ram, writer);
  cpr_device_table_write_schema (&session->devices, builder, writer);
  return true;
}

static void
stamp (CprSession *session, CprCarrier *carrier, CprStep step)
{
  session->stamps[step] = cpr_now_ns ();
  carrier->page->stamps[step] = session->stamps[step];
}

/* With the guest stopped. On failure there is nothing left to undo but the stop. */
static bool
save_and_go (CprSession *session, CprCarrier *carrier, State *state, GError **error)
{
  CprCodec codec = cpr_fd_table_get_codec (&session->fds);

  if (!cpr_baton_check_pause (carrier->page, "stop", error) ||
      (carrier->type->stopped != NULL && !carrier->type->stopped (carrier, error)))
    return false;
  stamp (session, carrier, CPR_STEP_SAVE);
  if (!cpr_device_table_write_sections (&session->devices, &state->builder, &codec, &state->writer, error) ||
      !carrier->type->seal (carrier, &state->writer, error))
    return false;
  cpr_notifiers_tell (session->notifiers, session, carrier->type->mode, CPR_EVENT_SAVED);
  return cpr_baton_check_pause (carrier->page, "save", error) && carrier->type->go (carrier, error);
}

/* On failure the guest is as it was. */
static void
stop_and_go (CprSession *session, CprCarrier *carrier, State *state, GError **error)
{
  GError *reason = NULL;

  stamp (session, carrier, CPR_STEP_STOP);
  if (session->was_running && !cpr_session_call_stop (session, &reason))
    {
      g_propagate_error (error, reason);
      return;
    }
  cpr_notifiers_tell (session->notifiers, session, carrier->type->mode, CPR_EVENT_STOPPED);
  if (save_and_go (session, carrier, state, &reason))
    {
      if (carrier->page->stamps[CPR_STEP_EXEC] == 0) /* the save is the last that is seen of it here */
        stamp (session, carrier, CPR_STEP_EXEC);
      session->state = CPR_SESSION_STATE_HANDED_OVER;
      return;
    }
  if (carrier->lost)
    session->state = CPR_SESSION_STATE_LOST;
  else
    {
      if (carrier->offered)
        cpr_session_take_back_vfio (session);
      if (session->was_running)
        session->config.start (session->config.user_data);
    }
  g_propagate_error (error, reason);
}

/* With the guest running; the undo of what it prepared is the caller's. */
static void
launch (CprSession *session, const CprUpdate *update, CprCarrier *carrier, GError **error)
{
  State state;

  session->state = CPR_SESSION_STATE_UPDATING;
  for (CprStep step = CPR_STEP_CHECK; step <= CPR_STEP_PREFLIGHT; step++)
    carrier->page->stamps[step] = session->stamps[step];
  carrier->page->wait_ns = session->wait_ns;
  if (session->finish != NULL && carrier->type->starts_program)
    cpr_finish_hand_on (session->finish, carrier->page);
  cpr_writer_init (&state.writer, carrier->stream_fd);
  state.writer.end_ns = carrier->stream_end_ns;
  cpr_schema_builder_init (&state.builder);
  if (cpr_carrier_offer_fds (carrier, &session->fds, error) &&
      (carrier->type->ask == NULL || cpr_session_ask_over (session, update, carrier, error)) &&
      write_manifest (session, carrier, &state.builder, &state.writer, error))
    {
      cpr_writer_reserve (&state.writer, cpr_device_table_guess_sections (&session->devices));
      stamp (session, carrier, CPR_STEP_GUARDIAN);
      if (carrier->type->launch (carrier, error))
        stop_and_go (session, carrier, &state, error);
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
  if ((update->flags & CPR_UPDATE_NO_PREFLIGHT) != 0 || !cpr_carrier_type_get (update->mode)->starts_program)
    {
      cpr_passed_clear (&session->passed);
      return true;
    }
  session->stamps[CPR_STEP_PREFLIGHT] = cpr_now_ns ();
  return cpr_session_pass_preflight (session, update, true, NULL, error);
}

/* Forgets what was cancelled before. */
static bool
make_cancellable (CprSession *session, const CprUpdate *update, GError **error)
{
  uint64_t count;

  if (cpr_carrier_type_get (update->mode)->ask == NULL)
    return true;
  if (session->cancel_fd < 0)
    session->cancel_fd = cpr_fd_above_std (cpr_sys->eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (session->cancel_fd < 0)
    return cpr_throw_errno (error, errno, "update: eventfd");
  return cpr_sys->read (session->cancel_fd, &count, sizeof count) >= 0 || errno == EAGAIN ||
         cpr_throw_errno (error, errno, "update: eventfd");
}

void
cpr_session_cancel (CprSession *session)
{
  static const uint64_t one = 1;
  int errnum = errno;

  g_return_if_fail (session != NULL);

  if (cpr_session_is_mine (session) && session->cancel_fd >= 0 && write (session->cancel_fd, &one, sizeof one) < 0)
    errno = errnum; /* it is readable already */
}

static void
prepare_and_launch (CprSession *session, const CprUpdate *update, GError **error)
{
  bool was_running = cpr_run_state_is_live (session->run_state);
  const CprCarrierPlan plan = {
    .update = update,
    .vm_name = session->name,
    .self = &session->program,
    .fds = &session->fds,
    .ram = &session->ram,
    .ram_done = &session->ram_done,
    .ram_total = &session->ram_total,
    .held = session->held,
    .cancel_fd = session->cancel_fd,
    .ask_timeout_ns =
        (update->preflight_timeout_ms != 0 ? update->preflight_timeout_ms : CPR_ASK_TIMEOUT_MS) * UINT64_C (1000000),
    .timeout_ns = (update->deadline_ms != 0 ? update->deadline_ms : DEFAULT_DEADLINE_MS) * UINT64_C (1000000),
    .pause_budget_ns = was_running ? update->pause_budget_ms * UINT64_C (1000000) : 0,
  };
  CprCarrier *carrier;

  session->was_running = was_running;
  carrier = cpr_carrier_type_get (update->mode)->open (&plan, error);
  if (carrier != NULL)
    {
      launch (session, update, carrier, error);
      carrier->type->close (carrier);
    }
}

static void
run_update (CprSession *session, const CprUpdate *update, GError **error)
{
  memset (session->stamps, 0, sizeof session->stamps);
  session->ram_done = session->ram_total = 0;
  session->failed_ns = 0;
  session->mode = update->mode;
  session->stamps[CPR_STEP_CHECK] = cpr_now_ns ();
  session->had_guardian =
      (update->flags & CPR_UPDATE_NO_GUARDIAN) == 0 && cpr_carrier_type_get (update->mode)->starts_program;

  /* Here nothing has been made that a veto had to undo, and what they register is still
   * collected. */
  if (cpr_notifiers_set_up (session->notifiers, session, update->mode, error) &&
      cpr_blockers_close (session->blockers, update->mode, session->run_state, error))
    {
      if (make_cancellable (session, update, error) && ask_first (session, update, error))
        prepare_and_launch (session, update, error);
      cpr_blockers_open (session->blockers);
    }
}

/* With the guest running: the devices and locks that the guardians of the update before hold are
 * to be free, and no thread of ours at work. */
static void
wait_and_run_update (CprSession *session, const CprUpdate *update, GError **error)
{
  uint64_t begin_ns = cpr_now_ns ();

  if (!cpr_session_check_update (session, update, error))
    return;
  session->wait_ns = 0;
  if (session->finish == NULL)
    run_update (session, update, error);
  else if (cpr_finish_suspend (session->finish, error))
    {
      session->wait_ns = cpr_now_ns () - begin_ns;
      run_update (session, update, error);
      if (session->state == CPR_SESSION_STATE_ACTIVE)
        cpr_finish_resume (session->finish);
    }
}

bool
cpr_session_update (CprSession *session, const CprUpdate *update, GError **error)
{
  CprUpdate own;
  GError *reason = NULL;

  g_return_val_if_fail (session != NULL && update != NULL, false);
  if (!cpr_session_check_call (session, CPR_CALL_UPDATE, error) ||
      !cpr_versioned_read (CPR_VERSIONED_UPDATE, &own, update, error))
    return false;

  wait_and_run_update (session, &own, &reason);
  cpr_passed_clear (&session->passed); /* it was good for one update */
  g_clear_pointer (&session->error, g_free);
  if (session->state == CPR_SESSION_STATE_HANDED_OVER)
    {
      session->status = CPR_UPDATE_COMPLETED;
      cpr_session_log (session, CPR_LOG_INFO, "update: the guest was handed over");
      return true;
    }
  session->status = CPR_UPDATE_FAILED;
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
    info->total_ns = session->wait_ns + last - stamps[CPR_STEP_CHECK];
  if (session->was_running && stamps[CPR_STEP_STOP] != 0 && stamps[CPR_STEP_FINISH] > stamps[CPR_STEP_STOP])
    info->pause_ns = stamps[CPR_STEP_FINISH] - stamps[CPR_STEP_STOP];
  if (session->failed_ns != 0 && stamps[CPR_STEP_FINISH] > session->failed_ns)
    info->recover_ns = stamps[CPR_STEP_FINISH] - session->failed_ns;
}

void
cpr_session_get_update_info (const CprSession *session, CprUpdateInfo *info)
{
  CprUpdateInfo own = { .size = sizeof own };

  g_return_if_fail (session != NULL && info != NULL);

  own.status = session->status;
  own.generation = session->generation;
  own.guardian = session->had_guardian;
  own.error = session->error;
  own.mode = session->mode;
  own.ram_done = session->ram_done;
  own.ram_total = session->ram_total;
  own.wait_ns = session->wait_ns;
  fill_times (session, &own);
  cpr_versioned_write (CPR_VERSIONED_UPDATE_INFO, info, &own);
}
