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

/* The baton: one word in a shared page that names the owner of the guest. It is changed by
 * compare-and-swap only. A process whose compare-and-swap fails neither runs the guest nor
 * executes a program: another process has the guest, or is about to get it. */
typedef enum
{
  CPR_BATON_OWNED = 1,   /* pid owns the guest */
  CPR_BATON_OFFERED = 2, /* pid, and no other process, may take the guest */
  CPR_BATON_FENCED = 3,  /* the process pid makes sure that the candidate is dead */
  CPR_BATON_PARKED = 4   /* no process runs the guest; the guardian pid holds everything */
} CprBatonState;

typedef struct
{
  CprBatonState state;
  unsigned attempt;
  pid_t pid;
} CprBatonWord;

/* The attempts, as the word counts them. The first is the way there. The second is one way back
 * by the program that failed; a program that fails on its way back would only fail again. The
 * third is one rescue by a guardian. After that the guest is parked. */
#define CPR_BATON_WAY_THERE     1
#define CPR_BATON_LAST_ROLLBACK 2 /* the highest attempt that a rollback can begin */
#define CPR_BATON_LAST_RESCUE   3 /* the highest attempt that a rescue can begin */
/* A parked guest may be tried again any number of times; the word counts as far as this. */
#define CPR_BATON_LAST_ATTEMPT 255

typedef enum
{
  CPR_BATON_CAUSE_NONE = 0,
  CPR_BATON_CAUSE_DIED = 1,   /* the candidate ended */
  CPR_BATON_CAUSE_TIMEOUT = 2 /* the candidate didn't commit in time */
} CprBatonCause;

#define CPR_BATON_REASON_SIZE 1024
#define CPR_BATON_GUARDIANS   8
#define CPR_BATON_ENDING      8
#define CPR_BATON_STAMPS      32

/* The page. The old program, the new one and the guardians share it, and it outlives each of
 * them. They may be of different releases: a member never moves, and new members go to the end. */
typedef struct
{
  uint64_t magic;
  _Atomic uint64_t word;
  _Atomic uint64_t stamps[CPR_BATON_STAMPS]; /* by CprStep: when it began, in ns */
  _Atomic int32_t guardians[CPR_BATON_GUARDIANS];
  _Atomic uint32_t hurry;             /* a process waits for the guardians' end: they mustn't rest */
  uint32_t rescue;                    /* whether a guardian may execute the old program itself */
  char reason[CPR_BATON_REASON_SIZE]; /* why the candidate gave up; the candidate writes it first */
  _Atomic uint64_t deadline_ns;       /* CLOCK_MONOTONIC: the candidate must have committed by then; 0: no deadline */
  uint64_t timeout_ns;                /* how long a candidate has */
  _Atomic uint32_t cause;             /* CprBatonCause: why a guardian took the guest back */
  int32_t status;                     /* of CPR_BATON_CAUSE_DIED: as wait() gives it; -1: not known */
  int32_t candidate;                  /* the process that `cause` and `status` are about */
  _Atomic uint64_t failed_ns;         /* when the last candidate's failure became known, to itself or to a guardian */
  uint64_t pause_budget_ns;           /* how long after the start of the stop the commit may be; 0: no limit */
  _Atomic uint64_t attempt_ns;        /* when the present attempt began */
  _Atomic uint32_t failed_step;       /* CprStep of the candidate that a guardian took the guest from; 0: not known */
  _Atomic uint32_t closed;            /* a futex; bit n: guardians[n] has closed all its fds, and has only to end */
  uint64_t wait_ns;                   /* how long the update waited for the finish of the one before */
  int32_t ending[CPR_BATON_ENDING];   /* guardians of earlier updates, which are children to be reaped */
  CprSurroundings surroundings;       /* the old program's; the last member, since it may grow */
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

/* Makes a page whose word names this process as the owner. */
bool cpr_baton_new (CprBaton *baton, GError **error);
/* Maps the page behind @fd, which stays the caller's on failure. */
bool cpr_baton_open (CprBaton *baton, int fd, GError **error);
void cpr_baton_clear (CprBaton *baton);

/* These use nothing but the page, so that a guardian may call them. */
CprBatonWord cpr_baton_get (const CprBatonPage *page);
/* Whether the transition from → to is a legal one. */
bool cpr_baton_is_legal (CprBatonWord from, CprBatonWord to);
/* Makes the transition if the word still is @from. False if it isn't, or if the transition isn't
 * legal. */
bool cpr_baton_move (CprBatonPage *page, CprBatonWord from, CprBatonWord to);

/* Puts a guardian into the page; false if there is no room. */
bool cpr_baton_add_guardian (CprBatonPage *page, pid_t guardian);
void cpr_baton_remove_guardian (CprBatonPage *page, pid_t guardian);
/* Says that a guardian has closed its fds. The caller then wakes the waiters on the futex. */
void cpr_baton_set_closed (CprBatonPage *page, pid_t guardian);
/* Whether guardians[n] has closed its fds. */
bool cpr_baton_is_closed (const CprBatonPage *page, int n);

/* Begins the next candidate's attempt, and its time, at @now_ns. */
void cpr_baton_begin_attempt (CprBatonPage *page, uint64_t now_ns);
/* The present candidate's whole time begins again at @now_ns, or has no end until that is said. */
void cpr_baton_begin_time (CprBatonPage *page, uint64_t now_ns);
void cpr_baton_stop_time (CprBatonPage *page);

/* CPR_ERROR_PAUSE_BUDGET if the pause has lasted longer than it may. @step is the step that has
 * just ended, for the message. */
bool cpr_baton_check_pause (const CprBatonPage *page, const char *step, GError **error);

/* The step of the present attempt that began last. */
CprStep cpr_baton_get_last_step (const CprBatonPage *page);
/* The name of @step, for messages. The step may have been read from the page, which other
 * releases write: a number that isn't a step of an attempt gets the first step's name. */
const char *cpr_baton_get_step_name (CprStep step);

/* Why the last candidate didn't get the guest, in words; NULL if nothing is known. */
char *cpr_baton_describe_failure (const CprBatonPage *page);

/* CPR_ERROR_NOT_OWNER, for a process that should be the owner and isn't. */
bool cpr_baton_throw_lost (const CprBatonPage *page, GError **error);

#endif
