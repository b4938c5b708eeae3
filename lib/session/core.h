/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_SESSION_CORE_H
#define CPR_SESSION_CORE_H

#include <sys/types.h>
#include <unistd.h>

#include "ask/rehearsal.h"
#include "handoff/incoming.h"
#include "session/parts/blockers.h"
#include "session/parts/finish.h"
#include "session/parts/notifiers.h"
#include "session/parts/passed.h"
#include "session/parts/reply.h"
#include "session/parts/start-up.h"
#include "session/parts/states.h"
#include "session/parts/timeline.h"

struct _CprSession
{
  pid_t pid; /* the process it belongs to; another one is a forked child */
  CprSessionConfig config;
  char *name;
  CprSessionState state;
  CprRunState run_state;
  CprProgram program; /* this one, for the way back of a later update */

  CprFdTable fds;
  CprRamTable ram;
  CprVfioTable vfio;
  CprDeviceTable devices;
  GPtrArray *kvm_vms; /* CprKvmVm */
  GArray *held;       /* int: the fds that a guardian holds */

  CprBlockers *blockers;
  CprNotifiers *notifiers;
  CprPassed passed;      /* the last preflight */
  GHashTable *warnings;  /* of preflights, that were logged; said once */
  CprTimeline timeline;  /* of the last update */
  CprReply reply;        /* of the last update */
  _Atomic int cancel_fd; /* an eventfd from the first update on that can be cancelled; -1: there was none */

  bool was_incoming;       /* or rehearses that */
  CprRehearsal *rehearsal; /* NULL: it is none */
  CprIncoming *incoming;   /* from the take-up to the commit */
  CprStartUp *start_up;    /* from the take-up on */
  uint64_t asked_ns, stopped_ns, saved_ns, loaded_ns, first_stand_ns; /* of a guest that ran through the execve */
  CprFinish *finish;       /* from the commit on */
};

/* A session of this process that has nothing yet: no name, no blockers, no tables but that of
 * devices. */
CprSession *cpr_session_alloc (void);
/* Frees all that is there. The fds and RAM blocks stay as they are for whoever else has them. */
void cpr_session_dispose (CprSession *session);

void cpr_session_log (const CprSession *session, CprLogLevel level, const char *format, ...) G_GNUC_PRINTF (3, 4);

/* Whether this is the process that the session belongs to, and not a forked child, which would
 * run the guest twice. */
static inline bool
cpr_session_is_mine (const CprSession *session)
{
  return session->pid == getpid ();
}

/* The same as an error of @function: for calls that are permitted in every state. */
bool cpr_session_check_process (const CprSession *session, const char *function, GError **error);
/* The one check of calls that have a row in the table of states: the process, and the state.
 * Each of them begins with it. */
bool cpr_session_check_call (const CprSession *session, CprCall call, GError **error);

/* The VM chunk, as a state and a question begin; its strings are the session's. */
bool cpr_session_make_head (const CprSession *session, CprManifest *head, GError **error);

/* Where RAM's contents are, while a state of reboot mode is being taken up: then everything is
 * made again. Else NULL. */
static inline CprRamStore *
cpr_session_get_store (const CprSession *session)
{
  return session->incoming != NULL ? session->incoming->manifest.store : NULL;
}

/* Whether objects come from the old program. In reboot mode none does: everything is made again. In
 * a rehearsal none is there. */
static inline bool
cpr_session_takes_over (const CprSession *session)
{
  return session->state == CPR_SESSION_STATE_INCOMING && session->rehearsal == NULL &&
         cpr_session_get_store (session) == NULL;
}

#endif
