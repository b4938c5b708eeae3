/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_UNIT_FAULTS_H
#define TESTS_UNIT_FAULTS_H

#include "helpers.h"

/* The n-th of all calls that go through the table fails. Calls after an execve always succeed: the
 * undo of the update has begun then, at the latest. */
typedef struct
{
  unsigned fail_at; /* 1: the first; 0: none */
  int errnum;       /* 0: one that is usual for the call */
  int exec_errnum;  /* what execve answers with; 0: it is really executed */
  unsigned calls;
  const char *failed; /* the name of the call that failed, or NULL */
  bool executed;      /* execve or execveat was called */
  int mappings;       /* made and not yet unmapped */
} Faults;

extern Faults faults;
/* Until faults_end() the library talks to the faulty kernel. */
void faults_begin (unsigned fail_at, int errnum, int exec_errnum);
void faults_end (void);

#endif
