/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "handoff/exec.h"

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
#include "handoff/notify.h"

char *
cpr_execve_find_program (const char *name, GError **error)
{
  g_autofree char *path = NULL;
  struct stat st;

  if (name[0] == '\0')
    {
      cpr_throw (error, CPR_ERROR_INVALID, "program: its name is empty");
      return NULL;
    }
  path = strchr (name, '/') != NULL ? g_strdup (name) : g_find_program_in_path (name);
  if (path == NULL)
    cpr_throw_errno (error, ENOENT, "program '%s': not in PATH", name);
  else if (cpr_sys->stat (path, &st) < 0)
    cpr_throw_errno (error, errno, "program '%s'", path);
  else if (S_ISDIR (st.st_mode))
    cpr_throw_errno (error, EISDIR, "program '%s'", path);
  else if (cpr_sys->faccessat (AT_FDCWD, path, X_OK, AT_EACCESS) < 0)
    cpr_throw_errno (error, errno, "program '%s' can't be executed", path);
  else
    return g_steal_pointer (&path);
  return NULL;
}

GArray *
cpr_execve_collect (const CprFdTable *fds, int more, GArray *held)
{
  GArray *all = g_array_new (FALSE, FALSE, sizeof (int));

  for (guint i = 0; i < fds->entries->len; i++)
    g_array_append_val (all, ((CprFdEntry *) fds->entries->pdata[i])->fd);
  g_array_append_val (all, more);
  if (held != NULL)
    g_array_append_vals (all, held->data, held->len);
  cpr_fd_sort (all);
  return all;
}

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

/* The library's own fds go through the fd table like all others: named, recorded, verified. */
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
  static const char *const names[] = { CPR_FD_BATON, CPR_FD_RELEASE, CPR_FD_EXECUTABLE };

  for (size_t i = 0; i < G_N_ELEMENTS (names); i++)
    {
      CprFdEntry *entry = cpr_fd_table_find (exec->fds, names[i], 0);

      if (entry != NULL)
        cpr_fd_table_remove (exec->fds, entry);
    }
}

