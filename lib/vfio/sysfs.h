/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_VFIO_SYSFS_H
#define CPR_VFIO_SYSFS_H

#include <sys/types.h>

#include <libcpr/libcpr.h>

/* A device's folder: @path itself, or that of a PCI address. NULL with an error if it is neither.
 */
char *cpr_sysfs_get_folder (const char *name, const char *path, GError **error);

/* The number of a device's IOMMU group. */
bool cpr_sysfs_get_group (const char *name, const char *folder, uint32_t *group, GError **error);

/* The name of its VFIO character device, vfioN; NULL with an error. */
char *cpr_sysfs_get_cdev (const char *name, const char *folder, GError **error);
/* The number of that device; 0: it can't be told. */
dev_t cpr_sysfs_get_cdev_number (const char *folder, const char *cdev);

bool cpr_sysfs_is_mediated (const char *folder);

#endif
