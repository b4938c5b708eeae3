/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The command `record`: before a program that a preflight asks, it keeps the question in a file,
 * which describes the guest, and leaves the answer to the program. Called by main.c. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "ask/exchange.h"
#include "base/error.h"
#include "commands.h"
#include "process/program.h"
#include "text.h"

/* Only its owner may read it: a question has the values of devices. */
#define FILE_MODE 0600

/* False with an error: nobody has asked or handed over anything. */
static bool
find_fd (int *fd, GError **error)
{
  const char *hint = g_getenv (CPR_STATE_VARIABLE);
  gint64 number;

  if (hint == NULL || !g_ascii_string_to_signed (hint, 10, 0, G_MAXINT, &number, NULL))
    return cpr_throw (error, CPR_ERROR_STATE, "record: nobody asks; a VMM's preflight has to start it");
  *fd = (int) number;
  return true;
}

static bool
keep (const CprQuestion *question, const char *file, GError **error)
{
  g_autoptr (GError) reason = NULL;

  if (g_file_set_contents_full (file, question->data, (gssize) question->reader.len, G_FILE_SET_CONTENTS_CONSISTENT,
                                FILE_MODE, &reason))
    return true;
  return cpr_throw (error, CPR_ERROR_SYSTEM, "record: %s", reason->message);
}

/* In an update the guest stands still: nothing of it is kept, and nothing may go wrong. The same
 * where only the types are asked for, which says nothing of a guest. */
static bool
record (const char *file, GError **error)
{
  CprQuestion question;
  bool ok = true;
  int fd = -1;

  if (!find_fd (&fd, error))
    return false;
  if (!cpr_question_is_one (fd))
    return true;
  if (!cpr_exchange_read_question (fd, &question, error))
    return false;
  if (!question.head.schema_only)
    ok = keep (&question, file, error);
  cpr_question_clear (&question);
  return ok;
}

InspectStatus
inspect_record (const char *file, char **command)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *message = NULL, *path = NULL;

  if (record (file, &error))
    path = cpr_program_find (command[0], &error);
  if (path != NULL)
    {
      execv (path, command);
      cpr_throw_errno (&error, errno, "program '%s'", path);
    }
  message = inspect_text_escape_message (error->message);
  fprintf (stderr, "cpr-inspect: %s\n", message);
  return INSPECT_TROUBLE;
}
