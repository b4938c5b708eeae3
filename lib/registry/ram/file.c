/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files and DAX devices that keep RAM in place in reboot mode, and how the new program
 * recognises them. Called by store.c and restore.c. */
#include "registry/ram/file.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/sys.h"
#include "registry/ram/dax.h"

#define HOUR_NS INT64_C (3600000000000)

static int64_t
to_ns (struct timespec time)
{
  return (int64_t) time.tv_sec * 1000000000 + time.tv_nsec;
}

/* A DAX device is identified by its UUID and address: neither its number nor its name survives a
 * reboot of the host. */
static bool
identify_dax (CprRamFile *file, dev_t number, const char *name, GError **error)
{
  CprDax dax;

  if (!cpr_dax_describe (number, &dax))
    return cpr_throw (
        error, CPR_ERROR_INVALID,
        "RAM block '%s': its backing is neither a file nor a DAX device, so its contents don't stay there", name);
  memcpy (&file->device, dax.uuid, sizeof file->device);
  memcpy (&file->inode, dax.uuid + sizeof file->device, sizeof file->inode);
  file->special = dax.address;
  file->size = dax.size;
  return true;
}

bool
cpr_ram_file_identify (CprRamFile *file, int fd, const char *name, GError **error)
{
  struct stat st;

  if (cpr_sys->fstat (fd, &st) < 0)
    return cpr_throw_errno (error, errno, "RAM block '%s': fstat", name);
  *file =
      (CprRamFile){ st.st_mode & S_IFMT, st.st_dev, st.st_ino, st.st_rdev, (uint64_t) st.st_size, to_ns (st.st_mtim) };
  return !S_ISCHR (st.st_mode) || identify_dax (file, st.st_rdev, name, error);
}

static bool
has_uuid (const CprRamFile *file)
{
  return (file->device | file->inode) != 0;
}

/* Compares two DAX regions: by their UUIDs, or by their addresses where one has no UUID. An
 * address that isn't known counts as equal, since the contents are compared in any case. */
static bool
is_same_region (const CprRamFile *is, const CprRamFile *was)
{
  if (has_uuid (is) && has_uuid (was))
    return is->device == was->device && is->inode == was->inode;
  return is->special == 0 || was->special == 0 || is->special == was->special;
}

static bool
is_same_file (const CprRamFile *is, const CprRamFile *was)
{
  if (is->type != was->type)
    return false;
  if (S_ISCHR (is->type))
    return is_same_region (is, was);
  return S_ISREG (is->type) ? is->inode == was->inode : is->special == was->special;
}

/* Checks that it is the same file, with the same size. After a reboot another device number is
 * usual, and another inode number isn't. */
static bool
check_place (const CprRamFile *is, const CprRamFile *was, const char *name, const char *path, GError **error)
{
  if (!is_same_file (is, was))
    return cpr_throw (error, CPR_ERROR_MISMATCH, "RAM block '%s': %s is another %s than the one its contents are in",
                      name, path, S_ISCHR (is->type) && S_ISCHR (was->type) ? "DAX region" : "file");
  if (is->size != was->size)
    return cpr_throw (error, CPR_ERROR_MISMATCH,
                      "RAM block '%s': %s had %" G_GUINT64_FORMAT
                      " bytes when the state was saved, has %" G_GUINT64_FORMAT,
                      name, path, was->size, is->size);
  return true;
}

bool
cpr_ram_file_check (const CprRamFile *was, int fd, const char *name, const char *path, GError **error)
{
  CprRamFile is;

  if (!cpr_ram_file_identify (&is, fd, name, error) || !check_place (&is, was, name, path, error))
    return false;
  return !S_ISREG (is.type) || is.stamp_ns == was->stamp_ns ||
         cpr_throw (error, CPR_ERROR_MISMATCH, "RAM block '%s': %s was used or changed after the state was saved", name,
                    path);
}

/* ---- The stamp is a modification time that no other file operation sets, and that each one
 * changes. So it shows whether the file was used after the save. Writing through a mapping
 * doesn't change the time on tmpfs and hugetlbfs; making or claiming a RAM block does. */

static bool
set_time (int fd, int64_t time_ns, const char *name, GError **error)
{
  struct timespec time = { time_ns / 1000000000, time_ns % 1000000000 };
  const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, time };

  return cpr_sys->futimens (fd, times) == 0 ||
         cpr_throw_errno (error, errno, "RAM block '%s': futimens of its file", name);
}

static bool
throw_coarse (const char *name, GError **error)
{
  return cpr_throw (
      error, CPR_ERROR_SYSTEM,
      "RAM block '%s': its file system doesn't keep times to the nanosecond, so that a file in place couldn't be "
      "recognised",
      name);
}

/* Tries a stamp of an hour ago. A guest that writes meanwhile sets the time to now, which can be
 * told from a file system that rounds times. */
static bool
probe_stamp (const CprRamFile *file, int fd, const char *name, GError **error)
{
  int64_t tried_ns = file->stamp_ns - HOUR_NS;
  CprRamFile is;

  if (!set_time (fd, tried_ns, name, error) || !cpr_ram_file_identify (&is, fd, name, error))
    return false;
  if (cpr_sys->futimens (fd, NULL) < 0)
    return cpr_throw_errno (error, errno, "RAM block '%s': futimens of its file", name);
  return is.stamp_ns == tried_ns || is.stamp_ns > tried_ns + HOUR_NS / 2 || throw_coarse (name, error);
}

bool
cpr_ram_file_probe (const CprRamFile *file, int fd, const char *name, GError **error)
{
  struct stat st;
  CprRamFile is;

  if (cpr_sys->fstat (fd, &st) < 0)
    return cpr_throw_errno (error, errno, "RAM block '%s': fstat", name);
  if (st.st_nlink == 0)
    return cpr_throw (error, CPR_ERROR_INVALID,
                      "RAM block '%s': its file was deleted, so that no other program could open it", name);
  return cpr_ram_file_identify (&is, fd, name, error) && check_place (&is, file, name, "its file", error) &&
         (!S_ISREG (file->type) || probe_stamp (file, fd, name, error));
}

bool
cpr_ram_file_stamp (const CprRamFile *file, int fd, const char *name, GError **error)
{
  CprRamFile is;

  if (cpr_sys->fsync (fd) < 0)
    return cpr_throw_errno (error, errno, "RAM block '%s': fsync of its file", name);
  if (!set_time (fd, file->stamp_ns, name, error) || !cpr_ram_file_identify (&is, fd, name, error))
    return false;
  if (is.stamp_ns != file->stamp_ns)
    return throw_coarse (name, error);
  if (cpr_sys->fsync (fd) < 0)
    return cpr_throw_errno (error, errno, "RAM block '%s': fsync of its file", name);
  return cpr_ram_file_check (file, fd, name, "its file", error);
}
