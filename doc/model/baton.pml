/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The baton (lib/handoff/baton.h) and the processes that change it: the program, old and new in one
 * process, and the guardians. Any of them may be killed between any two steps. Programs may also
 * hang, fail, or crash with a handler that goes back.
 *
 *   spin -a baton.pml && cc -O2 -DSAFETY -o pan pan.c && ./pan -E -m100000
 *
 * -E, since a program that hangs has no end where no guardian is left.
 *
 * Claims:
 *   1. Two processes never run the guest at once (assert in run_guest).
 *   2. At the end a process runs the guest, or the baton is parked (Judge). The exceptions: an owner
 *      died after the commit, the old program died before it had offered the baton, or a guardian
 *      that was needed was killed from outside.
 */

#define VMM 1           /* the process that starts as the old program */
#define GUARDIAN 2      /* made by the old program */
#define BACK_GUARDIAN 3 /* left behind by the new program when it goes back */
#define HEIR_A 4        /* left behind by GUARDIAN when it executes the old program */
#define HEIR_B 5        /* left behind by BACK_GUARDIAN */
#define HEIR_C 6        /* by HEIR_A or HEIR_B */
#define N 8

#define MAX_ATTEMPTS 3

mtype = { OWNED, OFFERED, FENCED, PARKED };

/* The baton's word. */
mtype state = OWNED;
byte attempt = 0;
byte owner = VMM;

bool alive[N];    /* the process exists */
bool dying[N];    /* it was killed and still exists */
byte running = 0; /* how many processes run the guest */
bool excused = false; /* the guest is lost in a way that claim 2 excepts */
bool released = false;

inline cas (from_state, from_attempt, from_owner, to_state, to_attempt, to_owner, ok)
{
  atomic {
    if
    :: state == from_state && attempt == from_attempt && owner == from_owner ->
       state = to_state; attempt = to_attempt; owner = to_owner; ok = true
    :: else -> ok = false
    fi
  }
}

/* Every step of a process begins with STEP: a kill takes effect between two steps. */
#define STEP(me) (!dying[me])

inline run_guest (me)
{
  atomic {
    running++;
    assert (running == 1)
  }
}

/* A program that holds, or is offered, the baton in process @me as candidate @k. */
proctype Candidate (byte me; byte k; bool old)
{
  bool ok;

  if
  :: skip -> /* it hangs: until it is killed */
     dying[me] -> goto gone
  :: skip -> goto dies /* exit, or a signal that can't be handled */
  :: k == 1 && !old -> /* it fails: an error, or a signal that can */
     if
     :: atomic { STEP (me) -> run Guardian (BACK_GUARDIAN, me); alive[BACK_GUARDIAN] = true }
     :: dying[me] -> goto gone
     fi;
     if
     :: STEP (me) -> cas (OFFERED, k, me, OFFERED, k + 1, me, ok)
     :: dying[me] -> goto gone
     fi;
     if
     :: ok && STEP (me) -> run Candidate (me, k + 1, true); goto end
     :: !ok -> goto loses
     :: dying[me] -> goto gone
     fi
  :: skip -> /* the commit */
     if
     :: STEP (me) -> cas (OFFERED, k, me, OWNED, k, me, ok)
     :: dying[me] -> goto gone
     fi;
     if
     :: ok ->
        if
        :: STEP (me) -> run_guest (me)
        :: dying[me] -> excused = true; goto gone
        fi;
        if
        :: STEP (me) -> released = true; goto end
        :: skip -> /* it dies as owner */
           atomic { running--; excused = true; goto dies }
        fi
     :: !ok -> goto loses
     fi
  fi;

loses: /* never runs, never executes: waits to be killed */
  dying[me] -> goto gone;
dies:
  dying[me] = true;
gone:
  alive[me] = false;
end:
  skip
}

/* The old program, from the offer on. */
proctype Old ()
{
  bool ok;

  run_guest (VMM);
  if
  :: skip -> /* it dies with the guest: there is no state yet */
     atomic { running--; excused = true; dying[VMM] = true; alive[VMM] = false; goto end }
  :: skip
  fi;
  running--; /* stop, save, seal */
  if
  :: STEP (VMM) -> cas (OWNED, 0, VMM, OFFERED, 1, VMM, ok)
  :: atomic { skip -> excused = true; dying[VMM] = true; alive[VMM] = false; goto end }
  fi;
  assert (ok);
  if
  :: STEP (VMM) -> run Candidate (VMM, 1, false) /* execve */
  :: STEP (VMM) -> /* it failed */
     cas (OFFERED, 1, VMM, OWNED, 1, VMM, ok);
     if
     :: ok && STEP (VMM) -> run_guest (VMM); released = true
     :: ok && dying[VMM] -> excused = true; alive[VMM] = false /* an owner that dies */
     :: !ok -> dying[VMM] -> alive[VMM] = false
     fi
  :: dying[VMM] -> alive[VMM] = false
  fi;
end:
  skip
}

proctype Guardian (byte me; byte watched)
{
  bool ok;
  bool follows = false; /* another guardian takes the guest back */
  byte k, heir;

watch:
  if
  :: released -> goto end
  :: dying[me] -> goto gone
  :: atomic { !alive[watched] && owner != watched -> watched = owner; follows = true; goto watch }
  /* A VMM that died, or the guardian that had fenced or parked the baton. */
  :: !alive[watched] && owner == watched && state != OFFERED -> goto end
  /* It died, or the deadline passed, which may be at any time. */
  :: !follows && state == OFFERED && owner == watched ->
     k = attempt;
     cas (OFFERED, k, watched, FENCED, k, me, ok);
     if
     :: !ok -> goto watch
     :: ok
     fi
  fi;

  if
  :: STEP (me) -> dying[watched] = true
  :: dying[me] -> excused = true; goto gone
  fi;
  if
  :: !alive[watched]
  :: dying[me] -> excused = true; goto gone
  fi;
  if
  :: k >= MAX_ATTEMPTS ->
     cas (FENCED, k, me, PARKED, k, me, ok);
     assert (ok);
     goto end
  :: else
  fi;
  cas (FENCED, k, me, OFFERED, k + 1, me, ok);
  assert (ok);
  heir = (me == GUARDIAN -> HEIR_A : (me == BACK_GUARDIAN -> HEIR_B : HEIR_C));
  atomic { alive[heir] = true; run Guardian (heir, me) };
  if
  :: STEP (me) -> run Candidate (me, k + 1, true); goto end
  :: dying[me] -> goto gone
  fi;
gone:
  alive[me] = false;
end:
  skip
}

/* A killer from outside kills a guardian, or the program. */
proctype Killer ()
{
  if
  :: atomic { alive[VMM] && state == OFFERED -> dying[VMM] = true }
  :: atomic { alive[GUARDIAN] -> dying[GUARDIAN] = true; excused = true }
  :: atomic { alive[BACK_GUARDIAN] -> dying[BACK_GUARDIAN] = true; excused = true }
  :: skip
  fi
}

/* Runs when no other process can make a step. */
proctype Judge ()
{
  timeout ->
  assert (running == 1 || state == PARKED || excused)
}

init
{
  atomic {
    alive[VMM] = true;
    alive[GUARDIAN] = true;
    run Old ();
    run Guardian (GUARDIAN, VMM);
    run Killer ();
    run Judge ()
  }
}
