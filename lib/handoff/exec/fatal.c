/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Exec mode's way back after a fatal signal: a handler in the new program executes the old one.
 * take-up.c installs the handler, and the commit removes it. The handler calls only functions
 * that a signal handler may call. An exit() in a thread that isn't the library's goes the same
 * way. */
#include "handoff/exec/fatal.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/sys.h"
#include "base/uapi.h"
#include "process/raw.h"

static const struct
{
  int number;
  const char *name;
  bool has_address; /* si_addr says where the fault is */
} fatal_signals[] = {
  { SIGSEGV, "SIGSEGV", true },  { SIGBUS, "SIGBUS", true },  { SIGILL, "SIGILL", true },    { SIGFPE, "SIGFPE", true },
  { SIGABRT, "SIGABRT", false }, { SIGSYS, "SIGSYS", false }, { SIGTRAP, "SIGTRAP", false },
};

#define STACK_SIZE (64 * 1024)

/* An fd of the fd table, with the part of its identity that one fstat() can check. */
typedef struct
{
  int fd;
  uint32_t type;
  uint64_t device, inode;
} Carried;

struct _CprFatal
{
  pid_t pid;
  unsigned attempt;
  CprBatonPage *page;
  CprRescue *rescue;
  CprGuardian *guardian;
  Carried *carried;
  guint n_carried;
  pthread_t thread; /* which has that stack for its handlers */
  void *stack;
  stack_t old_stack;
  timer_t timer;
  bool has_timer;
  unsigned closed_std; /* those of 0, 1 and 2 that the old program must find closed, as they were */
  struct sigaction old_actions[G_N_ELEMENTS (fatal_signals)];
};

/* A signal handler gets no argument of its own. One variable is enough, since a process is at
 * most one candidate. */
static _Atomic (CprFatal *) armed;

/* ---- In the handler. The signal may have come in the middle of malloc() or with any lock held,
 * and the program's memory may be damaged. So this half uses no lock and no allocation, and only
 * memory that cpr_fatal_arm() prepared. */

/* Whether this process is the candidate. A child that the new program forked has the handlers,
 * too, but must not touch the guest. */
CPR_RAW_CODE static bool
is_candidate (const CprFatal *fatal)
{
  CprBatonWord word = cpr_baton_get (fatal->page);

  return word.state == CPR_BATON_OFFERED && word.pid == fatal->pid && word.attempt == fatal->attempt &&
         cpr_raw (SYS_getpid, 0, 0, 0, 0) == fatal->pid;
}

/* Whether the fds of the fd table are still the ones that the old program had. If not, this
 * process can't go back, but the guardian can: it has copies of its own. */
CPR_RAW_CODE static bool
fds_are_there (const CprFatal *fatal)
{
  for (guint i = 0; i < fatal->n_carried; i++)
    {
      const Carried *carried = &fatal->carried[i];
      struct stat st;

      if (fstat (carried->fd, &st) < 0 || (st.st_mode & S_IFMT) != carried->type || st.st_dev != carried->device ||
          st.st_ino != carried->inode)
        return false;
    }
  return true;
}

/* put() and put_number() write no further than @end, which is the place for a last zero byte.
 * They return the place of the zero byte. */
CPR_RAW_CODE static char *
put (char *to, const char *end, const char *text)
{
  while (*text != '\0' && to < end)
    *to++ = *text++;
  *to = '\0';
  return to;
}

CPR_RAW_CODE static char *
put_number (char *to, const char *end, unsigned long value, unsigned base)
{
  char digits[24];
  int n = 0;

  do
    digits[n++] = "0123456789abcdef"[value % base];
  while ((value /= base) != 0);
  while (n > 0 && to < end)
    *to++ = digits[--n];
  *to = '\0';
  return to;
}

CPR_RAW_CODE static char *
put_signal (char *to, const char *end, int signal, const siginfo_t *info)
{
  to = put_number (to, end, (unsigned) signal, 10);
  for (size_t i = 0; i < G_N_ELEMENTS (fatal_signals); i++)
    {
      if (fatal_signals[i].number != signal)
        continue;
      to = put (to, end, " (");
      to = put (to, end, fatal_signals[i].name);
      to = put (to, end, ")");
      if (fatal_signals[i].has_address)
        to = put_number (put (to, end, " at address 0x"), end, (unsigned long) info->si_addr, 16);
    }
  return to;
}

