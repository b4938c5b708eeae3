/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Commands at the other end of a pipe, for update.c. */
#include "support/pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/error.h"

/* Its signals are as they were before main() blocked some. */
static int
spawn (pid_t *pid, const char *command, int theirs, int as)
{
  const char *const argv[] = { "sh", "-c", command, NULL };
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  sigset_t none;

  sigemptyset (&none);
  posix_spawn_file_actions_init (&actions);
  posix_spawn_file_actions_adddup2 (&actions, theirs, as);
  posix_spawnattr_init (&attributes);
  posix_spawnattr_setsigmask (&attributes, &none);
  posix_spawnattr_setflags (&attributes, POSIX_SPAWN_SETSIGMASK);
  int errnum = posix_spawn (pid, "/bin/sh", &actions, &attributes, (char *const *) argv, environ);
  posix_spawnattr_destroy (&attributes);
  posix_spawn_file_actions_destroy (&actions);
  return errnum;
}

/* Ours may have to be named to the library, which takes standard streams for the operator's
 * mistake. */
static int
above_streams (int fd)
{
  if (fd > STDERR_FILENO)
    return fd;
  int moved = fcntl (fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  close (fd);
  return moved;
}

bool
pipe_open (Pipe *pipe, const char *command, bool writes, GError **error)
{
  int ends[2];
  if (pipe2 (ends, O_CLOEXEC) < 0)
    return throw_errno (error, "'%s': pipe2", command);
  int ours = above_streams (ends[writes]), theirs = above_streams (ends[!writes]);
  if (ours >= 0 && theirs >= 0)
    errno = spawn (&pipe->pid, command, theirs, writes ? STDIN_FILENO : STDOUT_FILENO);
  close (theirs);
  if (!errno)
    {
      pipe->fd = ours;
      return true;
    }
  throw_errno (error, "'%s'", command);
  close (ours);
  pipe->pid = 0;
  return false;
}

int
pipe_copy_fd (const char *number, GError **error)
{
  guint64 fd;
  int copy;
  if (!g_ascii_string_to_unsigned (number, 10, STDERR_FILENO + 1, INT_MAX, &fd, NULL))
    {
      throw_error (error, "fd '%s': it isn't a number from 3 up", number);
      return -1;
    }
  copy = fcntl ((int) fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  if (copy < 0)
    throw_errno (error, "fd %s", number);
  return copy;
}

bool
pipe_close (Pipe *pipe, GError **error)
{
  int status = 0;
  if (!pipe->pid)
    return true;
  if (pipe->fd >= 0)
    close (pipe->fd);
  while (waitpid (pipe->pid, &status, 0) < 0 && errno == EINTR)
    ;
  *pipe = (Pipe){ 0, -1 };
  if (WIFSIGNALED (status))
    return throw_error (error, "the command was ended by signal %d", WTERMSIG (status));
  return status == 0 || throw_error (error, "the command ended with status %d", WEXITSTATUS (status));
}
