/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The ioctls of the simulated VFIO, and the mappings behind them. sim-vfio.c has the fds. */
#include "sim-vfio-fds.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include <linux/vfio.h>

#include "base/uapi.h"

/* ---- Mappings, for both kinds of container. */

static SimMapping *
find (uint64_t iova, uint64_t size)
{
  for (guint i = 0; i < sim.n_mappings; i++)
    {
      SimMapping *mapping = &sim.mappings[i];

      if (iova < mapping->iova + mapping->size && mapping->iova < iova + size)
        return mapping;
    }
  return NULL;
}

static int
fail_with (int errnum)
{
  errno = errnum;
  return -1;
}

static bool
may_lock (uint64_t size)
{
  uint64_t limit = sim_is_forked && sim.forked_memlock != 0 ? sim.forked_memlock : sim.memlock;

  return limit == 0 || sim.locked[sim_mm] + size <= limit;
}

static int
add_mapping (const SimMapping *mapping)
{
  if (find (mapping->iova, mapping->size) != NULL)
    return fail_with (EEXIST);
  if (!may_lock (mapping->size))
    return fail_with (ENOMEM);
  sim.locked[sim_mm] += mapping->size;
  ck_assert_uint_lt (sim.n_mappings, SIM_MAPPINGS);
  sim.mappings[sim.n_mappings++] = *mapping;
  return 0;
}

static int
map_vaddr (const struct vfio_iommu_type1_dma_map *map)
{
  SimMapping *mapping = find (map->iova, 1);

  sim.vaddr_maps++;
  if (mapping == NULL)
    return fail_with (ENOENT);
  if (map->flags != VFIO_DMA_MAP_FLAG_VADDR || mapping->valid || mapping->iova != map->iova ||
      mapping->size != map->size)
    return fail_with (EINVAL);
  if (mapping->mm != sim_mm)
    {
      if (!may_lock (map->size))
        return fail_with (ENOMEM);
      sim.locked[mapping->mm] -= map->size;
      sim.locked[sim_mm] += map->size;
    }
  mapping->mm = sim_mm;
  mapping->vaddr = map->vaddr;
  mapping->valid = true;
  return 0;
}

static int
map_dma (const struct vfio_iommu_type1_dma_map *map)
{
  const SimMapping mapping = { map->iova, map->size, map->vaddr, map->flags, sim_mm, true, false };

  sim.maps++;
  if (!sim.has_iommu)
    return fail_with (EINVAL);
  if ((map->flags & VFIO_DMA_MAP_FLAG_VADDR) != 0)
    return map_vaddr (map);
  return add_mapping (&mapping);
}

static int
invalidate_all (struct vfio_iommu_type1_dma_unmap *unmap)
{
  if (unmap->iova != 0 || unmap->size != 0)
    return fail_with (EINVAL);
  for (guint i = 0; i < sim.n_mappings; i++)
    if (!sim.mappings[i].valid)
      return fail_with (EINVAL);
  for (guint i = 0; i < sim.n_mappings; i++)
    {
      SimMapping *mapping = &sim.mappings[i];

      mapping->valid = false;
      unmap->size += mapping->size;
    }
  return 0;
}

static int
invalidate_one (struct vfio_iommu_type1_dma_unmap *unmap)
{
  SimMapping *mapping = find (unmap->iova, unmap->size);

  if (mapping != NULL && (mapping->iova != unmap->iova || mapping->size != unmap->size || !mapping->valid))
    return fail_with (EINVAL);
  if (mapping != NULL)
    mapping->valid = false;
  else
    unmap->size = 0;
  return 0;
}

void
sim_remove_mapping (guint i)
{
  sim.locked[sim.mappings[i].mm] -= sim.mappings[i].size;
  sim.n_mappings--;
  memmove (&sim.mappings[i], &sim.mappings[i + 1], (sim.n_mappings - i) * sizeof sim.mappings[0]);
}

static void
remove_mapping (const SimMapping *mapping)
{
  sim_remove_mapping ((guint) (mapping - sim.mappings));
}

