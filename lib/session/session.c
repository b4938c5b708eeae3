/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The session: its making and its end, and the order of steps in the new program, load and
 * start. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/name.h"
#include "base/signals.h"
#include "base/sys.h"
#include "base/uapi.h"
#include "base/versioned.h"
#include "handoff/exec/guardian.h"
#include "session/answer.h"
#include "session/mode.h"
#include "session/private.h"
#include "vfio/container.h"

void
cpr_session_log (const CprSession *session, CprLogLevel level, const char *format, ...)
{
  g_autofree char *message = NULL;
  va_list args;

  if (session->config.log == NULL)
    return;
  va_start (args, format);
  message = g_strdup_vprintf (format, args);
  va_end (args);
  session->config.log (level, message, session->config.user_data);
}

bool
cpr_session_check_config (const CprSessionConfig *config, GError **error)
{
  if (!cpr_name_check ("VM", config->name, error))
    return false;
  if (config->stop == NULL || config->start == NULL)
    return cpr_throw (error, CPR_ERROR_INVALID, "VM '%s': the stop and start callbacks are needed", config->name);
  if (config->unclaimed_fds > CPR_UNCLAIMED_CLOSE)
    return cpr_throw (error, CPR_ERROR_INVALID, "VM '%s': unknown policy %u for unclaimed fds", config->name,
                      config->unclaimed_fds);
  return config->required_modes == 0 || cpr_modes_check ("required_modes", config->required_modes, error);
}

/* Without this no update gets as far as the execve; known beforehand, so that it needn't be
 * found out then. */
static bool
check_kernel (CprBlockers *blockers, GError **error)
{
  g_autoptr (GError) reason = NULL;

  if (cpr_sys->close_range (~0U, ~0U, CLOSE_RANGE_CLOEXEC) == 0 ||
      (errno != ENOSYS && errno != EINVAL && errno != EPERM && errno != EACCES))
    return true; /* it is there, or may be the next time; a filter never goes away */
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
  session->incoming = incoming;
  session->was_incoming = true;
  session->mode = incoming->carrier->mode;
  session->state = CPR_SESSION_STATE_INCOMING;
  session->run_state = (CprRunState) manifest->run_state;
  session->was_running = cpr_run_state_is_live (session->run_state);
  session->generation = manifest->generation;
  session->had_guardian = cpr_guardians_find (incoming->baton.page) != 0;
  if (incoming->attempt > 1)
    {
      bool rescued = incoming->baton.page->cause != CPR_BATON_CAUSE_NONE;

      session->status = rescued ? CPR_UPDATE_RESCUED : CPR_UPDATE_ROLLED_BACK;
      session->error = cpr_baton_describe_failure (incoming->baton.page);
    }
  else
    {
      session->status = CPR_UPDATE_COMPLETED;
      session->generation++;
    }
}

static void
stamp_at (CprSession *session, CprStep step, uint64_t ns)
{
  if (session->incoming != NULL)
    atomic_store (&session->incoming->baton.page->stamps[step], ns);
}

static void
stamp (CprSession *session, CprStep step)
{
  stamp_at (session, step, cpr_now_ns ());
}

/* What else can fail before there is a session; the state, if there is one, has been taken up.
 * Takes @fault, of the configuration. */
static bool
prepare (CprSession *session, GError *fault, GError **error)
{
  if (fault != NULL)
    g_propagate_error (error, fault);
  if (fault != NULL || !cpr_session_check_config (&session->config, error))
    return false;
  session->blockers = cpr_blockers_new (session->config.required_modes);
  return check_kernel (session->blockers, error) && cpr_program_record (&session->program, session->config.argv, error);
}

static void
set_up (CprSession *session)
{
  session->pid = getpid ();
  session->notifiers = cpr_notifiers_new ();
  session->cancel_fd = -1;
  session->warnings = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  session->name = g_strdup (session->config.name);
  session->config.name = session->name;
  session->config.argv = NULL; /* recorded */
  session->config.incoming = NULL;
  session->held = g_array_new (FALSE, FALSE, sizeof (int));
  cpr_device_table_init (&session->devices);
}

/* What is for a later version of the library only is a reason to give the guest back, and an
 * answer in a preflight: @fault. Where nothing can be read there is no name to do that with. */
static bool
read_config (CprSession *session, const CprSessionConfig *config, GError **fault, GError **error)
{
  if (cpr_versioned_read (CPR_VERSIONED_CONFIG, &session->config, config, fault) || session->config.size != 0)
    return true;
  g_propagate_error (error, g_steal_pointer (fault));
  return false;
}

