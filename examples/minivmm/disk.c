/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "disk.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "error.h"

struct _Disk
{
  CprSession *session;
  uint64_t blocker; /* where both programs live at a time they would want it at a time */
  int fd;           /* goes along, and its flock() with it */
  int lock_fd; /* opened anew by each program, for a lock of its own (F_OFD_SETLK): free as soon as its holder is gone */
};

static int
open_image (const char *name, int index, void *user_data, GError **error)
{
  const char *path = user_data;
  int fd = open (path, O_RDWR | O_CLOEXEC);
  if (fd < 0)
    throw_errno (error, "disk: %s", path);
  return fd;
}

static bool
lock (Disk *disk, const char *path, GError **error)
{
  struct flock all = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

  if (flock (disk->fd, LOCK_EX | LOCK_NB) < 0)
    return throw_errno (error, "disk: %s: flock", path);
  disk->lock_fd = open_image (NULL, 0, (char *) path, error);
  if (disk->lock_fd < 0)
    return false;
  return fcntl (disk->lock_fd, F_OFD_SETLK, &all) == 0 || throw_errno (error, "disk: %s: F_OFD_SETLK", path);
}

Disk *
disk_new (CprSession *session, const char *path, GError **error)
{
  Disk *disk = g_new0 (Disk, 1);
  disk->session = session;
  disk->lock_fd = -1;
  disk->fd = cpr_fd_open (session, "disk", 0, open_image, (char *) path, error);
  disk->blocker = cpr_blocker_add (session, CPR_MODES_TRANSFER, "disk: each program locks it for itself", error);
  if (disk->blocker && disk->fd >= 0 && lock (disk, path, error))
    return disk;
  disk_free (disk);
  return NULL;
}

void
disk_free (Disk *disk)
{
  if (!disk)
    return;
  if (disk->blocker)
    cpr_blocker_remove (disk->session, disk->blocker, NULL);
  if (disk->fd >= 0)
    {
      cpr_fd_remove (disk->session, "disk", 0, NULL);
      close (disk->fd);
    }
  if (disk->lock_fd >= 0)
    close (disk->lock_fd);
  g_free (disk);
}
