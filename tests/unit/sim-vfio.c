/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sim-vfio.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <linux/vfio.h>

#include "base/uapi.h"

typedef enum
{
  NOTHING,
  CONTAINER,
  GROUP,
  DEVICE,
  CDEV,
  IOMMUFD
} Kind;

static const struct
{
  const char *address;
  int group;
} devices[] = { { "0000:00:04.0", 26 }, { "0000:00:04.1", 26 }, { "0000:00:05.0", 27 } };

Sim sim;
int sim_mm;
static bool is_forked;
static char path[256];

static bool
fails (unsigned long request)
{
  if (is_forked != sim.fail_forked)
    return false;
  if (++sim.calls < sim.fail_at || sim.calls > sim.fail_until)
    return false;
  sim.failed = request;
  sim.failed_any = true;
  if (sim.fail_errno == SIM_DIES)
    raise (SIGKILL);
  errno = sim.fail_errno;
  return true;
}

static SimObject *
find_object (ino_t inode)
{
  for (int i = 0; i < SIM_OBJECTS; i++)
    if (sim.objects[i].refs > 0 && sim.objects[i].inode == inode)
      return &sim.objects[i];
  return NULL;
}

static SimObject *
get (int fd)
{
  struct stat st;

  return cpr_sys_kernel.fstat (fd, &st) == 0 && S_ISREG (st.st_mode) ? find_object (st.st_ino) : NULL;
}

static int
new_fd (Kind kind, int number)
{
  int fd = cpr_sys_kernel.memfd_create ("sim-vfio", MFD_CLOEXEC), at = 0;
  struct stat st;

  ck_assert_int_eq (cpr_sys_kernel.fstat (fd, &st), 0);
  while (sim.objects[at].refs > 0)
    ck_assert_int_lt (++at, SIM_OBJECTS);
  sim.objects[at] = (SimObject){ (int) kind, number, st.st_ino, 1, false, false };
  sim.open_containers += kind == CONTAINER || kind == IOMMUFD;
  sim.open_groups += kind == GROUP;
  sim.open_devices += kind == DEVICE || kind == CDEV;
  return fd;
}

static void
drop_mappings (void)
{
  memset (sim.locked, 0, sizeof sim.locked);
  sim.n_mappings = 0;
}

static void
leave_container (SimObject *group)
{
  if (!group->joined)
    return;
  group->joined = false;
  if (--sim.n_groups == 0)
    {
      sim.has_iommu = false;
      drop_mappings ();
    }
}

static int
sim_open (const char *name, int flags, mode_t mode)
{
  int number;

  if (!g_str_has_prefix (name, "/dev/vfio/") && strcmp (name, "/dev/iommu") != 0)
    return cpr_sys_kernel.open (name, flags, mode);
  if (fails (0))
    return -1;
  if (strcmp (name, "/dev/vfio/vfio") == 0)
    return new_fd (CONTAINER, 0);
  if (strcmp (name, "/dev/iommu") == 0 && sim.has_iommufd)
    return new_fd (IOMMUFD, 0);
  if (sscanf (name, "/dev/vfio/devices/vfio%d", &number) == 1 && number < 3)
    return new_fd (CDEV, number);
  if (sscanf (name, "/dev/vfio/%d", &number) == 1 && (number == 26 || number == 27))
    {
      for (int i = 0; i < SIM_OBJECTS; i++)
        if (sim.objects[i].refs > 0 && sim.objects[i].kind == GROUP && sim.objects[i].number == number)
          {
            errno = EBUSY;
            return -1;
          }
      return new_fd (GROUP, number);
    }
  errno = ENOENT;
  return -1;
}

static void
release (SimObject *object)
{
  if (object->kind == GROUP)
    leave_container (object);
  if (object->kind == CONTAINER || object->kind == IOMMUFD)
    drop_mappings ();
  sim.open_containers -= object->kind == CONTAINER || object->kind == IOMMUFD;
  sim.open_groups -= object->kind == GROUP;
  sim.open_devices -= object->kind == DEVICE || object->kind == CDEV;
}

/* What a forked process has open is never the last of it. */
static int
sim_close (int fd)
{
  SimObject *object = is_forked ? NULL : get (fd);

  if (object != NULL && --object->refs == 0)
    release (object);
  return cpr_sys_kernel.close (fd);
}

static int
sim_fcntl (int fd, int command, long argument)
{
  int copy;

  if (get (fd) == NULL || command != F_DUPFD_CLOEXEC)
    return cpr_sys_kernel.fcntl (fd, command, argument);
  if (fails (0))
    return -1;
  copy = cpr_sys_kernel.fcntl (fd, command, argument);
  get (fd)->refs += !is_forked;
  return copy;
}

static int
sim_fstat (int fd, struct stat *st)
{
  const SimObject *object = get (fd);

  if (object != NULL && fails (0))
    return -1;
  if (cpr_sys_kernel.fstat (fd, st) < 0)
    return -1;
  if (object != NULL && object->kind == GROUP)
    st->st_rdev = makedev (243, (unsigned) object->number);
  if (object != NULL && object->kind == CDEV)
    st->st_rdev = makedev (511, (unsigned) object->number);
  return 0;
}

static int
sim_stat (const char *name, struct stat *st)
{
  int number;

  if (sscanf (name, "/dev/vfio/%d", &number) == 1)
    {
      *st = (struct stat){ .st_mode = S_IFCHR, .st_rdev = makedev (243, (unsigned) number) };
      return 0;
    }
  if (strcmp (name, "/sys/class/vfio-dev") == 0)
    {
      errno = ENOENT;
      return sim.has_iommufd ? 0 : -1;
    }
  return cpr_sys_kernel.stat (name, st);
}

