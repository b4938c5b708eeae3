/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A VFIO container with a type1v2 IOMMU.
 *
 * The kernel remembers for each mapping at which address of which process it is. It needs that
 * for accounting, and to pin pages for mediated devices; the DMA of all others goes by pinned
 * pages and doesn't stop while an address is invalid. So the old program does nothing, and whoever
 * has the guest next invalidates all addresses and gives its own (Linux 6.1 to 7.3: it needn't be
 * the process that mapped). The kernel's answers:
 *
 *   UNMAP_DMA with VADDR and ALL    the bytes of all mappings; EINVAL and nothing changed if one
 *                                   is invalid already
 *   UNMAP_DMA with VADDR            the bytes; 0 where there is no mapping; EINVAL if it is invalid
 *                                   already, or for a part of one
 *   MAP_DMA with VADDR              EINVAL while the address is valid, or for another size; ENOENT
 *                                   where there is no mapping; ENOMEM by RLIMIT_MEMLOCK, then it
 *                                   stays invalid */
#include <errno.h>
#include <stdlib.h>

#include <linux/vfio.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/sys.h"
#include "vfio/backend.h"
#include "vfio/map-error.h"
#include "vfio/open.h"
#include "vfio/sysfs.h"

static bool
open_container (CprVfioContainer *container, const CprVfioContainerOptions *options, GError **error)
{
  const char *path = options->path != NULL ? options->path : "/dev/vfio/vfio";
  int version;

  container->fd = cpr_vfio_open (path, options->fd);
  if (container->fd < 0)
    return cpr_throw_errno (error, errno, "VFIO container '%s': %s", container->name, path);
  version = cpr_sys->ioctl (container->fd, VFIO_GET_API_VERSION, NULL);
  if (version < 0)
    return cpr_throw_errno (error, errno, "VFIO container '%s': VFIO_GET_API_VERSION", container->name);
  if (version != VFIO_API_VERSION)
    return cpr_throw (error, CPR_ERROR_VERSION, "VFIO container '%s': the kernel's API has version %d, %d expected",
                      container->name, version, VFIO_API_VERSION);
  if (cpr_sys->ioctl (container->fd, VFIO_CHECK_EXTENSION, (void *) VFIO_TYPE1v2_IOMMU) <= 0)
    return cpr_throw (error, CPR_ERROR_VERSION, "VFIO container '%s': the kernel has no type1v2 IOMMU for it",
                      container->name);
  return true;
}

/* ---- Devices. */

/* Checks that the fd that the VMM gave is the group's. Where @path can't be seen, this is left to
 * the kernel. */
static bool
check_group_fd (const CprVfioDevice *device, const char *path, GError **error)
{
  struct stat given, expected;

  if (cpr_sys->fstat (device->group_fd, &given) < 0)
    return cpr_throw_errno (error, errno, "VFIO device '%s': the group's fd", device->name);
  if (cpr_sys->stat (path, &expected) < 0 || given.st_rdev == expected.st_rdev)
    return true;
  return cpr_throw (error, CPR_ERROR_MISMATCH,
                    "VFIO device '%s': it is in group %u, the fd that was given is of another", device->name,
                    device->group);
}

static bool
open_group (CprVfioDevice *device, const CprVfioDeviceOptions *options, GError **error)
{
  g_autofree char *path = g_strdup_printf ("/dev/vfio/%u", device->group);

  device->group_fd = cpr_vfio_open (path, options->group_fd);
  if (device->group_fd < 0 && errno == ENOENT)
    return cpr_throw (error, CPR_ERROR_NOT_FOUND, "VFIO device '%s': %s isn't there: %s isn't bound to a VFIO driver",
                      device->name, path, device->address);
  if (device->group_fd < 0)
    return cpr_throw_errno (error, errno, "VFIO device '%s': %s", device->name, path);
  return options->group_fd == 0 || check_group_fd (device, path, error);
}

