/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "handoff/rescue.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/time_types.h>
#include <poll.h>
#include <signal.h>

#include "handoff/raw.h"

/* The way there, one way back by the new program itself, one rescue. */
#define MAX_ATTEMPTS 3

#define PARKED_NOTE_ROOM 24 /* for a pid and a line end */

/* ---- In the program that makes it. */

CprRescue *
cpr_rescue_new (const CprProgram *program, const char *vm_name, int state_fd, GArray *carried)
{
  CprRescue *rescue = g_new0 (CprRescue, 1);
  g_autofree char *note = NULL;

  rescue->program = program;
  rescue->state_fd = state_fd;
  rescue->carried = g_memdup2 (carried->data, carried->len * sizeof (int));
  rescue->n_carried = carried->len;
  rescue->envp = cpr_program_make_envp (program->envp, state_fd);
  note = g_strdup_printf (
      "libcpr: VM '%s': no program could take the guest; SIGUSR1 tries again, SIGTERM gives it up; held by process ",
      vm_name);
  rescue->parked_note = g_malloc0 (strlen (note) + PARKED_NOTE_ROOM);
  strcpy (rescue->parked_note, note);
  return rescue;
}

void
cpr_rescue_free (CprRescue *rescue)
{
  if (rescue == NULL)
    return;
  g_free (rescue->carried);
  g_strfreev (rescue->envp);
  g_free (rescue->parked_note);
  g_free (rescue);
}

/* ---- In the guardian: system calls only, no errno, no malloc, no locks, nothing of libc but what is pure computation. */

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

CPR_RAW_CODE static bool
wait_for_death (int pidfd, long timeout_ms)
{
  struct __kernel_timespec limit = { timeout_ms / 1000, timeout_ms % 1000 * 1000000 };
  struct pollfd fd;

  fd.fd = pidfd;
  fd.events = POLLIN;
  fd.revents = 0;
  return cpr_raw (SYS_ppoll, (long) &fd, 1, timeout_ms >= 0 ? (long) &limit : 0, 0) == 1 && (fd.revents & POLLIN) != 0;
}

CPR_RAW_CODE static char *
end_of (char *text)
{
  while (*text != '\0')
    text++;
  return text;
}

/* How a zombie ended: the last number of its stat. -1: it isn't there any more, or we may not know. */
CPR_RAW_CODE static int
read_zombie_status (pid_t pid)
{
  char path[32], text[1024];
  char *at = path;
  long fd, len, i;
  int status = 0;

  for (const char *from = "/proc/"; *from != '\0'; from++)
    *at++ = *from;
  at = cpr_raw_put_number (at, (unsigned) pid);
  for (const char *from = "/stat"; *from != '\0'; from++)
    *at++ = *from;
  *at = '\0';
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

/* The same once it was reaped (Linux 6.15, linux/pidfd.h). */
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

/* Between the two there is an instant in which neither knows. */
CPR_RAW_CODE static int
read_status (pid_t pid, int pidfd)
{
  struct __kernel_timespec pause = { 0, 500000 };
  int status = -1;

  for (int i = 0; status < 0 && i < 6; i++)
    {
      if (i > 0)
        cpr_raw (SYS_nanosleep, (long) &pause, 0, 0, 0);
      status = read_zombie_status (pid);
      if (status < 0)
        status = read_reaped_status (pidfd);
    }
  return status;
}

CPR_RAW_CODE bool
cpr_rescue_fence (CprBatonPage *page, CprBatonWord from, int pidfd, bool died)
{
  CprBatonWord fenced;

  fenced.state = CPR_BATON_FENCED;
  fenced.attempt = from.attempt;
  fenced.pid = self ();
  if (!cpr_baton_move (page, from, fenced))
    return false;
  page->candidate = from.pid;
  page->failed_ns = cpr_raw_now_ns ();
  page->failed_step = cpr_baton_get_last_step (page);
  if (!died)
    cpr_raw (SYS_pidfd_send_signal, pidfd, SIGKILL, 0, 0);
  while (!wait_for_death (pidfd, -1))
    ;
  page->status = read_status (from.pid, pidfd);
  page->cause = died ? CPR_BATON_CAUSE_DIED : CPR_BATON_CAUSE_TIMEOUT;
  return true;
}

CPR_RAW_CODE bool
cpr_rescue_offer (const CprRescue *rescue, CprBatonPage *page)
{
  CprBatonWord word = cpr_baton_get (page), offered;

  if (word.state == CPR_BATON_FENCED && word.attempt >= MAX_ATTEMPTS)
    return false;
  offered.state = CPR_BATON_OFFERED;
  offered.attempt = word.attempt + 1;
  offered.pid = self ();
  cpr_baton_begin_attempt (page, cpr_raw_now_ns ());
  return word.pid == offered.pid && cpr_baton_move (page, word, offered);
}

/* struct sigaction as the kernel has it. */
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
      if (signal != SIGKILL && signal != SIGSTOP && signal != 32 && signal != 33) /* libc keeps those to itself */
        cpr_raw (SYS_rt_sigaction, signal, (long) &action, 0, sizeof action.mask);
    }
}

CPR_RAW_CODE void
cpr_rescue_execute (const CprRescue *rescue)
{
  restore_program (rescue->program);
  for (unsigned i = 0; i < rescue->n_carried; i++)
    cpr_raw (SYS_fcntl, rescue->carried[i], F_SETFD, 0, 0);
  cpr_raw5 (SYS_execveat, rescue->program->exe_fd, (long) "", (long) rescue->program->argv, (long) rescue->envp,
            AT_EMPTY_PATH);
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
  text_end = cpr_raw_put_number (end, (unsigned) other.pid);
  *text_end++ = '\n';
  cpr_raw (SYS_write, 2, (long) rescue->parked_note, text_end - rescue->parked_note, 0);
  *end = '\0';
  do
    signal = cpr_raw (SYS_rt_sigtimedwait, (long) &wanted, 0, 0, sizeof wanted);
  while (signal != SIGUSR1 && signal != SIGTERM);
  return signal == SIGUSR1 && cpr_rescue_offer (rescue, page);
}
