/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The exchange of the process image by execve, for the way there (exec.c) and for the way back
 * (give-back.c), and the choice of the fds that the new image inherits. */
#include "handoff/exec/image.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/sys.h"
#include "base/uapi.h"
#include "process/program.h"

GArray *
cpr_image_collect_fds (const CprFdTable *fds, int more, GArray *held)
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

/* Stops the interval timer, which execve doesn't: its signal would kill the new program before
 * that has a handler. The signal may be pending already, since signals are blocked; true then. */
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

/* Executes @exe_fd by its path in /proc first, as the preflight did. A seccomp filter may deny
 * either call, and /proc may be missing. */
static void
execute_fd (int exe_fd, char *const *argv, char *const *envp)
{
  g_autofree char *path = cpr_program_make_exe_path (exe_fd);
  int first;

  cpr_sys->execve (path, argv, envp);
  first = errno;
  cpr_sys->execveat (exe_fd, argv, envp);
  errno = first;
}

/* Every fd is close-on-exec unless the old or the new program is about to be executed, so that
 * other programs which the VMM starts inherit none. An fd that isn't in the fd table and has a
 * number up to 2 is a standard stream, and stays as it is. */
bool
cpr_image_set_cloexec (GArray *carried)
{
  bool ok = cpr_sys->close_range (STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC) == 0;

  for (guint i = 0; i < carried->len && g_array_index (carried, int, i) <= STDERR_FILENO; i++)
    ok = cpr_fd_set_cloexec (g_array_index (carried, int, i), true) && ok;
  return ok;
}

static bool
execute (GArray *carried, const char *path, int exe_fd, char *const *argv, char *const *envp, GError **error)
{
  if (cpr_sys->close_range (STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
    return cpr_throw_errno (error, errno, "making all fds close-on-exec: close_range");
  for (guint i = 0; i < carried->len; i++)
    if (!cpr_fd_set_cloexec (g_array_index (carried, int, i), false))
      return cpr_throw_errno (error, errno, "fd %d: F_SETFD", g_array_index (carried, int, i));
  if (path != NULL)
    cpr_sys->execve (path, argv, envp);
  else
    execute_fd (exe_fd, argv, envp);
  return cpr_throw_errno (error, errno, "program '%s': execve", path != NULL ? path : argv[0]);
}

bool
cpr_image_exchange (GArray *carried, const char *path, int exe_fd, char *const *argv, char *const *envp, GError **error)
{
  bool alarmed = disarm_alarm ();

  execute (carried, path, exe_fd, argv, envp, error);
  if (alarmed)
    cpr_sys->kill (getpid (), SIGALRM);
  return false;
}
