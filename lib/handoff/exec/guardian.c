/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The process that keeps the old address space and the fds over the execve, and takes the guest
 * back when the new program has died. exec.c and give-back.c launch it; finish.c in lib/session
 * ends it. The upper half of this file runs in that process, without libc. */
#include "handoff/exec/guardian.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/time_types.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/signals.h"
#include "base/sys.h"
#include "handoff/exec/notify.h"
#include "handoff/exec/teardown.h"
#include "process/raw.h"

#define STACK_SIZE (64 * 1024)

typedef struct
{
  unsigned first, last;
} FdRange;

struct _CprGuardian
{
  CprBatonPage *page;
  CprRescue *rescue; /* NULL: the guardian only holds the address space */
  pid_t watched;     /* the process that owns the guest, and then is the candidate */
  bool follows;      /* another guardian takes the guest back: this one only ends when that is over */
  uint64_t end_ns;   /* if it follows: when it stops to wait for the other guardian */
  int pidfd;         /* of that process, also after its execve; in the guardian -1 once that process is dead */
  int release;
  char message[32]; /* room for a message to the supervisor */
  int notify;       /* a socket to the supervisor, or -1 */
  FdRange *closed;  /* the fds that the guardian closes at its start */
  unsigned n_closed;
  uint8_t *stacks;    /* two, since a guardian that executes the old program leaves a second guardian behind */
  pid_t pid;          /* 0: not launched */
  pid_t successor;    /* the guardian left behind */
  const char *denied; /* a system call that the guardian needs and may not make */
  int denied_errnum;
  _Atomic uint32_t ready;
  CprTeardown *teardown;   /* NULL: the end of the process does it all */
  _Atomic uint32_t undone; /* the program that made the guardian lives on in this address space */
};

/* ---- In the guardian: system calls only, no errno, no malloc, no locks, nothing of libc. The
 * memory is the old program's. Its threads ended at the execve, so the thread-local storage here
 * belongs to a dead thread, and a lock that one of them held stays held. All signals are
 * blocked. */

/* How long to wait for the end of a killed successor. It shares this guardian's address space, so
 * it has only fds to give back, and ends soon. */
#define SUCCESSOR_MS 1000

/* How often to look at the baton while it isn't offered yet, since only the offer sets a
 * deadline. The offer wakes nobody: it is the owner's last act before its execve. */
#define LOOK_AGAIN_NS (20 * 1000 * 1000)

/* How often to look whether the candidate's time runs again, which an operator decides. */
#define LOOK_WHILE_STOPPED_NS (250 * 1000 * 1000)

/* How long the guardian of a dead candidate may take to see the death, on a busy machine. */
#define FENCE_NS (10 * UINT64_C (1000000000))

/* How long to wait at most until the supervisor has room for a message, and how often to look. */
#define ROOM_NS       (10 * UINT64_C (1000000000))
#define ROOM_AGAIN_MS 20

/* Tells the supervisor which process is the VM's. A supervisor accepts this only from the
 * process that has that role, which so passes it on. */
CPR_RAW_CODE static void
announce (CprGuardian *guardian, pid_t pid, uint64_t patience_ns)
{
  uint64_t end;
  char *at;
  long result;

  if (guardian->notify < 0)
    return;
  end = cpr_raw_now_ns () + patience_ns;
  at = cpr_raw_put_number (cpr_raw_put_text (guardian->message, "MAINPID="), (unsigned long) pid);
  for (;;)
    {
      result = cpr_raw (SYS_write, guardian->notify, (long) guardian->message, at - guardian->message, 0);
      if (result == -EAGAIN && cpr_raw_now_ns () < end)
        cpr_raw_await (guardian->notify, POLLOUT, ROOM_AGAIN_MS);
      else if (result != -EINTR)
        return;
    }
}

/* Closes first, since the next update waits for that only, and a device held here stays busy
 * until then. The old address space takes longer. */
