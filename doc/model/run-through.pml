/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Exec mode in which the guest runs on, which the library doesn't have yet: from the end of the old
 * program until the new one has loaded all but the late state, a runner runs the vCPUs of the old
 * VM. It may, since it shares the address space that made that VM. A program that wants the guest
 * asks for it (`ask`). The runner then stops its vCPU threads, saves what the kernel keeps, and says
 * so (`stopped_for`). The program loads that and commits. As long as it hasn't committed, the runner
 * may let the guest run again, once the baton names another attempt or is fenced.
 *
 *   spin -a -DATTEMPTS=3 -DKILLS=0 run-through.pml && cc -O2 -DSAFETY -o pan pan.c && ./pan -E -m100000
 *   spin -a -DATTEMPTS=2 -DKILLS=1 run-through.pml && cc -O2 -DSAFETY -DCOLLAPSE -o pan pan.c && ./pan -E -m100000
 *
 * The runner has an heir, which shares the same address space and does nothing until the runner is
 * dead. The guardians are other processes: each watches a candidate, and executes the old program
 * if that one is dead or too slow. A guardian leaves another one behind, which watches it then. No
 * guardian touches the vCPUs, and no runner executes a program.
 *
 * Up to KILLS guardians and runners are killed, between any two steps. Programs hang, fail and crash.
 *
 * Claims:
 *   1. Two processes never run the guest at once (assert in ENTER).
 *   2. A program that commits has loaded the state in which the guest stopped, and the guest hasn't
 *      run since (assert at the commit).
 *   3. At the end a process runs the guest (Judge). It runs even where the baton is parked, as long
 *      as it needs no device. The exceptions: an owner died, or two were killed, or a guardian was
 *      killed and the program that it watched didn't commit, as in every update of exec mode.
 */

#define VMM 1              /* the process that starts as the old program */
#define RUNNER 2
#define HEIR 3
#define N (5 + ATTEMPTS)   /* they, and the guardians, from 4 on */

mtype = { OWNED, OFFERED, FENCED, PARKED };

/* The baton's word. */
mtype state = OWNED;
byte attempt = 0;
byte owner = VMM;

bool no_more = false;    /* the old program has executed another one, or is dead */
byte ask = 0;         /* the attempt whose program wants the guest */
byte stopped_for = 0; /* the attempt for which it stands, with its late state saved */
bool go[N];           /* a runner's vCPU threads are to run */

bool alive[N];
bool dying[N];        /* it was killed and still exists */
byte next = 5;        /* the number of the next guardian */
byte in_run = 0;      /* how many processes are in KVM_RUN; a VM's vCPUs count as one */
bool in[N];           /* a runner's threads are */
bool late_is_right = false; /* what was saved last is what the guest is */
bool excused = false;       /* the guest is lost in a way that claim 3 excepts */
byte kills = 0;             /* of guardians and runners */
bool guardian_killed = false;

#define STEP(me) (!dying[me])

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
  :: STEP (VMM) -> run_in_program (); goto end /* the save failed, and the runners are ended first */
  :: dying[VMM] -> excused = true; alive[VMM] = false; goto end
  fi;
  if
  :: STEP (VMM) -> no_more = true; run Candidate (VMM, 1, false)
  :: STEP (VMM) -> skip /* the execve failed: the baton again, and the guest where it always was */
     alive[RUNNER] = false; alive[HEIR] = false;
     cas (OFFERED, 1, VMM, OWNED, 1, VMM, ok);
     if
     :: ok -> run_in_program ()
     :: !ok -> excused = true /* no guest for anybody: the runners are gone */
     fi
  :: dying[VMM] -> no_more = true; alive[VMM] = false
  fi;
end:
  skip
}

/* ---- The runners. */

proctype Vcpus (byte me)
{
  do
  :: atomic { go[me] && !dying[me] && alive[me] -> ENTER; in[me] = true };
     /* A kick, or the end of its process. */
     atomic { !go[me] || dying[me] || !alive[me] -> in_run--; in[me] = false }
  :: atomic { dying[me] || !alive[me] -> break }
  od
}

