/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Says why the kernel has refused a mapping for DMA. Called by the back ends type1.c and
 * iommufd.c. */
#include "vfio/map-error.h"

#include <errno.h>

#include "base/error.h"
#include "base/sys.h"

bool
cpr_vfio_throw_unmapped (
    const CprVfioContainer *container, const CprDmaMapping *mapping, const char *call, int errnum, GError **error)
{
  uint64_t needed = container->dma.total + (container->claimed && !mapping->claimed ? mapping->size : 0);
  g_autofree char *hint = NULL;
  struct rlimit limit;

  if (errnum == EEXIST)
    return cpr_throw (error, CPR_ERROR_EXISTS,
                      "VFIO container '%s': the kernel has another mapping in %" G_GUINT64_FORMAT
                      " bytes at 0x%" G_GINT64_MODIFIER "x, one that wasn't made by the library",
                      container->name, mapping->size, mapping->iova);
  if (errnum == ENOMEM && cpr_sys->getrlimit (RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
    hint = g_strdup_printf (" (RLIMIT_MEMLOCK is %" G_GUINT64_FORMAT ", this container needs %" G_GUINT64_FORMAT ")",
                            (uint64_t) limit.rlim_cur, needed);
  return cpr_throw_errno (error, errnum,
                          "VFIO container '%s': %s of %" G_GUINT64_FORMAT " bytes at 0x%" G_GINT64_MODIFIER "x%s",
                          container->name, call, mapping->size, mapping->iova, hint != NULL ? hint : "");
}
