/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writes a state with every kind of field into a new file:  write-golden FILE
 * For a new version of the format; what is in tests/golden is never written again. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "everything.h"

int
main (int argc, char **argv)
{
  CprWriter writer;
  bool ok;
  int fd;

  if (argc != 2)
    {
      fputs ("usage: write-golden FILE\n", stderr);
      return 2;
    }
  fd = open (argv[1], O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0)
    {
      fprintf (stderr, "write-golden: %s: %s\n", argv[1], g_strerror (errno));
      return EXIT_FAILURE;
    }
  everything_write (&writer);
  ok = cpr_fd_write_all (fd, writer.data, writer.len);
  cpr_writer_clear (&writer);
  return close (fd) == 0 && ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