static bool
check_viable (const CprVfioDevice *device, GError **error)
{
  struct vfio_group_status status = { .argsz = sizeof status };

  if (cpr_sys->ioctl (device->group_fd, VFIO_GROUP_GET_STATUS, &status) < 0)
    return cpr_throw_errno (error, errno, "VFIO device '%s': VFIO_GROUP_GET_STATUS of group %u", device->name,
                            device->group);
  if ((status.flags & VFIO_GROUP_FLAGS_VIABLE) == 0)
    return cpr_throw (
        error, CPR_ERROR_BLOCKED,
        "VFIO device '%s': group %u isn't viable: bind each device in /sys/kernel/iommu_groups/%u/devices "
        "to a VFIO driver, or to none",
        device->name, device->group, device->group);
  if ((status.flags & VFIO_GROUP_FLAGS_CONTAINER_SET) != 0)
    return cpr_throw (error, CPR_ERROR_EXISTS, "VFIO device '%s': group %u is in another container already",
                      device->name, device->group);
  return true;
}

static bool
open_device (CprVfioDevice *device, GError **error)
{
  device->fd = cpr_fd_above_std (cpr_sys->ioctl (device->group_fd, VFIO_GROUP_GET_DEVICE_FD, (void *) device->address));
  if (device->fd >= 0)
    return true;
  if (errno == ENODEV)
    return cpr_throw (error, CPR_ERROR_MISMATCH, "VFIO device '%s': %s isn't one of the VFIO devices of group %u",
                      device->name, device->address, device->group);
  return cpr_throw_errno (error, errno, "VFIO device '%s': opening %s in group %u", device->name, device->address,
                          device->group);
}

/* A container gets its IOMMU after its first group has joined, and loses it with its last. */
static bool
set_iommu (const CprVfioDevice *device, GError **error)
{
  const CprVfioContainer *container = device->container;

  return cpr_sys->ioctl (container->fd, VFIO_SET_IOMMU, (void *) VFIO_TYPE1v2_IOMMU) == 0 ||
         cpr_throw_errno (error, errno,
                          "VFIO device '%s': VFIO_SET_IOMMU of container '%s' (EPERM: without interrupt remapping see "
                          "allow_unsafe_interrupts of vfio_iommu_type1)",
                          device->name, container->name);
}

static bool
join_container (CprVfioDevice *device, bool is_first, GError **error)
{
  CprVfioContainer *container = device->container;

  if (cpr_sys->ioctl (device->group_fd, VFIO_GROUP_SET_CONTAINER, &container->fd) < 0)
    return cpr_throw_errno (error, errno, "VFIO device '%s': group %u into container '%s'", device->name, device->group,
                            container->name);
  if ((!is_first || set_iommu (device, error)) && open_device (device, error))
    return true;
  cpr_sys->ioctl (device->group_fd, VFIO_GROUP_UNSET_CONTAINER, NULL);
  return false;
}

static bool
has_group (const CprVfioContainer *container)
{
  for (guint i = 0; i < container->devices->len; i++)
    if (((const CprVfioDevice *) container->devices->pdata[i])->group_fd >= 0)
      return true;
  return false;
}

static bool
attach (CprVfioDevice *device, const char *folder, const CprVfioDeviceOptions *options, GError **error)
{
  CprVfioContainer *container = device->container;
  bool is_first = !has_group (container);
  const CprVfioDevice *other;

  if (!cpr_sysfs_get_group (device->name, folder, &device->group, error))
    return false;
  other = cpr_vfio_table_find_group (container->table, device->group);
  if (other != NULL && other->container != container)
    return cpr_throw (error, CPR_ERROR_EXISTS, "VFIO device '%s': group %u is in container '%s', with device '%s'",
                      device->name, device->group, other->container->name, other->name);
  if (other != NULL)
    {
      device->group_fd = other->group_fd;
      return open_device (device, error);
    }
  if (open_group (device, options, error) && check_viable (device, error) && join_container (device, is_first, error))
    return true;
  cpr_fd_clear (&device->group_fd);
  return false;
}

/* ---- Mappings. */

static char *
get_vaddr (const CprDmaMapping *mapping)
{
  return (char *) mapping->block->vaddr + mapping->offset;
}

