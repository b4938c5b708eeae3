/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Threads at a gate. The tests of the gate call it. */
#include "visitor.h"

CprGate *
gate_new (bool open)
{
  GError *error = NULL;
  CprGate *gate = cpr_gate_new (&error);

  assert_no_error (error);
  if (open)
    cpr_gate_open (gate);
  return gate;
}

double
ms_since (uint64_t begin_ns)
{
  return (double) (cpr_now_ns () - begin_ns) / 1e6;
}

void
wait_for (sem_t *event)
{
  while (sem_wait (event) != 0)
    ;
}

void
close_gate (CprGate *gate)
{
  GError *error = NULL;

  cpr_gate_close (gate, LONG, &error);
  assert_no_error (error);
}

void
kick_visitor (void *data)
{
  Visitor *visitor = data;

  if (atomic_fetch_add (&visitor->kicks, 1) >= visitor->n_lost)
    sem_post (&visitor->may_leave);
}

void
only_count (void *data)
{
  Visitor *visitor = data;

  atomic_fetch_add (&visitor->kicks, 1);
}

void *
close_gate_main (void *gate)
{
  close_gate (gate);
  return NULL;
}

void *
visit (void *data)
{
  Visitor *visitor = data;

  if (visitor->name != NULL)
    cpr_gate_join (visitor->gate, visitor->name, visitor->kick, visitor, NULL);
  else
    pthread_setname_np (pthread_self (), "nameless");
  sem_post (&visitor->ready);
  visitor->got_in = cpr_gate_enter (visitor->gate);
  if (!visitor->got_in)
    return NULL;
  sem_post (&visitor->inside);
  wait_for (&visitor->may_leave);
  cpr_gate_leave (visitor->gate);
  return NULL;
}

void
visitor_start (Visitor *visitor, CprGate *gate, const char *name, CprGateKickFunc kick, void *(*entry) (void *) )
{
  *visitor = (Visitor){ .gate = gate, .name = name, .kick = kick };
  sem_init (&visitor->ready, 0, 0);
  sem_init (&visitor->inside, 0, 0);
  sem_init (&visitor->may_leave, 0, 0);
  ck_assert_int_eq (pthread_create (&visitor->thread, NULL, entry, visitor), 0);
  wait_for (&visitor->ready);
}

void *
visitor_join (Visitor *visitor)
{
  void *result;

  ck_assert_int_eq (pthread_join (visitor->thread, &result), 0);
  sem_destroy (&visitor->ready);
  sem_destroy (&visitor->inside);
  sem_destroy (&visitor->may_leave);
  return result;
}

void
visitor_end (Visitor *visitor)
{
  sem_post (&visitor->may_leave);
  visitor_join (visitor);
}
