/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The baton in transfer mode (lib/handoff/transfer/transfer.c, arrival.c): the old program O and the new one N are two processes, and there is no
 * guardian: O is there until the commit, and takes the guest back itself. Either may be killed between any two steps; N may also hang,
 * for ever or until O has given it up, or fail and say so. O may find that it took too long, or be told to cancel, at any time.
 *
 *   spin -a transfer.pml && cc -O2 -DSAFETY -o pan pan.c && ./pan -m100000
 *
 * Claims:
 *   1. never two run the guest                                   (assert in run_guest)
 *   2. at the end one of them runs it, unless an owner died, or O died with the guest stopped and N couldn't or mayn't have it (Judge)
 *   3. once N has it O never runs it again                       (assert in Old)
 *   4. who runs it is who the kernel thinks has guest RAM mapped  (assert in run_guest): of assigned devices N tells it while it loads,
 *      mapping by mapping, and O tells it again when it has fenced N and N has ended
 */

#define O 1
#define N 2
#define SOME_OF_EACH 3

mtype = { OWNED, OFFERED, FENCED };

/* The word. */
mtype state = OWNED;
byte attempt = 0;
byte owner = O;

bool alive[3];
bool dying[3];        /* it was killed and isn't gone yet */
byte running = 0;     /* who runs the guest; counted */
bool excused = false; /* what nobody can put right: see claim 2 */
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

/* Every step of a process begins with this: a kill takes effect between two steps. */
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
  :: STEP (O) -> mapped = O /* whatever N got done */
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
  /* It may take any time for what follows, which ends with what it tells the kernel. */
  do
  :: atomic { STEP (N) && mapped == O -> mapped = SOME_OF_EACH }
  :: atomic { STEP (N) && mapped == SOME_OF_EACH -> mapped = N }
  :: STEP (N) && mapped == N -> break
  :: STEP (N) -> failed = true; excused = (excused || !alive[O] || dying[O]); goto gone
  :: STEP (N) -> dying[N] = true; excused = (excused || !alive[O] || dying[O]); goto gone
  :: STEP (N) -> hangs = true; dying[N] -> excused = (excused || !alive[O] || dying[O]); goto gone /* it hangs until it is killed */
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

/* Somebody outside kills one of them. */
proctype Killer ()
{
  if
  :: atomic { alive[O] && state != OWNED -> dying[O] = true }
  :: atomic { alive[N] && !committed -> dying[N] = true }
  :: skip
  fi
}

/* When nothing can move any more. */
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
