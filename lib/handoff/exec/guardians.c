/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The guardians that a baton's page names, this program's own or an earlier one's: a program finds
 * them, tells them to end, and reaps them. */
#include "handoff/exec/guardian.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/signals.h"
#include "base/sys.h"
#include "handoff/exec/teardown.h"

void
cpr_guardians_release (CprBatonPage *page, int release)
{
  static const uint64_t one = 1;
  bool told = cpr_sys->write (release, &one, sizeof one) > 0 || errno == EAGAIN;

  for (int i = 0; i < CPR_BATON_GUARDIANS; i++)
    if (page->guardians[i] > 0)
      cpr_signals_send (page->guardians[i], -1, told ? SIGCONT : SIGKILL); /* one that is stopped sees no eventfd */
}

/* Where a seccomp filter denies waitid(), waitpid() is left. It reaps the guardian, whatever
 * @options say. */
static CprGuardianState
look (pid_t guardian, int options)
{
  siginfo_t info = { .si_pid = 0 };
  pid_t ended;

  if (cpr_sys->waitid (P_PID, (id_t) guardian, &info, WEXITED | WNOHANG | __WALL | options) == 0)
    return info.si_pid != 0 ? CPR_GUARDIAN_GONE : CPR_GUARDIAN_THERE;
  if (errno == ECHILD)
    return CPR_GUARDIAN_OTHERS;
  ended = cpr_sys->waitpid (guardian, NULL, WNOHANG | __WALL);
  if (ended < 0 && errno == ECHILD)
    return CPR_GUARDIAN_OTHERS;
  return ended > 0 ? CPR_GUARDIAN_GONE : CPR_GUARDIAN_THERE;
}

CprGuardianState
cpr_guardian_reap (pid_t guardian)
{
  return look (guardian, 0);
}

CprGuardianState
cpr_guardian_look (pid_t guardian)
{
  return look (guardian, WNOWAIT);
}

/* Guardians of earlier releases end at idle priority. Undoing that needs RLIMIT_NICE or
 * CAP_SYS_NICE. */
void
cpr_guardian_hurry (pid_t guardian)
{
  static const struct sched_param param = { .sched_priority = 0 };

  cpr_sys->sched_setscheduler (guardian, SCHED_OTHER, &param);
  cpr_signals_send (guardian, -1, CPR_TEARDOWN_HURRY);
  cpr_signals_send (guardian, -1, SIGCONT);
}

pid_t
cpr_guardians_find (const CprBatonPage *page)
{
  for (int i = 0; i < CPR_BATON_GUARDIANS; i++)
    if (page->guardians[i] > 0 && !cpr_baton_is_closed (page, i) &&
        cpr_guardian_look (page->guardians[i]) == CPR_GUARDIAN_THERE)
      return page->guardians[i];
  return 0;
}

const char *
cpr_guardians_restore_surroundings (const CprBatonPage *page, const CprProgram *program)
{
  const char *lost = cpr_surroundings_restore (&page->surroundings, program);
  pid_t guardian = cpr_guardians_find (page);

  if (lost == NULL && guardian != 0 && !cpr_streams_restore (page->surroundings.streams, guardian))
    lost = "standard streams";
  return lost != NULL && page->rescue != 0 && guardian != 0 ? lost : NULL;
}

bool
cpr_guardian_is_child (void)
{
  siginfo_t info;

  if (cpr_sys->waitid (P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WCLONE) == 0)
    return true;
  /* Where a seccomp filter denies waitid(), waitpid() can tell, too. */
  return errno != ECHILD && cpr_sys->waitpid (-1, NULL, WNOHANG | __WCLONE) >= 0;
}
