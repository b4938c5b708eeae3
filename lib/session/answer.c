/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The whole life of a program that was started to be asked: it reads the question, lets the
 * VMM declare what it would build, answers, and ends. Called by cpr_session_new(). */
#include "session/answer.h"

#include <errno.h>
#include <unistd.h>

#include "ask/exchange.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/sys.h"

/* A forged question shall not make this process write into an fd that happens to be open. */
static bool
check_pipe (const CprQuestionHead *head, GError **error)
{
  struct stat st;

  if (cpr_sys->fstat ((int) head->answer_fd, &st) == 0 && S_ISFIFO (st.st_mode) && st.st_dev == head->pipe_device &&
      st.st_ino == head->pipe_inode)
    return true;
  return cpr_throw (error, CPR_ERROR_MISMATCH, "question: fd %u should be the pipe for the answer, and is another file",
                    head->answer_fd);
}

static bool
send_answer (const CprWriter *answer, int fd, GError **error)
{
  return cpr_fd_write_all (fd, answer->data, answer->len) ||
         cpr_throw_errno (error, errno, "answer: writing %zu bytes", answer->len);
}

void
cpr_session_answer (const CprSessionConfig *config, const GError *fault, int fd, GError **error)
{
  const CprAsked asked = { .config = config, .fault = fault, .asker = getppid (), .is_executed = true };
  CprQuestion question;
  CprAnswer answer;
  CprWriter writer;

  if (!cpr_exchange_read_question (fd, &question, error))
    return;
  if (check_pipe (&question.head, error) && cpr_exchange_answer (&asked, &question, &answer, &writer, error))
    {
      if (send_answer (&writer, (int) question.head.answer_fd, error))
        _exit (cpr_findings_count_refusals (answer.findings) > 0);
      cpr_writer_clear (&writer);
      cpr_answer_clear (&answer);
    }
  cpr_question_clear (&question);
}
