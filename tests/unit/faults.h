/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_UNIT_FAULTS_H
#define TESTS_UNIT_FAULTS_H

#include "helpers.h"

/* Every call that goes through the table. The n-th is answered with an error instead; the undo
 * of an update begins at the latest when execve was called, and isn't disturbed. */
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
