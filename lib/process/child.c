/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The end of a program that this process has started: seen, brought about, taken, and put into
 * words. Called for the programs that a preflight asks and for the new program of a transfer. */
#include "process/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

#include <glib.h>

#include "base/proc.h"
#include "base/signals.h"
#include "base/sys.h"

/* How often a child is looked at where there is no pidfd. */
#define LOOK_MS 10

/* How long the end of a killed child is waited for. Some children can't be killed: a set-uid
 * program, or any where a filter denies kill(). */
#define DEATH_NS (UINT64_C (3) * 1000000000)

char *
cpr_child_describe_start_failure (const char *path, int errnum)
{
  const char *absence = errnum == ENOENT && path == NULL ? cpr_proc_describe_absence ("/proc/self/fd") : NULL;
  const char *hint = "";

  if (absence != NULL)
    return g_strdup_printf ("it can't be started: %s", absence);
  if (errnum == ENOENT && path != NULL && cpr_sys->faccessat (AT_FDCWD, path, F_OK, 0) == 0)
    hint = " (it is there: the interpreter that it names isn't)";
  return g_strdup_printf ("it can't be started: %s%s", g_strerror (errnum), hint);
}

bool
cpr_child_has_ended (pid_t pid, int pidfd)
{
  struct pollfd death = { pidfd, POLLIN, 0 };
  siginfo_t info = { .si_pid = 0 };

  if (pidfd >= 0)
    return cpr_sys->poll (&death, 1, 0) > 0;
  return cpr_sys->waitid (P_PID, (id_t) pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid != 0;
}

void
cpr_child_kill_all (pid_t pid)
{
  siginfo_t info;

  if (cpr_sys->waitid (P_PID, (id_t) pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 && errno == ECHILD)
    return;
  cpr_sys->kill (-pid, SIGKILL);
  cpr_signals_send (pid, -1, SIGKILL);
}

/* The same as waitid() with WNOHANG, where a seccomp filter denies waitid(). */
static int
take_status_otherwise (pid_t pid, siginfo_t *info)
{
  int status = 0;
  pid_t waited = cpr_sys->waitpid (pid, &status, WNOHANG);

  info->si_pid = waited > 0 ? waited : 0;
  info->si_code = WIFEXITED (status) ? CLD_EXITED : CLD_KILLED;
  info->si_status = WIFEXITED (status) ? WEXITSTATUS (status) : WTERMSIG (status);
  return waited < 0 ? -1 : 0;
}

static int
take_status (pid_t pid, siginfo_t *info)
{
  int waited = cpr_sys->waitid (P_PID, (id_t) pid, info, WEXITED | WNOHANG);

  return waited < 0 && errno != EINTR && errno != ECHILD ? take_status_otherwise (pid, info) : waited;
}

CprReaped
cpr_child_reap (pid_t pid, int pidfd, siginfo_t *info)
{
  uint64_t end_ns = cpr_now_ns () + DEATH_NS;
  struct pollfd death = { pidfd, POLLIN, 0 };

  for (;;)
    {
      *info = (siginfo_t){ .si_pid = 0 };
      if (take_status (pid, info) < 0)
        {
          if (errno != EINTR)
            return CPR_REAPED_BY_ANOTHER;
        }
      else if (info->si_pid != 0)
        return CPR_REAPED;
      if (cpr_now_ns () >= end_ns)
        return CPR_OUTLIVED;
      cpr_sys->poll (&death, 1, LOOK_MS);
    }
}

char *
cpr_child_describe_end (const siginfo_t *info)
{
  if (info->si_code == CLD_EXITED)
    return g_strdup_printf ("it exited with status %d", info->si_status);
  return g_strdup_printf ("it was killed by signal %d (%s)", info->si_status, strsignal (info->si_status));
}
