/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The guardian's way back: it ends the new program, takes the baton and executes the old program.
 * The upper half prepares everything in the old program; the lower half runs in the guardian,
 * without libc. */
#include "handoff/exec/rescue.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/time_types.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#include "process/raw.h"

/* How long to wait for the death of a killed process, and how often to kill it again. */
#define DEATH_MS 10000
#define RETRY_MS 20

#define PID_ROOM         16
#define PARKED_NOTE_ROOM (CPR_BATON_REASON_SIZE + 256) /* for all but the head of the line */

/* ---- In the program that makes the guardian. */

/* Variables of systemd with a PID: sd_watchdog_enabled(3), sd_listen_fds(3), systemd.exec(5). A
 * process that finds another PID there ignores what systemd says to it. */
static const char *const pid_variables[] = { "WATCHDOG_PID", "LISTEN_PID", "SYSTEMD_EXEC_PID" };

G_STATIC_ASSERT (G_N_ELEMENTS (pid_variables) < CPR_RESCUE_PIDS);

/* Finds the variables that name this process, so that a rescue can put its own PID there. A
 * variable that names another process stays as it is. */
static void
find_pids (CprRescue *rescue)
{
  unsigned n = 0;

  for (size_t i = 0; i < G_N_ELEMENTS (pid_variables); i++)
    {
      g_autofree char *mine = g_strdup_printf ("%s=%d", pid_variables[i], getpid ());

      for (char **at = rescue->envp; *at != NULL && n < G_N_ELEMENTS (pid_variables); at++)
        if (strcmp (*at, mine) == 0)
          {
            *at = g_realloc (*at, strlen (mine) + PID_ROOM);
            rescue->pids[n++] = *at + strlen (pid_variables[i]) + 1;
          }
    }
}

CprRescue *
cpr_rescue_new (const CprProgram *program, const char *vm_name, int state_fd, GArray *carried)
{
  CprRescue *rescue = g_new0 (CprRescue, 1);
  g_autofree char *head = NULL;

  rescue->program = program;
  rescue->state_fd = state_fd;
  rescue->carried = g_memdup2 (carried->data, carried->len * sizeof (int));
  rescue->n_carried = carried->len;
  rescue->exe_path = cpr_program_make_exe_path (program->exe_fd);
  rescue->envp = cpr_program_make_envp (program->envp, state_fd);
  find_pids (rescue);
  head = g_strdup_printf ("libcpr: VM '%s': no program could take the guest", vm_name);
  rescue->parked_note = g_malloc0 (strlen (head) + PARKED_NOTE_ROOM);
  strcpy (rescue->parked_note, head);
  return rescue;
}

void
cpr_rescue_free (CprRescue *rescue)
{
  if (rescue == NULL)
    return;
  g_free (rescue->carried);
  g_free (rescue->exe_path);
  g_strfreev (rescue->envp);
  g_free (rescue->parked_note);
  g_free (rescue);
}

/* ---- In the guardian: system calls only, no errno, no malloc, no locks, nothing of libc but
 * functions that only compute. guardian.c says why. */

static inline __attribute__ ((always_inline)) pid_t
self (void)
{
  return (pid_t) cpr_raw (SYS_getpid, 0, 0, 0, 0);
}

CPR_RAW_CODE uint64_t
cpr_raw_now_ns (void)
{
  struct __kernel_timespec now = { 0, 0 };

  cpr_raw (SYS_clock_gettime, 1 /* CLOCK_MONOTONIC */, (long) &now, 0, 0);
  return (uint64_t) now.tv_sec * 1000000000u + (uint64_t) now.tv_nsec;
}

CPR_RAW_CODE bool
cpr_raw_await (int fd, short events, long timeout_ms)
{
  struct __kernel_timespec limit = { timeout_ms / 1000, timeout_ms % 1000 * 1000000 };
  struct pollfd poll;

  poll.fd = fd;
  poll.events = events;
  poll.revents = 0;
  return cpr_raw (SYS_ppoll, (long) &poll, 1, (long) &limit, 0) == 1 && (poll.revents & events) != 0;
}

