/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The back end for devices without DMA mappings of the library's: the VMM maps. Called through the
 * table of backend.h. */
#include "vfio/backend.h"

static bool
open_nothing (CprVfioContainer *container G_GNUC_UNUSED,
              const CprVfioContainerOptions *options G_GNUC_UNUSED,
              GError **error G_GNUC_UNUSED)
{
  return true;
}

static bool
attach (CprVfioDevice *device G_GNUC_UNUSED,
        const char *folder G_GNUC_UNUSED,
        const CprVfioDeviceOptions *options G_GNUC_UNUSED,
        GError **error G_GNUC_UNUSED)
{
  return true;
}

static bool
map (CprVfioContainer *container G_GNUC_UNUSED, CprDmaMapping *mapping G_GNUC_UNUSED, GError **error G_GNUC_UNUSED)
{
  return true;
}

static bool
unmap (CprVfioContainer *container G_GNUC_UNUSED,
       const CprDmaMapping *mapping G_GNUC_UNUSED,
       GError **error G_GNUC_UNUSED)
{
  return true;
}

static bool
reattach (CprVfioContainer *container G_GNUC_UNUSED, guint *lost G_GNUC_UNUSED, GError **error G_GNUC_UNUSED)
{
  return true;
}

static char *
describe_obstacle (const CprVfioContainer *container G_GNUC_UNUSED)
{
  return NULL;
}

const CprVfioOps cpr_vfio_none = {
  .open = open_nothing,
  .attach = attach,
  .map = map,
  .unmap = unmap,
  .reattach = reattach,
  .describe_obstacle = describe_obstacle,
};