CprSession *
cpr_session_new (const CprSessionConfig *config, GError **error)
{
  uint64_t now = cpr_now_ns ();
  g_autofree CprSession *session = NULL;
  CprIncoming *incoming;
  g_autoptr (GError) fault = NULL;
  GError *reason = NULL;
  int question;

  g_return_val_if_fail (config != NULL, NULL);

  session = g_new0 (CprSession, 1);
  session->program.exe_fd = -1;
  if (!read_config (session, config, &fault, error) ||
      !cpr_incoming_take_up (&incoming, &question, &session->config, error))
    return NULL;
  if (question >= 0)
    {
      cpr_session_answer (&session->config, fault, question, error);
      return NULL;
    }
  if (!prepare (session, g_steal_pointer (&fault), &reason))
    {
      cpr_program_clear (&session->program);
      cpr_blockers_free (session->blockers, false);
      if (incoming == NULL)
        g_propagate_error (error, reason);
      else
        {
          cpr_incoming_give_back (incoming, NULL, reason, error);
          cpr_signals_set_mask (incoming->manifest.signal_mask);
        }
      cpr_incoming_free (incoming);
      return NULL;
    }

  set_up (session);
  if (incoming != NULL)
    {
      adopt (session, incoming);
      incoming->baton.page->stamps[CPR_STEP_TAKE_UP] = now;
      stamp (session, CPR_STEP_CLAIM);
      cpr_signals_set_mask (incoming->manifest.signal_mask);
    }
  else
    {
      cpr_fd_table_init (&session->fds);
      cpr_ram_table_init (&session->ram);
      cpr_vfio_table_init (&session->vfio);
    }
  cpr_session_adopt_vfio (session);
  return g_steal_pointer (&session);
}

/* Names what the old program handed over and nobody wants. */
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
  stamp (session, CPR_STEP_LOAD);
  return cpr_device_load_check (load, &session->incoming->reader, codec, error) && check_claims (session, error) &&
         cpr_device_load_apply (load, error) && cpr_session_attach_vfio (session, error);
}

/* On the way there only: the way back ends the pause, however long that was. */
static bool
check_pause (const CprIncoming *incoming, CprStep step, GError **error)
{
  return incoming->attempt > 1 || cpr_baton_check_pause (incoming->baton.page, cpr_step_get_name (step), error);
}

/* Before the state is awaited comes what can be done without it: the guest may still be running. */
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
      cpr_device_load_touch (load);
      cpr_vfio_table_prepare (&session->vfio);
    }
  return cpr_incoming_await_state (incoming, &session->ram, error) && check_pause (incoming, CPR_STEP_CLAIM, error) &&
         load_devices (session, load, &codec, error) && check_pause (incoming, CPR_STEP_LOAD, error);
}

