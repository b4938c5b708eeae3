/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Interrupt lines and doorbells, for devices. */
#include "devices/irq.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "support/error.h"
#include "support/log.h"

static int
make_event (const char *name, int index, void *user_data, GError **error)
{
  int fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);

  if (fd < 0)
    throw_errno (error, "%s %d: eventfd", name, index);
  return fd;
}

int
event_open (CprSession *session, const char *name, unsigned index, GError **error)
{
  return cpr_fd_open (session, name, (int) index, make_event, NULL, error);
}

bool
irq_line_new (IrqLine *line, CprSession *session, CprKvmVm *vm, unsigned gsi, GError **error)
{
  line->fd = event_open (session, "irq", gsi, error);
  return line->fd >= 0 && cpr_kvm_irqfd_add (vm, line->fd, gsi, -1, error);
}

void
irq_line_raise (const IrqLine *line)
{
  const uint64_t one = 1;

  if (write (line->fd, &one, sizeof one) < 0)
    log_line ("interrupt: errno %d", errno);
}
