/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opens what the VMM names by a path or by an fd of its own. Called by the back ends type1.c and
 * iommufd.c. */
#include "vfio/open.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/sys.h"

int
cpr_vfio_open (const char *path, int fd)
{
  if (fd != 0)
    return cpr_sys->fcntl (fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  return cpr_fd_above_std (cpr_sys->open (path, O_RDWR | O_CLOEXEC, 0));
}
