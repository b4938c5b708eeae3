/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The order of steps in the new program, which is the same in a fresh start: the take-up, the load,
 * the commit. Called by the public functions of a session. */
#include "session/load.h"

#include <errno.h>

#include "base/error.h"
#include "base/signals.h"
#include "base/sys.h"
#include "base/uapi.h"
#include "base/versioned.h"
#include "session/answer.h"
#include "session/kvm.h"
#include "session/parts/config.h"
#include "session/parts/run-state.h"
#include "session/through.h"
#include "session/vfio.h"
#include "vfio/container.h"

/* ---- The take-up. */

/* Without this call no update gets as far as the execve. A session that can't make it says so from
 * the start. */
static bool
check_kernel (CprBlockers *blockers, GError **error)
{
  g_autoptr (GError) reason = NULL;

  if (cpr_sys->close_range (~0U, ~0U, CLOSE_RANGE_CLOEXEC) == 0 ||
      (errno != ENOSYS && errno != EINVAL && errno != EPERM && errno != EACCES))
    return true; /* the call is there, or may be the next time; a filter never goes away */
  cpr_throw_errno (&reason, errno, "kernel: close_range() with CLOSE_RANGE_CLOEXEC (Linux 5.11)");
  return cpr_blockers_add (blockers, blockers, CPR_MODES_EXEC, reason->message, error) != 0;
}

/* The state's tables become the session's. */
static void
adopt (CprSession *session, CprIncoming *incoming)
{
  CprManifest *manifest = &incoming->manifest;

  session->fds = manifest->fds;
  session->ram = manifest->ram;
  session->vfio = manifest->vfio;
  manifest->fds = (CprFdTable){ .entries = NULL };
  manifest->ram = (CprRamTable){ .blocks = NULL };
  manifest->vfio = (CprVfioTable){ .containers = NULL };
  cpr_reply_adopt (&session->reply, &session->fds);
  /* An old program with the fault that the flag finds would lose the guest by it. */
  session->ram.read_only =
      (session->config.incoming_flags & CPR_INCOMING_PROTECT_RAM) != 0 && incoming->attempt <= CPR_BATON_WAY_THERE;
  session->incoming = incoming;
  session->was_incoming = true;
  session->state = CPR_SESSION_STATE_INCOMING;
  session->run_state = (CprRunState) manifest->run_state;
}

/* The rest that can fail before there is a session; the state, if there is one, has been taken up.
 * Takes @fault, of the configuration. */
static bool
prepare (CprSession *session, GError *fault, GError **error)
{
  if (fault != NULL)
    {
      g_propagate_error (error, fault);
      return false;
    }
  session->blockers = cpr_blockers_new (session->config.required_modes);
  return check_kernel (session->blockers, error) && cpr_program_record (&session->program, session->config.argv, error);
}

/* There will be no session. */
static void
refuse (CprSession *session, CprIncoming *incoming, GError *reason, GError **error)
{
  if (session->rehearsal != NULL)
    {
      cpr_session_give_back (session, reason, error);
      return;
    }
  if (incoming == NULL)
    {
      g_propagate_error (error, reason);
      return;
    }
  cpr_incoming_give_back (incoming, NULL, reason, error);
  cpr_signals_set_mask (incoming->manifest.signal_mask);
  cpr_incoming_free (incoming);
}

/* The pointers of the VMM's configuration needn't last. */
static void
own_config (CprSession *session)
{
  session->name = g_strdup (session->config.name);
  session->config.name = session->name;
  session->config.argv = NULL; /* recorded */
  session->config.incoming = NULL;
}

/* A config that is for a later version of the library, or wrong, is a reason to give the guest
 * back, and an answer in a preflight: @fault. Where nothing can be read there is no name to do that
 * with. */
static bool
read_config (CprSession *session, const CprSessionConfig *config, GError **fault, GError **error)
{
  if (cpr_versioned_read (CPR_VERSIONED_CONFIG, &session->config, config, fault))
    cpr_config_check (&session->config, fault);
  if (session->config.size != 0)
    return true;
  g_propagate_error (error, g_steal_pointer (fault));
  return false;
}

/* Chooses the effect of an exit() before the commit. */
static CprStartUpLeave
get_leave (const CprSession *session)
{
  return (session->config.incoming_flags & CPR_INCOMING_EXIT_GOES_BACK) != 0 ? cpr_session_leave : NULL;
}

static bool
begin (CprSession *session, CprIncoming *incoming, uint64_t began_ns, GError **error)
{
  own_config (session);
  if (incoming != NULL)
    {
      adopt (session, incoming);
      session->start_up = cpr_start_up_new (incoming, get_leave (session), session);
      cpr_timeline_take_up (&session->timeline, incoming, began_ns);
      cpr_timeline_stamp (&session->timeline, CPR_STEP_CLAIM);
      cpr_signals_set_mask (incoming->manifest.signal_mask);
    }
  else
    {
      cpr_fd_table_init (&session->fds);
      cpr_ram_table_init (&session->ram);
      cpr_vfio_table_init (&session->vfio);
    }
  cpr_session_adopt_vfio (session);
  return session->rehearsal == NULL || cpr_session_begin_rehearsal (session, error);
}

