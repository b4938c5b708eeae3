/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_TESTS_PREFLIGHT_JUDGE_H
#define CPR_TESTS_PREFLIGHT_JUDGE_H

#include "manifest-judge.h"

/* A second reading of doc/stream-format.md, section 9. It judges whether a stream whose frame is
 * right is a question or an answer. It looks only at the head of each section. */
typedef struct
{
  uint32_t type;
  Payload payload;
} JudgedChunk;

bool judge_question (const JudgedChunk *chunks, size_t n);
bool judge_answer (const JudgedChunk *chunks, size_t n);

#endif
