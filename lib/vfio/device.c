/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One assigned device: opened and attached, or claimed in the new program. Called by
 * lib/session. */
#include "vfio/device.h"

#include <string.h>

#include "base/error.h"
#include "base/name.h"
#include "vfio/backend.h"
#include "vfio/sysfs.h"

static const char *
get_address (const char *path)
{
  const char *slash = strrchr (path, '/');

  return slash != NULL ? slash + 1 : path;
}

static bool
check_options (const char *name, const CprVfioDeviceOptions *options, GError **error)
{
  if (options->group_fd >= 0 && options->device_fd >= 0)
    return true;
  return cpr_throw (error, CPR_ERROR_INVALID, "VFIO device '%s': fds are %d and %d", name, options->group_fd,
                    options->device_fd);
}

/* The same device under two names would be reset under its first one. */
static bool
check_new (const CprVfioContainer *container, const char *name, const char *address, GError **error)
{
  const CprVfioTable *table = container->table;

  if (cpr_vfio_table_find_device (table, name) != NULL)
    return cpr_throw (error, CPR_ERROR_EXISTS, "VFIO device '%s': there is one of that name", name);
  if (table->n_devices == CPR_LIMIT_VFIO_DEVICES)
    return cpr_throw (error, CPR_ERROR_INVALID, "VFIO device '%s': there are %d already, no more can be handed over",
                      name, CPR_LIMIT_VFIO_DEVICES);
  for (guint i = 0; container->backend != CPR_VFIO_NONE && i < table->containers->len; i++)
    {
      const CprVfioContainer *other = table->containers->pdata[i];

      for (guint k = 0; other->backend != CPR_VFIO_NONE && k < other->devices->len; k++)
        if (strcmp (((const CprVfioDevice *) other->devices->pdata[k])->address, address) == 0)
          return cpr_throw (error, CPR_ERROR_EXISTS, "VFIO device '%s': %s is device '%s' already", name, address,
                            ((const CprVfioDevice *) other->devices->pdata[k])->name);
    }
  return true;
}

/* The fds of an attached device belong into the fd table. */
static bool
register_fds (CprVfioDevice *device, bool has_new_group, GError **error)
{
  CprVfioTable *table = device->container->table;

  return (device->fd < 0 || cpr_vfio_table_add_fd (table, CPR_VFIO_DEVICE_FD, device->name, 0, device->fd, error)) &&
         (!has_new_group ||
          cpr_vfio_table_add_fd (table, CPR_VFIO_GROUP_FD, "", (int) device->group, device->group_fd, error));
}

CprVfioDevice *
cpr_vfio_device_create (CprVfioContainer *container,
                        const char *name,
                        const char *path,
                        const CprVfioDeviceOptions *options,
                        GError **error)
{
  g_autofree char *folder = NULL;
  CprVfioDevice *device;
  guint others = 0;

  if (!cpr_name_check ("VFIO device", name, error) || (folder = cpr_sysfs_get_folder (name, path, error)) == NULL ||
      !check_options (name, options, error) || !check_new (container, name, get_address (folder), error))
    return NULL;
  device = cpr_vfio_container_add_device (container, name, get_address (folder));
  device->mediated = container->backend != CPR_VFIO_NONE && cpr_sysfs_is_mediated (folder);
  if (cpr_vfio_get_ops (container->backend)->attach (device, folder, options, error))
    {
      for (guint i = 0; i < container->devices->len; i++)
        others += ((const CprVfioDevice *) container->devices->pdata[i])->group_fd == device->group_fd;
      if (register_fds (device, device->group_fd >= 0 && others == 1, error))
        return device;
    }
  cpr_vfio_container_drop_device (container, device);
  return NULL;
}

CprVfioDevice *
cpr_vfio_device_take (CprVfioContainer *container, const char *name, const char *path, GError **error)
{
  g_autofree char *folder = NULL;
  CprVfioDevice *device;

  if (!cpr_name_check ("VFIO device", name, error) || (folder = cpr_sysfs_get_folder (name, path, error)) == NULL)
    return NULL;
  device = cpr_vfio_table_find_device (container->table, name);
  if (device == NULL)
    cpr_throw (error, CPR_ERROR_NOT_FOUND, "VFIO device '%s': it isn't in the state", name);
  else if (device->container != container)
    cpr_throw (error, CPR_ERROR_MISMATCH, "VFIO device '%s': it is in container '%s' in the state, in '%s' here", name,
               device->container->name, container->name);
  else if (device->claimed)
    cpr_throw (error, CPR_ERROR_EXISTS, "VFIO device '%s': it was taken before", name);
  else if (strcmp (device->address, get_address (folder)) != 0)
    cpr_throw (error, CPR_ERROR_MISMATCH, "VFIO device '%s': it is %s in the state, %s here", name, device->address,
               get_address (folder));
  else
    {
      device->claimed = true; /* not mediated: such a one isn't handed over */
      return device;
    }
  return NULL;
}

bool
cpr_vfio_device_can_close (const CprVfioDevice *device, GError **error)
{
  const CprVfioContainer *container = device->container;

  if (container->backend == CPR_VFIO_TYPE1 && container->devices->len == 1 && container->dma.mappings->len > 0)
    return cpr_throw (
        error, CPR_ERROR_EXISTS,
        "VFIO device '%s': it is the last one of container '%s', which has %u mappings: they would be lost",
        device->name, container->name, container->dma.mappings->len);
  return true;
}
