/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Starts the new program of a transfer, and ends it where it doesn't get the guest. Called by
 * transfer.c. */
#include "handoff/transfer/start.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/sys.h"
#include "process/child.h"
#include "process/program.h"

/* The end of the channel in the new program, which has no other fds but the standard streams. */
#define CHANNEL_FD 3
/* How long a program that has closed its connection may take to end, before nobody asks any more
 * how it ended. The guest may be stopped. */
#define MOMENT_MS 100

int
cpr_start_open (CprStart *start, const CprUpdate *update, GError **error)
{
  char *const *envp = update->envp != NULL ? update->envp : environ;
  int ends[2];

  start->path = cpr_program_find (update->program, error);
  if (start->path == NULL)
    return -1;
  start->envp = cpr_program_make_envp (envp, CHANNEL_FD);
  if (cpr_sys->socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
    {
      cpr_throw_errno (error, errno, "new program '%s': socketpair", start->path);
      return -1;
    }
  ends[0] = cpr_fd_above_std (ends[0]);
  start->its_fd = cpr_fd_above_std (ends[1]);
  if (ends[0] >= 0 && start->its_fd >= 0)
    return ends[0];
  cpr_throw_errno (error, errno, "new program '%s': socketpair", start->path);
  cpr_fd_clear (&ends[0]);
  return -1;
}

/* Actions and attributes fail only where memory runs out, and there GLib has ended the process
 * before. The group is the child's own, so that all of it can be ended; the rest is inherited, as
 * by an execve. */
bool
cpr_start_run (CprStart *start, const CprUpdate *update, GError **error)
{
  g_autofree char *reason = NULL;
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  int errnum;

  posix_spawn_file_actions_init (&actions);
  posix_spawn_file_actions_adddup2 (&actions, start->its_fd, CHANNEL_FD);
  posix_spawn_file_actions_addclosefrom_np (&actions, CHANNEL_FD + 1);
  posix_spawnattr_init (&attributes);
  posix_spawnattr_setpgroup (&attributes, 0);
  posix_spawnattr_setflags (&attributes, POSIX_SPAWN_SETPGROUP);
  errnum = cpr_sys->posix_spawn (&start->pid, start->path, &actions, &attributes, update->argv, start->envp);
  posix_spawnattr_destroy (&attributes);
  posix_spawn_file_actions_destroy (&actions);
  cpr_fd_clear (&start->its_fd); /* else the end of the channel would never be seen */
  if (errnum == 0)
    {
      start->pidfd = cpr_fd_above_std (cpr_sys->pidfd_open (start->pid)); /* -1: it is looked at instead */
      return true;
    }
  start->pid = 0;
  reason = cpr_child_describe_start_failure (start->path, errnum);
  return cpr_error_set_errno (error, CPR_ERROR_SYSTEM, errnum, "new program '%s': %s", start->path, reason);
}

char *
cpr_start_describe_end (const CprStart *start)
{
  uint64_t end_ns = cpr_now_ns () + MOMENT_MS * UINT64_C (1000000);
  siginfo_t info = { .si_pid = 0 };

  if (start->pid == 0)
    return NULL;
  while (!cpr_child_has_ended (start->pid, start->pidfd) && cpr_now_ns () < end_ns)
    g_usleep (1000);
  if (cpr_sys->waitid (P_PID, (id_t) start->pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
    return NULL;
  return cpr_child_describe_end (&info);
}

void
cpr_start_end (CprStart *start)
{
  siginfo_t info;

  if (start->pid == 0)
    return;
  cpr_child_kill_all (start->pid);
  cpr_child_reap (start->pid, start->pidfd, &info);
  start->pid = 0;
}

void
cpr_start_clear (CprStart *start)
{
  cpr_fd_clear (&start->its_fd);
  cpr_fd_clear (&start->pidfd);
  g_clear_pointer (&start->path, g_free);
  g_clear_pointer (&start->envp, g_strfreev);
}
