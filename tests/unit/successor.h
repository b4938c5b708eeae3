/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_UNIT_SUCCESSOR_H
#define TESTS_UNIT_SUCCESSOR_H

#include "machine.h"

/* A program that is taking a guest over, up to its cpr_session_load(): a session in this process
 * that has taken up a state and claimed all of it. */
typedef struct
{
  Machine machine;
  Offer offer;
  CprSession *session;
  CprBatonPage *page;
  Serial serial;
  Disk disk;
} Successor;

/* @attempt: 1: on the way there; 2: the old program, executed again. */
void successor_init (Successor *successor, Guest *guest, unsigned attempt);
/* @prepare: adds to the tables of the old program. */
void successor_init_with (Successor *successor, Guest *guest, unsigned attempt, void (*prepare) (Machine *machine));
void successor_clear (Successor *successor);

#endif
