/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_TESTS_PREFLIGHT_JUDGE_H
#define CPR_TESTS_PREFLIGHT_JUDGE_H

#include "manifest-judge.h"

/* doc/stream-format.md, section 9, read anew: whether a stream whose frame is right is a
 * question, or an answer. Of a section only the head is looked at. */
typedef struct
{
  uint32_t type;
  Payload payload;
} JudgedChunk;

bool judge_question (const JudgedChunk *chunks, size_t n);
bool judge_answer (const JudgedChunk *chunks, size_t n);

#endif
