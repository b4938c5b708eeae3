/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_VFIO_BACKEND_H
#define CPR_VFIO_BACKEND_H

#include "registry/vfio/table.h"

/* A kind of container in the kernel. On failure each function leaves the kernel's objects as they
 * were, but for what is said. */
typedef struct
{
  /* Sets fd and ioas of a new container; on failure the caller closes the fd. */
  bool (*open) (CprVfioContainer *container, const CprVfioContainerOptions *options, GError **error);

  /* Before the fd of a container without devices and mappings is closed, which may not be the
   * last of its file; or NULL. */
  void (*close) (CprVfioContainer *container);

  /* Sets fd, group and group_fd of a new device and attaches it. @folder is in sysfs. */
  bool (*attach) (CprVfioDevice *device, const char *folder, const CprVfioDeviceOptions *options, GError **error);

  /* Sets by_address. */
  bool (*map) (CprVfioContainer *container, CprDmaMapping *mapping, GError **error);

  /* CPR_ERROR_MISMATCH: another size than it had was unmapped. Any other error: it is still
   * there. */
  bool (*unmap) (CprVfioContainer *container, const CprDmaMapping *mapping, GError **error);

  /* Does of the following what can be done before, without the kernel; or NULL. It is good until
   * a mapping comes or goes. */
  void (*prepare) (CprVfioContainer *container);

  /* Tells the kernel where this process has the mappings. @lost: where those that the kernel
   * doesn't have any more are counted instead of being an error, or NULL. After a failure some
   * may be without an address; doing it again puts that right, here or in another process. */
  bool (*reattach) (CprVfioContainer *container, guint *lost, GError **error);

  /* Why the mappings couldn't be attached in another process; NULL if they could. */
  char *(*describe_obstacle) (const CprVfioContainer *container);
} CprVfioOps;

extern const CprVfioOps cpr_vfio_type1, cpr_vfio_iommufd, cpr_vfio_none;

const CprVfioOps *cpr_vfio_get_ops (CprVfioBackend backend);

/* Whether the kernel has all that an update needs of IOMMUFD. */
bool cpr_vfio_iommufd_is_usable (const char *path);

#endif
