/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The session itself: its making and its end, its log, how it names itself, and the one check that
 * every public call makes. Called by all of lib/session. */
#include "session/core.h"

#include "base/error.h"
#include "base/signals.h"
#include "base/sys.h"
#include "kvm/vm.h"

CprSession *
cpr_session_alloc (void)
{
  CprSession *session = g_new0 (CprSession, 1);

  session->pid = getpid ();
  session->program.exe_fd = -1;
  session->cancel_fd = -1;
  session->reply.fd = -1;
  session->kvm_vms = g_ptr_array_new_with_free_func ((GDestroyNotify) cpr_kvm_vm_free);
  session->held = g_array_new (FALSE, FALSE, sizeof (int));
  session->notifiers = cpr_notifiers_new ();
  session->warnings = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  cpr_device_table_init (&session->devices);
  return session;
}

void
cpr_session_dispose (CprSession *session)
{
  bool mine = cpr_session_is_mine (session);

  if (mine)
    cpr_finish_free (session->finish);
  cpr_start_up_free (session->start_up, mine);
  cpr_incoming_free (session->incoming);
  cpr_rehearsal_free (session->rehearsal);
  cpr_device_table_clear (&session->devices);
  cpr_vfio_table_clear (&session->vfio);
  cpr_ram_table_clear (&session->ram);
  cpr_fd_table_clear (&session->fds);
  cpr_program_clear (&session->program);
  cpr_passed_clear (&session->passed);
  cpr_timeline_clear (&session->timeline);
  cpr_notifiers_free (session->notifiers);
  cpr_blockers_free (session->blockers, !mine);
  g_ptr_array_unref (session->kvm_vms);
  g_array_unref (session->held);
  g_hash_table_unref (session->warnings);
  if (session->cancel_fd >= 0)
    cpr_sys->close (session->cancel_fd);
  cpr_fd_clear (&session->reply.fd);
  g_free (session->name);
  g_free (session);
}

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
cpr_session_check_process (const CprSession *session, const char *function, GError **error)
{
  return cpr_session_is_mine (session) ||
         cpr_throw (error, CPR_ERROR_STATE, "%s: the session belongs to process %d, this is process %d", function,
                    session->pid, getpid ());
}

bool
cpr_session_check_call (const CprSession *session, CprCall call, GError **error)
{
  const char *name = cpr_call_get_name (call), *missing = cpr_call_get_missing (call, session->state);

  if (!cpr_session_check_process (session, name, error))
    return false;
  if (call == CPR_CALL_UPDATE && cpr_notifiers_are_told (session->notifiers))
    return cpr_throw (error, CPR_ERROR_STATE, "%s: not permitted in a notifier's callback", name);
  if (cpr_call_is_permitted (call, session->state, cpr_session_get_store (session) != NULL))
    return true;
  return cpr_throw (error, CPR_ERROR_STATE, "%s: not permitted in a session that is %s%s%s%s", name,
                    cpr_session_state_get_name (session->state), missing != NULL ? ": call " : "",
                    missing != NULL ? missing : "", missing != NULL ? "() first" : "");
}

bool
cpr_session_make_head (const CprSession *session, CprManifest *head, GError **error)
{
  *head = (CprManifest){ .vm_name = session->name,
                         .uid = geteuid (),
                         .pid = (uint32_t) getpid (),
                         .generation = session->timeline.generation,
                         .run_state = session->run_state,
                         .saved_ns = cpr_now_ns (),
                         .saved_real_ns = cpr_real_now_ns (),
                         .signal_mask = cpr_signals_get_mask () };
  return cpr_boot_id_get (head->boot_id, error);
}
