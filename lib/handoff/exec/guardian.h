/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_HANDOFF_EXEC_GUARDIAN_H
#define CPR_HANDOFF_EXEC_GUARDIAN_H

#include <glib.h>

#include "handoff/exec/rescue.h"
#include "registry/ram/ram.h"

/* A guardian is a process that shares this program's address space over the execve, which makes
 * the execve fast: what is slow about it is the teardown of the old address space, and that now
 * happens when the guardian ends, after the guest runs again. It also holds copies of the
 * carried fds and of those that are slow to close. */
typedef struct _CprGuardian CprGuardian;

typedef struct
{
  CprBatonPage *page;
  GArray *keep;      /* int, ascending, without duplicates: the fds it shall hold; 0, 1 and 2 also where they aren't
                      * close-on-exec */
  int release;       /* an eventfd of `keep`; once it is readable the guardian ends */
  int notify;        /* a socket to the supervisor, which is told who the VM is; or -1 */
  CprRescue *rescue; /* what it does when the candidate dies or takes too long, taken over; NULL: nothing */
  const CprRamTable *ram; /* what this program has mapped of the guest; NULL: nothing, or not known yet */
} CprGuardianConfig;

/* Prepares everything but the process, while the guest still runs. */
CprGuardian *cpr_guardian_new (const CprGuardianConfig *config, GError **error);

/* Makes the process and waits until it has closed what it must not hold. The caller has all signals
 * blocked.
 */
bool cpr_guardian_launch (CprGuardian *guardian, GError **error);

/* The same in a signal handler: does what it can. */
void cpr_guardian_launch_quietly (CprGuardian *guardian);

/* Ends the process, if there is one, and frees; for when the execve didn't come about. */
void cpr_guardian_free (CprGuardian *guardian);

/* Tells the guardians of @page to go. Each closes its fds, says so in the page, and then gives
 * the old address space back, which takes its time. */
void cpr_guardians_release (CprBatonPage *page, int release);

/* Reaps a guardian if it has ended. Until then its pid stays its own. */
typedef enum
{
  CPR_GUARDIAN_THERE,
  CPR_GUARDIAN_GONE,
  CPR_GUARDIAN_OTHERS /* it isn't this process's child: that of a program before it, after a rescue */
} CprGuardianState;

CprGuardianState cpr_guardian_reap (pid_t guardian);
/* The same without reaping. */
CprGuardianState cpr_guardian_look (pid_t guardian);

/* Tells a child that has been released not to take its time. One may be on its way just now, or
 * somebody stops it: tell it again. */
void cpr_guardian_hurry (pid_t guardian);

/* A guardian of @page that is alive, or 0. */
pid_t cpr_guardians_find (const CprBatonPage *page);

/* Puts back what the command of the update has changed around this process, for the old program
 * to be executed in it. NULL, or what can't be put back while there is a guardian that still has
 * it and may take the guest. Where there is none the old program has to do with it. For a signal
 * handler, too. */
const char *cpr_guardians_restore_surroundings (const CprBatonPage *page, const CprProgram *program);

/* Whether this process has a child that was cloned without an exit signal: an earlier program's
 * guardian. */
bool cpr_guardian_is_child (void);

#endif