bool
cpr_session_load (CprSession *session, GError **error)
{
  CprIncoming *incoming;
  GError *reason = NULL;

  g_return_val_if_fail (session != NULL, false);
  if (!cpr_session_check_call (session, CPR_CALL_LOAD, error))
    return false;

  incoming = session->incoming;
  if (incoming != NULL && !load (session, &reason))
    {
      session->state = CPR_SESSION_STATE_LOST;
      return cpr_incoming_give_back (incoming, session->held, reason, error);
    }
  session->state = CPR_SESSION_STATE_LOADED;
  stamp (session, CPR_STEP_COMMIT);
  return true;
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
finish (CprSession *session)
{
  CprIncoming *incoming = g_steal_pointer (&session->incoming);

  for (int i = 0; i < CPR_N_STEPS; i++)
    session->stamps[i] = incoming->baton.page->stamps[i];
  session->wait_ns = incoming->baton.page->wait_ns;
  cpr_session_finish_vfio (session);
  session->failed_ns = incoming->attempt > 1 ? incoming->baton.page->failed_ns : 0;
  session->finish = cpr_finish_start (incoming, &session->ram, steal_unclaimed (session));
  if (session->status == CPR_UPDATE_RESCUED)
    cpr_session_log (session, CPR_LOG_ERROR, "update failed, the guest is back in the old program, now process %d: %s",
                     getpid (), session->error);
  else if (session->status == CPR_UPDATE_ROLLED_BACK)
    cpr_session_log (session, CPR_LOG_ERROR, "update failed, the guest is back in the old program: %s", session->error);
  else
    cpr_session_log (session, CPR_LOG_INFO, "update %" G_GUINT64_FORMAT " completed", session->generation);
}

/* The update began in the program before this one. */
static void
tell_end (CprSession *session, CprMode mode)
{
  bool done = session->status == CPR_UPDATE_COMPLETED;

  cpr_notifiers_inherit (session->notifiers, mode);
  cpr_notifiers_tell (session->notifiers, session, mode, done ? CPR_EVENT_DONE : CPR_EVENT_FAILED);
}

/* When the guest was allowed its first instruction. The callback returns late where the guest's
 * own threads take the CPU from this one, and then all that it did until then was done in the
 * time that it ran. */
static uint64_t
start_guest (CprSession *session)
{
  long n_before, n_after;
  uint64_t began_ns = cpr_now_ns (), ran_ns = cpr_thread_ran_ns (&n_before), ended_ns;

  if (cpr_run_state_is_live (session->run_state))
    session->config.start (session->config.user_data);
  ended_ns = cpr_now_ns ();
  ran_ns = cpr_thread_ran_ns (&n_after) - ran_ns;
  return n_after == n_before ? ended_ns : MIN (ended_ns, began_ns + ran_ns);
}

bool
cpr_session_start (CprSession *session, GError **error)
{
  GError *reason = NULL;

  g_return_val_if_fail (session != NULL, false);
  if (!cpr_session_check_call (session, CPR_CALL_START, error))
    return false;

  if (session->incoming != NULL && !check_pause (session->incoming, CPR_STEP_COMMIT, &reason))
    {
      session->state = CPR_SESSION_STATE_LOST;
      return cpr_incoming_give_back (session->incoming, session->held, reason, error);
    }
  if (session->incoming != NULL && !cpr_incoming_commit (session->incoming, error))
    {
      session->state = CPR_SESSION_STATE_LOST;
      return false;
    }
  session->state = CPR_SESSION_STATE_ACTIVE;
  stamp_at (session, CPR_STEP_FINISH, start_guest (session));
  if (session->incoming != NULL)
    {
      CprMode mode = session->incoming->carrier->mode;

      finish (session);
      tell_end (session, mode);
    }
  return true;
}

bool
cpr_session_abort (CprSession *session, const GError *reason, GError **error)
{
  g_return_val_if_fail (session != NULL && reason != NULL, false);
  if (!cpr_session_check_call (session, CPR_CALL_ABORT, error))
    return false;
  if (session->incoming == NULL)
    return cpr_throw (error, CPR_ERROR_STATE, "cpr_session_abort: the session didn't take up a state");
  session->state = CPR_SESSION_STATE_LOST;
  return cpr_incoming_give_back (session->incoming, session->held, g_error_copy (reason), error);
}

bool
cpr_session_set_argv (CprSession *session, char *const *argv, GError **error)
{
  g_return_val_if_fail (session != NULL && argv != NULL, false);
  if (!cpr_session_check_call (session, CPR_CALL_SET_ARGV, error))
    return false;
  if (argv[0] == NULL)
    return cpr_throw (error, CPR_ERROR_INVALID, "program: its argv is empty, it could never be executed again");
  g_strfreev (session->program.argv);
  session->program.argv = g_strdupv ((char **) argv);
  return true;
}

CprSessionState
cpr_session_get_state (const CprSession *session)
{
  g_return_val_if_fail (session != NULL, CPR_SESSION_STATE_LOST);

  return session->state;
}

bool
cpr_session_is_incoming (const CprSession *session)
{
  g_return_val_if_fail (session != NULL, false);

  return session->was_incoming;
}

/* Before the commit, ending is going back. */
static void
go_back (CprSession *session)
{
  GError *failure = NULL;

  cpr_incoming_give_back (
      session->incoming, session->held,
      g_error_new_literal (CPR_ERROR, CPR_ERROR_ROLLED_BACK, "the new program ended before it started the guest"),
      &failure);
  cpr_session_log (session, CPR_LOG_ERROR, "%s", failure->message);
  g_error_free (failure);
}

void
cpr_session_free (CprSession *session)
{
  bool mine;

  if (session == NULL)
    return;
  g_return_if_fail (cpr_call_is_permitted (CPR_CALL_FREE, session->state, false));
  g_return_if_fail (!cpr_notifiers_are_told (session->notifiers));

  mine = cpr_session_is_mine (session);
  if (mine && session->incoming != NULL && session->state != CPR_SESSION_STATE_LOST)
    go_back (session);
  if (mine)
    cpr_finish_free (session->finish);
  cpr_incoming_free (session->incoming);
  cpr_device_table_clear (&session->devices);
  cpr_vfio_table_clear (&session->vfio);
  cpr_ram_table_clear (&session->ram);
  cpr_fd_table_clear (&session->fds);
  cpr_program_clear (&session->program);
  cpr_passed_clear (&session->passed);
  cpr_notifiers_free (session->notifiers);
  cpr_blockers_free (session->blockers, !mine);
  g_array_unref (session->held);
  g_hash_table_unref (session->warnings);
  if (session->cancel_fd >= 0)
    cpr_sys->close (session->cancel_fd);
  g_free (session->error);
  g_free (session->name);
  g_free (session);
}