CPR_RAW_CODE bool
cpr_raw_await_death (int pidfd, long timeout_ms)
{
  return cpr_raw_await (pidfd, POLLIN, timeout_ms);
}

CPR_RAW_CODE long
cpr_raw_send_signal (int pidfd, pid_t pid, int signal)
{
  long result = cpr_raw (SYS_pidfd_send_signal, pidfd, signal, 0, 0);

  if (result == 0 || result == -ESRCH)
    return result;
  if (cpr_raw_await_death (pidfd, 0))
    return -ESRCH; /* dead: its pid may be another process's by now, so no kill() */
  return cpr_raw (SYS_kill, pid, signal, 0, 0);
}

CPR_RAW_CODE static char *
end_of (char *text)
{
  while (*text != '\0')
    text++;
  return text;
}

#define PROC_PATH_MAX 32

CPR_RAW_CODE static void
put_proc_path (char *to, pid_t pid, const char *entry)
{
  cpr_raw_put_text (cpr_raw_put_number (cpr_raw_put_text (to, "/proc/"), (unsigned) pid), entry);
}

/* How a zombie ended: the last number in its /proc/PID/stat. -1: it isn't there any more, or this
 * process may not know. */
CPR_RAW_CODE static int
read_zombie_status (pid_t pid)
{
  char path[PROC_PATH_MAX], text[1024];
  long fd, len, i;
  int status = 0;

  put_proc_path (path, pid, "/stat");
  fd = cpr_raw (SYS_openat, AT_FDCWD, (long) path, O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0)
    return -1;
  len = cpr_raw (SYS_read, fd, (long) text, sizeof text - 1, 0);
  cpr_raw (SYS_close, fd, 0, 0, 0);
  for (i = len - 1; i > 0 && (text[i] < '0' || text[i] > '9'); i--)
    ;
  for (; i > 0 && text[i - 1] != ' '; i--)
    ;
  if (i <= 0)
    return -1;
  for (; i < len && text[i] >= '0' && text[i] <= '9'; i++)
    status = status * 10 + (text[i] - '0');
  return status;
}

/* The same for a process that was reaped (Linux 6.15, linux/pidfd.h). */
CPR_RAW_CODE static int
read_reaped_status (int pidfd)
{
  struct
  {
    uint64_t mask;
    uint64_t cgroup;
    uint32_t ids[11];
    int32_t exit_code;
  } info;
  const unsigned long get_info = 0xc040ff0b; /* PIDFD_GET_INFO of 64 bytes */
  const uint64_t with_exit = 1u << 3;        /* PIDFD_INFO_EXIT */

  info.mask = with_exit;
  info.exit_code = -1;
  if (cpr_raw (SYS_ioctl, pidfd, (long) get_info, (long) &info, 0) < 0 || (info.mask & with_exit) == 0)
    return -1;
  return info.exit_code;
}

/* Whether /proc tells this process the truth: it shows the status 0 to a process that may not
 * look. See ptrace(2), "Ptrace access mode checking". */
CPR_RAW_CODE static bool
may_look (pid_t pid)
{
  char path[PROC_PATH_MAX], target[8];
  long result;

  put_proc_path (path, pid, "/exe");
  result = cpr_raw (SYS_readlinkat, AT_FDCWD, (long) path, (long) target, sizeof target);
  return result != -EACCES && result != -EPERM;
}

/* While a process is being reaped there is an instant in which neither source knows the status. */
CPR_RAW_CODE static int
read_status (pid_t pid, int pidfd)
{
  struct __kernel_timespec pause = { 0, 500000 };
  int status = -1;

  for (int i = 0; status < 0 && i < 6; i++)
    {
      if (i > 0)
        cpr_raw (SYS_nanosleep, (long) &pause, 0, 0, 0);
      status = read_reaped_status (pidfd);
      if (status < 0)
        status = read_zombie_status (pid);
      if (status == 0 && !may_look (pid))
        status = -1;
    }
  return status;
}

/* Kills the candidate and waits for its death. If it can't be killed, the wait has no end: two
 * processes must not run the guest. A candidate at idle priority would take long to die on a
 * busy machine, so it gets ordinary priority first. */
