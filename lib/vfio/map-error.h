/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_VFIO_MAP_ERROR_H
#define CPR_VFIO_MAP_ERROR_H

#include "registry/vfio/table.h"

/* For a mapping that the kernel has refused in @call with @errnum. */
bool cpr_vfio_throw_unmapped (
    const CprVfioContainer *container, const CprDmaMapping *mapping, const char *call, int errnum, GError **error);

#endif
