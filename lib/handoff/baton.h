/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_HANDOFF_BATON_H
#define CPR_HANDOFF_BATON_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <libcpr/libcpr.h>

#include "process/surroundings.h"

/* The baton: one word in a shared page that says who owns the guest. It is changed by
 * compare-and-swap only; who loses one neither runs the guest nor executes anything. */
typedef enum
{
  CPR_BATON_OWNED = 1,   /* pid owns the guest */
  CPR_BATON_OFFERED = 2, /* pid, and nobody else, may take it */
  CPR_BATON_FENCED = 3,  /* the guardian pid makes sure that the candidate is dead */
  CPR_BATON_PARKED = 4   /* nobody runs the guest; the guardian pid holds everything */
} CprBatonState;

typedef struct
{
  CprBatonState state;
  unsigned attempt;
  pid_t pid;
} CprBatonWord;

/* The attempts, as the word counts them: the way there; one way back by the program that failed,
 * since a program that fails on its way back would only fail again; one rescue by a guardian.
 * Then the guest is parked. */
#define CPR_BATON_WAY_THERE     1
#define CPR_BATON_LAST_ROLLBACK 2 /* the highest attempt that a rollback can begin */
#define CPR_BATON_LAST_RESCUE   3 /* and a rescue */

typedef enum
{
  CPR_BATON_CAUSE_NONE = 0,
  CPR_BATON_CAUSE_DIED = 1,   /* the candidate ended */
  CPR_BATON_CAUSE_TIMEOUT = 2 /* it didn't commit in time */
} CprBatonCause;

#define CPR_BATON_REASON_SIZE 1024
#define CPR_BATON_GUARDIANS   8
#define CPR_BATON_ENDING      8
#define CPR_BATON_STAMPS      32

/* The page. It is shared by the old program, the new one and the guardians, and outlives each of
 * them. They may be of different releases: what is here stays where it is, new members go to the
 * end. */
typedef struct
{
  uint64_t magic;
  _Atomic uint64_t word;
  _Atomic uint64_t stamps[CPR_BATON_STAMPS]; /* by CprStep: its begin in ns */
  _Atomic int32_t guardians[CPR_BATON_GUARDIANS];
  _Atomic uint32_t hurry;             /* somebody waits for the guardians' end: not at idle priority */
  uint32_t rescue;                    /* whether a guardian may execute the old program itself */
  char reason[CPR_BATON_REASON_SIZE]; /* why the candidate gave up, written by it before it offers the baton
                                         on */
  _Atomic uint64_t deadline_ns;       /* CLOCK_MONOTONIC: until then the candidate must have committed; 0: whenever */
  uint64_t timeout_ns;                /* how long a candidate has */
  _Atomic uint32_t cause;             /* CprBatonCause: why a guardian took the guest back */
  int32_t status;                     /* of CPR_BATON_CAUSE_DIED: as of wait(), or -1: not known */
  int32_t candidate;                  /* who that was */
  _Atomic uint64_t failed_ns;         /* when the last candidate's failure was known: by itself or by a guardian */
  uint64_t pause_budget_ns;           /* how long after the begin of the stop the commit may be; 0: whenever */
  _Atomic uint64_t attempt_ns;        /* when the present candidate got its turn */
  _Atomic uint32_t failed_step;       /* CprStep: where the candidate was whom a guardian took the guest from; 0: not
                                         said */
  _Atomic uint32_t closed;            /* a futex; bit n: guardians[n] has closed all its fds, and only ends now */
  uint64_t wait_ns;                   /* how long the update waited for what the one before had left */
  int32_t ending[CPR_BATON_ENDING];   /* guardians of earlier updates, children: to be reaped */
  CprSurroundings surroundings;       /* the old program's; it may grow, so it is the last */
} CprBatonPage;

_Static_assert(CPR_N_STEPS < CPR_BATON_STAMPS, "the stamps don't fit");
_Static_assert(offsetof (CprBatonPage, guardians) == 272 && offsetof (CprBatonPage, reason) == 312,
               "the page is an ABI");
_Static_assert(offsetof (CprBatonPage, deadline_ns) == 1336 && offsetof (CprBatonPage, failed_ns) == 1368 &&
                   offsetof (CprBatonPage, pause_budget_ns) == 1376 && offsetof (CprBatonPage, attempt_ns) == 1384 &&
                   offsetof (CprBatonPage, surroundings) == 1440,
               "the page is an ABI");
_Static_assert(offsetof (CprBatonPage, closed) == 1396 && offsetof (CprBatonPage, wait_ns) == 1400 &&
                   offsetof (CprBatonPage, ending) == 1408,
               "the page is an ABI");

typedef struct
{
  int fd;
  CprBatonPage *page;
} CprBaton;

/* A page owned by this process. */
bool cpr_baton_new (CprBaton *baton, GError **error);
/* Maps the page behind @fd, which stays the caller's on failure. */
bool cpr_baton_open (CprBaton *baton, int fd, GError **error);
void cpr_baton_clear (CprBaton *baton);

/* These use nothing but the page, so that a guardian may call them. */
CprBatonWord cpr_baton_get (const CprBatonPage *page);
/* Whether the one step from → to is among the legal ones. */
bool cpr_baton_is_legal (CprBatonWord from, CprBatonWord to);
/* Takes the step if the word still is @from; false if it isn't, or the step isn't legal. */
bool cpr_baton_move (CprBatonPage *page, CprBatonWord from, CprBatonWord to);

/* Puts a guardian into the page; false if there is no room. */
bool cpr_baton_add_guardian (CprBatonPage *page, pid_t guardian);
void cpr_baton_remove_guardian (CprBatonPage *page, pid_t guardian);
/* A guardian says that it has closed its fds; whoever waits on the futex is to be woken then. */
void cpr_baton_set_closed (CprBatonPage *page, pid_t guardian);
/* Whether that of guardians[n] has said so. */
bool cpr_baton_is_closed (const CprBatonPage *page, int n);

/* The next candidate's turn, and its time, begin now. */
void cpr_baton_begin_attempt (CprBatonPage *page, uint64_t now_ns);

/* CPR_ERROR_PAUSE_BUDGET with the name of @step, the last one, where the pause has lasted longer
 * than it may. */
bool cpr_baton_check_pause (const CprBatonPage *page, const char *step, GError **error);

/* The step of the present attempt that was begun last. */
CprStep cpr_baton_get_last_step (const CprBatonPage *page);
/* Its name, for messages; one that comes from the page, and can't be a step of an attempt, is
 * said to be the first. */
const char *cpr_baton_get_step_name (CprStep step);

/* Why the last candidate didn't get the guest, in words; NULL if nothing of that is known. */
char *cpr_baton_describe_failure (const CprBatonPage *page);

/* CPR_ERROR_NOT_OWNER, for who should have the baton and hasn't. */
bool cpr_baton_throw_lost (const CprBatonPage *page, GError **error);

#endif