static bool
make_guardian (CprExecve *exec, const CprExecvePlan *plan, GError **error)
{
  g_autoptr (GArray) keep = cpr_execve_collect (exec->fds, exec->state_fd, plan->held);
  CprGuardianConfig config = { exec->baton.page, keep, exec->release_fd, -1, NULL };

  if (plan->with_rescue && cpr_notify_is_expected ())
    {
      config.notify = cpr_notify_open ();
      if (config.notify < 0)
        return cpr_throw_errno (error, errno, "guardian: the supervisor can't be told; see CPR_UPDATE_NO_RESCUE");
    }
  if (plan->with_rescue)
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

bool
cpr_execve_prepare (CprExecve *exec, const CprExecvePlan *plan, CprFdTable *fds, GError **error)
{
  *exec = (CprExecve){ .fds = fds, .state_fd = -1, .release_fd = -1, .baton = { .fd = -1 } };
  exec->path = cpr_execve_find_program (plan->argv[0], error);
  if (exec->path != NULL && cpr_fd_table_verify (fds, 0, error) && open_own (exec, error) &&
      add_own (exec, plan->self, error))
    {
      exec->baton.page->timeout_ns = plan->timeout_ns;
      exec->baton.page->rescue = plan->with_rescue;
      exec->baton.page->pause_budget_ns = plan->pause_budget_ns;
      exec->argv = g_strdupv ((char **) plan->argv);
      exec->envp = cpr_program_make_envp (plan->envp, exec->state_fd);
      exec->carried = cpr_execve_collect (fds, exec->state_fd, NULL);
      exec->inheritable = list_inheritable (error);
      if (exec->inheritable != NULL && (!plan->with_guardian || make_guardian (exec, plan, error)))
        return true;
    }
  cpr_execve_clear (exec);
  return false;
}

void
cpr_execve_clear (CprExecve *exec)
{
  g_clear_pointer (&exec->guardian, cpr_guardian_free);
  if (exec->fds != NULL)
    remove_own (exec);
  exec->fds = NULL;
  cpr_baton_clear (&exec->baton);
  cpr_fd_clear (&exec->release_fd);
  cpr_fd_clear (&exec->state_fd);
  g_clear_pointer (&exec->carried, g_array_unref);
  g_clear_pointer (&exec->inheritable, g_array_unref);
  g_clear_pointer (&exec->path, g_free);
  g_clear_pointer (&exec->argv, g_strfreev);
  g_clear_pointer (&exec->envp, g_strfreev);
}

bool
cpr_execve_seal (CprExecve *exec, CprWriter *writer, GError **error)
{
  if (!cpr_writer_finish (writer))
    return cpr_throw_errno (error, errno, "state: writing it");
  if (cpr_sys->fcntl (exec->state_fd, F_ADD_SEALS, CPR_STATE_SEALS) < 0)
    return cpr_throw_errno (error, errno, "state: F_ADD_SEALS");
  return true;
}

/* An armed interval timer, or its signal when it ran out since signals were blocked, would kill the new program before it
 * knows of it. */
static bool
disarm_alarm (void)
{
  static const struct timespec no_time = { 0, 0 };
  static const struct itimerval off;
  sigset_t alarm;

  cpr_sys->setitimer (ITIMER_REAL, &off, NULL);
  sigemptyset (&alarm);
  sigaddset (&alarm, SIGALRM);
  return sigtimedwait (&alarm, NULL, &no_time) == SIGALRM;
}

static bool
execute (GArray *carried, const char *path, int exe_fd, char *const *argv, char *const *envp, GError **error)
{
  if (cpr_sys->close_range (STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
    return cpr_throw_errno (error, errno, "close_range");
  for (guint i = 0; i < carried->len; i++)
    if (!cpr_fd_set_cloexec (g_array_index (carried, int, i), false))
      return cpr_throw_errno (error, errno, "fd %d: F_SETFD", g_array_index (carried, int, i));
  if (path != NULL)
    cpr_sys->execve (path, argv, envp);
  else
    cpr_sys->execveat (exe_fd, argv, envp);
  return cpr_throw_errno (error, errno, "program '%s': execve", path != NULL ? path : argv[0]);
}

bool
cpr_execve_image (GArray *carried, const char *path, int exe_fd, char *const *argv, char *const *envp, GError **error)
{
  bool alarmed = disarm_alarm ();

  execute (carried, path, exe_fd, argv, envp, error);
  if (alarmed)
    cpr_sys->kill (getpid (), SIGALRM);
  return false;
}

/* The other way round than cpr_execve_image(), as far as that came. */
static void
restore_fds (CprExecve *exec)
{
  cpr_sys->close_range (STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
  for (guint i = 0; i < exec->inheritable->len; i++)
    cpr_fd_set_cloexec (g_array_index (exec->inheritable, int, i), false);
}

bool
cpr_execve_launch_guardian (CprExecve *exec, GError **error)
{
  sigset_t old;
  bool ok;

  if (exec->guardian == NULL)
    return true;
  cpr_signals_block_all (&old); /* it inherits this; our handlers mustn't run there */
  ok = cpr_guardian_launch (exec->guardian, error);
  cpr_signals_restore (&old);
  return ok;
}

static bool
go_blocked (CprExecve *exec, GError **error)
{
  const CprBatonWord mine = { CPR_BATON_OWNED, 0, getpid () }, offered = { CPR_BATON_OFFERED, 1, getpid () },
                     mine_again = { CPR_BATON_OWNED, 1, getpid () };
  struct itimerval timer;
  GError *reason = NULL;

  cpr_sys->getitimer (ITIMER_REAL, &timer);
  cpr_baton_begin_attempt (exec->baton.page, cpr_now_ns ());
  if (!cpr_baton_move (exec->baton.page, mine, offered))
    {
      exec->lost = true;
      return cpr_throw (error, CPR_ERROR_NOT_OWNER, "baton: it isn't this process's");
    }

  atomic_store (&exec->baton.page->stamps[CPR_STEP_EXEC], cpr_now_ns ());
  cpr_execve_image (exec->carried, exec->path, -1, exec->argv, exec->envp, &reason);

  restore_fds (exec);
  cpr_sys->setitimer (ITIMER_REAL, &timer, NULL);
  if (cpr_baton_move (exec->baton.page, offered, mine_again))
    g_propagate_error (error, reason);
  else
    {
      exec->lost = true;
      cpr_throw (error, CPR_ERROR_NOT_OWNER, "baton: another process took it while this one failed: %s",
                 reason->message);
      g_error_free (reason);
    }
  return false;
}

bool
cpr_execve_go (CprExecve *exec, GError **error)
{
  sigset_t old;
  bool ok;

  cpr_signals_block_all (&old);
  ok = go_blocked (exec, error);
  if (exec->lost)
    exec->guardian = NULL; /* it takes the guest, and ends this process first */
  g_clear_pointer (&exec->guardian, cpr_guardian_free);
  cpr_signals_restore (&old);
  return ok;
}
