/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "visitor.h"

#include <limits.h>
#include <sched.h>

/* ---- Threads that end in the middle. */

START_TEST (a_thread_that_is_cancelled_while_it_waits_leaves_nothing_behind)
{
  g_autoptr (CprGate) gate = gate_new (false);
  Visitor visitors[2];

  for (unsigned i = 0; i < 2; i++)
    visitor_start (&visitors[i], gate, "waiting", NULL, visit);
  pthread_cancel (visitors[0].thread);
  ck_assert_ptr_eq (visitor_join (&visitors[0]), PTHREAD_CANCELED);
  cpr_gate_open (gate);
  visitor_end (&visitors[1]);
  ck_assert (visitors[1].got_in && !visitors[0].got_in);
  close_gate (gate);
}
END_TEST

START_TEST (a_thread_that_is_cancelled_inside_has_left)
{
  g_autoptr (CprGate) gate = gate_new (true);
  Visitor visitor;

  visitor_start (&visitor, gate, "cancelled", NULL, visit);
  wait_for (&visitor.inside);
  ck_assert (!cpr_gate_close (gate, 0, NULL));
  pthread_cancel (visitor.thread);
  close_gate (gate); /* woken by the thread's end */
  ck_assert_ptr_eq (visitor_join (&visitor), PTHREAD_CANCELED);
}
END_TEST

static void *
end_inside (void *data)
{
  Visitor *visitor = data;

  sem_post (&visitor->ready);
  visitor->got_in = cpr_gate_enter (visitor->gate) && cpr_gate_enter (visitor->gate);
  return NULL;
}

START_TEST (a_thread_that_ends_inside_has_left)
{
  g_autoptr (CprGate) gate = gate_new (true);
  Visitor visitor;

  visitor_start (&visitor, gate, NULL, NULL, end_inside);
  visitor_join (&visitor);
  ck_assert (visitor.got_in);
  ck_assert (cpr_gate_close (gate, 0, NULL));
}
END_TEST

static void *
close_and_open (void *data)
{
  CprGate *gate = data;
  bool ok;

  pthread_cancel (pthread_self ()); /* pending: the next cancellation point ends the thread */
  ok = cpr_gate_close (gate, SHORT, NULL);
  cpr_gate_open (gate);
  if (cpr_gate_enter (gate))
    cpr_gate_leave (gate);
  cpr_gate_quit (gate);
  ok = ok || cpr_gate_close (gate, SHORT, NULL);
  return GINT_TO_POINTER (ok);
}

START_TEST (only_waiting_at_the_gate_is_a_cancellation_point)
{
  g_autoptr (CprGate) gate = gate_new (true);
  Visitor visitor;
  pthread_t thread;
  void *result;

  visitor_start (&visitor, gate, "inside", NULL, visit);
  wait_for (&visitor.inside);
  ck_assert_int_eq (pthread_create (&thread, NULL, close_and_open, gate), 0);
  pthread_join (thread, &result);
  ck_assert_ptr_eq (result, GINT_TO_POINTER (false));
  visitor_end (&visitor);
}
END_TEST

/* ---- Under load: what is written inside is never written while the gate is closed. */

#define N_WORKERS 8

typedef struct
{
  CprGate *gate;
  uint64_t words[N_WORKERS]; /* plain memory, as guest RAM is */
  atomic_uint next;
  atomic_bool end;
  bool in_turns; /* members come and go */
} Load;

static void
do_nothing (void *data)
{
}

/* One stay of a thread: joined by name, or not. */
static void
work_for_a_while (Load *load, unsigned index, unsigned rounds)
{
  if (index % 2 == 0)
    cpr_gate_join (load->gate, "worker", do_nothing, load, NULL);
  for (unsigned i = 0; i < rounds && !load->end; i++)
    if (index % 3 == 0 ? cpr_gate_try_enter (load->gate, i % 3) : cpr_gate_enter (load->gate))
      {
        load->words[index]++;
        if (i % 16 == 0 && cpr_gate_enter (load->gate))
          {
            load->words[index]++;
            cpr_gate_leave (load->gate);
          }
        if (i % 64 == 0)
          sched_yield ();
        load->words[index]++;
        cpr_gate_leave (load->gate);
      }
}

