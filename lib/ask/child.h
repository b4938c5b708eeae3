/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_ASK_CHILD_H
#define CPR_ASK_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <glib.h>

/* The fds of a program that is asked; all others are closed. */
#define CPR_ASK_FD_QUESTION   3
#define CPR_ASK_FD_ANSWER     4
#define CPR_ASK_FD_EXECUTABLE 5 /* only where a program is executed by its fd */

#define CPR_ASK_OUTPUT_MAX 1024 /* of what it printed, the end */

/* One program that is asked: a child process that gets a question and answers it, or not. Zeroed
 * by the caller, then who it is. */
typedef struct
{
  const char *path; /* executed, unless there is exe_fd; for messages in any case */
  bool by_fd;
  int exe_fd;
  char *const *argv;
  char *const *envp; /* of cpr_ask_make_envp() */
  const char *cwd;   /* NULL: this process's */

  /* From cpr_ask_open() on. */
  int question_fd;                  /* see cpr_exchange_put_question() */
  int answer_pipe[2];               /* reading end, writing end */
  uint64_t pipe_device, pipe_inode; /* for the question: how the asked program knows where to answer */
  int output_pipe[2];
  int null_fd, exe_copy;

  /* While it runs. */
  pid_t pid; /* 0: it doesn't */
  int pidfd;
  bool timed_out;
  bool outlived; /* it was killed, and goes on */
  char *chunk;   /* for what comes through the pipes */
  char output[CPR_ASK_OUTPUT_MAX];
  size_t output_len; /* all that it printed; the end of it is kept */

  /* Afterwards: its answer, unverified, or why there is none: one line, without the program's
   * name. cpr_exchange_take_answer() reads either. */
  GByteArray *answer;
  char *failure;
} CprAsk;

/* A copy of @envp as a program that is asked gets it: what a supervisor wants to hear from is
 * left out. */
char **cpr_ask_make_envp (char *const *envp);

/* Makes what the child will need. On failure there is nothing that cpr_ask_clear() couldn't
 * clear. */
bool cpr_ask_open (CprAsk *ask, GError **error);

/* Starts all of them at the same time and waits for their ends, for @timeout_ms at most: what
 * runs then is killed. False only where this process couldn't go on; their ends are seen to in
 * any case. The end of one that is killed is waited for, for 3 s at most: one that can't be
 * killed stays, as a child of this process, and that is its failure. */
bool cpr_ask_run (CprAsk *asks, size_t n_asks, unsigned timeout_ms, GError **error);

void cpr_ask_clear (CprAsk *ask);

#endif
