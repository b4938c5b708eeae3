/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kvm-calls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "helpers.h"

void
kvm_need (void)
{
  int fd = open ("/dev/kvm", O_RDWR | O_CLOEXEC);

  if (fd < 0)
    {
      printf ("1..0 # SKIP /dev/kvm: %s\n", g_strerror (errno));
      exit (EXIT_SUCCESS);
    }
  close (fd);
}

int
kvm_do_at (const char *file, int line, const char *name, int fd, unsigned long request, uintptr_t argument)
{
  int result = ioctl (fd, request, argument);

  if (result < 0)
    ck_abort_msg ("%s:%d: %s: %s", file, line, name, g_strerror (errno));
  return result;
}