CPR_RAW_CODE static void
let_go (CprGuardian *guardian)
{
  cpr_raw (SYS_close_range, 0, (long) ~0U, 0, 0);
  cpr_baton_set_closed (guardian->page, (pid_t) cpr_raw (SYS_getpid, 0, 0, 0, 0));
  cpr_raw (SYS_futex, (long) &guardian->page->closed, FUTEX_WAKE, INT_MAX, 0);
  if (atomic_load (&guardian->undone) == 0)
    cpr_teardown_run (guardian->teardown, guardian->page);
  cpr_raw (SYS_exit_group, 0, 0, 0, 0);
  cpr_raw (SYS_exit, 0, 0, 0, 0); /* for a seccomp filter that denies exit_group */
  __builtin_trap ();
}

/* How long to wait at most; 0: for ever. Only the candidate that this guardian watches has a
 * deadline here: another candidate has another guardian. */
CPR_RAW_CODE static uint64_t
get_patience (const CprGuardian *guardian, CprBatonWord word)
{
  uint64_t deadline = atomic_load (&guardian->page->deadline_ns), now;

  if (guardian->rescue == NULL)
    return 0;
  if (guardian->pidfd < 0 || (word.state == CPR_BATON_OWNED && word.attempt == 0))
    return LOOK_AGAIN_NS;
  if (guardian->follows || word.state != CPR_BATON_OFFERED || word.pid != guardian->watched)
    return 0;
  if (deadline == 0)
    return guardian->page->timeout_ns != 0 ? LOOK_WHILE_STOPPED_NS : 0;
  now = cpr_raw_now_ns ();
  return now < deadline ? deadline - now : 1;
}

typedef enum
{
  EVENT_NONE,
  EVENT_RELEASED,
  EVENT_DIED
} Event;

CPR_RAW_CODE static Event
await_event (const CprGuardian *guardian, uint64_t patience)
{
  struct __kernel_timespec limit;
  struct pollfd fds[2];

  limit.tv_sec = (long long) (patience / 1000000000u);
  limit.tv_nsec = (long long) (patience % 1000000000u);
  fds[0].fd = guardian->release;
  fds[0].events = POLLIN;
  fds[0].revents = 0;
  fds[1].fd = guardian->pidfd;
  fds[1].events = POLLIN;
  fds[1].revents = 0;
  cpr_raw (SYS_ppoll, (long) fds, 2, patience != 0 ? (long) &limit : 0, 0);
  if ((fds[0].revents & POLLIN) != 0)
    return EVENT_RELEASED;
  return (fds[1].revents & POLLIN) != 0 ? EVENT_DIED : EVENT_NONE;
}

static int guardian_again (void *data);

/* The end of the stack that this process doesn't run on. It is free, whatever ran there before
 * and failed. */
CPR_RAW_CODE static uint8_t *
get_other_stack (const CprGuardian *guardian)
{
  bool on_first = (uint8_t *) __builtin_frame_address (0) <= guardian->stacks + STACK_SIZE;

  return guardian->stacks + (on_first ? 2 : 1) * STACK_SIZE;
}

/* Never returns 0, 1 or 2: the old program would take a pidfd there for a standard stream. */
CPR_RAW_CODE static long
open_pidfd (pid_t pid)
{
  long opened = cpr_raw (SYS_pidfd_open, pid, 0, 0, 0), pidfd;

  if (opened < 0 || opened > STDERR_FILENO)
    return opened;
  pidfd = cpr_raw (SYS_fcntl, opened, F_DUPFD_CLOEXEC, STDERR_FILENO + 1, 0);
  cpr_raw (SYS_close, opened, 0, 0, 0);
  return pidfd;
}

/* Leaves a guardian behind for the execve of this one. Without it the teardown of the old address
 * space would be in the pause again, and a death of the old program would lose the guest. */