static int
map_dma (const CprVfioContainer *container, const CprDmaMapping *mapping, uint32_t flags)
{
  struct vfio_iommu_type1_dma_map map = { .argsz = sizeof map,
                                          .flags = flags,
                                          .vaddr = (uintptr_t) get_vaddr (mapping),
                                          .iova = mapping->iova,
                                          .size = mapping->size };

  return cpr_sys->ioctl (container->fd, VFIO_IOMMU_MAP_DMA, &map);
}

/* *@size: on return, how many bytes the kernel has unmapped, or made invalid. */
static int
unmap_dma (const CprVfioContainer *container, uint32_t flags, uint64_t iova, uint64_t *size)
{
  struct vfio_iommu_type1_dma_unmap unmap = { .argsz = sizeof unmap, .flags = flags, .iova = iova, .size = *size };
  int answer = cpr_sys->ioctl (container->fd, VFIO_IOMMU_UNMAP_DMA, &unmap);

  *size = unmap.size;
  return answer;
}

G_STATIC_ASSERT ((int) CPR_DMA_READ == VFIO_DMA_MAP_FLAG_READ && (int) CPR_DMA_WRITE == VFIO_DMA_MAP_FLAG_WRITE);

static bool
map (CprVfioContainer *container, CprDmaMapping *mapping, GError **error)
{
  return map_dma (container, mapping, mapping->flags) == 0 ||
         cpr_vfio_throw_unmapped (container, mapping, "MAP_DMA", errno, error);
}

static bool
unmap (CprVfioContainer *container, const CprDmaMapping *mapping, GError **error)
{
  uint64_t size = mapping->size;

  if (unmap_dma (container, 0, mapping->iova, &size) < 0)
    return cpr_throw_errno (error, errno, "VFIO container '%s': UNMAP_DMA of 0x%" G_GINT64_MODIFIER "x",
                            container->name, mapping->iova);
  if (size != mapping->size)
    return cpr_throw (error, CPR_ERROR_MISMATCH,
                      "VFIO container '%s': of the mapping at 0x%" G_GINT64_MODIFIER "x %" G_GUINT64_FORMAT
                      " bytes were unmapped, it had %" G_GUINT64_FORMAT,
                      container->name, mapping->iova, size, mapping->size);
  return true;
}

/* ---- Attaching again. */

/* How far the mappings of a container have got their addresses. */
typedef struct
{
  CprVfioContainer *container;
  bool one_by_one; /* some may be invalid already: each is invalidated before it gets its address */
  guint *lost;     /* counts the mappings that the kernel doesn't have any more; NULL: they are errors */
  GError *error;   /* the first one; later ones are dropped */
} Progress;

static int
compare_sizes (const void *a, const void *b)
{
  uint64_t x = (*(CprDmaMapping *const *) a)->size, y = (*(CprDmaMapping *const *) b)->size;

  return (x < y) - (x > y);
}

static GPtrArray *
sort_mappings (const CprDmaMap *dma)
{
  guint n = dma->mappings->len;
  GPtrArray *order = g_ptr_array_sized_new (n);
  bool sorted = true;

  for (guint i = 0; i < n; i++)
    {
      g_ptr_array_add (order, cpr_dma_mappings_get (dma, i));
      sorted &= i == 0 || cpr_dma_mappings_get (dma, i - 1)->size >= cpr_dma_mappings_get (dma, i)->size;
    }
  if (!sorted)
    qsort (order->pdata, n, sizeof order->pdata[0], compare_sizes);
  return order;
}

/* The largest mappings come first: those that need most of RLIMIT_MEMLOCK fail first. Sorting
 * thousands of them takes a millisecond, which need not be while the guest stands still. */
static void
prepare (CprVfioContainer *container)
{
  if (container->order == NULL)
    container->order = sort_mappings (&container->dma);
}

static void
note_lost (Progress *progress, const CprDmaMapping *mapping)
{
  if (progress->lost != NULL)
    ++*progress->lost;
  else
    cpr_throw (&progress->error, CPR_ERROR_MISMATCH,
               "VFIO container '%s': it has lost the mapping at 0x%" G_GINT64_MODIFIER "x of %" G_GUINT64_FORMAT
               " bytes",
               progress->container->name, mapping->iova, mapping->size);
}

