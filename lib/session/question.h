/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_SESSION_QUESTION_H
#define CPR_SESSION_QUESTION_H

#include "ask/question.h"
#include "session/core.h"

/* @writer begins here, and is to be cleared on failure too. */
bool cpr_session_write_question (CprSession *session, const CprQuestionHead *head, CprWriter *writer, GError **error);

/* A hash of the question and of the program that is asked: the tables, the command, the file at
 * @path. */
bool cpr_session_hash_question (
    CprSession *session, const CprUpdate *update, const char *path, uint64_t *hash, GError **error);
/* A hash of the fields that are read while the guest runs. They may change all the while, so the
 * other hash doesn't have them. */
bool cpr_session_hash_values (CprSession *session, uint64_t *hash);

#endif
