/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Exec mode in the old program, from the preparations to the execve, and the carrier's table.
 * Called by the order of steps in lib/session. */
#include "handoff/exec/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/signals.h"
#include "base/sys.h"
#include "base/uapi.h"
#include "handoff/exec/image.h"
#include "handoff/exec/notify.h"
#include "handoff/exec/take-up.h"
#include "handoff/exec/through.h"
#include "state/seal.h"

static GArray *
list_inheritable (GError **error)
{
  GArray *open_fds = cpr_fd_list (error);
  guint kept = 0;

  if (open_fds == NULL)
    return NULL;
  for (guint i = 0; i < open_fds->len; i++)
    {
      int fd = g_array_index (open_fds, int, i);
      int flags = cpr_sys->fcntl (fd, F_GETFD, 0);

      if (flags >= 0 && (flags & FD_CLOEXEC) == 0)
        g_array_index (open_fds, int, kept++) = fd;
    }
  g_array_set_size (open_fds, kept);
  return open_fds;
}

/* The library's own fds go through the fd table like all others, so they are recorded and
 * verified in the same way. */
static bool
add_own (CprExecve *exec, const CprProgram *self, GError **error)
{
  return cpr_fd_table_add (exec->fds, CPR_FD_BATON, 0, exec->baton.fd, error) &&
         cpr_fd_table_add (exec->fds, CPR_FD_RELEASE, 0, exec->release_fd, error) &&
         cpr_fd_table_add (exec->fds, CPR_FD_EXECUTABLE, 0, self->exe_fd, error);
}

static void
remove_own (CprExecve *exec)
{
  static const char *const names[] = { CPR_FD_BATON, CPR_FD_RELEASE, CPR_FD_EXECUTABLE, CPR_FD_LATE, CPR_FD_ASK };

  for (size_t i = 0; i < G_N_ELEMENTS (names); i++)
    {
      CprFdEntry *entry = cpr_fd_table_find (exec->fds, names[i], 0);

      if (entry != NULL)
        cpr_fd_table_remove (exec->fds, entry);
    }
}

/* As PID 1 of a namespace this process can't be rescued: its death ends every process of the
 * namespace, the guardian included. */
static bool
can_rescue (const CprUpdate *update)
{
  return (update->flags & CPR_UPDATE_NO_RESCUE) == 0 && getpid () != 1;
}

static bool
make_guardian (CprExecve *exec, const CprCarrierPlan *plan, GError **error)
{
  g_autoptr (GArray) keep = cpr_image_collect_fds (exec->fds, exec->state_fd, plan->held);
  CprGuardianConfig config = {
    .page = exec->baton.page, .keep = keep, .release = exec->release_fd, .notify = -1, .ram = plan->ram
  };

  if (can_rescue (plan->update) && cpr_notify_is_expected ())
    {
      config.notify = cpr_notify_open ();
      if (config.notify < 0)
        return cpr_throw_errno (error, errno, "guardian: the supervisor can't be told; see CPR_UPDATE_NO_RESCUE");
    }
  if (can_rescue (plan->update))
    config.rescue = cpr_rescue_new (plan->self, plan->vm_name, exec->state_fd, exec->carried);
  exec->guardian = cpr_guardian_new (&config, error);
  return exec->guardian != NULL;
}

