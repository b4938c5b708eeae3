/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_ASK_ANSWER_H
#define CPR_ASK_ANSWER_H

#include "ask/findings.h"
#include "state/executable.h"

/* An answer has no more bytes: a thousand findings of the longest texts, and a schema. */
#define CPR_ANSWER_MAX (16u << 20)

typedef struct
{
  uint64_t question; /* its checksum */
  char *path;        /* of the executable; NULL where it isn't known, empty once it was read */
  CprSuccessor executable;
  GPtrArray *findings; /* CprFinding */
} CprAnswer;

/* @types: the device types that the program can load. */
void cpr_answer_write (const CprAnswer *answer, const CprSchemaBuilder *types, CprWriter *writer);

/* Safe for any bytes. On failure @answer holds nothing. */
bool cpr_answer_read (CprAnswer *answer, const void *data, size_t len, GError **error);
void cpr_answer_clear (CprAnswer *answer);

#endif