CPR_RAW_CODE static void
end_candidate (int pidfd, pid_t pid, bool died)
{
  uint64_t end = cpr_raw_now_ns () + DEATH_MS * 1000000ull;
  struct sched_param param;
  long result;

  param.sched_priority = 0;
  if (!died)
    cpr_raw (SYS_sched_setscheduler, pid, SCHED_OTHER, (long) &param, 0);
  do
    result = died ? 0 : cpr_raw_send_signal (pidfd, pid, SIGKILL);
  while (result != -ESRCH && !cpr_raw_await_death (pidfd, RETRY_MS) && (result != 0 || cpr_raw_now_ns () < end));
}

CPR_RAW_CODE bool
cpr_rescue_fence (CprBatonPage *page, CprBatonWord from, int pidfd, bool died)
{
  CprBatonWord fenced;

  fenced.state = CPR_BATON_FENCED;
  fenced.attempt = from.attempt;
  fenced.pid = self ();
  /* The baton first, then the kill: a candidate that commits at the last moment wins, and must
   * live. */
  if (!cpr_baton_move (page, from, fenced))
    return false;
  page->candidate = from.pid;
  page->failed_ns = cpr_raw_now_ns ();
  page->failed_step = cpr_baton_get_last_step (page);
  end_candidate (pidfd, from.pid, died);
  page->status = read_status (from.pid, pidfd);
  page->cause = died ? CPR_BATON_CAUSE_DIED : CPR_BATON_CAUSE_TIMEOUT;
  return true;
}

CPR_RAW_CODE bool
cpr_rescue_offer (const CprRescue *rescue, CprBatonPage *page)
{
  CprBatonWord word = cpr_baton_get (page), offered;

  if (word.state == CPR_BATON_FENCED && word.attempt >= CPR_BATON_LAST_RESCUE)
    return false;
  offered.state = CPR_BATON_OFFERED;
  offered.attempt = MIN (word.attempt + 1, CPR_BATON_LAST_ATTEMPT);
  offered.pid = self ();
  /* The new deadline has to stand before the offer: the successor reads it after that. */
  cpr_baton_begin_attempt (page, cpr_raw_now_ns ());
  return word.pid == offered.pid && cpr_baton_move (page, word, offered);
}

/* The kernel's struct sigaction; libc's has another layout. */
typedef struct
{
  void *handler;
  unsigned long flags;
  void *restorer;
  uint64_t mask;
} KernelAction;

CPR_RAW_CODE static void
restore_program (const CprProgram *program)
{
  if (cpr_raw (SYS_chdir, (long) program->cwd, 0, 0, 0) < 0)
    cpr_raw (SYS_chdir, (long) "/", 0, 0, 0);
  cpr_raw (SYS_umask, program->umask, 0, 0, 0);
  for (unsigned i = 0; i < program->n_limits; i++)
    cpr_raw (SYS_prlimit64, 0, (long) i, (long) &program->limits[i], 0);
  for (int signal = 1; signal <= 64; signal++)
    {
      KernelAction action;

      action.handler = (program->ignored_signals >> (signal - 1) & 1) != 0 ? (void *) 1 : NULL;
      action.flags = 0;
      action.restorer = NULL;
      action.mask = 0;
      if (signal != SIGKILL && signal != SIGSTOP && signal != 32 && signal != 33) /* 32 and 33 are libc's own */
        cpr_raw (SYS_rt_sigaction, signal, (long) &action, 0, sizeof action.mask);
    }
}

CPR_RAW_CODE void
cpr_rescue_execute (const CprRescue *rescue)
{
  restore_program (rescue->program);
  for (unsigned i = 0; i < rescue->n_carried; i++)
    cpr_raw (SYS_fcntl, rescue->carried[i], F_SETFD, 0, 0);
  for (unsigned i = 0; rescue->pids[i] != NULL; i++)
    cpr_raw_put_number (rescue->pids[i], (unsigned) self ());
  /* First the call that the preflight has tried. A seccomp filter may deny either call. */
  cpr_raw (SYS_execve, (long) rescue->exe_path, (long) rescue->program->argv, (long) rescue->envp, 0);
  cpr_raw5 (SYS_execveat, rescue->program->exe_fd, (long) "", (long) rescue->program->argv, (long) rescue->envp,
            AT_EMPTY_PATH);
}

