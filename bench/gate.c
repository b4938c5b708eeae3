/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Measures the gate for threads: how long a thread takes to enter and to leave, alone and while
 * another one opens and closes the gate all the time, and how long closing takes. Beside them
 * stands, in the same run, what a VMM might take otherwise: a lock for reading, and a mutex. What
 * waits for nobody is measured in CPU time of its thread, so that other programs don't count.
 *
 *     bench/gate [--json FILE]
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <libcpr/libcpr.h>

#define RUNS           21
#define ROUNDS         100000
#define ROUNDS_AGAINST 1000
#define CLOSES         20
#define MEMBERS        2
#define MOST           20.0 /* ns, uncontended */

static GString *json;

static void
check (bool ok)
{
  if (ok)
    return;
  fprintf (stderr, "bench/gate: failed\n");
  exit (EXIT_FAILURE);
}

static uint64_t
read_clock (clockid_t clock)
{
  struct timespec now;

  clock_gettime (clock, &now);
  return (uint64_t) now.tv_sec * 1000000000 + (uint64_t) now.tv_nsec;
}

static double
since (clockid_t clock, uint64_t begin_ns, unsigned rounds)
{
  return (double) (read_clock (clock) - begin_ns) / rounds;
}

static int
compare (const void *a, const void *b)
{
  double x = *(const double *) a, y = *(const double *) b;

  return x < y ? -1 : x > y;
}

static double
report (const char *name, double *values)
{
  qsort (values, RUNS, sizeof *values, compare);
  printf ("%-58s %10.1f ns   %10.1f   %10.1f\n", name, values[RUNS / 2], values[0], values[RUNS - 1]);
  g_string_append_printf (json, "%s\n  {\"name\": \"%s\", \"median_ns\": %.1f, \"least_ns\": %.1f, \"most_ns\": %.1f}",
                          json->len > 1 ? "," : "", name, values[RUNS / 2], values[0], values[RUNS - 1]);
  return values[RUNS / 2];
}

/* ---- Alone. */

#define CPU CLOCK_THREAD_CPUTIME_ID

static double
pass_gate (void *gate)
{
  uint64_t begin = read_clock (CPU);

  for (unsigned i = 0; i < ROUNDS; i++)
    {
      check (cpr_gate_enter (gate));
      cpr_gate_leave (gate);
    }
  return since (CPU, begin, ROUNDS);
}

static double
pass_inside (void *gate)
{
  double each;

  check (cpr_gate_enter (gate));
  each = pass_gate (gate);
  cpr_gate_leave (gate);
  return each;
}

static double
pass_rwlock (void *rwlock)
{
  uint64_t begin = read_clock (CPU);

  for (unsigned i = 0; i < ROUNDS; i++)
    {
      pthread_rwlock_rdlock (rwlock);
      pthread_rwlock_unlock (rwlock);
    }
  return since (CPU, begin, ROUNDS);
}

static double
pass_mutex (void *mutex)
{
  uint64_t begin = read_clock (CPU);

  for (unsigned i = 0; i < ROUNDS; i++)
    {
      pthread_mutex_lock (mutex);
      pthread_mutex_unlock (mutex);
    }
  return since (CPU, begin, ROUNDS);
}

static double
measure (const char *name, double (*pass) (void *), void *data)
{
  double values[RUNS];

  for (unsigned run = 0; run < RUNS; run++)
    values[run] = pass (data);
  return report (name, values);
}

/* ---- With others. */

#define WALL CLOCK_MONOTONIC

typedef struct
{
  CprGate *gate;
  atomic_bool end;
  atomic_uint passes;
} Crowd;

static void *
open_and_close (void *data)
{
  Crowd *crowd = data;

  while (!crowd->end)
    {
      cpr_gate_open (crowd->gate);
      check (cpr_gate_close (crowd->gate, 10000, NULL));
    }
  cpr_gate_open (crowd->gate);
  return NULL;
}

static double
pass_against_closer (void *data)
{
  Crowd *crowd = data;
  uint64_t begin = read_clock (WALL);

  for (unsigned i = 0; i < ROUNDS_AGAINST; i++)
    {
      check (cpr_gate_enter (crowd->gate));
      cpr_gate_leave (crowd->gate);
    }
  return since (WALL, begin, ROUNDS_AGAINST);
}

