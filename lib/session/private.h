/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_SESSION_PRIVATE_H
#define CPR_SESSION_PRIVATE_H

#include <sys/types.h>
#include <unistd.h>

#include "handoff/incoming.h"
#include "session/blockers.h"
#include "session/finish.h"
#include "session/notifiers.h"
#include "session/preflight.h"
#include "session/run-state.h"
#include "session/states.h"

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
  GArray *held; /* int */
  CprBlockers *blockers;
  CprNotifiers *notifiers;
  _Atomic int cancel_fd; /* an eventfd from the first update on that can be cancelled; -1: there was none */
  bool was_incoming;
  CprIncoming *incoming; /* from the take-up to the commit */
  CprFinish *finish;     /* from the commit on */

  CprPassed passed;     /* by the program that is next */
  GHashTable *warnings; /* of preflights, that were logged; said once */

  /* The last update. */
  CprUpdateStatus status;
  CprMode mode;
  uint64_t generation;
  bool had_guardian;
  char *error;
  bool was_running;
  uint64_t stamps[CPR_N_STEPS + 1];
  _Atomic uint64_t ram_done, ram_total;
  uint64_t wait_ns;   /* before the first step, for what the update before had left */
  uint64_t failed_ns; /* when its failure was known; 0: it didn't fail after the execve */
};

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
 * Every one begins with it. */
bool cpr_session_check_call (const CprSession *session, CprCall call, GError **error);

/* What can't be right in any program. */
bool cpr_session_check_config (const CprSessionConfig *config, GError **error);
/* What stands in the way of an update, as far as this process knows. */
bool cpr_session_check_update (const CprSession *session, const CprUpdate *update, GError **error);

/* The VM chunk as it is now; its strings are the session's. */
bool cpr_session_make_head (const CprSession *session, CprManifest *head, GError **error);

/* The table of assigned devices, new or handed over, belongs to the session. */
void cpr_session_adopt_vfio (CprSession *session);
/* The end of loading: nothing is left unclaimed, and the kernel is told where guest RAM is. */
bool cpr_session_attach_vfio (CprSession *session, GError **error);
/* The guest is this process's again, and another one may have told the kernel where it has guest
 * RAM. */
void cpr_session_take_back_vfio (CprSession *session);
/* Once the guest runs: lets go what may be left unclaimed, and sees what stands in the way of
 * the next update. */
void cpr_session_finish_vfio (CprSession *session);

/* Calls the VMM's stop callback. */
bool cpr_session_call_stop (CprSession *session, GError **error);

/* Where RAM's contents are, while a state of reboot mode is being taken up: then everything is
 * made anew. Else NULL. */
static inline CprRamStore *
cpr_session_get_store (const CprSession *session)
{
  return session->incoming != NULL ? session->incoming->manifest.store : NULL;
}

#endif
