/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Interrupt lines and doorbells, for devices. */
#include "devices/irq.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "support/error.h"
#include "support/log.h"

bool
irq_line_new (IrqLine *line, CprSession *session, CprKvmVm *vm, unsigned gsi, GError **error)
{
  line->fd = cpr_fd_open_eventfd (session, "irq", (int) gsi, error);
  return line->fd >= 0 && cpr_kvm_irqfd_add (vm, line->fd, gsi, -1, error);
}

void
irq_line_raise (const IrqLine *line)
{
  const uint64_t one = 1;

  if (write (line->fd, &one, sizeof one) < 0)
    log_line ("interrupt: errno %d", errno);
}