static void *
pass_all_the_time (void *data)
{
  Crowd *crowd = data;

  while (cpr_gate_enter (crowd->gate))
    {
      atomic_fetch_add (&crowd->passes, 1);
      cpr_gate_leave (crowd->gate);
    }
  return NULL;
}

/* Each time when a member has come in. */
static double
close_often (void *data)
{
  Crowd *crowd = data;
  uint64_t took = 0;

  for (unsigned i = 0; i < CLOSES; i++)
    {
      unsigned passes = crowd->passes;
      uint64_t begin;

      cpr_gate_open (crowd->gate);
      while (!crowd->end && crowd->passes == passes)
        sched_yield ();
      begin = read_clock (WALL);
      check (cpr_gate_close (crowd->gate, 10000, NULL));
      took += read_clock (WALL) - begin;
    }
  return (double) took / CLOSES;
}

static void *
sleep_at_gate (void *gate)
{
  if (cpr_gate_enter (gate))
    cpr_gate_leave (gate);
  return NULL;
}

static CprGate *
new_gate (void)
{
  CprGate *gate = cpr_gate_new (NULL);

  check (gate != NULL);
  return gate;
}

static void
run_thread (pthread_t *thread, void *(*entry) (void *), void *data)
{
  check (pthread_create (thread, NULL, entry, data) == 0);
}

static void
end_threads (pthread_t *threads, unsigned n)
{
  for (unsigned i = 0; i < n; i++)
    pthread_join (threads[i], NULL);
}

/* A second thread is there all the time: in a process with one the C library's locks aren't any. */
static double
measure_alone (void)
{
  g_autoptr (CprGate) closed = new_gate ();
  g_autoptr (CprGate) gate = new_gate ();
  pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_t sleeper;
  double alone;

  run_thread (&sleeper, sleep_at_gate, closed);
  cpr_gate_open (gate);
  alone = measure ("enter and leave", pass_gate, gate);
  measure ("enter and leave, inside already", pass_inside, gate);
  measure ("a lock for reading, for comparison", pass_rwlock, &rwlock);
  measure ("a mutex, for comparison", pass_mutex, &mutex);
  check (cpr_gate_dismiss (closed, 0, NULL));
  end_threads (&sleeper, 1);
  return alone;
}

static void
measure_with_closer (void)
{
  g_autoptr (CprGate) gate = new_gate ();
  Crowd crowd = { .gate = gate };
  pthread_t closer;

  run_thread (&closer, open_and_close, &crowd);
  measure ("enter and leave, with a thread that opens and closes", pass_against_closer, &crowd);
  crowd.end = true;
  end_threads (&closer, 1);
}

static void
measure_closing (void)
{
  g_autoptr (CprGate) gate = new_gate ();
  Crowd crowd = { .gate = gate, .end = true };
  pthread_t members[MEMBERS];

  measure ("close, nobody inside", close_often, &crowd);
  crowd.end = false;
  for (unsigned i = 0; i < MEMBERS; i++)
    run_thread (&members[i], pass_all_the_time, &crowd);
  measure ("close, with 2 threads that enter and leave all the time", close_often, &crowd);
  check (cpr_gate_dismiss (gate, 10000, NULL));
  end_threads (members, MEMBERS);
}

int
main (int argc, char **argv)
{
  double alone;

  json = g_string_new ("[");
  printf ("%-58s %13s   %10s   %10s\n", "", "median", "least", "most");
  alone = measure_alone ();
  measure_with_closer ();
  measure_closing ();
  g_string_append (json, "\n]\n");
  if (argc == 3 && strcmp (argv[1], "--json") == 0)
    check (g_file_set_contents (argv[2], json->str, -1, NULL));
  g_string_free (json, TRUE);
  if (alone > MOST)
    printf ("enter and leave: %.1f ns, more than %.0f\n", alone, MOST);
  return alone > MOST ? EXIT_FAILURE : EXIT_SUCCESS;
}
