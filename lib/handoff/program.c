/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "handoff/program.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/signals.h"
#include "base/sys.h"

static char **
read_command_line (GError **error)
{
  g_autoptr (GPtrArray) argv = g_ptr_array_new_with_free_func (g_free);
  g_autofree char *text = NULL;
  size_t len;

  if (!g_file_get_contents ("/proc/self/cmdline", &text, &len, error))
    return NULL;
  for (size_t at = 0; at < len; at += strlen (text + at) + 1)
    g_ptr_array_add (argv, g_strdup (text + at));
  g_ptr_array_add (argv, NULL);
  return (char **) g_ptr_array_free (g_steal_pointer (&argv), FALSE);
}

char **
cpr_program_make_envp (char *const *envp, int state_fd)
{
  GPtrArray *made = g_ptr_array_new ();

  for (; envp != NULL && *envp != NULL; envp++)
    if (!g_str_has_prefix (*envp, CPR_STATE_VARIABLE "="))
      g_ptr_array_add (made, g_strdup (*envp));
  if (state_fd >= 0)
    g_ptr_array_add (made, g_strdup_printf (CPR_STATE_VARIABLE "=%d", state_fd));
  g_ptr_array_add (made, NULL);
  return (char **) g_ptr_array_free (made, FALSE);
}

bool
cpr_program_record (CprProgram *program, char *const *argv, GError **error)
{
  *program = (CprProgram){ .exe_fd = -1 };
  program->argv = argv != NULL ? g_strdupv ((char **) argv) : read_command_line (error);
  if (program->argv == NULL)
    return false;
  if (program->argv[0] == NULL)
    return cpr_throw (error, CPR_ERROR_INVALID, "program: its argv is empty, it could never be executed again");
  program->exe_fd = cpr_fd_above_std (cpr_sys->open ("/proc/self/exe", O_PATH | O_CLOEXEC, 0));
  if (program->exe_fd < 0)
    return cpr_throw_errno (error, errno, "/proc/self/exe");
  program->envp = cpr_program_make_envp (environ, -1);
  program->cwd = getcwd (NULL, 0);
  if (program->cwd == NULL)
    program->cwd = g_strdup ("/"); /* it was removed, or can't be named from here */
  prctl (PR_GET_NAME, program->comm);
  program->umask = umask (0);
  umask (program->umask);
  program->ignored_signals = cpr_signals_get_ignored ();
  program->n_limits = RLIM_NLIMITS;
  for (int i = 0; i < RLIM_NLIMITS; i++)
    cpr_sys->getrlimit (i, &program->limits[i]);
  return true;
}

void
cpr_program_clear (CprProgram *program)
{
  cpr_fd_clear (&program->exe_fd);
  g_clear_pointer (&program->argv, g_strfreev);
  g_clear_pointer (&program->envp, g_strfreev);
  g_clear_pointer (&program->cwd, g_free);
}

static void
put_text (CprWriter *writer, const char *text)
{
  size_t len = strlen (text);

  cpr_writer_put_u32 (writer, (uint32_t) len);
  cpr_writer_put (writer, text, len + 1);
}

static void
put_list (CprWriter *writer, char **list)
{
  cpr_writer_put_u32 (writer, g_strv_length (list));
  for (; *list != NULL; list++)
    put_text (writer, *list);
}

void
cpr_program_write (const CprProgram *program, CprWriter *writer)
{
  put_list (writer, program->argv);
  put_list (writer, program->envp);
  put_text (writer, program->cwd);
  put_text (writer, program->comm);
  cpr_writer_put_u32 (writer, program->umask);
  cpr_writer_put_u64 (writer, program->ignored_signals);
  cpr_writer_put_u32 (writer, program->n_limits);
  for (unsigned i = 0; i < program->n_limits; i++)
    {
      cpr_writer_put_u64 (writer, program->limits[i].rlim_cur);
      cpr_writer_put_u64 (writer, program->limits[i].rlim_max);
    }
}

static const char *
get_text (CprCursor *cursor)
{
  size_t len = cpr_cursor_get_u32 (cursor);
  const uint8_t *at = cpr_cursor_get (cursor, len + 1);

  if (at != NULL && memchr (at, 0, len + 1) == at + len)
    return (const char *) at;
  cursor->failed = true;
  return "";
}

static char **
get_list (CprCursor *cursor)
{
  GPtrArray *list = g_ptr_array_new ();
  uint32_t n = cpr_cursor_get_u32 (cursor);

  for (uint32_t i = 0; i < n && !cursor->failed; i++)
    g_ptr_array_add (list, g_strdup (get_text (cursor)));
  g_ptr_array_add (list, NULL);
  return (char **) g_ptr_array_free (list, FALSE);
}

bool
cpr_program_read (CprProgram *program, CprCursor *cursor, GError **error)
{
  const char *comm;
  uint32_t n_limits;

  *program = (CprProgram){ .exe_fd = -1 };
  program->argv = get_list (cursor);
  program->envp = get_list (cursor);
  program->cwd = g_strdup (get_text (cursor));
  comm = get_text (cursor);
  if (g_strlcpy (program->comm, comm, sizeof program->comm) >= sizeof program->comm)
    cursor->failed = true;
  program->umask = cpr_cursor_get_u32 (cursor);
  program->ignored_signals = cpr_cursor_get_u64 (cursor);
  n_limits = cpr_cursor_get_u32 (cursor);
  if (n_limits == 0 || n_limits > CPR_PROGRAM_MAX_LIMITS)
    cursor->failed = true;
  for (uint32_t i = 0; i < n_limits && !cursor->failed; i++)
    {
      uint64_t soft = cpr_cursor_get_u64 (cursor), hard = cpr_cursor_get_u64 (cursor);

      program->limits[i] = (struct rlimit){ soft, hard };
    }
  program->n_limits = n_limits;
  if (cursor->failed || program->argv[0] == NULL || cpr_cursor_left (cursor) != 0)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "program: cut off, without argv, or bytes after its end");
  return true;
}

void
cpr_program_restore (const CprProgram *program)
{
  if (cpr_sys->chdir (program->cwd) < 0)
    cpr_sys->chdir ("/"); /* gone; the old program's relative paths wouldn't work there either */
  umask (program->umask);
  for (unsigned i = 0; i < MIN (program->n_limits, RLIM_NLIMITS); i++) /* a kernel with more of them */
    cpr_sys->setrlimit ((int) i, &program->limits[i]);
  cpr_signals_set_ignored (program->ignored_signals);
}
