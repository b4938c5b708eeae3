/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_ASK_EXCHANGE_H
#define CPR_ASK_EXCHANGE_H

#include "ask/answer.h"
#include "ask/child.h"
#include "ask/question.h"
#include "state/inventory.h"

/* ---- The program that asks. */

/* The head of a question to a child, which says where to answer. */
CprQuestionHead cpr_exchange_make_head (const CprAsk *ask, bool schema_only);
/* Puts a finished question where the child will find it. */
bool cpr_exchange_put_question (const CprAsk *ask, const CprWriter *question, GError **error);

/* The child's answer, or why there is none. @question: the checksum of what it was asked. On
 * failure @answer holds nothing. */
bool cpr_exchange_take_answer (const CprAsk *ask, uint64_t question, CprAnswer *answer, GError **error);
/* The same for an answer in a memfd. */
bool cpr_exchange_read_answer (int fd, uint64_t question, CprAnswer *answer, GError **error);

/* ---- The program that is asked. */

typedef struct
{
  const CprSessionConfig *config;
  const GError *fault; /* the error of the config; NULL: it has none */
  pid_t asker;         /* whose state the question has to be */
  bool is_executed;    /* an execve would put it in the asker's place, and may take away what the asker has */
  CprInventory *built; /* what its start-up took; NULL: that isn't known yet, or isn't said */
} CprAsked;

/* The question in a sealed memfd of this user. On failure @question holds nothing. */
bool cpr_exchange_read_question (int fd, CprQuestion *question, GError **error);

/* Has the VMM declare what it would build, or, where its start-up says that, the rest of it.
 * Compares, and writes the answer: both @answer and the stream in @writer, which begins here. On
 * failure they hold nothing. */
bool cpr_exchange_answer (
    const CprAsked *asked, CprQuestion *question, CprAnswer *answer, CprWriter *writer, GError **error);

#endif
