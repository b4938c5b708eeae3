/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The order of steps in the old program, from the checks to the handing over, and the undoing
 * of each step when a later one fails. Called by cpr_session_update(). */
#include "session/update.h"

#include <errno.h>
#include <sys/eventfd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/sys.h"
#include "session/ask.h"
#include "session/kvm.h"
#include "session/parts/mode.h"
#include "session/parts/request.h"
#include "session/parts/run-state.h"
#include "session/through.h"
#include "session/vfio.h"

#define NS_PER_MS UINT64_C (1000000)

/* The state while it is written. */
typedef struct
{
  CprWriter writer;
  CprSchemaBuilder builder;
} State;

/* The manifest is complete before the guest stops: nothing can be registered while an update is
 * under way. */
static bool
write_manifest (CprSession *session, CprCarrier *carrier, State *state, GError **error)
{
  const CprSuccessor *successor = session->passed.is_there ? &session->passed.next : NULL;
  CprManifest head;

  if (!cpr_session_make_head (session, &head, error))
    return false;
  cpr_manifest_write_vm (&head, &state->writer);
  cpr_manifest_write_program (&session->program, successor, &state->writer);
  if (carrier->type->describe != NULL)
    carrier->type->describe (carrier, &state->writer);
  cpr_manifest_write_tables (&session->fds, &session->ram, &state->writer);
  cpr_manifest_write_vfio (&session->vfio, &session->ram, &state->writer);
  cpr_device_table_write_schema (&session->devices, &state->builder, &state->writer);
  return true;
}

static void
tell (CprSession *session, CprEvent event)
{
  cpr_notifiers_tell (session->notifiers, session, session->timeline.mode, event);
}

/* With the guest stopped. On failure there is nothing left to undo but the stop. */
static bool
save_and_go (CprSession *session, CprCarrier *carrier, State *state, GError **error)
{
  const CprCarrierType *type = carrier->type;
  CprCodec codec = cpr_fd_table_get_codec (&session->fds);

  if (!cpr_timeline_check_pause (&session->timeline, CPR_STEP_STOP, error) ||
      (type->stopped != NULL && !type->stopped (carrier, error)))
    return false;
  cpr_timeline_stamp (&session->timeline, CPR_STEP_SAVE);
  if (!cpr_device_table_write_sections (&session->devices, &state->builder, &codec, &state->writer, error) ||
      !type->seal (carrier, &state->writer, error))
    return false;
  tell (session, CPR_EVENT_SAVED);
  return cpr_timeline_check_pause (&session->timeline, CPR_STEP_SAVE, error) && type->go (carrier, error);
}

/* The guest is this process's again, and gets its interrupts at once: the carrier may have to wait
 * for the other program's end before the update is over. */
static void
take_back (CprSession *session, const CprCarrier *carrier)
{
  if (carrier->offered)
    cpr_session_take_back_vfio (session);
  cpr_session_connect_kvm (session);
  if (session->timeline.was_running)
    cpr_run_state_start (&session->config);
}

/* On failure the guest is as it was. */
static bool
stop_and_go (CprSession *session, CprCarrier *carrier, State *state, GError **error)
{
  cpr_timeline_stop (&session->timeline);
  if (session->timeline.was_running && !cpr_run_state_stop (&session->config, error))
    return false;
  tell (session, CPR_EVENT_STOPPED);
  if (save_and_go (session, carrier, state, error))
    {
      if (carrier->page->stamps[CPR_STEP_EXEC] == 0) /* the save is the last that is seen of it here */
        cpr_timeline_stamp (&session->timeline, CPR_STEP_EXEC);
      return true;
    }
  if (!carrier->lost)
    take_back (session, carrier);
  return false;
}

/* With the guest running. At the end the manifest is written, the devices' order is known, and the
 * new program or the guardian is ready. */
static bool
prepare (CprSession *session, const CprUpdate *update, CprCarrier *carrier, State *state, GError **error)
{
  g_autoptr (GPtrArray) order = cpr_device_table_sort (&session->devices, error);

  if (order == NULL || !cpr_carrier_offer_fds (carrier, &session->fds, error) ||
      (carrier->type->ask != NULL && !cpr_session_ask_over (session, update, carrier, error)) ||
      !write_manifest (session, carrier, state, error))
    return false;
  cpr_writer_reserve (&state->writer, cpr_device_table_guess_sections (&session->devices));
  cpr_timeline_stamp (&session->timeline, CPR_STEP_GUARDIAN);
  return carrier->type->launch (carrier, error);
}

/* The caller closes the carrier, which undoes all that was prepared. */
static void
launch (CprSession *session, const CprUpdate *update, CprCarrier *carrier, GError **error)
{
  State state;
  bool ok;

  session->state = CPR_SESSION_STATE_UPDATING;
  cpr_timeline_share (&session->timeline, carrier->page);
  if (session->finish != NULL && carrier->type->starts_program)
    cpr_finish_hand_on (session->finish, carrier->page);
  cpr_writer_init (&state.writer, carrier->stream_fd);
  state.writer.end_ns = carrier->stream_end_ns;
  cpr_schema_builder_init (&state.builder);
  ok = prepare (session, update, carrier, &state, error) && stop_and_go (session, carrier, &state, error);
  cpr_writer_clear (&state.writer);
  cpr_schema_builder_clear (&state.builder);
  cpr_timeline_unshare (&session->timeline);
  if (ok)
    session->state = CPR_SESSION_STATE_HANDED_OVER;
  else
    session->state = carrier->lost ? CPR_SESSION_STATE_LOST : CPR_SESSION_STATE_ACTIVE;
}

