/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Exec mode in which the guest runs on, which the library doesn't have yet: from the offer until
 * the new program has loaded all but the late state, a guardian runs the vCPUs of the old VM. It
 * may, since it shares the address space that made that VM. A program that wants the guest asks for
 * it (`ask`). The guardian then stops its vCPU threads, saves what the kernel keeps, and says so
 * (`stopped_for`). The program loads that and commits. As long as it hasn't committed, the guardian
 * may let the guest run again, once it has fenced the baton.
 *
 *   spin -a -DATTEMPTS=3 -DKILLS=0 run-through.pml && cc -O2 -DSAFETY -o pan pan.c && ./pan -E -m100000
 *   spin -a -DATTEMPTS=2 -DKILLS=1 run-through.pml && cc -O2 -DSAFETY -DCOLLAPSE -o pan pan.c && ./pan -E -m100000
 *
 * The guardian that runs the guest is the chief. Each chief has an heir, which shares the same
 * address space and does nothing until the chief dies, or leaves in order to execute the old
 * program. A chief that leaves waits until its heir has an heir: a program that hangs then has two
 * guardians over it, and the death of any one costs the guest nothing.
 *
 * Up to KILLS guardians are killed, between any two steps. Programs hang, fail and crash.
 *
 * Claims:
 *   1. Two processes never run the guest at once (assert in ENTER).
 *   2. A program that commits has loaded the state in which the guest stopped, and the guest hasn't
 *      run since (assert at the commit).
 *   3. At the end a process runs the guest (Judge). It runs even where the baton is parked, as long
 *      as it needs no device. The exceptions: an owner died, or two guardians were killed.
 */

#define VMM 1              /* the process that starts as the old program */
#define N (4 + ATTEMPTS)   /* it, and the guardians, from 2 on */

mtype = { OWNED, OFFERED, FENCED, PARKED };

/* The baton's word. */
mtype state = OWNED;
byte attempt = 0;
byte owner = VMM;

byte ask = 0;         /* the attempt whose program wants the guest */
byte stopped_for = 0; /* the attempt for which it stands, with its late state saved; the chief's */
byte chief = 2;       /* the guardian that runs it */
bool go[N];           /* a guardian's vCPU threads are to run */

bool alive[N];
bool dying[N];        /* it was killed and still exists */
byte heir_of[N];
byte next = 4;        /* the number of the next guardian */
byte in_run = 0;      /* how many processes are in KVM_RUN; a VM's vCPUs count as one */
bool in[N];           /* a guardian's threads are */
bool late_is_right = false; /* what was saved last is what the guest is */
bool excused = false;       /* the guest is lost in a way that claim 3 excepts */
byte kills = 0;             /* of guardians */

#define STEP(me) (!dying[me])
#define HAS_HEIR(me) (heir_of[me] != 0 && alive[heir_of[me]])

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

#define ENTER in_run++; assert (in_run == 1); late_is_right = false

inline run_in_program ()
{
  atomic { ENTER }
}

inline stop_in_program ()
{
  in_run--
}

/* ---- A program to which the guest is offered. */

proctype Candidate (byte me; byte k; bool old)
{
  bool ok;

  if
  :: skip -> dying[me] -> goto gone /* it hangs */
  :: skip -> goto dies
  :: skip -> goto fails
  :: STEP (me) -> skip /* all is loaded but the late state */
  :: dying[me] -> goto gone
  fi;
  if
  :: STEP (me) -> ask = k
  :: dying[me] -> goto gone
  fi;
  if
  :: stopped_for == k
  :: state != OFFERED || attempt != k -> goto loses
  :: dying[me] -> goto gone
  fi;
  if
  :: skip -> dying[me] -> goto gone /* it hangs with the guest stopped */
  :: skip -> goto dies
  :: skip -> goto fails
  :: STEP (me) -> /* COMMIT */
     atomic {
       cas (OFFERED, k, me, OWNED, k, me, ok);
       assert (!ok || late_is_right)
     }
  :: dying[me] -> goto gone
  fi;
  if
  :: !ok -> goto loses
  :: ok && STEP (me) -> run_in_program (); goto end
  :: ok && dying[me] -> excused = true; goto gone
  fi;

fails: /* a new program goes back by itself, once: the same process executes the old one */
  if
  :: old || k != 1 -> goto dies
  :: else -> skip
  fi;
  if
  :: STEP (me) -> cas (OFFERED, k, me, OFFERED, k + 1, me, ok)
  :: dying[me] -> goto gone
  fi;
  if
  :: ok && STEP (me) -> run Candidate (me, k + 1, true); goto end
  :: ok && dying[me] -> goto gone
  :: !ok -> goto loses
  fi;

loses: /* never runs the guest: waits to be killed */
  dying[me] -> goto gone;
dies:
  dying[me] = true;
gone:
  alive[me] = false;
end:
  skip
}

/* ---- The old program, up to the execve. */

proctype Old ()
{
  bool ok;

  run_in_program ();
  stop_in_program (); /* its devices are saved and sealed */
  if
  :: STEP (VMM) -> cas (OWNED, 0, VMM, OFFERED, 1, VMM, ok); assert (ok)
  :: STEP (VMM) -> run_in_program (); goto end /* the save failed */
  :: dying[VMM] -> excused = true; alive[VMM] = false; goto end
  fi;
  if
  :: STEP (VMM) -> run Candidate (VMM, 1, false)
  :: STEP (VMM) -> run Candidate (VMM, 1, true) /* the execve failed: it asks, too */
  :: dying[VMM] -> alive[VMM] = false
  fi;
end:
  skip
}

