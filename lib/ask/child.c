/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Starts the programs that a preflight asks, gives each its question, collects their answers
 * within a time limit, and ends them. Called by lib/session/ask.c and by cpr-inspect. */
#include "ask/child.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "ask/answer.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/proc.h"
#include "base/signals.h"
#include "base/sys.h"
#include "base/text.h"
#include "process/child.h"
#include "process/program.h"

/* Our own fds are above the child's, so that putting them in place overwrites none. */
#define FIRST_FD (CPR_ASK_FD_EXECUTABLE + 1)

#define CHUNK_SIZE (64 * 1024)
/* An ended child's pipe can still hold so many chunks: 1 MiB is the largest pipe. A process that
 * the child left behind may write without end. */
#define LAST_CHUNKS 16

/* How often a child is looked at where there is no pidfd. */
#define LOOK_MS 10

char **
cpr_ask_make_envp (char *const *envp)
{
  static const char *const unwanted[] = { "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID" };
  char **made = cpr_program_make_envp (envp, CPR_ASK_FD_QUESTION);

  for (size_t i = 0; i < G_N_ELEMENTS (unwanted); i++)
    made = g_environ_unsetenv (made, unwanted[i]);
  return made;
}

static bool
open_pipe (int pipe[2], GError **error)
{
  bool ok;

  if (cpr_sys->pipe2 (pipe, O_CLOEXEC) < 0)
    {
      pipe[0] = pipe[1] = -1;
      return cpr_throw_errno (error, errno, "preflight: pipe");
    }
  pipe[0] = cpr_fd_from (pipe[0], FIRST_FD);
  pipe[1] = cpr_fd_from (pipe[1], FIRST_FD);
  /* The reading end only: the two are different open files, and a child's stdout should block. */
  ok = pipe[0] >= 0 && pipe[1] >= 0 && cpr_sys->fcntl (pipe[0], F_SETFL, O_NONBLOCK) == 0;
  return ok || cpr_throw_errno (error, errno, "preflight: pipe");
}

bool
cpr_ask_open (CprAsk *ask, GError **error)
{
  struct stat st;

  ask->question_fd = ask->null_fd = ask->exe_copy = ask->pidfd = -1;
  ask->answer_pipe[0] = ask->answer_pipe[1] = ask->output_pipe[0] = ask->output_pipe[1] = -1;
  ask->answer = g_byte_array_new ();
  ask->chunk = g_malloc (CHUNK_SIZE); /* not on the stack, which may be a small one */

  ask->question_fd = cpr_fd_from (cpr_memfd_new ("libcpr-question", 0), FIRST_FD);
  if (ask->question_fd < 0)
    return cpr_throw_errno (error, errno, "preflight: memfd_create");
  ask->null_fd = cpr_fd_from (cpr_sys->open ("/dev/null", O_RDONLY | O_CLOEXEC, 0), FIRST_FD);
  if (ask->null_fd < 0)
    return cpr_throw_errno (error, errno, "preflight: /dev/null");
  if (ask->by_fd)
    {
      ask->exe_copy = cpr_sys->fcntl (ask->exe_fd, F_DUPFD_CLOEXEC, FIRST_FD);
      if (ask->exe_copy < 0)
        return cpr_throw_errno (error, errno, "preflight: the executable's fd %d", ask->exe_fd);
    }
  if (!open_pipe (ask->answer_pipe, error) || !open_pipe (ask->output_pipe, error))
    return false;
  if (cpr_sys->fstat (ask->answer_pipe[1], &st) < 0)
    return cpr_throw_errno (error, errno, "preflight: fstat");
  ask->pipe_device = st.st_dev;
  ask->pipe_inode = st.st_ino;
  return true;
}

void
cpr_ask_clear (CprAsk *ask)
{
  cpr_fd_clear (&ask->question_fd);
  cpr_fd_clear (&ask->null_fd);
  cpr_fd_clear (&ask->exe_copy);
  for (int i = 0; i < 2; i++)
    {
      cpr_fd_clear (&ask->answer_pipe[i]);
      cpr_fd_clear (&ask->output_pipe[i]);
    }
  g_clear_pointer (&ask->chunk, g_free);
  g_clear_pointer (&ask->answer, g_byte_array_unref);
  g_clear_pointer (&ask->failure, g_free);
}

/* ---- The end of a child, in words. */

/* The end of the child's output, which may be empty. */
static char *
describe_output (const CprAsk *ask)
{
  size_t kept = MIN (ask->output_len, CPR_ASK_OUTPUT_MAX), first = ask->output_len - kept;
  g_autofree char *raw = g_malloc (kept + 1);
  char *line;

  for (size_t i = 0; i < kept; i++)
    raw[i] = ask->output[(first + i) % CPR_ASK_OUTPUT_MAX];
  line = cpr_text_make_line (raw, kept);
  if (g_str_has_prefix (line, ask->path) && g_str_has_prefix (line + strlen (ask->path), ": "))
    memmove (line, line + strlen (ask->path) + 2,
             strlen (line + strlen (ask->path) + 2) + 1); /* the message names it */
  return line;
}