/* Whether fd 2 is for messages. If it is in the fd table or close-on-exec, it is a file of the
 * VM's. */
CPR_RAW_CODE static bool
has_stderr (const CprRescue *rescue)
{
  for (unsigned i = 0; i < rescue->n_carried; i++)
    if (rescue->carried[i] == STDERR_FILENO)
      return false;
  return cpr_raw (SYS_fcntl, STDERR_FILENO, F_GETFD, 0, 0) == 0;
}

/* Drops the note if stderr has no room: a guardian that waited to write it wouldn't see the
 * signals that the note names. */
CPR_RAW_CODE static void
print_note (const char *note, long len)
{
  struct __kernel_timespec at_once = { 0, 0 };
  struct pollfd room;

  room.fd = STDERR_FILENO;
  room.events = POLLOUT;
  room.revents = 0;
  if (cpr_raw (SYS_ppoll, (long) &room, 1, (long) &at_once, 0) != 0)
    cpr_raw (SYS_write, STDERR_FILENO, (long) note, len, 0);
}

/* cpr_baton_describe_failure() without malloc(). The last candidate was the old program, which may
 * have been executed. Other programs write the page, so the reason may lack its end, and be any
 * bytes: the line may go to a terminal. */
CPR_RAW_CODE static char *
put_cause (char *to, const CprBatonPage *page)
{
  uint32_t cause = atomic_load (&page->cause);
  int status = page->status;
  const char *reason = page->reason;

  if (cause == CPR_BATON_CAUSE_NONE)
    return to;
  to = cpr_raw_put_text (to, ": the last one ");
  if (cause == CPR_BATON_CAUSE_TIMEOUT)
    to = cpr_raw_put_text (cpr_raw_put_number (cpr_raw_put_text (to, "gave no answer in "), page->timeout_ns / 1000000),
                           " ms");
  else if (status < 0)
    to = cpr_raw_put_text (to, "died");
  else if (WIFSIGNALED (status))
    to = cpr_raw_put_number (cpr_raw_put_text (to, "was killed by signal "), (unsigned) WTERMSIG (status));
  else
    to = cpr_raw_put_number (cpr_raw_put_text (to, "exited with status "), (unsigned) WEXITSTATUS (status));
  to = cpr_raw_put_text (cpr_raw_put_text (to, " in step "), cpr_baton_get_step_name ((CprStep) page->failed_step));
  if (*reason != '\0')
    to = cpr_raw_put_text (to, "; before that: ");
  for (int i = 0; i < CPR_BATON_REASON_SIZE - 1 && reason[i] != '\0'; i++)
    *to++ = (uint8_t) reason[i] >= ' ' && reason[i] != 127 ? reason[i] : ' ';
  *to = '\0';
  return to;
}

CPR_RAW_CODE bool
cpr_rescue_park (const CprRescue *rescue, CprBatonPage *page)
{
  CprBatonWord word = cpr_baton_get (page), other;
  const uint64_t wanted = 1ull << (SIGUSR1 - 1) | 1ull << (SIGTERM - 1);
  char *end = end_of (rescue->parked_note), *text_end;
  long signal;

  other.state = CPR_BATON_PARKED;
  other.attempt = word.attempt;
  other.pid = self ();
  if (!cpr_baton_move (page, word, other))
    return false;
  text_end = cpr_raw_put_text (put_cause (end, page), "; SIGUSR1 tries again, SIGTERM gives it up; held by process ");
  text_end = cpr_raw_put_number (text_end, (unsigned) other.pid);
  *text_end++ = '\n';
  if (has_stderr (rescue))
    print_note (rescue->parked_note, text_end - rescue->parked_note);
  *end = '\0';
  do
    signal = cpr_raw (SYS_rt_sigtimedwait, (long) &wanted, 0, 0, sizeof wanted);
  while (signal != SIGUSR1 && signal != SIGTERM);
  return signal == SIGUSR1 && cpr_rescue_offer (rescue, page);
}
