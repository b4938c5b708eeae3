/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_HANDOFF_EXECUTABLE_H
#define CPR_HANDOFF_EXECUTABLE_H

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

/* Which program a process is: found out by itself when it is asked, and compared when it takes the state up. */
typedef struct
{
  char *path;     /* NULL where it isn't known */
  char *build_id; /* GNU, hexadecimal; empty where there is none */
  uint64_t device;
  uint64_t inode;
} CprExecutable;

/* This process's. */
bool cpr_executable_get (CprExecutable *executable, GError **error);
void cpr_executable_copy (CprExecutable *to, const CprExecutable *from);
void cpr_executable_clear (CprExecutable *executable);

bool cpr_executable_equal (const CprExecutable *a, const CprExecutable *b); /* whatever their paths */
char *cpr_executable_describe (const CprExecutable *executable);

#endif