CPR_RAW_CODE static void
leave_successor (CprGuardian *guardian)
{
  pid_t me = (pid_t) cpr_raw (SYS_getpid, 0, 0, 0, 0);
  long pidfd = open_pidfd (me);

  cpr_baton_remove_guardian (guardian->page, me);
  guardian->successor = -1;
  if (pidfd < 0)
    return;
  cpr_raw (SYS_close, guardian->pidfd, 0, 0, 0);
  guardian->pidfd = (int) pidfd;
  guardian->watched = me;
  /* libc's clone() makes the call and sets errno at most, which is harmless: no thread of the old
   * program is left to read it. */
  guardian->successor = clone (guardian_again, get_other_stack (guardian), CLONE_VM, guardian);
  if (guardian->successor > 0)
    {
      cpr_baton_add_guardian (guardian->page, guardian->successor);
      announce (guardian, guardian->successor, 0); /* the guest stands: it can't wait */
    }
}

/* The execve failed, so this process goes on as the guardian. The next attempt needs the
 * successor's stack and place in the page. */
CPR_RAW_CODE static void
end_successor (CprGuardian *guardian)
{
  long pidfd;

  if (guardian->successor <= 0)
    return;
  announce (guardian, (pid_t) cpr_raw (SYS_getpid, 0, 0, 0, 0), 0);
  pidfd = cpr_raw (SYS_pidfd_open, guardian->successor, 0, 0, 0);
  cpr_raw_send_signal ((int) pidfd, guardian->successor, SIGKILL);
  cpr_raw_await_death ((int) pidfd, SUCCESSOR_MS);
  cpr_raw (SYS_wait4, guardian->successor, 0, __WALL | WNOHANG, 0);
  cpr_raw (SYS_close, pidfd, 0, 0, 0);
  cpr_baton_remove_guardian (guardian->page, guardian->successor);
}

/* The baton names another process than the one that this guardian watched: another guardian has
 * it, or executed a program. Watches that process, only to end after it. No kill ever uses this
 * pidfd: the process may have ended before it was opened. */
CPR_RAW_CODE static void
follow (CprGuardian *guardian, CprBatonWord word)
{
  long pidfd;

  if (guardian->pidfd >= 0)
    cpr_raw (SYS_close, guardian->pidfd, 0, 0, 0);
  pidfd = open_pidfd (word.pid);
  guardian->pidfd = pidfd >= 0 ? (int) pidfd : -1;
  guardian->watched = word.pid;
  guardian->follows = true;
  guardian->end_ns = cpr_raw_now_ns () + FENCE_NS;
}

/* The watched process is dead, and this guardian isn't to take the guest back. The owner's death
 * is the end: a supervisor that restarts it shall find disks and devices free. So is the death of
 * the guardian that had fenced or parked the baton, since only that process could go on. But a
 * dead candidate has a guardian that acts at once, if it is alive. */
CPR_RAW_CODE static void
outlive (CprGuardian *guardian, CprBatonWord word)
{
  if (guardian->rescue != NULL && word.pid != guardian->watched)
    follow (guardian, word);
  else if (guardian->rescue == NULL || word.state != CPR_BATON_OFFERED ||
           (guardian->pidfd < 0 && cpr_raw_now_ns () >= guardian->end_ns))
    let_go (guardian);
  else if (guardian->pidfd >= 0)
    {
      cpr_raw (SYS_close, guardian->pidfd, 0, 0, 0);
      guardian->pidfd = -1;
      guardian->end_ns = cpr_raw_now_ns () + FENCE_NS;
    }
}

/* A signal told it to give the parked guest up. The other guardians shall end with this one, before
 * it gives its memory back, which takes longer. */
CPR_RAW_CODE static void
give_up (CprGuardian *guardian)
{
  const uint64_t one = 1;

  cpr_raw (SYS_write, guardian->release, (long) &one, sizeof one, 0);
  let_go (guardian);
}

/* The candidate died while the baton was offered to it, or was too slow: takes the guest back.
 * Returns if the baton has moved on. A failed execve doesn't end the loop, since the guest would
 * be lost with this process. */
