/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The image file and its locks, for parts.c. */
#include "devices/disk.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "support/error.h"
#include "support/log.h"
#include "update.h"

#define FD_DISK "disk"

struct _Disk
{
  CprSession *session;
  const char *path;
  uint64_t notifier;
  int fd;      /* goes along, and its flock() with it */
  int lock_fd; /* opened anew by each program, for a lock of its own (F_OFD_SETLK): free as soon as its holder is gone */
  bool held;   /* that lock */
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
set_lock (Disk *disk, short type, GError **error)
{
  struct flock all = { .l_type = type, .l_whence = SEEK_SET };

  if (fcntl (disk->lock_fd, F_OFD_SETLK, &all) < 0)
    return throw_errno (error, "disk: %s: F_OFD_SETLK", disk->path);
  disk->held = type == F_WRLCK;
  return true;
}

void
disk_hold (Disk *disk)
{
  g_autoptr (GError) error = NULL;
  if (!disk->held && !set_lock (disk, F_WRLCK, &error))
    log_line ("%s", error->message); /* too late to go back; the other lock is there */
}

/* In transfer mode both programs live at a time, and one of them has it: the old one until the
 * guest stands still, the new one from when it runs. */
static bool
pass_on (CprSession *session, CprEvent event, CprMode mode, void *user_data, GError **error)
{
  Disk *disk = user_data;
  if (event == CPR_EVENT_STOPPED)
    return set_lock (disk, F_UNLCK, error);
  if (event == CPR_EVENT_FAILED || event == CPR_EVENT_DONE)
    disk_hold (disk);
  return true;
}

/* Where the guest still runs elsewhere it is held there. */
static bool
lock (Disk *disk, GError **error)
{
  if (flock (disk->fd, LOCK_EX | LOCK_NB) < 0)
    return throw_errno (error, "disk: %s: flock", disk->path);
  disk->lock_fd = open_image (NULL, 0, (char *) disk->path, error);
  if (disk->lock_fd < 0)
    return false;
  return cpr_session_is_rehearsal (disk->session) || update_is_transferred (disk->session) ||
         set_lock (disk, F_WRLCK, error);
}

Disk *
disk_new (CprSession *session, const char *path, GError **error)
{
  Disk *disk = g_new0 (Disk, 1);
  disk->session = session;
  disk->path = path;
  disk->lock_fd = -1;
  disk->fd = cpr_fd_open (session, FD_DISK, 0, open_image, (char *) path, error);
  if (disk->fd >= 0 && lock (disk, error))
    disk->notifier = cpr_notifier_add (session, CPR_MODES_TRANSFER, 0, pass_on, disk, error);
  if (disk->notifier)
    return disk;
  disk_free (disk);
  return NULL;
}

void
disk_free (Disk *disk)
{
  if (!disk)
    return;
  if (disk->notifier)
    cpr_notifier_remove (disk->session, disk->notifier, NULL);
  if (disk->fd >= 0)
    {
      cpr_fd_remove (disk->session, FD_DISK, 0, NULL);
      close (disk->fd);
    }
  if (disk->lock_fd >= 0)
    close (disk->lock_fd);
  g_free (disk);
}