/* Whether addresses can be given now, perhaps one by one. EINVAL: some are invalid already, since a
 * program before this one got only half of it done. A total that differs is an error, but the
 * mappings that are there get their addresses. */
static bool
invalidate_all (Progress *progress)
{
  CprVfioContainer *container = progress->container;
  uint64_t size = 0;

  if (unmap_dma (container, VFIO_DMA_UNMAP_FLAG_VADDR | VFIO_DMA_UNMAP_FLAG_ALL, 0, &size) < 0)
    {
      progress->one_by_one = errno == EINVAL;
      return progress->one_by_one ||
             cpr_throw_errno (&progress->error, errno, "VFIO container '%s': UNMAP_DMA with VADDR and ALL",
                              container->name);
    }
  if (size != container->dma.total && progress->lost == NULL)
    cpr_throw (&progress->error, CPR_ERROR_MISMATCH,
               "VFIO container '%s': the kernel has mappings of %" G_GUINT64_FORMAT " bytes, %" G_GUINT64_FORMAT
               " were handed over: it has lost some, or has some that weren't made by the library",
               container->name, size, container->dma.total);
  return true;
}

/* Whether @mapping can be given an address now. */
static bool
invalidate (Progress *progress, const CprDmaMapping *mapping)
{
  uint64_t size = mapping->size;

  if (unmap_dma (progress->container, VFIO_DMA_UNMAP_FLAG_VADDR, mapping->iova, &size) == 0)
    {
      if (size == mapping->size)
        return true;
      note_lost (progress, mapping);
      return false;
    }
  if (errno == EINVAL) /* it is invalid already, or the kernel has another one there: give_address() finds out */
    return true;
  cpr_throw_errno (&progress->error, errno, "VFIO container '%s': UNMAP_DMA with VADDR of 0x%" G_GINT64_MODIFIER "x",
                   progress->container->name, mapping->iova);
  return false;
}

static void
give_address (Progress *progress, const CprDmaMapping *mapping)
{
  if (map_dma (progress->container, mapping, VFIO_DMA_MAP_FLAG_VADDR) == 0)
    return;
  if (errno == ENOENT || errno == EINVAL)
    note_lost (progress, mapping);
  else if (progress->error == NULL) /* the text costs a system call and memory */
    cpr_vfio_throw_unmapped (progress->container, mapping, "MAP_DMA with VADDR", errno, &progress->error);
}

/* A mapping that fails doesn't stop the others from getting their addresses. */
static bool
reattach (CprVfioContainer *container, guint *lost, GError **error)
{
  Progress progress = { .container = container, .lost = lost };
  g_autoptr (GPtrArray) order = NULL;

  if (container->dma.mappings->len == 0)
    return true;
  prepare (container);
  order = g_steal_pointer (&container->order);
  if (invalidate_all (&progress))
    for (guint i = 0; i < order->len; i++)
      if (!progress.one_by_one || invalidate (&progress, order->pdata[i]))
        give_address (&progress, order->pdata[i]);
  if (progress.error == NULL)
    return true;
  g_propagate_error (error, progress.error);
  return false;
}

/* A container without a group has no IOMMU yet, and the kernel can't say what it supports. */
static char *
describe_obstacle (const CprVfioContainer *container)
{
  int answer;

  if (!has_group (container))
    return NULL;
  answer = cpr_sys->ioctl (container->fd, VFIO_CHECK_EXTENSION, (void *) VFIO_UPDATE_VADDR);
  if (answer > 0)
    return NULL;
  return g_strdup_printf ("VFIO container '%s': its mappings can't be given the addresses of a new program "
                          "(VFIO_UPDATE_VADDR): the kernel lacks it, or a device is mediated",
                          container->name);
}

const CprVfioOps cpr_vfio_type1 = {
  .open = open_container,
  .attach = attach,
  .map = map,
  .unmap = unmap,
  .prepare = prepare,
  .reattach = reattach,
  .describe_obstacle = describe_obstacle,
};