/* With the guest running. */
static bool
ask_first (CprSession *session, const CprUpdate *update, GError **error)
{
  if (!cpr_request_wants_answer (update) || !cpr_request_get_carrier (update)->starts_program)
    {
      cpr_passed_clear (&session->passed);
      return true;
    }
  cpr_timeline_stamp (&session->timeline, CPR_STEP_PREFLIGHT);
  return cpr_session_ask_programs (session, update, CPR_ASK_UNLESS_PASSED, NULL, error);
}

/* Forgets what was cancelled before. */
static bool
make_cancellable (CprSession *session, const CprUpdate *update, GError **error)
{
  uint64_t count;

  if (cpr_request_get_carrier (update)->ask == NULL)
    return true;
  if (session->cancel_fd < 0)
    session->cancel_fd = cpr_fd_above_std (cpr_sys->eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (session->cancel_fd < 0)
    return cpr_throw_errno (error, errno, "update: eventfd");
  return cpr_sys->read (session->cancel_fd, &count, sizeof count) >= 0 || errno == EAGAIN ||
         cpr_throw_errno (error, errno, "update: eventfd");
}

static void
prepare_and_launch (CprSession *session, const CprUpdate *update, GError **error)
{
  bool is_live = cpr_run_state_is_live (session->run_state);
  const CprCarrierPlan plan = {
    .update = update,
    .vm_name = session->name,
    .self = &session->program,
    .fds = &session->fds,
    .ram = &session->ram,
    .ram_done = &session->timeline.ram_done,
    .ram_total = &session->timeline.ram_total,
    .held = session->held,
    .run_through = cpr_session_choose_through (session, update),
    .cancel_fd = session->cancel_fd,
    .ask_timeout_ns = cpr_request_get_answer_ms (update) * NS_PER_MS,
    .timeout_ns = cpr_request_get_deadline_ns (update),
    .pause_budget_ns = is_live ? cpr_request_get_pause_budget_ns (update) : 0,
  };
  CprCarrier *carrier;

  session->timeline.was_running = is_live;
  carrier = cpr_request_get_carrier (update)->open (&plan, error);
  if (carrier != NULL)
    {
      launch (session, update, carrier, error);
      carrier->type->close (carrier);
    }
}

/* The one who asked gets the answer from the program that has the guest in the end. */
static void
prepare_with_reply (CprSession *session, const CprUpdate *update, GError **error)
{
  if (!cpr_modes_include (CPR_MODES_WITH_FDS, update->mode))
    {
      prepare_and_launch (session, update, error);
      return;
    }
  if (cpr_reply_offer (&session->reply, &session->fds, error))
    prepare_and_launch (session, update, error);
  cpr_reply_withdraw (&session->fds);
  if (session->state != CPR_SESSION_STATE_ACTIVE)
    cpr_fd_clear (&session->reply.fd);
}

static void
run (CprSession *session, const CprUpdate *update, uint64_t wait_ns, GError **error)
{
  cpr_timeline_begin (&session->timeline, cpr_request_wants_guardian (update), wait_ns);

  /* Nothing has been made yet that a veto would have to undo, and fds and devices that notifiers
   * add are still collected. */
  if (cpr_notifiers_set_up (session->notifiers, session, update->mode, error) &&
      cpr_session_check_kvm (session, error) &&
      cpr_blockers_close (session->blockers, update->mode, session->run_state, error))
    {
      if (make_cancellable (session, update, error) && ask_first (session, update, error))
        prepare_with_reply (session, update, error);
      cpr_blockers_open (session->blockers);
    }
}

/* With the guest running. First the guardians of the update before have to free the devices and
 * locks that they hold, and the thread of the finish has to stop. */
static void
wait_and_run (CprSession *session, const CprUpdate *update, GError **error)
{
  uint64_t begin_ns = cpr_now_ns ();

  if (!cpr_request_check (update, error) ||
      !cpr_blockers_check (session->blockers, update->mode, session->run_state, error))
    return;
  if (session->finish == NULL)
    run (session, update, 0, error);
  else if (cpr_finish_suspend (session->finish, error))
    {
      run (session, update, cpr_now_ns () - begin_ns, error);
      if (session->state == CPR_SESSION_STATE_ACTIVE)
        cpr_finish_resume (session->finish);
    }
}

bool
cpr_session_run_update (CprSession *session, const CprUpdate *update, GError **error)
{
  GError *reason = NULL;

  cpr_timeline_forget (&session->timeline, update->mode);
  if (cpr_reply_begin (&session->reply, update->reply_fd, &reason))
    wait_and_run (session, update, &reason);
  cpr_passed_clear (&session->passed); /* a preflight is good for one update */
  cpr_timeline_end (&session->timeline, reason);
  if (session->state == CPR_SESSION_STATE_HANDED_OVER)
    {
      cpr_session_log (session, CPR_LOG_INFO, "update: the guest was handed over");
      return true;
    }
  cpr_session_log (session, CPR_LOG_ERROR, "update failed, the guest %s: %s",
                   session->state == CPR_SESSION_STATE_LOST ? "is another process's" : "goes on here", reason->message);
  if (session->state != CPR_SESSION_STATE_LOST)
    cpr_notifiers_tell (session->notifiers, session, update->mode, CPR_EVENT_FAILED);
  g_propagate_error (error, reason);
  return false;
}