static void *
work (void *data)
{
  Load *load = data;
  unsigned index = atomic_fetch_add (&load->next, 1);

  while (!load->end)
    {
      work_for_a_while (load, index, load->in_turns ? 50 : UINT_MAX);
      if (index % 4 == 1 && cpr_gate_try_enter (load->gate, 1))
        load->words[index]++; /* and quits inside */
      cpr_gate_quit (load->gate);
    }
  return NULL;
}

static void
check_stillness (Load *load)
{
  uint64_t before[N_WORKERS];

  for (unsigned i = 0; i < N_WORKERS; i++)
    before[i] = load->words[i];
  sched_yield ();
  for (unsigned i = 0; i < N_WORKERS; i++)
    {
      ck_assert_uint_eq (load->words[i], before[i]);
      load->words[i]++; /* they see it when they are let in */
    }
}

static void *
open_and_close (void *data)
{
  Load *load = data;

  for (unsigned i = 0; i < 20; i++)
    {
      cpr_gate_open (load->gate);
      if (i % 2 == 0)
        sched_yield ();
      close_gate (load->gate);
      check_stillness (load);
    }
  return NULL;
}

/* The gate is opened by the thread that closed it, and by another one. */
static void
run_load (bool in_turns)
{
  Load load = { .gate = gate_new (false), .in_turns = in_turns };
  pthread_t workers[N_WORKERS], stopper;
  uint64_t begin = cpr_now_ns (), total = 0;

  for (unsigned i = 0; i < N_WORKERS; i++)
    ck_assert_int_eq (pthread_create (&workers[i], NULL, work, &load), 0);
  while (ms_since (begin) < 1000)
    {
      cpr_gate_open (load.gate);
      ck_assert_int_eq (pthread_create (&stopper, NULL, open_and_close, &load), 0);
      pthread_join (stopper, NULL);
      total++;
    }
  load.end = true;
  cpr_gate_open (load.gate);
  for (unsigned i = 0; i < N_WORKERS; i++)
    pthread_join (workers[i], NULL);
  ck_assert_uint_gt (total, 1);
  close_gate (load.gate);
  cpr_gate_free (load.gate);
}

START_TEST (nothing_is_written_while_the_gate_is_closed)
{
  run_load (false);
}
END_TEST

START_TEST (nothing_is_written_where_members_come_and_go)
{
  run_load (true);
}
END_TEST

/* ---- The instant of closing: with one thread on each of two CPUs it is met often enough. */

typedef struct
{
  CprGate *gate;
  int cpu; /* -1: any */
  atomic_bool stands, end;
  unsigned intrusions;
} Instant;

static void
move_to (int cpu)
{
  cpu_set_t set;

  CPU_ZERO (&set);
  if (cpu < 0)
    return;
  CPU_SET (cpu, &set);
  sched_setaffinity (0, sizeof set, &set);
}

/* Two of those that this process may use, or -1. */
static void
find_cpus (int cpus[2])
{
  cpu_set_t set;
  int n = 0;

  cpus[0] = cpus[1] = -1;
  if (sched_getaffinity (0, sizeof set, &set) != 0 || CPU_COUNT (&set) < 2)
    return;
  for (int i = 0; n < 2; i++)
    if (CPU_ISSET (i, &set))
      cpus[n++] = i;
}

/* Stays inside for long enough to see that the guest stands, should the thread have slipped in. */
static void *
look_from_inside (void *data)
{
  Instant *instant = data;

  move_to (instant->cpu);
  while (!instant->end)
    if (cpr_gate_try_enter (instant->gate, 0))
      {
        for (unsigned i = 0; i < 300; i++)
          instant->intrusions += atomic_load_explicit (&instant->stands, memory_order_relaxed);
        cpr_gate_leave (instant->gate);
      }
  return NULL;
}