static void
set_failure (CprAsk *ask, const char *reason)
{
  g_autofree char *output = describe_output (ask);

  if (ask->failure == NULL)
    ask->failure = *output != '\0' ? g_strconcat (reason, ": ", output, NULL) : g_strdup (reason);
}

/* @info: how the child ended; NULL where somebody else has taken its status. */
static void
judge (CprAsk *ask, const siginfo_t *info, unsigned timeout_ms)
{
  bool answered = ask->answer->len > 0;
  g_autofree char *reason = NULL;

  if (ask->answer->len > CPR_ANSWER_MAX)
    reason = g_strdup_printf ("its answer is damaged: it has more than %u bytes", CPR_ANSWER_MAX);
  else if (ask->outlived)
    reason = g_strdup_printf ("it gave no answer within %u ms, and process %d can't be killed", timeout_ms, ask->pid);
  else if (ask->timed_out)
    reason = g_strdup_printf ("it gave no answer within %u ms, killed", timeout_ms);
  else if (info != NULL && info->si_code != CLD_EXITED)
    reason = cpr_child_describe_end (info);
  else if (answered)
    return;
  else if (info == NULL)
    reason = g_strdup ("it ended without an answer; its exit status went to another wait");
  else
    reason = g_strdup_printf ("it exited with status %d without an answer%s", info->si_status,
                              info->si_status == 0 ? ": is it made with libcpr?" : "");
  set_failure (ask, reason);
}

/* ---- The life of a child. */

/* File actions and attributes fail only where memory runs out, and there GLib has ended the process
 * before. */
static void
set_actions (const CprAsk *ask, posix_spawn_file_actions_t *actions)
{
  posix_spawn_file_actions_adddup2 (actions, ask->null_fd, STDIN_FILENO);
  posix_spawn_file_actions_adddup2 (actions, ask->output_pipe[1], STDOUT_FILENO);
  posix_spawn_file_actions_adddup2 (actions, ask->output_pipe[1], STDERR_FILENO);
  posix_spawn_file_actions_adddup2 (actions, ask->question_fd, CPR_ASK_FD_QUESTION);
  posix_spawn_file_actions_adddup2 (actions, ask->answer_pipe[1], CPR_ASK_FD_ANSWER);
  if (ask->by_fd)
    posix_spawn_file_actions_adddup2 (actions, ask->exe_copy, CPR_ASK_FD_EXECUTABLE);
  posix_spawn_file_actions_addclosefrom_np (actions, ask->by_fd ? FIRST_FD : CPR_ASK_FD_EXECUTABLE);
  if (ask->cwd != NULL) /* a folder that is gone is replaced by "/" on the real way back, too */
    posix_spawn_file_actions_addchdir_np (
        actions, cpr_sys->faccessat (AT_FDCWD, ask->cwd, X_OK, AT_EACCESS) == 0 ? ask->cwd : "/");
}

