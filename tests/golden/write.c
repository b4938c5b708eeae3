/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writes a state with every kind of field, or one of reboot mode, into a new file:  write
 * [--area | --pipe] FILE For a new version of the format; what is in tests/golden is never
 * written again. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "everything.h"
#include "stored.h"

static bool
write_everything (int fd)
{
  CprWriter writer;
  bool ok;

  everything_write (&writer);
  ok = cpr_fd_write_all (fd, writer.data, writer.len);
  cpr_writer_clear (&writer);
  return ok;
}

int
main (int argc, char **argv)
{
  const char *path = argv[argc - 1];
  bool area = argc == 3 && g_str_equal (argv[1], "--area"), pipe = argc == 3 && g_str_equal (argv[1], "--pipe"),
       ok = true;
  int fd;

  if (argc != 2 && !area && !pipe)
    {
      fputs ("usage: write [--area | --pipe] FILE\n", stderr);
      return 2;
    }
  fd = open (path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0)
    {
      fprintf (stderr, "write: %s: %s\n", path, g_strerror (errno));
      return EXIT_FAILURE;
    }
  if (area || pipe)
    stored_write (area ? CPR_RAM_LAYOUT_AREA : CPR_RAM_LAYOUT_STREAM, fd);
  else
    ok = write_everything (fd);
  return close (fd) == 0 && ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
