/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Messages on stderr, which any file prints, and the write that doesn't wait for a reader. */
#include "support/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* The program's; another one that builds this file has its own. */
#ifndef LOG_NAME
#  define LOG_NAME "minivmm"
#endif

/* A second open file of the same pipe or terminal, whose O_NONBLOCK is ours alone. Where it
 * can't be had (no /proc, or another user's pipe) a look at the first one has to do; then a
 * process that fills it in between can make us wait. */
static ssize_t
write_to_pipe (int fd, const void *data, size_t size)
{
  g_autofree char *path = g_strdup_printf ("/proc/self/fd/%d", fd);
  int own = open (path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (own >= 0)
    {
      ssize_t written = write (own, data, size);
      int errnum = errno;
      close (own);
      errno = errnum;
      return written;
    }

  struct pollfd room = { fd, POLLOUT, 0 };
  if (poll (&room, 1, 0) == 1)
    return write (fd, data, size);
  errno = EAGAIN;
  return -1;
}

ssize_t
write_at_once (int fd, const void *data, size_t size)
{
  struct stat file;
  if (fstat (fd, &file) < 0)
    return -1;
  if (S_ISREG (file.st_mode) || S_ISBLK (file.st_mode)) /* they have no reader, but an offset */
    return write (fd, data, size);
  if (S_ISSOCK (file.st_mode))
    return send (fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
  return write_to_pipe (fd, data, size);
}

void
log_line (const char *format, ...)
{
  static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  static unsigned n_lost;

  va_list arguments;
  va_start (arguments, format);
  g_autofree char *text = g_strdup_vprintf (format, arguments);
  va_end (arguments);

  pthread_mutex_lock (&mutex);
  g_autoptr (GString) line = g_string_new (NULL);
  if (n_lost)
    g_string_append_printf (line, LOG_NAME ": %u lines are missing here: nobody read this\n", n_lost);
  g_string_append_printf (line, LOG_NAME ": %s\n", text);
  if (line->len > PIPE_BUF) /* a pipe takes that much as a whole or not at all */
    {
      g_string_truncate (line, PIPE_BUF);
      line->str[PIPE_BUF - 1] = '\n';
    }
  bool printed = write_at_once (STDERR_FILENO, line->str, line->len) == (ssize_t) line->len;
  n_lost = printed ? 0 : n_lost + 1;
  pthread_mutex_unlock (&mutex);
}