static void
set_attributes (posix_spawnattr_t *attributes)
{
  sigset_t mask, all;

  pthread_sigmask (SIG_BLOCK, NULL, &mask);
  sigfillset (&all);
  posix_spawnattr_setsigmask (attributes, &mask);
  posix_spawnattr_setsigdefault (attributes, &all);
  posix_spawnattr_setpgroup (attributes, 0); /* so that a wrapper and its children can be ended */
  posix_spawnattr_setflags (attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
}

static void
keep_output (CprAsk *ask, const char *data, size_t len)
{
  for (size_t i = 0; i < len; i++)
    ask->output[ask->output_len++ % CPR_ASK_OUTPUT_MAX] = data[i];
}

static void
keep_answer (CprAsk *ask, const char *data, size_t len)
{
  if (ask->answer->len <= CPR_ANSWER_MAX)
    g_byte_array_append (ask->answer, (const guint8 *) data, (guint) len);
}

/* Reads once. False where there is nothing more for now, and where there never will be: then the
 * pipe is closed. */
static bool
read_pipe (CprAsk *ask, int *fd, void (*keep) (CprAsk *ask, const char *data, size_t len))
{
  ssize_t len = *fd >= 0 ? cpr_sys->read (*fd, ask->chunk, CHUNK_SIZE) : 0;

  if (len > 0)
    keep (ask, ask->chunk, (size_t) len);
  else if (len == 0 || (errno != EAGAIN && errno != EINTR))
    cpr_fd_clear (fd);
  return len > 0;
}

/* Ends the child and its group, and takes the rest of its output and its status. */
static void
end (CprAsk *ask, unsigned timeout_ms)
{
  siginfo_t info;
  CprReaped reaped;

  cpr_child_kill_all (ask->pid);
  reaped = cpr_child_reap (ask->pid, ask->pidfd, &info);
  ask->outlived = reaped == CPR_OUTLIVED;
  cpr_fd_clear (&ask->pidfd);
  for (int i = 0; i < LAST_CHUNKS && read_pipe (ask, &ask->answer_pipe[0], keep_answer); i++)
    ;
  for (int i = 0; i < LAST_CHUNKS && read_pipe (ask, &ask->output_pipe[0], keep_output); i++)
    ;
  judge (ask, reaped == CPR_REAPED ? &info : NULL, timeout_ms);
  ask->pid = 0;
}

static bool
start (CprAsk *ask, unsigned timeout_ms, GError **error)
{
  g_autofree char *by_fd = cpr_program_make_exe_path (CPR_ASK_FD_EXECUTABLE);
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  int errnum;

  posix_spawn_file_actions_init (&actions);
  posix_spawnattr_init (&attributes);
  set_actions (ask, &actions);
  set_attributes (&attributes);
  errnum =
      cpr_sys->posix_spawn (&ask->pid, ask->by_fd ? by_fd : ask->path, &actions, &attributes, ask->argv, ask->envp);
  posix_spawnattr_destroy (&attributes);
  posix_spawn_file_actions_destroy (&actions);
  if (errnum != 0)
    {
      ask->pid = 0;
      ask->failure = cpr_child_describe_start_failure (ask->by_fd ? NULL : ask->path, errnum);
      return true;
    }
  cpr_fd_clear (&ask->answer_pipe[1]); /* else the end of the pipe would never be seen */
  cpr_fd_clear (&ask->output_pipe[1]);
  ask->pidfd = cpr_fd_above_std (cpr_sys->pidfd_open (ask->pid));
  if (ask->pidfd < 0 && errno == ESRCH) /* the child has ended, and another thread has reaped it */
    end (ask, timeout_ms);
  else if (ask->pidfd < 0 && errno != ENOSYS &&
           errno != EPERM) /* a sandbox's filter, or valgrind: it is looked at instead */
    return cpr_throw_errno (error, errno, "preflight: pidfd_open");
  return true;
}

/* Waits until one of the children writes or ends, or until the deadline. */
static bool
wait_once (CprAsk *asks, size_t n_asks, uint64_t deadline_ns, unsigned timeout_ms, GError **error)
{
  g_autofree struct pollfd *fds = g_new0 (struct pollfd, 3 * n_asks);
  uint64_t now = cpr_now_ns ();
  uint64_t left_ms = now < deadline_ns ? (deadline_ns - now + 999999) / 1000000 : 0, wait_ms = MIN (left_ms, G_MAXINT);

  for (size_t i = 0; i < n_asks; i++)
    {
      bool runs = asks[i].pid != 0;

      if (runs && asks[i].pidfd < 0)
        wait_ms = MIN (wait_ms, LOOK_MS);
      fds[3 * i] = (struct pollfd){ runs ? asks[i].pidfd : -1, POLLIN, 0 };
      fds[3 * i + 1] = (struct pollfd){ runs ? asks[i].answer_pipe[0] : -1, POLLIN, 0 };
      fds[3 * i + 2] = (struct pollfd){ runs ? asks[i].output_pipe[0] : -1, POLLIN, 0 };
    }
  if (cpr_sys->poll (fds, 3 * n_asks, (int) wait_ms) < 0 && errno != EINTR)
    return cpr_throw_errno (error, errno, "preflight: poll");

  for (size_t i = 0; i < n_asks; i++)
    {
      CprAsk *ask = &asks[i];
      bool ended;

      if (ask->pid == 0)
        continue;
      if (fds[3 * i + 1].revents != 0)
        read_pipe (ask, &ask->answer_pipe[0], keep_answer);
      if (fds[3 * i + 2].revents != 0)
        read_pipe (ask, &ask->output_pipe[0], keep_output);
      ended = ask->pidfd >= 0 ? fds[3 * i].revents != 0 : cpr_child_has_ended (ask->pid, -1);
      ask->timed_out = !ended && left_ms == 0;
      if (ended || left_ms == 0 || ask->answer->len > CPR_ANSWER_MAX)
        end (ask, timeout_ms);
    }
  return true;
}

static bool
any_runs (const CprAsk *asks, size_t n_asks)
{
  for (size_t i = 0; i < n_asks; i++)
    if (asks[i].pid != 0)
      return true;
  return false;
}

bool
cpr_ask_run (CprAsk *asks, size_t n_asks, unsigned timeout_ms, GError **error)
{
  uint64_t deadline_ns = cpr_now_ns () + timeout_ms * UINT64_C (1000000);
  bool ok = true;

  for (size_t i = 0; i < n_asks && ok; i++)
    ok = start (&asks[i], timeout_ms, error);
  while (ok && any_runs (asks, n_asks))
    ok = wait_once (asks, n_asks, deadline_ns, timeout_ms, error);
  for (size_t i = 0; i < n_asks; i++)
    if (asks[i].pid != 0)
      end (&asks[i], timeout_ms);
  return ok;
}
