/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Records how this program was started. Makes from that record the environment and the
 * surroundings to execute it again. lib/session records; the ways back execute. */
#include "process/program.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/proc.h"
#include "base/signals.h"
#include "base/sys.h"

#define COMMAND_LINE "/proc/self/cmdline"

/* Reads a file of /proc, whose length isn't known beforehand. A zero byte is added at the end. */
static GByteArray *
read_all (const char *path, GError **error)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  int fd = cpr_fd_above_std (cpr_sys->open (path, O_RDONLY | O_CLOEXEC, 0)), errnum = errno;
  uint8_t buffer[1024];
  ssize_t len = fd >= 0 ? 1 : -1;

  while (fd >= 0 && len > 0)
    {
      len = cpr_sys->read (fd, buffer, sizeof buffer);
      errnum = errno;
      if (len > 0)
        g_byte_array_append (bytes, buffer, (guint) len);
    }
  cpr_fd_clear (&fd);
  if (len < 0)
    {
      cpr_proc_throw (error, errnum, path);
      return NULL;
    }
  g_byte_array_append (bytes, (const uint8_t *) "", 1);
  return g_steal_pointer (&bytes);
}

static char **
read_command_line (GError **error)
{
  g_autoptr (GByteArray) bytes = read_all (COMMAND_LINE, error);
  g_autoptr (GPtrArray) argv = g_ptr_array_new_with_free_func (g_free);

  if (bytes == NULL)
    return NULL;
  for (size_t at = 0; at < bytes->len - 1; at += strlen ((const char *) bytes->data + at) + 1)
    g_ptr_array_add (argv, g_strdup ((const char *) bytes->data + at));
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

char *
cpr_program_make_exe_path (int exe_fd)
{
  return g_strdup_printf ("/proc/self/fd/%d", exe_fd);
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
    return cpr_proc_throw (error, errno, "/proc/self/exe");
  program->envp = cpr_program_make_envp (environ, -1);
  program->cwd = getcwd (NULL, 0);
  if (program->cwd == NULL)
    program->cwd = g_strdup ("/"); /* it was removed, or has no name in this namespace */
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
    return cpr_throw (error, CPR_ERROR_CORRUPT,
                      "program: its record should be complete, with an argv and no bytes after it, and isn't");
  return true;
}

void
cpr_program_restore (const CprProgram *program)
{
  if (cpr_sys->chdir (program->cwd) < 0)
    cpr_sys->chdir ("/"); /* gone: the old program's relative paths have stopped working, too */
  umask (program->umask);
  /* A later kernel may have recorded more limits. */
  for (unsigned i = 0; i < MIN (program->n_limits, RLIM_NLIMITS); i++)
    cpr_sys->setrlimit ((int) i, &program->limits[i]);
  cpr_signals_set_ignored (program->ignored_signals);
}

char *
cpr_program_find (const char *name, GError **error)
{
  g_autofree char *path = NULL;
  struct stat st;

  if (name[0] == '\0')
    {
      cpr_throw (error, CPR_ERROR_INVALID, "program: its name is empty");
      return NULL;
    }
  path = strchr (name, '/') != NULL ? g_strdup (name) : g_find_program_in_path (name);
  if (path == NULL)
    cpr_throw_errno (error, ENOENT, "program '%s': not in PATH", name);
  else if (cpr_sys->stat (path, &st) < 0)
    cpr_throw_errno (error, errno, "program '%s'", path);
  else if (S_ISDIR (st.st_mode))
    cpr_throw_errno (error, EISDIR, "program '%s'", path);
  else if (cpr_sys->faccessat (AT_FDCWD, path, X_OK, AT_EACCESS) < 0)
    cpr_throw_errno (error, errno, "program '%s' can't be executed", path);
  else
    return g_steal_pointer (&path);
  return NULL;
}