static int
unmap_dma (struct vfio_iommu_type1_dma_unmap *unmap)
{
  SimMapping *mapping;
  int answer = 0;

  if (!sim.has_iommu)
    return fail_with (EINVAL);
  if ((unmap->flags & VFIO_DMA_UNMAP_FLAG_VADDR) != 0)
    {
      if (!sim.has_update_vaddr)
        return fail_with (EBUSY);
      answer = (unmap->flags & VFIO_DMA_UNMAP_FLAG_ALL) != 0 ? invalidate_all (unmap) : invalidate_one (unmap);
    }
  else
    {
      mapping = find (unmap->iova, unmap->size);
      if (mapping == NULL)
        unmap->size = 0;
      else if (mapping->iova != unmap->iova || mapping->size != unmap->size)
        return fail_with (EINVAL);
      else
        remove_mapping (mapping);
    }
  if (++sim.unmaps == sim.lie_at_unmap)
    unmap->size /= 2;
  return answer;
}

/* ---- The ioctls. */

static int
container_ioctl (unsigned long request, void *argument)
{
  switch (request)
    {
    case VFIO_GET_API_VERSION:
      return sim.api_version;
    case VFIO_CHECK_EXTENSION:
      if ((uintptr_t) argument == VFIO_UPDATE_VADDR)
        return sim.has_iommu && sim.has_update_vaddr;
      return (uintptr_t) argument == VFIO_TYPE1v2_IOMMU && sim.has_type1v2;
    case VFIO_SET_IOMMU:
      if (sim.n_groups == 0 || sim.has_iommu || (uintptr_t) argument != VFIO_TYPE1v2_IOMMU)
        return fail_with (EINVAL);
      sim.has_iommu = true;
      return 0;
    case VFIO_IOMMU_MAP_DMA:
      return map_dma (argument);
    case VFIO_IOMMU_UNMAP_DMA:
      return unmap_dma (argument);
    default:
      return fail_with (ENOTTY);
    }
}

static int
group_ioctl (SimObject *group, unsigned long request, void *argument)
{
  struct vfio_group_status *status = argument;

  switch (request)
    {
    case VFIO_GROUP_GET_STATUS:
      status->flags =
          (sim.group_is_viable ? VFIO_GROUP_FLAGS_VIABLE : 0) | (group->joined ? VFIO_GROUP_FLAGS_CONTAINER_SET : 0);
      return 0;
    case VFIO_GROUP_SET_CONTAINER:
      if (group->joined || !sim.group_is_viable)
        return fail_with (EINVAL);
      group->joined = true;
      sim.n_groups++;
      return 0;
    case VFIO_GROUP_UNSET_CONTAINER:
      sim_leave_container (group);
      return 0;
    case VFIO_GROUP_GET_DEVICE_FD:
      for (int i = 0; i < SIM_DEVICES; i++)
        if (sim_devices[i].group == group->number && strcmp (sim_devices[i].address, argument) == 0)
          return group->joined ? sim_new_fd (DEVICE, i) : fail_with (EINVAL);
      return fail_with (ENODEV);
    default:
      return fail_with (ENOTTY);
    }
}

static int
set_irqs (const struct vfio_irq_set *set)
{
  const int32_t *fds = (const int32_t *) (const void *) set->data;

  sim.set_irqs++;
  if (set->index > 4 || set->start + set->count > 8)
    return fail_with (EINVAL);
  if (set->count == 0)
    memset (sim.irq_fds[set->index], 0, sizeof sim.irq_fds[0]);
  for (uint32_t i = 0; i < set->count && (set->flags & VFIO_IRQ_SET_ACTION_TRIGGER) != 0; i++)
    sim.irq_fds[set->index][set->start + i] = fds[i];
  return 0;
}

