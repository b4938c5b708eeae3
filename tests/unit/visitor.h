/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_UNIT_VISITOR_H
#define TESTS_UNIT_VISITOR_H

#include "helpers.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#define LONG  20000 /* ms: more than any wait needs */
#define SHORT 20

CprGate *gate_new (bool open);
/* Must succeed. */
void close_gate (CprGate *gate);
/* The same as threads. */
void *close_gate_main (void *gate);

double ms_since (uint64_t begin_ns);
void wait_for (sem_t *event);

/* A thread that enters a gate once, says so, and leaves when it may. */
typedef struct
{
  CprGate *gate;
  const char *name; /* NULL: it doesn't join */
  CprGateKickFunc kick;
  pthread_t thread;
  sem_t ready, inside, may_leave;
  bool got_in;
  atomic_uint kicks;
  unsigned n_lost; /* kicks without an effect */
} Visitor;

/* Kicks: one that lets it leave, and one that has no effect. Both are counted. */
void kick_visitor (void *visitor);
void only_count (void *visitor);

/* What the thread does. Others have to post `ready`. */
void *visit (void *visitor);

void visitor_start (Visitor *visitor, CprGate *gate, const char *name, CprGateKickFunc kick, void *(*entry) (void *) );
/* Waits for the thread's end, and has its result. */
void *visitor_join (Visitor *visitor);
/* The same after letting it leave. */
void visitor_end (Visitor *visitor);

#endif
