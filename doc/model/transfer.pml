/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The baton in transfer mode (lib/handoff/transfer): the old program O and the new one N are two
 * processes, and there is no guardian. O exists until the commit, and takes the guest back itself.
 * Either may be killed between any two steps. N may also fail and say so, or hang, for ever or until
 * O has given it up. O may find that N took too long, or be told to cancel, at any time.
 *
 *   spin -a transfer.pml && cc -O2 -DSAFETY -o pan pan.c && ./pan -E -m100000
 *
 * -E, since a program that hangs has no end where nobody is left to kill it.
 *
 * Claims:
 *   1. The two never run the guest at once (assert in run_guest).
 *   2. At the end one of them runs the guest (Judge). The exceptions: an owner died, or O died with
 *      the guest stopped and N couldn't have the guest or wasn't permitted to.
 *   3. Once N has the guest O never runs it again (assert in Old).
 *   4. The guest runs in the process in which the kernel thinks guest RAM is mapped (assert in
 *      run_guest). For assigned devices N tells the kernel while it loads, mapping by mapping. O
 *      tells the kernel again when it has fenced N and N has ended.
 */

#define O 1
#define N 2
#define SOME_OF_EACH 3

mtype = { OWNED, OFFERED, FENCED };

/* The baton's word. */
mtype state = OWNED;
byte attempt = 0;
byte owner = O;

bool alive[3];
bool dying[3];        /* it was killed and still exists */
byte running = 0;     /* how many processes run the guest */
bool excused = false; /* the guest is lost in a way that claim 2 excepts */
bool sent = false;    /* the state is in the socket, which keeps it when O dies */
bool failed = false;  /* N said that it gives up */
bool committed = false;
bool hangs = false;   /* N, until somebody kills it */
byte mapped = O;      /* in whose address space the kernel thinks that guest RAM is */

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
    assert (running == 1);
    assert (mapped == me)
  }
}

proctype Old ()
{
  bool ok;

  run_guest (O);
  if
  :: STEP (O)
  :: dying[O] -> atomic { running--; excused = true; goto gone }
  fi;
  running--; /* stop, save, seal */
  if
  :: STEP (O) -> cas (OWNED, 0, O, OFFERED, 1, N, ok); assert (ok)
  :: STEP (O) -> run_guest (O); goto end /* it failed so far, or was cancelled */
  :: dying[O] -> excused = true; goto gone
  fi;
  if
  :: STEP (O) -> sent = true
  :: STEP (O) -> skip /* it can't be sent */
  :: dying[O] -> excused = true; goto gone /* N never hears of it */
  fi;

  /* N has committed, has failed, is dead, or takes too long, which may be at any time. */
  if
  :: STEP (O) -> cas (OFFERED, 1, N, FENCED, 1, O, ok)
  :: dying[O] -> excused = (failed || !sent || !alive[N] || dying[N]); goto gone
  fi;
  if
  :: !ok -> assert (committed); goto end
  :: ok && STEP (O) -> skip
  :: ok && dying[O] -> excused = true; goto gone
  fi;
  if
  :: failed -> skip
  :: !failed && STEP (O) -> dying[N] = true;
     if
     :: !alive[N] -> skip
     :: skip /* it has waited long enough: N can't die, and can't commit either */
     fi
  :: dying[O] -> excused = true; goto gone
  fi;
  if
  :: STEP (O) -> cas (FENCED, 1, O, OWNED, 1, O, ok); assert (ok)
  :: dying[O] -> excused = true; goto gone
  fi;
  assert (!committed);
  if
  :: STEP (O) -> mapped = O /* whatever N had done */
  :: dying[O] -> excused = true; goto gone
  fi;
  if
  :: STEP (O) -> run_guest (O); goto end
  :: dying[O] -> excused = true
  fi;
gone:
  alive[O] = false;
end:
  skip
}

proctype New ()
{
  bool ok;

  if
  :: sent -> skip
  :: dying[N] -> goto gone
  :: !alive[O] && !sent -> goto gone /* the connection has ended */
  :: state == OWNED && attempt == 1 -> goto gone
  fi;
  /* The load may take any time. At its end N tells the kernel. */
  do
  :: atomic { STEP (N) && mapped == O -> mapped = SOME_OF_EACH }
  :: atomic { STEP (N) && mapped == SOME_OF_EACH -> mapped = N }
  :: STEP (N) && mapped == N -> break
  :: STEP (N) -> failed = true; excused = (excused || !alive[O] || dying[O]); goto gone
  :: STEP (N) -> dying[N] = true; excused = (excused || !alive[O] || dying[O]); goto gone
  :: STEP (N) -> hangs = true; /* until it is killed */
     dying[N] -> excused = (excused || !alive[O] || dying[O]); goto gone
  :: dying[N] -> excused = (excused || !alive[O] || dying[O]); goto gone
  od;
  if
  :: STEP (N) -> atomic { cas (OFFERED, 1, N, OWNED, 1, N, ok); committed = ok }
  :: dying[N] -> excused = (excused || !alive[O] || dying[O]); goto gone
  fi;
  if
  :: !ok -> goto gone /* it never runs the guest */
  :: ok && STEP (N) -> run_guest (N); goto end
  :: ok && dying[N] -> excused = true /* an owner that dies */
  fi;
gone:
  alive[N] = false;
end:
  skip
}

/* A killer from outside kills one of them. */
proctype Killer ()
{
  if
  :: atomic { alive[O] && state != OWNED -> dying[O] = true }
  :: atomic { alive[N] && !committed -> dying[N] = true }
  :: skip
  fi
}

/* Runs when no other process can make a step. */
proctype Judge ()
{
  timeout ->
  assert (running == 1 || excused || (hangs && !alive[O]))
}

init
{
  atomic {
    alive[O] = true;
    alive[N] = true;
    run Old ();
    run New ();
    run Killer ();
    run Judge ()
  }
}