/* ---- The guardians. */

proctype Vcpus (byte me)
{
  do
  :: atomic { go[me] && !dying[me] && alive[me] -> ENTER; in[me] = true };
     /* A kick, or the end of its process. */
     atomic { !go[me] || dying[me] || !alive[me] -> in_run--; in[me] = false }
  :: atomic { dying[me] || !alive[me] -> break }
  od
}

proctype Guardian (byte me)
{
  byte k, watched;
  bool ok;

  /* An heir. */
  if
  :: chief == me
  :: atomic { chief != me && !alive[chief] && !in[chief] -> chief = me } /* it has died */
  :: state == OWNED && attempt > 0 -> goto gone
  :: dying[me] -> goto gone
  fi;
  run Vcpus (me);

acts:
  do
  :: dying[me] -> goto gone
  :: state == OWNED && attempt > 0 -> goto gone

  /* No heir, or a dead one. */
  :: atomic { STEP (me) && !HAS_HEIR (me) && next < N && state != OWNED ->
       heir_of[me] = next; alive[next] = true; next++; run Guardian (heir_of[me]) }

  /* The attempt for which the guest stood is over, or there is none yet. */
  :: STEP (me) && !go[me] && state != OWNED && !(state == OFFERED && stopped_for == attempt) ->
     if
     :: STEP (me) -> go[me] = true
     :: dying[me] -> goto gone
     fi

  :: STEP (me) && go[me] && state == OFFERED && ask == attempt ->
     k = ask;
     go[me] = false;
     if
     :: !in[me]
     :: dying[me] -> goto gone
     fi;
     if
     :: STEP (me) -> late_is_right = true /* the late script */
     :: dying[me] -> goto gone
     fi;
     if
     :: STEP (me) -> stopped_for = k
     :: dying[me] -> goto gone
     fi

  /* The program died, or its time is up, which may be at any time. */
  :: atomic { STEP (me) && state == OFFERED -> k = attempt; watched = owner }
     cas (OFFERED, k, watched, FENCED, k, me, ok);
     if
     :: ok -> goto fenced
     :: !ok
     fi

  /* The guardian before this one died in the middle of a rescue. */
  :: atomic { STEP (me) && state == FENCED && owner != me && !alive[owner] ->
       k = attempt; watched = 0 }
     cas (FENCED, k, owner, FENCED, k, me, ok);
     goto fenced
  od;

fenced: /* the guest goes on meanwhile */
  if
  :: watched == 0
  :: watched != 0 && STEP (me) -> dying[watched] = true
  :: dying[me] -> goto gone
  fi;
  if
  :: watched == 0
  :: watched != 0 && !alive[watched]
  :: dying[me] -> goto gone
  fi;
left:
  if
  :: k >= ATTEMPTS && STEP (me) -> cas (FENCED, k, me, PARKED, k, me, ok); assert (ok); goto acts
  :: k < ATTEMPTS && STEP (me) && HAS_HEIR (me)
  :: atomic { k < ATTEMPTS && STEP (me) && !HAS_HEIR (me) && next < N ->
       heir_of[me] = next; alive[next] = true; next++; run Guardian (heir_of[me]) }
  :: dying[me] -> goto gone
  fi;
  go[me] = false;
  if
  :: !in[me]
  :: dying[me] -> goto gone
  fi;
  if
  :: STEP (me) -> chief = heir_of[me]
  :: dying[me] -> goto gone
  fi;
  if /* it goes when there are two again */
  :: STEP (me) && chief != me && alive[chief] && HAS_HEIR (chief)
  :: atomic { STEP (me) && !alive[chief] && !in[chief] -> chief = me; goto left }
  :: dying[me] -> goto gone
  fi;
  if
  :: STEP (me) -> cas (FENCED, k, me, OFFERED, k + 1, me, ok)
  :: dying[me] -> goto gone
  fi;
  if
  :: ok && STEP (me) -> run Candidate (me, k + 1, true); goto end
  :: ok && dying[me]
  :: !ok /* the heir took it for dead */
  fi;
gone:
  alive[me] = false;
end:
  skip
}

/* Kills up to KILLS guardians, at any time. Programs die by themselves. */
proctype Killer ()
{
  do
  :: atomic { kills < KILLS && alive[2] && !dying[2] && owner != 2 -> dying[2] = true; kills++ }
  :: atomic { kills < KILLS && alive[3] && !dying[3] && owner != 3 -> dying[3] = true; kills++ }
  :: atomic { kills < KILLS && alive[4] && !dying[4] && owner != 4 -> dying[4] = true; kills++ }
  :: atomic { kills < KILLS && alive[5] && !dying[5] && owner != 5 -> dying[5] = true; kills++ }
  :: break
  od
}

/* Runs when no other process can make a step. */
proctype Judge ()
{
  timeout ->
  assert (in_run == 1 || excused || kills > 1)
}

init
{
  atomic {
    alive[VMM] = true;
    alive[2] = true;
    run Old ();
    alive[3] = true;
    heir_of[2] = 3;
    run Guardian (2); /* both are made before the offer */
    run Guardian (3);
    run Killer ();
    run Judge ()
  }
}