static int
sim_eventfd (unsigned initial, int flags)
{
  return fails (0) ? -1 : cpr_sys_kernel.eventfd (initial, flags);
}

static ssize_t
sim_pread (int fd, void *data, size_t len, off_t offset)
{
  uint64_t at = (uint64_t) offset & 0xffff;

  if (get (fd) == NULL)
    return cpr_sys_kernel.pread (fd, data, len, offset);
  if (fails (0))
    return -1;
  ck_assert_uint_le (at + len, sizeof sim.config);
  memcpy (data, sim.config + at, len);
  return (ssize_t) len;
}

/* Nothing is executed. */
static int
sim_execve (const char *program G_GNUC_UNUSED, char *const *argv G_GNUC_UNUSED, char *const *envp G_GNUC_UNUSED)
{
  errno = EPERM;
  return -1;
}

static int
sim_execveat (int fd G_GNUC_UNUSED, char *const *argv G_GNUC_UNUSED, char *const *envp G_GNUC_UNUSED)
{
  errno = EPERM;
  return -1;
}

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
  uint64_t limit = is_forked && sim.forked_memlock != 0 ? sim.forked_memlock : sim.memlock;

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
      leave_container (group);
      return 0;
    case VFIO_GROUP_GET_DEVICE_FD:
      for (int i = 0; i < (int) G_N_ELEMENTS (devices); i++)
        if (devices[i].group == group->number && strcmp (devices[i].address, argument) == 0)
          return group->joined ? new_fd (DEVICE, i) : fail_with (EINVAL);
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

static bool
is_memfd (int fd)
{
  return cpr_sys_kernel.fcntl (fd, F_GET_SEALS, 0) >= 0;
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

static int
sim_ioctl (int fd, unsigned long request, void *argument)
{
  SimObject *object = get (fd);

  ck_assert_msg (object != NULL, "ioctl 0x%lx with fd %d, which isn't one of VFIO", request, fd);
  sim.ioctls++;
  if (fails (request))
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

/* ---- The simulation. */

static void run (const char *format, ...) G_GNUC_PRINTF (1, 2);

static void
run (const char *format, ...)
{
  g_autofree char *command = NULL;
  va_list args;

  va_start (args, format);
  command = g_strdup_vprintf (format, args);
  va_end (args);
  ck_assert_int_eq (system (command), 0);
}

static void
make_sysfs (void)
{
  sim.folder = g_dir_make_tmp ("libcpr-vfio-XXXXXX", NULL);
  ck_assert_ptr_nonnull (sim.folder);
  for (size_t i = 0; i < G_N_ELEMENTS (devices); i++)
    run ("cd %s && mkdir -p %s/vfio-dev/vfio%zu && ln -s ../groups/%d %s/iommu_group && echo 511:%zu "
         ">%s/vfio-dev/vfio%zu/dev",
         sim.folder, devices[i].address, i, devices[i].group, devices[i].address, i, devices[i].address, i);
}

void
sim_begin (void)
{
  static CprSys table;

  /* Shared with what is forked, and empty. */
  ck_assert_ptr_eq (mmap (&sim, sizeof sim, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
                    &sim);
  sim.has_update_vaddr = sim.has_type1v2 = sim.has_change_process = sim.has_map_file = sim.has_iommufd = true;
  sim.group_is_viable = true;
  sim.api_version = VFIO_API_VERSION;
  sim.bar_size = 1 << 20;
  sim_mm = sim.n_mms = 1;
  for (size_t i = 0; i < sizeof sim.config; i++)
    sim.config[i] = (uint8_t) (i * 7 + 1);
  make_sysfs ();
  table = cpr_sys_kernel;
  table.open = sim_open;
  table.close = sim_close;
  table.fcntl = sim_fcntl;
  table.fstat = sim_fstat;
  table.stat = sim_stat;
  table.pread = sim_pread;
  table.eventfd = sim_eventfd;
  table.ioctl = sim_ioctl;
  table.execve = sim_execve;
  table.execveat = sim_execveat;
  cpr_sys = &table;
}

void
sim_end (void)
{
  ck_assert_int_eq (sim.open_containers, 0);
  ck_assert_int_eq (sim.open_groups, 0);
  ck_assert_int_eq (sim.open_devices, 0);
  cpr_sys = &cpr_sys_kernel;
  run ("rm -r %s", sim.folder);
  g_free (sim.folder);
}

void
sim_exec (void)
{
  sim_mm = ++sim.n_mms;
  ck_assert_uint_lt ((size_t) sim_mm, G_N_ELEMENTS (sim.locked));
}

void
sim_forked (void)
{
  is_forked = true;
  sim_exec ();
}

const char *
sim_path (const char *address)
{
  g_snprintf (path, sizeof path, "%s/%s", sim.folder, address);
  return path;
}

void
sim_fail (unsigned at, int errnum)
{
  sim.calls = 0;
  sim.fail_at = sim.fail_until = at;
  sim.fail_errno = errnum;
  sim.fail_forked = false;
  sim.failed = 0;
  sim.failed_any = false;
}

void
sim_fail_forked (unsigned at, int errnum)
{
  sim_fail (at, errnum);
  sim.fail_forked = true;
}