CPR_RAW_CODE static void
rescue (CprGuardian *guardian, CprBatonWord word, bool died)
{
  const pid_t me = (pid_t) cpr_raw (SYS_getpid, 0, 0, 0, 0);
  bool offered;

  if (!cpr_rescue_fence (guardian->page, word, guardian->pidfd, died))
    return;
  for (offered = cpr_rescue_offer (guardian->rescue, guardian->page);;
       offered = cpr_rescue_park (guardian->rescue, guardian->page))
    {
      word = cpr_baton_get (guardian->page);
      if (word.pid != me) /* the successor fenced it in the instant before it was ended */
        {
          follow (guardian, word);
          return;
        }
      if (!offered && word.state == CPR_BATON_PARKED)
        give_up (guardian);
      if (!offered)
        continue;
      leave_successor (guardian);
      cpr_rescue_execute (guardian->rescue);
      end_successor (guardian);
    }
}

CPR_RAW_CODE static bool
watches_candidate (const CprGuardian *guardian, CprBatonWord word)
{
  return guardian->rescue != NULL && !guardian->follows && word.state == CPR_BATON_OFFERED &&
         word.pid == guardian->watched;
}

/* Waits until it is told to end, or until nobody is left who could tell it. Takes the guest back if
 * the candidate dies or is too slow. The word is read again after each wait, since it may have
 * changed meanwhile. */
CPR_RAW_CODE static void
watch (CprGuardian *guardian)
{
  for (;;)
    {
      CprBatonWord word = cpr_baton_get (guardian->page);
      Event event = await_event (guardian, get_patience (guardian, word));
      uint64_t deadline = atomic_load (&guardian->page->deadline_ns);

      word = cpr_baton_get (guardian->page);
      if (event == EVENT_RELEASED)
        {
          /* Without this message the supervisor would take the guardian's end for the VM's. */
          announce (guardian, word.pid, ROOM_NS);
          let_go (guardian);
        }
      if (watches_candidate (guardian, word) &&
          (event == EVENT_DIED || (deadline != 0 && cpr_raw_now_ns () >= deadline)))
        rescue (guardian, word, event == EVENT_DIED);
      else if (event == EVENT_DIED || guardian->pidfd < 0)
        outlive (guardian, word);
    }
}

CPR_RAW_CODE static int
guardian_again (void *data)
{
  watch (data);
  return 0;
}

CPR_RAW_CODE static void
note_denied (CprGuardian *guardian, const char *call, long result)
{
  /* Only these errors come from a filter. */
  if (guardian->denied != NULL || (result != -EPERM && result != -ENOSYS && result != -EACCES))
    return;
  guardian->denied = call;
  guardian->denied_errnum = (int) -result;
}

/* A seccomp filter is inherited and can't be removed: a call that it denies here is denied in a
 * rescue, too. So each call that a rescue needs is tried now, with the guest still running and
 * with a rescue's arguments. */
CPR_RAW_CODE static void
probe (CprGuardian *guardian)
{
  struct __kernel_timespec no_time = { 0, 0 };
  const uint64_t no_signal = 0;
  struct pollfd fd;

  fd.fd = guardian->pidfd;
  fd.events = POLLIN;
  fd.revents = 0;
  note_denied (guardian, "ppoll", cpr_raw (SYS_ppoll, (long) &fd, 1, (long) &no_time, 0));
  if (guardian->rescue == NULL)
    return;
  note_denied (guardian, "clock_gettime", cpr_raw (SYS_clock_gettime, 1 /* CLOCK_MONOTONIC */, (long) &no_time, 0, 0));
  note_denied (guardian, "pidfd_send_signal and kill", cpr_raw_send_signal (guardian->pidfd, guardian->watched, 0));
  no_time.tv_sec = no_time.tv_nsec = 0;
  note_denied (guardian, "rt_sigtimedwait",
               cpr_raw (SYS_rt_sigtimedwait, (long) &no_signal, 0, (long) &no_time, sizeof no_signal));
}