proctype Runner (byte me)
{
  byte k;

  if
  :: me == RUNNER && no_more
  :: me == HEIR && !alive[RUNNER] && !in[RUNNER] && no_more /* the heir learns of a death, and waits for the pipe, too */
  :: !alive[me] -> goto end /* ended: the execve failed */
  :: state == OWNED && attempt > 0 -> goto gone_now
  :: dying[me] -> goto gone_now
  fi;
  run Vcpus (me);
  do
  :: dying[me] -> goto gone_now
  :: state == OWNED && attempt > 0 -> goto gone_now

  /* The attempt for which the guest stood is over, or there is none yet. */
  :: STEP (me) && !go[me] && state != OWNED && !(state == OFFERED && (stopped_for == attempt || ask == attempt)) ->
     if
     :: STEP (me) -> go[me] = true
     :: dying[me] -> goto gone_now
     fi

  :: STEP (me) && state == OFFERED && ask == attempt && stopped_for != attempt ->
     k = ask;
     go[me] = false;
     if
     :: !in[me]
     :: dying[me] -> goto gone_now
     fi;
     if
     :: STEP (me) -> late_is_right = true /* the late script */
     :: dying[me] -> goto gone_now
     fi;
     if
     :: STEP (me) -> stopped_for = k
     :: dying[me] -> goto gone_now
     fi
  od;

gone_now:
  alive[me] = false;
end:
  skip
}

/* ---- The guardians. */

proctype Guardian (byte me; byte watched)
{
  byte k;
  bool ok;

  do
  :: dying[me] -> goto gone_now
  :: state == OWNED && attempt > 0 -> goto gone_now
  :: state != OWNED && owner != watched && (!alive[owner] || state == PARKED) -> goto gone_now /* another's matter */

  /* The candidate died, or its time is up, which may be at any time. */
  :: atomic { STEP (me) && state == OFFERED && owner == watched -> k = attempt }
     cas (OFFERED, k, watched, FENCED, k, me, ok);
     if
     :: ok -> break
     :: !ok
     fi
  od;
  if
  :: STEP (me) -> dying[watched] = true
  :: dying[me] -> goto killed
  fi;
  if
  :: !alive[watched]
  :: dying[me] -> goto killed
  fi;
  if
  :: k >= ATTEMPTS && STEP (me) -> cas (FENCED, k, me, PARKED, k, me, ok); assert (ok); goto end
  :: k < ATTEMPTS && STEP (me) -> cas (FENCED, k, me, OFFERED, k + 1, me, ok); assert (ok)
  :: dying[me] -> goto killed
  fi;
  if
  :: atomic { STEP (me) -> alive[next] = true; run Guardian (next, me); next++ }
  :: dying[me] -> goto killed
  fi;
  if
  :: STEP (me) -> run Candidate (me, k + 1, true); goto end
  :: dying[me] -> goto gone_now
  fi;
killed: /* nobody follows */
gone_now:
  alive[me] = false;
end:
  skip
}

/* Kills up to KILLS guardians and runners, at any time. Programs die by themselves. */
proctype Killer ()
{
  do
  :: atomic { kills < KILLS && alive[2] && !dying[2] -> dying[2] = true; kills++ }
  :: atomic { kills < KILLS && alive[3] && !dying[3] -> dying[3] = true; kills++ }
  :: atomic { kills < KILLS && alive[4] && !dying[4] && owner != 4 -> dying[4] = true; kills++; guardian_killed = true }
  :: atomic { kills < KILLS && alive[5] && !dying[5] && owner != 5 -> dying[5] = true; kills++; guardian_killed = true }
  :: break
  od
}

/* Runs when no other process can make a step. */
proctype Judge ()
{
  timeout ->
  assert (in_run == 1 || excused || kills > 1 || (guardian_killed && state != OWNED))
}

init
{
  atomic {
    alive[VMM] = true;
    alive[RUNNER] = true;
    alive[HEIR] = true;
    alive[4] = true;
    run Old ();
    run Runner (RUNNER); /* all are made before the offer */
    run Runner (HEIR);
    run Guardian (4, VMM);
    run Killer ();
    run Judge ()
  }
}
