/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads what sysfs says of a device: its folder, IOMMU group and character device. Called by
 * device.c and by the back ends. */
#include "vfio/sysfs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/name.h"
#include "base/sys.h"

#define PCI_FOLDER "/sys/bus/pci/devices/"

char *
cpr_sysfs_get_folder (const char *name, const char *path, GError **error)
{
  const char *address = strrchr (path, '/') != NULL ? strrchr (path, '/') + 1 : path;

  if (path[0] != '/' && address != path)
    {
      cpr_throw (error, CPR_ERROR_INVALID, "VFIO device '%s': '%s' is neither a PCI address nor a full path", name,
                 path);
      return NULL;
    }
  if (!cpr_name_check ("address", address, error))
    return NULL;
  return path[0] == '/' ? g_strdup (path) : g_strconcat (PCI_FOLDER, path, NULL);
}

static bool
check_there (const char *name, const char *folder, GError **error)
{
  struct stat st;

  if (cpr_sys->stat (folder, &st) == 0)
    return true;
  if (errno == ENOENT || errno == ENOTDIR)
    return cpr_throw (error, CPR_ERROR_NOT_FOUND, "VFIO device '%s': the host has no %s", name, folder);
  return cpr_throw_errno (error, errno, "VFIO device '%s': %s", name, folder);
}

bool
cpr_sysfs_get_group (const char *name, const char *folder, uint32_t *group, GError **error)
{
  g_autofree char *link = g_build_filename (folder, "iommu_group", NULL);
  char target[1024], *end;
  const char *base;
  unsigned long number;
  ssize_t len;

  if (!check_there (name, folder, error))
    return false;
  len = cpr_sys->readlink (link, target, sizeof target - 1);
  if (len < 0 && errno == ENOENT)
    return cpr_throw (error, CPR_ERROR_NOT_FOUND,
                      "VFIO device '%s': %s has no IOMMU group: the host's IOMMU is off, or the device isn't behind it",
                      name, folder);
  if (len < 0)
    return cpr_throw_errno (error, errno, "VFIO device '%s': %s", name, link);
  if ((size_t) len == sizeof target - 1)
    return cpr_throw_errno (error, ENAMETOOLONG, "VFIO device '%s': %s", name, link);
  target[len] = '\0';
  base = strrchr (target, '/') != NULL ? strrchr (target, '/') + 1 : target;
  errno = 0;
  number = strtoul (base, &end, 10);
  if (end == base || *end != '\0' || errno != 0 || number > G_MAXINT)
    return cpr_throw (error, CPR_ERROR_NOT_FOUND, "VFIO device '%s': %s points to '%s', which is no group", name, link,
                      target);
  *group = (uint32_t) number;
  return true;
}

/* The one entry of the folder that begins so. */
static char *
find_entry (int folder, const char *prefix)
{
  _Alignas(8) char buffer[1024];
  ssize_t len;

  while ((len = cpr_sys->getdents64 (folder, buffer, sizeof buffer)) > 0)
    for (ssize_t at = 0; at < len;)
      {
        uint16_t size;
        const char *entry = buffer + at + 19; /* man 2 getdents: inode, offset, u16 size, u8 type, name */

        memcpy (&size, buffer + at + 16, sizeof size);
        if (g_str_has_prefix (entry, prefix))
          return g_strdup (entry);
        at += size;
      }
  return NULL;
}

char *
cpr_sysfs_get_cdev (const char *name, const char *folder, GError **error)
{
  g_autofree char *path = g_build_filename (folder, "vfio-dev", NULL);
  char *cdev = NULL;
  int fd;

  if (!check_there (name, folder, error))
    return NULL;
  fd = cpr_fd_above_std (cpr_sys->open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0));
  if (fd < 0 && errno != ENOENT)
    {
      cpr_throw_errno (error, errno, "VFIO device '%s': %s", name, path);
      return NULL;
    }
  if (fd >= 0)
    cdev = find_entry (fd, "vfio");
  cpr_fd_clear (&fd);
  if (cdev == NULL)
    cpr_throw (error, CPR_ERROR_NOT_FOUND,
               "VFIO device '%s': %s isn't there: the device isn't bound to a VFIO driver, or the kernel has no "
               "VFIO_DEVICE_CDEV",
               name, path);
  return cdev;
}

dev_t
cpr_sysfs_get_cdev_number (const char *folder, const char *cdev)
{
  g_autofree char *path = g_build_filename (folder, "vfio-dev", cdev, "dev", NULL);
  int fd = cpr_fd_above_std (cpr_sys->open (path, O_RDONLY | O_CLOEXEC, 0));
  char text[32] = { 0 }, *end;
  unsigned long major, minor;
  ssize_t len;

  if (fd < 0)
    return 0;
  len = cpr_sys->read (fd, text, sizeof text - 1);
  cpr_fd_clear (&fd);
  major = strtoul (text, &end, 10);
  if (len <= 0 || *end != ':')
    return 0;
  minor = strtoul (end + 1, NULL, 10);
  return makedev ((unsigned) major, (unsigned) minor);
}

bool
cpr_sysfs_is_mediated (const char *folder)
{
  g_autofree char *path = g_build_filename (folder, "mdev_type", NULL);
  struct stat st;

  return cpr_sys->stat (path, &st) == 0;
}
