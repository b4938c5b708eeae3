/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The other end of the serial port: the standard streams, a file or a pseudo terminal. */
#include "devices/serial-line.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "support/error.h"
#include "support/log.h"

#define NAME "serial"

static int
open_file (const char *name, int index, void *user_data, GError **error)
{
  const char *path = user_data;
  int fd = open (path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);

  if (fd < 0)
    throw_errno (error, "serial port: %s", path);
  return fd;
}

static int
open_pty (const char *name, int index, void *user_data, GError **error)
{
  int fd = posix_openpt (O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

  if (fd < 0 || grantpt (fd) < 0 || unlockpt (fd) < 0)
    {
      throw_errno (error, "serial port: pseudo terminal");
      return -1;
    }
  log_line ("serial port: %s", ptsname (fd));
  return fd;
}

/* While nobody else has the terminal open, its master would say so again and again. */
static bool
keep_terminal (int master, GError **error)
{
  char path[64];
  struct termios settings;
  int fd = ptsname_r (master, path, sizeof path) == 0 ? open (path, O_RDWR | O_NOCTTY | O_CLOEXEC) : -1;

  if (fd < 0 || tcgetattr (fd, &settings) < 0)
    return throw_errno (error, "serial port: terminal");
  cfmakeraw (&settings);
  return tcsetattr (fd, TCSANOW, &settings) == 0 || throw_errno (error, "serial port: terminal");
}

bool
serial_line_open (SerialLine *line, CprSession *session, const char *where, GError **error)
{
  static const char file[] = "file:";

  *line = (SerialLine){ -1, -1 };
  if (strcmp (where, "null") == 0)
    return true;
  if (strcmp (where, "stdio") == 0)
    {
      *line = (SerialLine){ STDIN_FILENO, STDOUT_FILENO };
      return true;
    }
  if (strcmp (where, "pty") == 0)
    {
      line->in = line->out = cpr_fd_open (session, NAME, 0, open_pty, NULL, error);
      return line->in >= 0 && keep_terminal (line->in, error);
    }
  if (!g_str_has_prefix (where, file))
    return throw_error (error, "--serial: '%s' isn't stdio, pty, file:PATH or null", where);
  line->out = cpr_fd_open (session, NAME, 0, open_file, (void *) (where + strlen (file)), error);
  return line->out >= 0;
}