CprSession *
cpr_session_make (const CprSessionConfig *config, GError **error)
{
  uint64_t began_ns = cpr_now_ns ();
  CprSession *session = cpr_session_alloc ();
  g_autoptr (GError) fault = NULL;
  GError *reason = NULL;
  CprIncoming *incoming;
  int question;

  if (read_config (session, config, &fault, error) &&
      cpr_incoming_take_up (&incoming, &question, &session->config, fault, error))
    {
      bool goes_on = question < 0 || cpr_session_answer (session, fault, question, error);

      if (goes_on && !prepare (session, g_steal_pointer (&fault), &reason))
        refuse (session, incoming, reason, error);
      else if (goes_on && begin (session, incoming, began_ns, error))
        return session;
    }
  cpr_session_dispose (session);
  return NULL;
}

/* ---- The load. */

/* Everything that the old program handed over has to be taken by the VMM. */
static bool
check_claims (CprSession *session, GError **error)
{
  g_autofree char *ram = cpr_ram_table_describe_unclaimed (&session->ram);
  g_autofree char *fds = cpr_fd_table_describe_unclaimed (&session->fds);
  g_autofree char *vfio = cpr_vfio_table_describe_unclaimed (&session->vfio);

  if (ram != NULL)
    return cpr_throw (error, CPR_ERROR_MISMATCH, "RAM block %s: in the state, and nobody took it", ram);
  if (vfio != NULL)
    return cpr_throw (error, CPR_ERROR_MISMATCH, "%s: in the state, and nobody took it", vfio);
  if (fds == NULL)
    return true;
  if (session->config.unclaimed_fds == CPR_UNCLAIMED_ERROR)
    return cpr_throw (error, CPR_ERROR_MISMATCH, "fd %s: handed over, and nobody took it", fds);
  cpr_session_log (session, CPR_LOG_WARNING, "fd %s: handed over, nobody took it, will be closed", fds);
  return true;
}

/* All is checked before anything is applied; the check claims the fds that devices hold. */
static bool
load_devices (CprSession *session, CprDeviceLoad *load, const CprCodec *codec, GError **error)
{
  cpr_timeline_stamp (&session->timeline, CPR_STEP_LOAD);
  return cpr_device_load_check (load, &session->incoming->reader, codec, error) && check_claims (session, error) &&
         cpr_device_load_apply (load, error) && cpr_session_attach_vfio (session, error);
}

/* All that can be done without the state comes before the wait for it: the guest may still run. */
static bool
load (CprSession *session, GError **error)
{
  CprIncoming *incoming = session->incoming;
  CprCodec codec = cpr_fd_table_get_codec (&session->fds);
  g_autoptr (CprDeviceLoad) load = cpr_device_load_new (&session->devices, &incoming->manifest.schema, error);

  if (load == NULL || !cpr_manifest_get_time_offset (&incoming->manifest, &codec.time_offset_ns, error))
    return false;
  if (incoming->carrier->await_state != NULL)
    {
      if (!cpr_session_check_start_up (session, error))
        return false;
      cpr_device_load_touch (load);
      cpr_vfio_table_prepare (&session->vfio);
      cpr_session_prepare_kvm (session);
    }
  if (!cpr_session_defer_kvm (session, error))
    return false;
  return cpr_incoming_await_state (incoming, &session->ram, error) &&
         cpr_timeline_check_pause (&session->timeline, CPR_STEP_CLAIM, error) &&
         load_devices (session, load, &codec, error) &&
         cpr_timeline_check_pause (&session->timeline, CPR_STEP_LOAD, error);
}

/* The start-up has built all that it builds. In a fresh session it may go on after the error. */
static bool
check_built (CprSession *session, GError **error)
{
  GError *reason = NULL;

  if (cpr_session_check_kvm (session, &reason))
    return true;
  if (session->was_incoming)
    return cpr_session_give_back (session, reason, error);
  g_propagate_error (error, reason);
  return false;
}

bool
cpr_session_load_state (CprSession *session, GError **error)
{
  GError *reason = NULL;

  if (!check_built (session, error))
    return false;
  if (session->rehearsal != NULL)
    return cpr_session_end_rehearsal (session, NULL, error);
  if (session->incoming != NULL && !load (session, &reason))
    return cpr_session_give_back (session, reason, error);
  session->state = CPR_SESSION_STATE_LOADED;
  cpr_timeline_stamp (&session->timeline, CPR_STEP_COMMIT);
  return true;
}

/* ---- The commit. */

