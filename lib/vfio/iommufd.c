/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An IOAS of an iommufd. RAM is mapped by its file (Linux 6.14), so that the kernel needs no
 * address of a process; one IOAS_CHANGE_PROCESS for the whole iommufd moves the accounting to
 * the calling process. It may be done any number of times, by whoever has the guest. It is
 * refused while a mapping was made by address. */
#include <errno.h>
#include <fcntl.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/sys.h"
#include "base/uapi.h"
#include "vfio/backend.h"
#include "vfio/map-error.h"
#include "vfio/open.h"
#include "vfio/sysfs.h"

#define IOMMUFD_PATH "/dev/iommu"

/* A structure that is too short is EINVAL where the call is known, and ENOTTY where it isn't. */
static bool
lacks_file (int fd)
{
  CprUapiIoasMapFile map = { .size = 0 };

  return cpr_sys->ioctl (fd, CPR_UAPI_IOAS_MAP_FILE, &map) < 0 && errno == ENOTTY;
}

static bool
lacks_change (int fd)
{
  CprUapiIoasChangeProcess change = { .size = sizeof change };

  return cpr_sys->ioctl (fd, CPR_UAPI_IOAS_CHANGE_PROCESS, &change) < 0 && errno == ENOTTY;
}

bool
cpr_vfio_iommufd_is_usable (const char *path)
{
  int fd = cpr_fd_above_std (cpr_sys->open (path != NULL ? path : IOMMUFD_PATH, O_RDWR | O_CLOEXEC, 0));
  bool usable = fd >= 0 && !lacks_file (fd) && !lacks_change (fd);

  cpr_fd_clear (&fd);
  return usable;
}

static bool
open_container (CprVfioContainer *container, const CprVfioContainerOptions *options, GError **error)
{
  const char *path = options->path != NULL ? options->path : IOMMUFD_PATH;
  CprUapiIoasAlloc alloc = { .size = sizeof alloc };

  container->fd = cpr_vfio_open (path, options->fd);
  if (container->fd < 0)
    return cpr_throw_errno (error, errno, "VFIO container '%s': %s", container->name, path);
  container->lacks_file = lacks_file (container->fd);
  container->lacks_change = lacks_change (container->fd);
  if (cpr_sys->ioctl (container->fd, CPR_UAPI_IOAS_ALLOC, &alloc) < 0)
    return cpr_throw_errno (error, errno, "VFIO container '%s': IOMMU_IOAS_ALLOC", container->name);
  container->ioas = alloc.out_ioas;
  return true;
}

static void
close_container (CprVfioContainer *container)
{
  CprUapiIommuDestroy destroy = { .size = sizeof destroy, .id = container->ioas };

  cpr_sys->ioctl (container->fd, CPR_UAPI_IOMMU_DESTROY, &destroy);
}

/* The fd that was given is this device's. */
static bool
check_device_fd (const CprVfioDevice *device, const char *folder, const char *cdev, GError **error)
{
  dev_t number = cpr_sysfs_get_cdev_number (folder, cdev);
  struct stat st;

  if (cpr_sys->fstat (device->fd, &st) < 0)
    return cpr_throw_errno (error, errno, "VFIO device '%s': the device's fd", device->name);
  if (number == 0 || st.st_rdev == number)
    return true;
  return cpr_throw (error, CPR_ERROR_MISMATCH, "VFIO device '%s': %s is %s, the fd that was given is another device's",
                    device->name, device->address, cdev);
}

static bool
bind_and_attach (CprVfioDevice *device, GError **error)
{
  CprVfioContainer *container = device->container;
  CprUapiVfioBind bind = { .argsz = sizeof bind, .iommufd = container->fd };
  CprUapiVfioAttach attach = { .argsz = sizeof attach, .page_table = container->ioas };

  if (cpr_sys->ioctl (device->fd, CPR_UAPI_VFIO_BIND_IOMMUFD, &bind) < 0)
    return cpr_throw_errno (
        error, errno, "VFIO device '%s': VFIO_DEVICE_BIND_IOMMUFD to container '%s' (EINVAL: somebody has it open)",
        device->name, container->name);
  if (cpr_sys->ioctl (device->fd, CPR_UAPI_VFIO_ATTACH_IOMMUFD, &attach) < 0)
    return cpr_throw_errno (error, errno, "VFIO device '%s': VFIO_DEVICE_ATTACH_IOMMUFD_PT to container '%s'",
                            device->name, container->name);
  return true;
}

static bool
attach (CprVfioDevice *device, const char *folder, const CprVfioDeviceOptions *options, GError **error)
{
  g_autofree char *cdev = cpr_sysfs_get_cdev (device->name, folder, error);
  g_autofree char *path = g_strconcat ("/dev/vfio/devices/", cdev, NULL);

  if (cdev == NULL)
    return false;
  device->fd = cpr_vfio_open (path, options->device_fd);
  if (device->fd < 0)
    return cpr_throw_errno (error, errno, "VFIO device '%s': %s", device->name, path);
  if ((options->device_fd == 0 || check_device_fd (device, folder, cdev, error)) && bind_and_attach (device, error))
    return true;
  cpr_fd_clear (&device->fd); /* which unbinds it */
  return false;
}

