/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "handoff/guardian.h"

#include <errno.h>
#include <linux/futex.h>
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
#include "base/sys.h"
#include "handoff/raw.h"

#define STACK_SIZE (64 * 1024)

typedef struct
{
  unsigned first, last;
} FdRange;

struct _CprGuardian
{
  CprBatonPage *page;
  int pidfd; /* of this process; stays valid over the execve */
  int release;
  FdRange *closed; /* what the guardian closes at its start */
  unsigned n_closed;
  uint8_t *stack;
  pid_t pid; /* 0: not launched */
  _Atomic uint32_t ready;
};

/* ---- In the guardian: system calls only, no errno, no malloc, no locks, nothing of libc; its memory is the
 * old program's, its thread-local storage a dead thread's. All signals are blocked. */

#define GUARDIAN_CODE __attribute__ ((noinline, no_stack_protector, no_sanitize ("address", "undefined", "thread")))

/* Closes first, so that a device held here isn't busy longer than it has to be. What remains, the old address space, goes
 * at idle priority, because the guest runs; unless somebody waits for it. */
GUARDIAN_CODE static void
let_go (CprGuardian *guardian)
{
  struct sched_param param;

  param.sched_priority = 0;
  cpr_raw (SYS_close_range, 0, (long) ~0U, 0, 0);
  cpr_raw (SYS_sched_setscheduler, 0, SCHED_IDLE, (long) &param, 0);
  if (atomic_load (&guardian->page->hurry) != 0)
    cpr_raw (SYS_sched_setscheduler, 0, SCHED_OTHER, (long) &param, 0);
  cpr_raw (SYS_exit_group, 0, 0, 0, 0);
}

/* The candidate died with the baton in its hand. Taking the guest back from here is the rescue; without one the guardian ends
 * like the VMM did, so that a supervisor that starts the VM again finds disks and devices free. */
GUARDIAN_CODE static void
candidate_died (CprGuardian *guardian)
{
  let_go (guardian);
}

GUARDIAN_CODE static int
guardian_main (void *data)
{
  CprGuardian *guardian = data;
  struct pollfd fds[2];

  for (unsigned i = 0; i < guardian->n_closed; i++)
    cpr_raw (SYS_close_range, (long) guardian->closed[i].first, (long) guardian->closed[i].last, 0, 0);
  cpr_raw (SYS_prctl, PR_SET_NAME, (long) "cpr-guardian", 0, 0);
  atomic_store (&guardian->ready, 1);
  cpr_raw (SYS_futex, (long) &guardian->ready, FUTEX_WAKE, 1, 0);

  fds[0].fd = guardian->release;
  fds[0].events = POLLIN;
  fds[1].fd = guardian->pidfd;
  fds[1].events = POLLIN;
  for (;;)
    {
      fds[0].revents = fds[1].revents = 0;
      cpr_raw (SYS_ppoll, (long) fds, 2, 0, 0);
      if ((fds[0].revents & POLLIN) != 0)
        let_go (guardian);
      if ((fds[1].revents & POLLIN) != 0)
        candidate_died (guardian);
    }
  return 0;
}

/* ---- In the program that makes it. */

static void
append_range (GArray *ranges, unsigned first, unsigned last)
{
  FdRange range = { first, last };

  if (first <= last)
    g_array_append_val (ranges, range);
}

/* Everything from 3 up that isn't to be kept. */
static void
set_ranges (CprGuardian *guardian, GArray *keep)
{
  GArray *ranges = g_array_new (FALSE, FALSE, sizeof (FdRange));
  unsigned next = STDERR_FILENO + 1;
  bool pidfd_kept = false;

  for (guint i = 0; i <= keep->len; i++)
    {
      int fd = i < keep->len ? g_array_index (keep, int, i) : G_MAXINT;

      if (!pidfd_kept && guardian->pidfd < fd)
        {
          append_range (ranges, next, (unsigned) guardian->pidfd - 1);
          next = (unsigned) guardian->pidfd + 1;
          pidfd_kept = true;
        }
      if (i < keep->len)
        {
          append_range (ranges, next, (unsigned) fd - 1);
          next = (unsigned) fd + 1;
        }
    }
  append_range (ranges, next, ~0U);
  guardian->n_closed = ranges->len;
  guardian->closed = (FdRange *) (void *) g_array_free (ranges, FALSE);
}