static bool
open_own (CprExecve *exec, GError **error)
{
  exec->state_fd = cpr_memfd_new ("libcpr-state", 0);
  if (exec->state_fd < 0)
    return cpr_throw_errno (error, errno, "state: memfd_create");
  exec->release_fd = cpr_fd_above_std (cpr_sys->eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (exec->release_fd < 0)
    return cpr_throw_errno (error, errno, "guardian: eventfd");
  return cpr_baton_new (&exec->baton, error);
}

static void
fill_page (CprExecve *exec, const CprCarrierPlan *plan)
{
  exec->base.page = exec->baton.page;
  exec->base.page->timeout_ns = plan->timeout_ns;
  exec->base.page->rescue = can_rescue (plan->update);
  exec->base.page->pause_budget_ns = plan->pause_budget_ns;
  cpr_surroundings_read (&exec->base.page->surroundings);
}

static bool
prepare (CprExecve *exec, const CprCarrierPlan *plan, GError **error)
{
  const CprUpdate *update = plan->update;

  exec->path = cpr_program_find (update->program, error);
  if (exec->path == NULL || !cpr_fd_table_verify (exec->fds, 0, error) || !open_own (exec, error) ||
      !add_own (exec, plan->self, error) ||
      (plan->run_through != NULL && !cpr_through_open (&exec->through, plan->run_through, exec->fds, error)))
    return false;
  exec->base.stream_fd = exec->state_fd;
  fill_page (exec, plan);
  exec->argv = g_strdupv ((char **) update->argv);
  exec->envp = cpr_program_make_envp (update->envp != NULL ? update->envp : environ, exec->state_fd);
  exec->carried = cpr_image_collect_fds (exec->fds, exec->state_fd, NULL);
  exec->inheritable = list_inheritable (error);
  if (exec->through != NULL)
    exec->base.page->pause_budget_ns = 0; /* it doesn't stand for that long */
  return exec->inheritable != NULL &&
         ((update->flags & CPR_UPDATE_NO_GUARDIAN) != 0 || make_guardian (exec, plan, error)) &&
         (exec->through == NULL || cpr_through_prepare (exec->through, exec->baton.page, exec->release_fd, exec->fds,
                                                        exec->state_fd, plan->held, error));
}

/* ---- The carrier's functions. */

static bool
exec_check (const CprUpdate *update, GError **error)
{
  if (update->argv == NULL)
    return cpr_throw (error, CPR_ERROR_INVALID, "update: program should be set, or argv, and neither is");
  return update->argv[0] != NULL || cpr_throw (error, CPR_ERROR_INVALID, "update: argv is empty");
}

static void
exec_close (CprCarrier *carrier)
{
  CprExecve *exec = (CprExecve *) carrier;

  g_clear_pointer (&exec->through, cpr_through_free);
  g_clear_pointer (&exec->guardian, cpr_guardian_free);
  remove_own (exec);
  if (carrier->lost)
    exec->baton.page = NULL; /* stays mapped: the guardian lives in this address space and works with it */
  cpr_baton_clear (&exec->baton);
  cpr_fd_clear (&exec->release_fd);
  cpr_fd_clear (&exec->state_fd);
  g_clear_pointer (&exec->carried, g_array_unref);
  g_clear_pointer (&exec->inheritable, g_array_unref);
  g_free (exec->path);
  g_strfreev (exec->argv);
  g_strfreev (exec->envp);
  g_free (exec);
}

static CprCarrier *
exec_open (const CprCarrierPlan *plan, GError **error)
{
  CprExecve *exec = g_new0 (CprExecve, 1);

  *exec = (CprExecve){
    .base.type = &cpr_carrier_exec, .fds = plan->fds, .state_fd = -1, .release_fd = -1, .baton = { .fd = -1 }
  };
  if (prepare (exec, plan, error))
    return &exec->base;
  exec_close (&exec->base);
  return NULL;
}

/* The guardian shares this address space from now on: it sees everything that is written later. */
static bool
exec_launch (CprCarrier *carrier, GError **error)
{
  const CprExecve *exec = (CprExecve *) carrier;
  sigset_t old;
  bool ok;

  if (exec->guardian == NULL)
    return true;
  cpr_signals_block_all (&old); /* the guardian inherits the mask: the VMM's handlers mustn't run there */
  ok = cpr_guardian_launch (exec->guardian, error) &&
       (exec->through == NULL || cpr_through_launch (exec->through, error));
  cpr_signals_restore (&old);
  return ok;
}

static bool
exec_seal (CprCarrier *carrier, CprWriter *writer, GError **error)
{
  return cpr_stream_seal (carrier->stream_fd, writer, error);
}

/* Undoes what cpr_image_exchange() did to the fds, as far as it came. */
static void
restore_fds (CprExecve *exec)
{
  cpr_image_set_cloexec (exec->carried);
  for (guint i = 0; i < exec->inheritable->len; i++)
    cpr_fd_set_cloexec (g_array_index (exec->inheritable, int, i), false);
}

static bool
go_blocked (CprExecve *exec, GError **error)
{
  const CprBatonWord offered = { CPR_BATON_OFFERED, CPR_BATON_WAY_THERE, getpid () },
                     mine_again = { CPR_BATON_OWNED, CPR_BATON_WAY_THERE, getpid () };
  struct itimerval timer;
  GError *reason = NULL;

  cpr_sys->getitimer (ITIMER_REAL, &timer);
  if (!cpr_carrier_offer_baton (&exec->base, getpid (), error))
    return false;
  cpr_image_exchange (exec->carried, exec->path, -1, exec->argv, exec->envp, &reason);

  restore_fds (exec);
  cpr_sys->setitimer (ITIMER_REAL, &timer, NULL);
  if (cpr_baton_move (exec->baton.page, offered, mine_again))
    g_propagate_error (error, reason);
  else
    {
      exec->base.lost = true;
      cpr_throw (error, CPR_ERROR_NOT_OWNER, "baton: another process took it while this one failed: %s",
                 reason->message);
      g_error_free (reason);
    }
  return false;
}

static bool
exec_go (CprCarrier *carrier, GError **error)
{
  CprExecve *exec = (CprExecve *) carrier;
  sigset_t old;
  bool ok;

  cpr_signals_block_all (&old);
  ok = go_blocked (exec, error);
  if (exec->base.lost)
    {
      exec->guardian = NULL; /* left alone: it ends this process and then takes the guest */
      exec->through = NULL;
    }
  g_clear_pointer (&exec->through, cpr_through_free); /* before the guest runs here again */
  g_clear_pointer (&exec->guardian, cpr_guardian_free);
  cpr_signals_restore (&old);
  return ok;
}

const CprCarrierType cpr_carrier_exec = {
  .mode = CPR_MODE_EXEC,
  .name = "exec",
  .starts_program = true,
  .check = exec_check,
  .open = exec_open,
  .launch = exec_launch,
  .seal = exec_seal,
  .go = exec_go,
  .close = exec_close,
  .find = cpr_execve_find,
  .take_up = cpr_execve_take_up,
  .committed = cpr_execve_committed,
  .give_back = cpr_execve_give_back,
  .leave = cpr_execve_leave,
  .finish = cpr_execve_finish,
  .clear = cpr_execve_clear,
};
