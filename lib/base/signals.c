/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Signal masks, the signals that are ignored, and signals to other processes. Used wherever a
 * thread is made, a program is executed or a process is ended. */
#include "base/signals.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>

#include "base/fd.h"
#include "base/sys.h"

#define N_SIGNALS 64

static uint64_t
bit (int number)
{
  return UINT64_C (1) << (number - 1);
}

void
cpr_signals_block_all (sigset_t *old)
{
  sigset_t all;

  sigfillset (&all);
  pthread_sigmask (SIG_SETMASK, &all, old);
}

void
cpr_signals_restore (const sigset_t *old)
{
  pthread_sigmask (SIG_SETMASK, old, NULL);
}

uint64_t
cpr_signals_get_mask (void)
{
  uint64_t bits = 0;
  sigset_t mask;

  pthread_sigmask (SIG_BLOCK, NULL, &mask);
  for (int number = 1; number <= N_SIGNALS; number++)
    if (sigismember (&mask, number) == 1)
      bits |= bit (number);
  return bits;
}

void
cpr_signals_set_mask (uint64_t bits)
{
  sigset_t mask;

  sigemptyset (&mask);
  for (int number = 1; number <= N_SIGNALS; number++)
    if ((bits & bit (number)) != 0)
      sigaddset (&mask, number);
  pthread_sigmask (SIG_SETMASK, &mask, NULL);
}

uint64_t
cpr_signals_get_ignored (void)
{
  uint64_t bits = 0;

  for (int number = 1; number <= N_SIGNALS; number++)
    {
      struct sigaction action;

      if (sigaction (number, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
        bits |= bit (number);
    }
  return bits;
}

static void
drop_signal (int number)
{
  (void) number;
}

/* Other threads still take signals: what isn't to be ignored any more gets a handler that does
 * nothing instead of the default action, which may be deadly; the execve turns it into the
 * default. */
void
cpr_signals_set_ignored (uint64_t bits)
{
  uint64_t differing = bits ^ cpr_signals_get_ignored ();

  for (int number = 1; number <= N_SIGNALS; number++)
    if ((differing & bit (number)) != 0)
      signal (number, (bits & bit (number)) != 0 ? SIG_IGN : drop_signal);
}

static bool
has_ended (int pidfd)
{
  struct pollfd fd = { pidfd, POLLIN, 0 };

  return cpr_sys->poll (&fd, 1, 0) > 0 && (fd.revents & POLLIN) != 0;
}

static bool
send_to_child (pid_t pid, int signal)
{
  int pidfd;
  bool sent;

  if (cpr_sys->kill (pid, signal) == 0)
    return true;
  if (errno == ESRCH)
    return false;
  pidfd = cpr_fd_above_std (cpr_sys->pidfd_open (pid));
  sent = pidfd >= 0 && cpr_sys->pidfd_send_signal (pidfd, signal) == 0;
  cpr_fd_clear (&pidfd);
  return sent;
}

bool
cpr_signals_send (pid_t pid, int pidfd, int signal)
{
  if (pidfd < 0)
    return send_to_child (pid, signal);
  if (cpr_sys->pidfd_send_signal (pidfd, signal) == 0)
    return true;
  if (has_ended (pidfd))
    errno = ESRCH;
  return errno != ESRCH && cpr_sys->kill (pid, signal) == 0;
}
