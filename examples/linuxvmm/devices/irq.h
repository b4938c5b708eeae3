/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LINUXVMM_IRQ_H
#define LINUXVMM_IRQ_H

#include <libcpr/libcpr.h>

/* An interrupt line of a device: an eventfd that KVM listens to. It is an edge: raised once for
 * each thing that the guest is to look at. Any thread may raise it at any time. While the guest
 * stands still, and KVM has no VM to raise it in, the interrupt waits in the eventfd, which
 * survives. */
typedef struct
{
  int fd;
} IrqLine;

bool irq_line_new (IrqLine *line, CprSession *session, CprKvmVm *vm, unsigned gsi, GError **error);
void irq_line_raise (const IrqLine *line);

#endif
