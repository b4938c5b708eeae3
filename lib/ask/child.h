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

#define CPR_ASK_OUTPUT_MAX 1024 /* the end of the output, which is kept */

/* A program that is asked: a child process that gets a question and answers it, or fails to. The
 * caller zeroes this struct and fills in the first part. */
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
  pid_t pid; /* 0: it doesn't run */
  int pidfd;
  bool timed_out;
  bool outlived; /* it was killed, and still runs */
  char *chunk;   /* for what comes through the pipes */
  char output[CPR_ASK_OUTPUT_MAX];
  size_t output_len; /* of all its output */

  /* Afterwards: the answer, unverified, or the reason why there is none: one line, without the
   * program's name. cpr_exchange_take_answer() reads either. */
  GByteArray *answer;
  char *failure;
} CprAsk;

/* A copy of @envp for a program that is asked, without the variables by which a supervisor hears
 * from its service. */
char **cpr_ask_make_envp (char *const *envp);

/* Makes the pipes and fds that the child will need. On failure too cpr_ask_clear() clears all. */
bool cpr_ask_open (CprAsk *ask, GError **error);

/* Starts all programs at the same time, and waits for their ends for up to @timeout_ms. Programs
 * that still run then are killed, and their ends are waited for, for 3 s at most. A program that
 * can't be killed stays as a child of this process, and that is its failure. False only where this
 * process itself fails; the programs are ended then, too. */
bool cpr_ask_run (CprAsk *asks, size_t n_asks, unsigned timeout_ms, GError **error);

void cpr_ask_clear (CprAsk *ask);

#endif