static int
device_ioctl (SimObject *device, unsigned long request, void *argument)
{
  struct vfio_region_info *region = argument;
  struct vfio_device_info *info = argument;
  const CprUapiVfioAttach *attach = argument;

  switch (request)
    {
    case VFIO_DEVICE_GET_INFO:
      info->flags = VFIO_DEVICE_FLAGS_PCI;
      info->num_regions = VFIO_PCI_NUM_REGIONS;
      return 0;
    case VFIO_DEVICE_GET_REGION_INFO:
      if (region->index == VFIO_PCI_VGA_REGION_INDEX)
        return fail_with (EINVAL);
      region->offset = (uint64_t) region->index << 40;
      region->size = region->index == VFIO_PCI_CONFIG_REGION_INDEX ? sizeof sim.config
                     : region->index == 0                          ? sim.bar_size
                                                                   : 0;
      return 0;
    case VFIO_DEVICE_SET_IRQS:
      return set_irqs (argument);
    case CPR_UAPI_VFIO_BIND_IOMMUFD:
      if (device->kind != CDEV || device->bound)
        return fail_with (EINVAL);
      device->bound = true;
      return 0;
    case CPR_UAPI_VFIO_ATTACH_IOMMUFD:
      return device->bound && attach->page_table == 2 ? 0 : fail_with (EINVAL);
    default:
      return fail_with (ENOTTY);
    }
}

/* The kernel's answer is yes for any file of a tmpfs, as the folder of the tests' files may be. */
static bool
is_memfd (int fd)
{
  g_autofree char *link = g_strdup_printf ("/proc/self/fd/%d", fd), *target = g_file_read_link (link, NULL);

  return target != NULL && g_str_has_prefix (target, "/memfd:");
}

static int
change_process (void)
{
  uint64_t all = 0;

  for (guint i = 0; i < sim.n_mappings; i++)
    {
      if (!sim.mappings[i].file)
        return fail_with (EINVAL);
      all += sim.mappings[i].size;
    }
  if (sim.iommufd_mm != sim_mm && !may_lock (all - sim.locked[sim_mm]))
    return fail_with (ENOMEM);
  for (guint i = 0; i < sim.n_mappings; i++)
    sim.mappings[i].mm = sim_mm;
  memset (sim.locked, 0, sizeof sim.locked);
  sim.locked[sim_mm] = all;
  sim.iommufd_mm = sim_mm;
  sim.change_process += all > 0;
  return 0;
}

static int
iommufd_ioctl (unsigned long request, void *argument)
{
  CprUapiIoasMapFile *file = argument;
  CprUapiIoasMap *map = argument;
  CprUapiIoasUnmap *unmap = argument;
  SimMapping *found;

  switch (request)
    {
    case CPR_UAPI_IOAS_ALLOC:
      ((CprUapiIoasAlloc *) argument)->out_ioas = 2;
      return 0;
    case CPR_UAPI_IOMMU_DESTROY:
      return 0;
    case CPR_UAPI_IOAS_CHANGE_PROCESS:
      return sim.has_change_process ? change_process () : fail_with (ENOTTY);
    case CPR_UAPI_IOAS_MAP_FILE:
      if (!sim.has_map_file)
        return fail_with (ENOTTY);
      if (file->size != sizeof *file || !is_memfd (file->fd))
        return fail_with (EINVAL);
      return add_mapping (&(SimMapping){ file->iova, file->len, 0, file->flags, sim_mm, true, true });
    case CPR_UAPI_IOAS_MAP:
      return add_mapping (&(SimMapping){ map->iova, map->len, map->vaddr, map->flags, sim_mm, true, false });
    case CPR_UAPI_IOAS_UNMAP:
      found = find (unmap->iova, unmap->len);
      if (found == NULL || found->iova != unmap->iova)
        return fail_with (ENOENT);
      remove_mapping (found);
      if (++sim.unmaps == sim.lie_at_unmap)
        unmap->len /= 2;
      return 0;
    default:
      return fail_with (ENOTTY);
    }
}

int
sim_ioctl (int fd, unsigned long request, void *argument)
{
  SimObject *object = sim_object (fd);

  ck_assert_msg (object != NULL, "ioctl 0x%lx: fd %d should be one of VFIO, and is not", request, fd);
  sim.ioctls++;
  if (sim_fails (request))
    return -1;
  switch (object->kind)
    {
    case CONTAINER:
      return container_ioctl (request, argument);
    case GROUP:
      return group_ioctl (object, request, argument);
    case IOMMUFD:
      return iommufd_ioctl (request, argument);
    default:
      return device_ioctl (object, request, argument);
    }
}
