/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_VFIO_DEVICE_H
#define CPR_VFIO_DEVICE_H

#include "registry/vfio/table.h"

/* Opens a device and attaches it; @options is complete. */
CprVfioDevice *cpr_vfio_device_create (CprVfioContainer *container,
                                       const char *name,
                                       const char *path,
                                       const CprVfioDeviceOptions *options,
                                       GError **error);
/* Claims one that was handed over. */
CprVfioDevice *cpr_vfio_device_take (CprVfioContainer *container, const char *name, const char *path, GError **error);
/* The last device of a type1 container takes the IOMMU along, and its mappings. */
bool cpr_vfio_device_can_close (const CprVfioDevice *device, GError **error);

#endif