CPR_RAW_CODE static int
guardian_main (void *data)
{
  CprGuardian *guardian = data;

  for (unsigned i = 0; i < guardian->n_closed; i++)
    note_denied (guardian, "close_range",
                 cpr_raw (SYS_close_range, (long) guardian->closed[i].first, (long) guardian->closed[i].last, 0, 0));
  probe (guardian);
  cpr_raw (SYS_prctl, PR_SET_NAME, (long) "cpr-guardian", 0, 0);
  atomic_store (&guardian->ready, 1);
  cpr_raw (SYS_futex, (long) &guardian->ready, FUTEX_WAKE, 1, 0);
  watch (guardian);
  return 0;
}

/* ---- In the program that makes the guardian. */

static void
append_range (GArray *ranges, unsigned first, unsigned last)
{
  FdRange range = { first, last };

  if (first <= last)
    g_array_append_val (ranges, range);
}

/* Whether @fd, one of 0, 1 and 2, is a standard stream. The old program inherits it in a rescue,
 * too. */
static bool
is_stream (int fd)
{
  int flags = cpr_sys->fcntl (fd, F_GETFD, 0);

  return flags >= 0 && (flags & FD_CLOEXEC) == 0;
}

/* Makes the list of fds to close: all but @keep, the standard streams and the guardian's own. A
 * copy that stayed open here would keep file locks and half-closed connections alive. */
static void
set_ranges (CprGuardian *guardian, GArray *keep)
{
  GArray *ranges = g_array_new (FALSE, FALSE, sizeof (FdRange));
  g_autoptr (GArray) all = g_array_copy (keep);
  unsigned next = 0;

  for (int fd = 0; fd <= STDERR_FILENO; fd++)
    if (is_stream (fd))
      g_array_append_val (all, fd);
  g_array_append_val (all, guardian->pidfd);
  if (guardian->notify >= 0)
    g_array_append_val (all, guardian->notify);
  cpr_fd_sort (all);
  for (guint i = 0; i < all->len; i++)
    {
      unsigned fd = (unsigned) g_array_index (all, int, i);

      if (fd > next)
        append_range (ranges, next, fd - 1);
      next = fd + 1;
    }
  append_range (ranges, next, ~0U);
  guardian->n_closed = ranges->len;
  guardian->closed = (FdRange *) (void *) g_array_free (ranges, FALSE);
}