static void
spin (unsigned rounds)
{
  for (volatile unsigned i = 0; i < rounds; i++)
    ;
}

START_TEST (nobody_slips_in_at_the_instant_of_closing)
{
  g_autoptr (CprGate) gate = gate_new (false);
  Instant instant = { .gate = gate };
  uint64_t begin = cpr_now_ns ();
  pthread_t thread;
  cpu_set_t before;
  int cpus[2];

  sched_getaffinity (0, sizeof before, &before);
  find_cpus (cpus);
  instant.cpu = cpus[0];
  ck_assert_int_eq (pthread_create (&thread, NULL, look_from_inside, &instant), 0);
  move_to (cpus[1]);
  for (unsigned i = 0; i % 1000 != 0 || ms_since (begin) < 1000; i++)
    {
      cpr_gate_open (gate);
      spin (i % 97 * 3);
      close_gate (gate);
      atomic_store_explicit (&instant.stands, true, memory_order_relaxed);
      spin (1000);
      instant.stands = false;
    }
  instant.end = true;
  pthread_join (thread, NULL);
  sched_setaffinity (0, sizeof before, &before);
  ck_assert_uint_eq (instant.intrusions, 0);
}
END_TEST

/* A thread that is missed at one of these would wait for ever. */
START_TEST (nobody_is_forgotten_at_the_gate)
{
  g_autoptr (CprGate) gate = gate_new (false);

  for (unsigned i = 0; i < 300; i++)
    {
      Visitor visitors[4];

      for (unsigned j = 0; j < 4; j++)
        visitor_start (&visitors[j], gate, "passer-by", NULL, visit);
      cpr_gate_open (gate);
      for (unsigned j = 0; j < 4; j++)
        visitor_end (&visitors[j]);
      close_gate (gate);
    }
}
END_TEST

static void *
come_and_go (void *data)
{
  Visitor *visitor = data;

  sem_post (&visitor->ready);
  while (cpr_gate_enter (visitor->gate))
    {
      sched_yield ();
      cpr_gate_leave (visitor->gate);
      pthread_testcancel ();
    }
  return NULL;
}

START_TEST (threads_are_cancelled_at_any_moment)
{
  g_autoptr (CprGate) gate = gate_new (false);

  for (unsigned i = 0; i < 100; i++)
    {
      Visitor visitors[4];

      for (unsigned j = 0; j < 4; j++)
        visitor_start (&visitors[j], gate, NULL, NULL, come_and_go);
      cpr_gate_open (gate);
      for (unsigned j = 0; j < 4; j++)
        {
          pthread_cancel (visitors[j].thread);
          close_gate (gate);
          ck_assert_ptr_eq (visitor_join (&visitors[j]), PTHREAD_CANCELED);
          cpr_gate_open (gate);
        }
      close_gate (gate);
    }
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("gate: threads");

  tcase_add_test (tests, a_thread_that_is_cancelled_while_it_waits_leaves_nothing_behind);
  tcase_add_test (tests, a_thread_that_is_cancelled_inside_has_left);
  tcase_add_test (tests, a_thread_that_ends_inside_has_left);
  tcase_add_test (tests, only_waiting_at_the_gate_is_a_cancellation_point);
  tcase_add_test (tests, nothing_is_written_while_the_gate_is_closed);
  tcase_add_test (tests, nothing_is_written_where_members_come_and_go);
  if (!under_valgrind ()) /* it runs one thread at a time: there is no such instant */
    tcase_add_test (tests, nobody_slips_in_at_the_instant_of_closing);
  tcase_add_test (tests, nobody_is_forgotten_at_the_gate);
  tcase_add_test (tests, threads_are_cancelled_at_any_moment);
  return run_suite (suite);
}