/* The last moment in which the old program can still have the guest. */
static bool
commit (CprSession *session, GError **error)
{
  GError *reason = NULL;

  if (!cpr_session_load_late (session, &reason) ||
      !cpr_timeline_check_pause (&session->timeline, CPR_STEP_COMMIT, &reason) ||
      !cpr_ram_table_unprotect (&session->ram, &reason))
    return cpr_session_give_back (session, reason, error);
  cpr_start_up_end (session->start_up);
  if (cpr_incoming_commit (session->incoming, error))
    return true;
  session->state = CPR_SESSION_STATE_LOST;
  return false;
}

/* When the guest was allowed its first instruction. The callback returns late where the guest's
 * own threads take the CPU from this one, and then it was done with the start in the time
 * for which it ran itself. */
static uint64_t
start_guest (CprSession *session)
{
  long n_before, n_after;
  uint64_t began_ns = cpr_now_ns (), ran_ns = cpr_thread_ran_ns (&n_before), ended_ns;

  if (cpr_run_state_is_live (session->run_state))
    cpr_run_state_start (&session->config);
  ended_ns = cpr_now_ns ();
  ran_ns = cpr_thread_ran_ns (&n_after) - ran_ns;
  return n_after == n_before ? ended_ns : MIN (ended_ns, began_ns + ran_ns);
}

/* Takes the unclaimed fds out of the table; they are closed once the guest runs. */
static GArray *
steal_unclaimed (CprSession *session)
{
  GArray *stolen = NULL;

  for (guint i = session->fds.entries->len; i-- > 0;)
    {
      CprFdEntry *entry = session->fds.entries->pdata[i];

      if (entry->claimed)
        continue;
      if (stolen == NULL)
        stolen = g_array_new (FALSE, FALSE, sizeof (int));
      g_array_append_val (stolen, entry->fd);
      cpr_fd_table_remove (&session->fds, entry);
    }
  return stolen;
}

static void
log_end (const CprSession *session)
{
  const CprTimeline *timeline = &session->timeline;

  if (timeline->status == CPR_UPDATE_RESCUED)
    cpr_session_log (session, CPR_LOG_ERROR, "update failed, the guest is back in the old program, now process %d: %s",
                     getpid (), timeline->error);
  else if (timeline->status == CPR_UPDATE_ROLLED_BACK)
    cpr_session_log (session, CPR_LOG_ERROR, "update failed, the guest is back in the old program: %s",
                     timeline->error);
  else
    cpr_session_log (session, CPR_LOG_INFO, "update %" G_GUINT64_FORMAT " completed", timeline->generation);
}

/* The guest runs. The update began in the program before this one. */
static void
finish (CprSession *session)
{
  CprIncoming *incoming = g_steal_pointer (&session->incoming);
  CprMode mode = incoming->carrier->mode;
  bool done = !session->timeline.is_way_back;

  cpr_timeline_commit (&session->timeline);
  cpr_session_finish_vfio (session);
  session->finish = cpr_finish_start (incoming, &session->ram, steal_unclaimed (session));
  log_end (session);
  cpr_notifiers_inherit (session->notifiers, mode);
  cpr_notifiers_tell (session->notifiers, session, mode, done ? CPR_EVENT_DONE : CPR_EVENT_FAILED);
}

bool
cpr_session_take_guest (CprSession *session, GError **error)
{
  uint64_t started_ns;

  if (session->incoming == NULL)
    cpr_session_probe_kvm (session);
  else if (!commit (session, error))
    return false;
  session->state = CPR_SESSION_STATE_ACTIVE;
  cpr_session_connect_kvm (session);
  started_ns = start_guest (session);
  cpr_session_log_through (session, started_ns);
  cpr_timeline_stamp_at (&session->timeline, CPR_STEP_FINISH, started_ns);
  if (session->incoming != NULL)
    finish (session);
  return true;
}

/* ---- The way back. */

bool
cpr_session_give_back (CprSession *session, GError *reason, GError **error)
{
  bool ok;

  if (session->rehearsal == NULL)
    {
      cpr_start_up_end (session->start_up);
      session->state = CPR_SESSION_STATE_LOST;
      return cpr_incoming_give_back (session->incoming, session->held, reason, error);
    }
  ok = cpr_session_end_rehearsal (session, reason, error);
  g_error_free (reason);
  return ok;
}

void
cpr_session_leave (void *data, const char *how)
{
  CprSession *session = data;
  g_autofree char *told = session->start_up != NULL ? cpr_start_up_get_reason (session->start_up) : NULL;
  GError *reason = g_error_new_literal (CPR_ERROR, CPR_ERROR_ROLLED_BACK, told != NULL ? told : how);
  g_autoptr (GError) failure = NULL;

  cpr_session_give_back (session, reason, &failure);
  cpr_session_log (session, CPR_LOG_ERROR, "%s", failure->message);
}