CprGuardian *
cpr_guardian_new (const CprGuardianConfig *config, GError **error)
{
  CprGuardian *guardian = g_new0 (CprGuardian, 1);
  void *stack;

  guardian->page = config->page;
  guardian->release = config->release;
  guardian->notify = config->notify;
  guardian->rescue = config->rescue;
  guardian->watched = getpid ();
  /* Opened before the guardian exists. If the guardian opened it, its parent might have ended
   * already, and the pid might be another process's. */
  guardian->pidfd = cpr_fd_above_std (cpr_sys->pidfd_open (getpid ()));
  if (guardian->pidfd < 0)
    {
      cpr_throw_errno (error, errno, "guardian: pidfd_open");
      cpr_guardian_free (guardian);
      return NULL;
    }
  stack = cpr_sys->mmap (NULL, 2 * STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (stack == MAP_FAILED)
    {
      cpr_throw_errno (error, errno, "guardian: %d bytes of stack", 2 * STACK_SIZE);
      cpr_guardian_free (guardian);
      return NULL;
    }
  guardian->stacks = stack;
  if (config->ram != NULL)
    guardian->teardown = cpr_teardown_new (config->ram);
  set_ranges (guardian, config->keep);
  return guardian;
}

/* For where a seccomp filter denies waitid(). waitpid() has no WNOWAIT, so it reaps the
 * guardian. */
static bool
await_otherwise (pid_t pid, int options)
{
  pid_t result;

  do
    result = cpr_sys->waitpid (pid, NULL, __WALL | (options & WNOHANG));
  while (result < 0 && errno == EINTR);
  return result != 0;
}

/* Waits until a guardian has ended. @options may have WNOHANG; then false means that the guardian
 * hasn't ended. */
static bool
await (pid_t pid, int options)
{
  siginfo_t info = { .si_pid = 0 };
  int result;

  do
    result = cpr_sys->waitid (P_PID, (id_t) pid, &info, WEXITED | __WALL | options);
  while (result < 0 && errno == EINTR);
  if (result < 0 && errno != ECHILD)
    return await_otherwise (pid, options);
  return result < 0 || info.si_pid != 0; /* ECHILD: another thread reaped it */
}

/* Fails if this program's seccomp filter denies the guardian a call that it needs. */
static bool
check_allowed (const CprGuardian *guardian, GError **error)
{
  if (guardian->denied == NULL)
    return true;
  return cpr_throw_errno (error, guardian->denied_errnum, "guardian: it may not call %s (a seccomp filter?); see %s",
                          guardian->denied,
                          guardian->rescue != NULL ? "CPR_UPDATE_NO_RESCUE" : "CPR_UPDATE_NO_GUARDIAN");
}

bool
cpr_guardian_launch (CprGuardian *guardian, GError **error)
{
  static const struct timespec patience = { 0, 50 * 1000 * 1000 };
  pid_t pid;

  /* Without CLONE_FILES the guardian has copies of the fds. Without an exit signal the VMM
   * doesn't learn of its end: only a waiter that asks for clones does. */
  pid = cpr_sys->clone (guardian_main, guardian->stacks + STACK_SIZE, CLONE_VM, guardian);
  if (pid < 0)
    return cpr_throw_errno (error, errno, "guardian: clone");
  guardian->pid = pid;
  /* A guardian that is killed before it is ready wakes nobody, so its end is looked for as well. */
  while (atomic_load (&guardian->ready) == 0)
    if (cpr_sys->futex_wait (&guardian->ready, 0, &patience) < 0 && errno == ETIMEDOUT && await (pid, WNOHANG))
      {
        guardian->pid = 0;
        return cpr_throw (error, CPR_ERROR_SYSTEM, "guardian: it died at its start");
      }
  if (!check_allowed (guardian, error))
    return false;
  if (!cpr_baton_add_guardian (guardian->page, pid))
    return cpr_throw (error, CPR_ERROR_STATE, "guardian: there are %d of them already", CPR_BATON_GUARDIANS);
  if (guardian->notify >= 0 && !cpr_notify_main_pid (guardian->notify, pid))
    return cpr_throw_errno (error, errno, "guardian: telling the supervisor");
  return true;
}

void
cpr_guardian_launch_quietly (CprGuardian *guardian)
{
  static const struct timespec patience = { 0, 50 * 1000 * 1000 };
  pid_t pid = clone (guardian_main, guardian->stacks + STACK_SIZE, CLONE_VM, guardian);

  if (pid < 0)
    return;
  /* A second at most: a signal handler has no way to find out whether the guardian died. */
  for (int i = 0; i < 20 && atomic_load (&guardian->ready) == 0; i++)
    syscall (SYS_futex, &guardian->ready, FUTEX_WAIT, 0, &patience, NULL, 0);
  cpr_baton_add_guardian (guardian->page, pid);
}

void
cpr_guardian_free (CprGuardian *guardian)
{
  static const uint64_t one = 1;

  if (guardian == NULL)
    return;
  if (guardian->pid > 0)
    {
      atomic_store (&guardian->undone, 1);
      /* The supervisor accepts messages from the guardian only, now. So the guardian has to end
       * by itself: it then says that this process is the VM's again. If somebody has stopped
       * it, it has to go on for that. */
      if (guardian->notify < 0 || cpr_sys->write (guardian->release, &one, sizeof one) < 0)
        cpr_signals_send (guardian->pid, -1, SIGKILL);
      else
        cpr_signals_send (guardian->pid, -1, SIGCONT);
      await (guardian->pid, 0);
    }
  cpr_fd_clear (&guardian->pidfd);
  cpr_fd_clear (&guardian->notify);
  if (guardian->stacks != NULL)
    cpr_sys->munmap (guardian->stacks, 2 * STACK_SIZE);
  cpr_rescue_free (guardian->rescue);
  cpr_teardown_free (guardian->teardown);
  g_free (guardian->closed);
  g_free (guardian);
}
