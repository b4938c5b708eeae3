/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_HANDOFF_GUARDIAN_H
#define CPR_HANDOFF_GUARDIAN_H

#include <glib.h>

#include "handoff/rescue.h"

/* A guardian is a process that shares this program's address space over the execve, which makes the execve
 * fast: what is slow about it is the teardown of the old address space, and that now happens when the
 * guardian ends, after the guest runs again. It also holds copies of the carried fds and of those that are
 * slow to close. */
typedef struct _CprGuardian CprGuardian;

typedef struct
{
  CprBatonPage *page;
  GArray *keep;      /* int, ascending, without duplicates: the fds it shall hold; 0, 1 and 2 are held anyway */
  int release;       /* an eventfd of `keep`; once it is readable the guardian ends */
  int notify;        /* a socket to the supervisor, which is told who the VM is; or -1 */
  CprRescue *rescue; /* what it does when the candidate dies or takes too long, taken over; NULL: nothing */
} CprGuardianConfig;

/* Prepares everything but the process, while the guest still runs. */
CprGuardian *cpr_guardian_new (const CprGuardianConfig *config, GError **error);

/* Makes the process and waits until it has closed what it must not hold. The caller has all signals blocked.
 */
bool cpr_guardian_launch (CprGuardian *guardian, GError **error);

/* The same in a signal handler: does what it can. */
void cpr_guardian_launch_quietly (CprGuardian *guardian);

/* Ends the process, if there is one, and frees; for when the execve didn't come about. */
void cpr_guardian_free (CprGuardian *guardian);

/* Tells the guardians of @page to go. They end at idle priority; what takes time about it is the teardown of the old address
 * space. */
void cpr_guardians_release (CprBatonPage *page, int release);

/* Waits until a guardian has ended; until cpr_guardian_reap() its pid stays its own. */
void cpr_guardian_await (pid_t guardian);
void cpr_guardian_reap (pid_t guardian);

/* A guardian of @page that is alive, or 0. */
pid_t cpr_guardians_find (const CprBatonPage *page);

/* Whether this process has a child that was cloned without an exit signal: an earlier program's guardian. */
bool cpr_guardian_is_child (void);

#endif
