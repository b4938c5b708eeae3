/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The question of a preflight as this session asks it, and hashes of it: by them an update knows
 * whether it would ask the same again. Called by ask.c. */
#include "session/question.h"

#include <errno.h>

#include "base/checksum.h"
#include "base/error.h"
#include "base/sys.h"
#include "session/parts/request.h"

/* The caller fills in the head. */
static CprAskedVm
get_vm (CprSession *session)
{
  CprAskedVm vm = { .fds = &session->fds, .ram = &session->ram, .vfio = &session->vfio };

  vm.devices = &session->devices;
  return vm;
}

bool
cpr_session_write_question (CprSession *session, const CprQuestionHead *head, CprWriter *writer, GError **error)
{
  CprAskedVm vm = get_vm (session);

  cpr_writer_init (writer, -1);
  return cpr_session_make_head (session, &vm.head, error) && cpr_question_write (head, &vm, writer, error);
}

static void
put_strings (CprWriter *writer, char *const *strings)
{
  for (; strings != NULL && *strings != NULL; strings++)
    cpr_writer_put (writer, *strings, strlen (*strings) + 1);
  cpr_writer_put_u8 (writer, 0);
}

static void
put_command (CprWriter *writer, const CprSession *session, const CprUpdate *update, const char *path)
{
  cpr_writer_put (writer, path, strlen (path) + 1);
  cpr_writer_put_u32 (writer, cpr_request_wants_way_back (update));
  put_strings (writer, update->argv);
  put_strings (writer, session->program.argv);
  put_strings (writer, cpr_request_get_envp (update));
}

/* The hash is another one where the file is written again, or replaced. */
static void
put_file (CprWriter *writer, const struct stat *st)
{
  cpr_writer_put_u64 (writer, st->st_dev);
  cpr_writer_put_u64 (writer, st->st_ino);
  cpr_writer_put (writer, &st->st_mtim, sizeof st->st_mtim);
  cpr_writer_put (writer, &st->st_ctim, sizeof st->st_ctim);
}

/* The tables, without what differs each time. */
static bool
write_tables (CprSession *session, CprWriter *writer, GError **error)
{
  CprAskedVm vm = get_vm (session);

  if (!cpr_session_make_head (session, &vm.head, error))
    return false;
  vm.head.saved_ns = vm.head.saved_real_ns = vm.head.signal_mask = 0;
  return cpr_question_write_parts (&vm, CPR_QUESTION_TABLES, writer, error);
}

bool
cpr_session_hash_question (
    CprSession *session, const CprUpdate *update, const char *path, uint64_t *hash, GError **error)
{
  CprWriter writer;
  struct stat st;
  bool ok;

  if (cpr_sys->stat (path, &st) < 0)
    return cpr_throw_errno (error, errno, "program '%s'", path);
  cpr_writer_init (&writer, -1);
  ok = write_tables (session, &writer, error);
  put_command (&writer, session, update, path);
  put_file (&writer, &st);
  *hash = cpr_checksum (writer.data, writer.len);
  cpr_writer_clear (&writer);
  return ok;
}

bool
cpr_session_hash_values (CprSession *session, uint64_t *hash)
{
  const CprAskedVm vm = get_vm (session);
  CprWriter writer;
  bool ok;

  cpr_writer_init (&writer, -1);
  ok = cpr_question_write_parts (&vm, CPR_QUESTION_VALUES, &writer, NULL);
  *hash = cpr_checksum (writer.data, writer.len);
  cpr_writer_clear (&writer);
  return ok;
}