static uint32_t
get_map_flags (const CprDmaMapping *mapping)
{
  return CPR_UAPI_IOAS_MAP_FIXED_IOVA | ((mapping->flags & CPR_DMA_READ) != 0 ? CPR_UAPI_IOAS_MAP_READABLE : 0) |
         ((mapping->flags & CPR_DMA_WRITE) != 0 ? CPR_UAPI_IOAS_MAP_WRITEABLE : 0);
}

static int
map_file (const CprVfioContainer *container, const CprDmaMapping *mapping)
{
  CprUapiIoasMapFile map = { .size = sizeof map,
                             .flags = get_map_flags (mapping),
                             .ioas = container->ioas,
                             .fd = mapping->block->fd,
                             .start = mapping->offset,
                             .len = mapping->size,
                             .iova = mapping->iova };

  return cpr_sys->ioctl (container->fd, CPR_UAPI_IOAS_MAP_FILE, &map);
}

static int
map_address (const CprVfioContainer *container, const CprDmaMapping *mapping)
{
  CprUapiIoasMap map = { .size = sizeof map,
                         .flags = get_map_flags (mapping),
                         .ioas = container->ioas,
                         .vaddr = (uintptr_t) mapping->block->vaddr + mapping->offset,
                         .len = mapping->size,
                         .iova = mapping->iova };

  return cpr_sys->ioctl (container->fd, CPR_UAPI_IOAS_MAP, &map);
}

/* A memfd can be mapped by its file; of other files the kernel says EINVAL. */
static bool
is_memfd (const CprRamBlock *block)
{
  return block->backend == CPR_RAM_MEMFD || block->backend == CPR_RAM_HUGETLB;
}

static bool
map (CprVfioContainer *container, CprDmaMapping *mapping, GError **error)
{
  if (mapping->block->fd >= 0 && !container->lacks_file)
    {
      if (map_file (container, mapping) == 0)
        return true;
      if (errno != EINVAL || is_memfd (mapping->block))
        return cpr_vfio_throw_unmapped (container, mapping, "IOMMU_IOAS_MAP_FILE", errno, error);
    }
  mapping->by_address = map_address (container, mapping) == 0;
  return mapping->by_address || cpr_vfio_throw_unmapped (container, mapping, "IOMMU_IOAS_MAP", errno, error);
}

static bool
unmap (CprVfioContainer *container, const CprDmaMapping *mapping, GError **error)
{
  CprUapiIoasUnmap unmap = {
    .size = sizeof unmap, .ioas = container->ioas, .iova = mapping->iova, .len = mapping->size
  };

  if (cpr_sys->ioctl (container->fd, CPR_UAPI_IOAS_UNMAP, &unmap) < 0)
    return cpr_throw_errno (error, errno, "VFIO container '%s': IOMMU_IOAS_UNMAP of 0x%" G_GINT64_MODIFIER "x",
                            container->name, mapping->iova);
  if (unmap.len != mapping->size)
    return cpr_throw (error, CPR_ERROR_MISMATCH,
                      "VFIO container '%s': of the mapping at 0x%" G_GINT64_MODIFIER "x %" G_GUINT64_FORMAT
                      " bytes were unmapped, it had %" G_GUINT64_FORMAT,
                      container->name, mapping->iova, unmap.len, mapping->size);
  return true;
}

static bool
reattach (CprVfioContainer *container, guint *lost G_GNUC_UNUSED, GError **error)
{
  CprUapiIoasChangeProcess change = { .size = sizeof change };
  const CprDmaMapping all = { .size = container->dma.total, .claimed = true };

  if (cpr_sys->ioctl (container->fd, CPR_UAPI_IOAS_CHANGE_PROCESS, &change) == 0)
    return true;
  return cpr_vfio_throw_unmapped (container, &all, "IOMMU_IOAS_CHANGE_PROCESS", errno, error);
}

static char *
describe_obstacle (const CprVfioContainer *container)
{
  if (container->lacks_file || container->lacks_change)
    return g_strdup_printf ("VFIO container '%s': the kernel has no %s (Linux 6.14)", container->name,
                            container->lacks_file ? "IOMMU_IOAS_MAP_FILE" : "IOMMU_IOAS_CHANGE_PROCESS");
  for (guint i = 0; i < container->dma.mappings->len; i++)
    {
      const CprDmaMapping *mapping = cpr_dma_mappings_get (&container->dma, i);

      if (mapping->by_address)
        return g_strdup_printf (
            "VFIO container '%s': RAM block '%s' isn't a memfd: an iommufd maps it by its address in "
            "this process",
            container->name, mapping->block->name);
    }
  return NULL;
}

const CprVfioOps cpr_vfio_iommufd = {
  .open = open_container,
  .close = close_container,
  .attach = attach,
  .map = map,
  .unmap = unmap,
  .reattach = reattach,
  .describe_obstacle = describe_obstacle,
};
