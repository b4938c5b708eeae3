/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_HANDOFF_EXEC_GUARDIAN_H
#define CPR_HANDOFF_EXEC_GUARDIAN_H

#include <glib.h>

#include "handoff/exec/rescue.h"
#include "registry/ram/ram.h"

/* A guardian is a process that shares this program's address space over the execve, which makes
 * the execve fast. The slow part of an execve is the teardown of the old address space. With a
 * guardian that happens when the guardian ends, while the guest already runs again. The guardian
 * also has copies of the fds of the fd table and of the held fds. */
typedef struct _CprGuardian CprGuardian;

typedef struct
{
  CprBatonPage *page;
  /* int, ascending, without duplicates: the fds that the guardian keeps. It also keeps the
   * standard streams. */
  GArray *keep;
  int release;            /* an eventfd among `keep`; the guardian ends when it is readable */
  int notify;             /* a socket to the supervisor, for MAINPID=; or -1 */
  CprRescue *rescue;      /* taken over: how it takes the guest back; NULL: it doesn't */
  const CprRamTable *ram; /* the guest RAM that this program has mapped; NULL: none, or not known yet */
} CprGuardianConfig;

/* Prepares everything but the process, while the guest still runs. */
CprGuardian *cpr_guardian_new (const CprGuardianConfig *config, GError **error);

/* Makes the process and waits until it has closed the fds that it must not hold. The caller has
 * blocked all signals. */
bool cpr_guardian_launch (CprGuardian *guardian, GError **error);

/* The same in a signal handler. A failure isn't reported: without a guardian the way back is only
 * slower. */
void cpr_guardian_launch_quietly (CprGuardian *guardian);

/* Ends the process, if it was launched, and frees; for an execve that failed. */
void cpr_guardian_free (CprGuardian *guardian);

/* Tells the guardians of @page to end. Each closes its fds, says so in the page, and then gives
 * the old address space back, which takes a while. */
void cpr_guardians_release (CprBatonPage *page, int release);

/* Reaps a guardian if it has ended. Until it is reaped no other process gets its pid. */
typedef enum
{
  CPR_GUARDIAN_THERE,
  CPR_GUARDIAN_GONE,
  CPR_GUARDIAN_OTHERS /* not this process's child, but an earlier program's, after a rescue */
} CprGuardianState;

CprGuardianState cpr_guardian_reap (pid_t guardian);
/* The same without reaping, where the system allows that. */
CprGuardianState cpr_guardian_look (pid_t guardian);

/* Tells a child that was released to end without rests. The signals can be lost on a child that
 * is just about to rest, or that somebody stops again, so the caller repeats this. */
void cpr_guardian_hurry (pid_t guardian);

/* A guardian of @page that is alive and has its fds, or 0. */
pid_t cpr_guardians_find (const CprBatonPage *page);

/* Puts back the surroundings of the old program, which the command of the update may have
 * changed, for an execve in this process. Returns NULL, or the name of a thing that can't be put
 * back while a guardian still has it and may take the guest. Without such a guardian the old
 * program has to live with the change, and the result is NULL, too. May be called in a signal
 * handler. */
const char *cpr_guardians_restore_surroundings (const CprBatonPage *page, const CprProgram *program);

/* Whether this process has a child that was cloned without an exit signal, which is an earlier
 * program's guardian. */
bool cpr_guardian_is_child (void);

#endif