CprGuardian *
cpr_guardian_new (CprBatonPage *page, GArray *keep, int release, GError **error)
{
  CprGuardian *guardian = g_new0 (CprGuardian, 1);
  void *stack;

  guardian->page = page;
  guardian->release = release;
  /* Opened here, before there is a guardian: it would find its parent gone already, now and then. */
  guardian->pidfd = cpr_fd_above_std (cpr_sys->pidfd_open (getpid ()));
  if (guardian->pidfd < 0)
    {
      cpr_throw_errno (error, errno, "guardian: pidfd_open");
      cpr_guardian_free (guardian);
      return NULL;
    }
  stack = cpr_sys->mmap (NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (stack == MAP_FAILED)
    {
      cpr_throw_errno (error, errno, "guardian: %d bytes of stack", STACK_SIZE);
      cpr_guardian_free (guardian);
      return NULL;
    }
  guardian->stack = stack;
  set_ranges (guardian, keep);
  return guardian;
}

/* Waits until a guardian has ended; with WNOHANG and WNOWAIT as options. False with WNOHANG if it hasn't. */
static bool
await (pid_t pid, int options)
{
  siginfo_t info = { .si_pid = 0 };
  int result;

  do
    result = waitid (P_PID, (id_t) pid, &info, WEXITED | __WALL | options);
  while (result < 0 && errno == EINTR);
  return result < 0 || info.si_pid != 0; /* ECHILD: somebody else reaped it */
}

bool
cpr_guardian_launch (CprGuardian *guardian, GError **error)
{
  static const struct timespec patience = { 0, 50 * 1000 * 1000 };
  pid_t pid;

  /* No CLONE_FILES: its own copies of the fds. No exit signal: nobody but us shall see it end. */
  pid = cpr_sys->clone (guardian_main, guardian->stack + STACK_SIZE, CLONE_VM, guardian);
  if (pid < 0)
    return cpr_throw_errno (error, errno, "guardian: clone");
  guardian->pid = pid;
  while (atomic_load (&guardian->ready) == 0)
    if (syscall (SYS_futex, &guardian->ready, FUTEX_WAIT, 0, &patience, NULL, 0) < 0 && errno == ETIMEDOUT &&
        await (pid, WNOHANG))
      {
        guardian->pid = 0;
        return cpr_throw (error, CPR_ERROR_SYSTEM, "guardian: it died at its start");
      }
  if (!cpr_baton_add_guardian (guardian->page, pid))
    return cpr_throw (error, CPR_ERROR_STATE, "guardian: there are %d of them already", CPR_BATON_GUARDIANS);
  return true;
}

void
cpr_guardian_free (CprGuardian *guardian)
{
  if (guardian == NULL)
    return;
  if (guardian->pid > 0)
    {
      kill (guardian->pid, SIGKILL);
      await (guardian->pid, 0);
    }
  cpr_fd_clear (&guardian->pidfd);
  if (guardian->stack != NULL)
    cpr_sys->munmap (guardian->stack, STACK_SIZE);
  g_free (guardian->closed);
  g_free (guardian);
}

void
cpr_guardians_release (CprBatonPage *page, int release)
{
  static const uint64_t one = 1;
  bool told = cpr_sys->write (release, &one, sizeof one) > 0 || errno == EAGAIN;

  for (int i = 0; i < CPR_BATON_GUARDIANS; i++)
    if (page->guardians[i] > 0)
      kill (page->guardians[i], told ? SIGCONT : SIGKILL); /* one that was stopped would never see it */
}

void
cpr_guardian_await (pid_t guardian)
{
  await (guardian, WNOWAIT);
}

void
cpr_guardian_reap (pid_t guardian)
{
  await (guardian, 0);
}

pid_t
cpr_guardians_find (const CprBatonPage *page)
{
  for (int i = 0; i < CPR_BATON_GUARDIANS; i++)
    if (page->guardians[i] > 0 && !await (page->guardians[i], WNOHANG | WNOWAIT))
      return page->guardians[i];
  return 0;
}

bool
cpr_guardian_is_child (void)
{
  siginfo_t info;

  return waitid (P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WCLONE) == 0;
}
