/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Terminals: raw mode, which is set once and given back at the end, and pseudo terminals. Called by
 * device.c and open.c. */
#include "chardev/terminal.h"

#include <asm/ioctls.h>
#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/fd.h"
#include "base/sys.h"

static const CprField fields[] = {
  CPR_FIELD (CprTerminal, is_set), CPR_FIELD (CprTerminal, device),      CPR_FIELD (CprTerminal, inode),
  CPR_FIELD (CprTerminal, iflag),  CPR_FIELD (CprTerminal, oflag),       CPR_FIELD (CprTerminal, cflag),
  CPR_FIELD (CprTerminal, lflag),  CPR_FIELD_ARRAY (CprTerminal, chars), CPR_FIELD_END,
};

const CprStruct cpr_terminal_struct = { "Terminal", sizeof (CprTerminal), fields };

G_STATIC_ASSERT (CPR_TERMINAL_CHARS == NCCS);

static bool
is_same (const CprTerminal *terminal, const struct stat *st)
{
  return terminal->is_set && terminal->device == st->st_rdev && terminal->inode == st->st_ino;
}

static void
record (CprTerminal *terminal, const struct stat *st, const struct termios *settings)
{
  *terminal = (CprTerminal){
    true, st->st_rdev, st->st_ino, settings->c_iflag, settings->c_oflag, settings->c_cflag, settings->c_lflag, { 0 }
  };
  memcpy (terminal->chars, settings->c_cc, sizeof terminal->chars);
}

/* Bytes come as they are typed, and go as they are written, but for the newlines that a terminal
 * shows. */
static void
make_raw (struct termios *settings, bool signals)
{
  settings->c_iflag &= ~(unsigned) (IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
  settings->c_lflag &= ~(unsigned) (ECHO | ECHONL | ICANON | IEXTEN);
  if (!signals)
    settings->c_lflag &= ~(unsigned) ISIG;
  settings->c_cflag &= ~(unsigned) (CSIZE | PARENB);
  settings->c_cflag |= CS8;
  settings->c_cc[VMIN] = 1;
  settings->c_cc[VTIME] = 0;
}

bool
cpr_terminal_set (CprTerminal *terminal, int fd, bool signals)
{
  struct termios settings;
  struct stat st;

  if (cpr_sys->fstat (fd, &st) < 0)
    return false;
  if (is_same (terminal, &st))
    return true;
  terminal->is_set = false; /* another program's, which isn't ours to give back */
  if (!S_ISCHR (st.st_mode) || cpr_sys->ioctl (fd, TCGETS, &settings) < 0)
    return true;
  record (terminal, &st, &settings);
  make_raw (&settings, signals);
  if (cpr_sys->ioctl (fd, TCSETS, &settings) == 0)
    return true;
  terminal->is_set = false;
  return false;
}

void
cpr_terminal_give_back (CprTerminal *terminal, int fd)
{
  struct termios settings;
  struct stat st;

  if (cpr_sys->fstat (fd, &st) == 0 && is_same (terminal, &st) && cpr_sys->ioctl (fd, TCGETS, &settings) == 0)
    {
      settings.c_iflag = terminal->iflag;
      settings.c_oflag = terminal->oflag;
      settings.c_cflag = terminal->cflag;
      settings.c_lflag = terminal->lflag;
      memcpy (settings.c_cc, terminal->chars, sizeof terminal->chars);
      cpr_sys->ioctl (fd, TCSETSW, &settings);
    }
  terminal->is_set = false;
}

/* The settings are the other end's, and stay while the master is open. The other end is opened and
 * closed once: from then on the master says that nobody is there. */
static bool
set_pty (int master)
{
  int locked = 0, other;
  struct termios settings;
  char path[64];

  if (cpr_sys->ioctl (master, TIOCSPTLCK, &locked) < 0 || !cpr_terminal_get_path (master, path, sizeof path))
    return false;
  other = cpr_fd_above_std (cpr_sys->open (path, O_RDWR | O_NOCTTY | O_CLOEXEC, 0));
  if (other < 0)
    return false;
  if (cpr_sys->ioctl (other, TCGETS, &settings) == 0)
    {
      make_raw (&settings, false);
      settings.c_oflag &= ~(unsigned) OPOST;
      if (cpr_sys->ioctl (other, TCSETS, &settings) == 0)
        return cpr_sys->close (other) == 0;
    }
  cpr_fd_clear (&other);
  return false;
}

int
cpr_terminal_new_pty (void)
{
  int master = cpr_fd_above_std (cpr_sys->open ("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC, 0));

  if (master >= 0 && !set_pty (master))
    cpr_fd_clear (&master);
  return master;
}

bool
cpr_terminal_get_path (int master, char *path, size_t size)
{
  unsigned number;

  if (cpr_sys->ioctl (master, TIOCGPTN, &number) < 0)
    return false;
  g_snprintf (path, size, "/dev/pts/%u", number);
  return true;
}
