/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_VFIO_IRQ_H
#define CPR_VFIO_IRQ_H

#include "registry/vfio/table.h"

/* The eventfd of an interrupt: made, or claimed. -1 with an error. */
int cpr_vfio_irq_make (CprVfioDevice *device, unsigned index, unsigned vector, CprVfioIrqRole role, GError **error);
bool cpr_vfio_irq_connect (
    CprVfioDevice *device, unsigned index, unsigned first, unsigned n, CprVfioIrqRole role, GError **error);
bool cpr_vfio_irq_disconnect (CprVfioDevice *device, unsigned index, GError **error);
bool cpr_vfio_irq_drop (CprVfioDevice *device, unsigned index, unsigned vector, CprVfioIrqRole role, GError **error);

#endif