/* Adds what the VMM has said itself. */
CPR_RAW_CODE static void
give_reason (CprBatonPage *page, int signal, const siginfo_t *info)
{
  char said[CPR_BATON_REASON_SIZE];
  const char *end = page->reason + CPR_BATON_REASON_SIZE - 1;
  char *at = page->reason;

  put (said, said + sizeof said - 1, page->reason);
  if (info->si_code == SI_TIMER)
    {
      at = put (at, end, "the new program gave no answer in ");
      at = put_number (at, end, page->timeout_ns / 1000000, 10);
      at = put (at, end, " ms,");
    }
  else
    {
      at = put (at, end, "the new program got signal ");
      at = put_signal (at, end, signal, info);
    }
  at = put (at, end, " in step ");
  at = put (at, end, cpr_baton_get_step_name (cpr_baton_get_last_step (page)));
  if (said[0] != '\0')
    put (put (at, end, "; before that: "), end, said);
}

/* If not, this process has to end, and the guardian takes the guest back. */
CPR_RAW_CODE static bool
can_go_back (const CprFatal *fatal)
{
  return is_candidate (fatal) && fds_are_there (fatal) &&
         cpr_guardians_restore_surroundings (fatal->page, fatal->rescue->program) == NULL;
}

CPR_RAW_CODE static void
go_back (CprFatal *fatal)
{
  const CprBatonWord offered = { CPR_BATON_OFFERED, fatal->attempt, fatal->pid },
                     again = { CPR_BATON_OFFERED, fatal->attempt + 1, fatal->pid };
  uint64_t all = ~UINT64_C (0);

  cpr_raw (SYS_rt_sigprocmask, SIG_SETMASK, (long) &all, 0, sizeof all);
  fatal->page->failed_ns = cpr_now_ns ();
  /* Before the launch: that guardian must not see the old deadline. */
  cpr_baton_begin_attempt (fatal->page, cpr_now_ns ());
  if (fatal->guardian != NULL)
    cpr_guardian_launch_quietly (fatal->guardian);
  /* From here on a failure ends this process with the baton offered to it. The guardian then
   * takes the guest back. */
  if (!cpr_baton_move (fatal->page, offered, again))
    return;
  cpr_raw (SYS_close_range, STDERR_FILENO + 1, (long) ~0U, CLOSE_RANGE_CLOEXEC, 0);
  for (int fd = 0; fd <= STDERR_FILENO; fd++)
    if ((fatal->closed_std >> fd & 1) != 0 && !cpr_streams_have (&fatal->page->surroundings.streams[fd], fd))
      cpr_raw (SYS_fcntl, fd, F_SETFD, FD_CLOEXEC, 0);
  cpr_rescue_execute (fatal->rescue);
}

/* Whether the handler's return would end the process: it runs the faulting instruction again, or
 * lets abort() go on. After a breakpoint, or a system call that a seccomp filter caught, the
 * program would go on instead. */
CPR_RAW_CODE static bool
comes_again (int signal, const siginfo_t *info)
{
  return info->si_code > 0 && signal != SIGTRAP && signal != SIGSYS;
}

/* If there is no way back, the process has to die of the signal, so that the guardian sees its
 * end. */
CPR_RAW_CODE static void
handle (int signal, siginfo_t *info, void *context)
{
  struct sigaction dies = { .sa_handler = SIG_DFL };
  CprFatal *fatal = atomic_exchange (&armed, NULL);

  if (fatal != NULL && can_go_back (fatal))
    {
      give_reason (fatal->page, signal, info);
      go_back (fatal);
    }
  sigaction (signal, &dies, NULL);
  if (!comes_again (signal, info))
    raise (signal);
}

void
cpr_fatal_leave (void)
{
  CprFatal *fatal = atomic_exchange (&armed, NULL);

  if (fatal != NULL && can_go_back (fatal))
    go_back (fatal);
}

/* ---- Outside the handler. */

static void
set_handlers (CprFatal *fatal)
{
  struct sigaction action = { .sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_ONSTACK };
  const stack_t stack = { .ss_sp = fatal->stack, .ss_size = STACK_SIZE };

  sigfillset (&action.sa_mask);
  sigaltstack (&stack, &fatal->old_stack);
  for (size_t i = 0; i < G_N_ELEMENTS (fatal_signals); i++)
    sigaction (fatal_signals[i].number, &action, &fatal->old_actions[i]);
}

/* As PID 1 of a namespace this process can't be killed by a guardian, which lives in the same
 * namespace. So a timer ends a wait that takes too long: its SIGABRT runs the handler. */
static void
make_timer (CprFatal *fatal)
{
  struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGABRT };

  if (fatal->pid != 1 || fatal->page->deadline_ns == 0 || timer_create (CLOCK_MONOTONIC, &event, &fatal->timer) < 0)
    return;
  fatal->has_timer = true;
  cpr_fatal_set_timer (fatal);
}

void
cpr_fatal_set_timer (CprFatal *fatal)
{
  uint64_t deadline = fatal->page->deadline_ns; /* 0 disarms the timer */
  const struct itimerspec when = { .it_value = { (time_t) (deadline / 1000000000u), (long) (deadline % 1000000000u) } };

  if (fatal->has_timer)
    timer_settime (fatal->timer, TIMER_ABSTIME, &when, NULL);
}

static void
restore_handlers (CprFatal *fatal)
{
  stack_t stack;

  for (size_t i = 0; i < G_N_ELEMENTS (fatal_signals); i++)
    {
      struct sigaction now;

      if (sigaction (fatal_signals[i].number, NULL, &now) == 0 && (now.sa_flags & SA_SIGINFO) != 0 &&
          now.sa_sigaction == handle)
        sigaction (fatal_signals[i].number, &fatal->old_actions[i], NULL);
    }
  if (sigaltstack (NULL, &stack) == 0 && stack.ss_sp == fatal->stack)
    sigaltstack (&fatal->old_stack, NULL);
}

static void
record_carried (CprFatal *fatal, const CprFdTable *fds)
{
  fatal->carried = g_new (Carried, fds->entries->len);
  for (guint i = 0; i < fds->entries->len; i++)
    {
      const CprFdEntry *entry = fds->entries->pdata[i];

      fatal->carried[fatal->n_carried++] =
          (Carried){ entry->fd, entry->identity.type, entry->identity.device, entry->identity.inode };
    }
}

/* The stack stays where another thread has it for its handlers, which only that thread can
 * change. */
static void
fatal_free (CprFatal *fatal)
{
  if (fatal->stack != NULL && pthread_equal (fatal->thread, pthread_self ()))
    cpr_sys->munmap (fatal->stack, STACK_SIZE);
  cpr_guardian_free (fatal->guardian);
  cpr_rescue_free (fatal->rescue);
  g_free (fatal->carried);
  g_free (fatal);
}

CprFatal *
cpr_fatal_arm (CprBatonPage *page, unsigned attempt, const CprFdTable *fds, CprRescue *rescue, CprGuardian *guardian)
{
  CprFatal *fatal = g_new0 (CprFatal, 1), *none = NULL;

  fatal->pid = getpid ();
  fatal->thread = pthread_self ();
  fatal->attempt = attempt;
  fatal->page = page;
  fatal->rescue = rescue;
  fatal->guardian = guardian;
  fatal->closed_std = cpr_fd_get_closed_std ();
  record_carried (fatal, fds);
  fatal->stack =
      cpr_sys->mmap (NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (fatal->stack == MAP_FAILED)
    fatal->stack = NULL;
  if (fatal->stack == NULL || !atomic_compare_exchange_strong (&armed, &none, fatal))
    {
      fatal_free (fatal);
      return NULL;
    }
  set_handlers (fatal);
  make_timer (fatal);
  return fatal;
}

void
cpr_fatal_disarm (CprFatal *fatal)
{
  CprFatal *mine = fatal;

  if (fatal == NULL)
    return;
  if (fatal->has_timer)
    timer_delete (fatal->timer);
  restore_handlers (fatal);
  atomic_compare_exchange_strong (&armed, &mine, NULL);
  fatal_free (fatal);
}
