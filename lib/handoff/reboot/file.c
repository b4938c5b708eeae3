/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The file of a state: its names, and the demands of a take-up. Called by reboot.c and
 * take-up.c. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/sys.h"
#include "handoff/reboot/reboot.h"

char *
cpr_reboot_name_taken (const char *path)
{
  return g_strconcat (path, ".taken", NULL);
}

char *
cpr_reboot_name_spent (const char *path)
{
  return g_strconcat (path, ".spent", NULL);
}

bool
cpr_reboot_rename (const char *from, const char *to)
{
  if (cpr_sys->rename_new (from, to) == 0)
    return true;
  if (errno != EINVAL && errno != ENOSYS) /* the file system can't do that */
    return false;
  return cpr_sys->link (from, to) == 0 && cpr_sys->unlink (from) == 0;
}

bool
cpr_reboot_sync_folder (const char *path)
{
  g_autofree char *folder = g_path_get_dirname (path);
  int fd = cpr_fd_above_std (cpr_sys->open (folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0));
  bool ok = fd >= 0 && (cpr_sys->fsync (fd) == 0 || errno == EINVAL);
  int errnum = errno;

  cpr_fd_clear (&fd);
  errno = errnum;
  return ok;
}

char *
cpr_reboot_read_link (const char *path)
{
  g_autofree char *target = g_malloc (PATH_MAX + 1);
  ssize_t len = cpr_sys->readlink (path, target, PATH_MAX);

  if (len < 0)
    return NULL;
  target[len] = '\0';
  return g_steal_pointer (&target);
}

int
cpr_reboot_open_file (const char *path, const char *name, GError **error)
{
  int file = cpr_fd_above_std (cpr_sys->open (name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0)), errnum = errno;
  g_autofree char *target = file < 0 && errnum == ELOOP ? cpr_reboot_read_link (name) : NULL;

  if (target != NULL)
    cpr_throw (error, CPR_ERROR_MISMATCH,
               "state '%s': it is a symbolic link, to '%s'; name the file itself, which is renamed when it is taken up",
               path, target);
  else if (file < 0)
    cpr_throw_errno (error, errnum, "state '%s'", path);
  return file;
}

static bool
throw_busy (const char *path, GError **error)
{
  return cpr_throw (error, CPR_ERROR_NOT_OWNER, "state '%s': another process is taking it up", path);
}

static bool
check_name (const struct stat *st, const char *path, const char *name, GError **error)
{
  struct stat named;

  if (cpr_sys->stat (name, &named) < 0)
    return errno == ENOENT ? throw_busy (path, error) : cpr_throw_errno (error, errno, "state '%s': stat", path);
  return (named.st_dev == st->st_dev && named.st_ino == st->st_ino) || throw_busy (path, error);
}

/* A state names a program and its arguments. A user who could write the file could run anything
 * in this process's name. */
static bool
check_owner (const struct stat *st, const char *path, GError **error)
{
  if (!S_ISREG (st->st_mode))
    return cpr_throw (error, CPR_ERROR_MISMATCH, "state '%s': it isn't a file", path);
  if (st->st_uid != geteuid ())
    return cpr_throw (error, CPR_ERROR_MISMATCH, "state '%s': it belongs to user %u, this is user %u", path, st->st_uid,
                      geteuid ());
  return (st->st_mode & (S_IWGRP | S_IWOTH)) == 0 ||
         cpr_throw (error, CPR_ERROR_MISMATCH, "state '%s': others may write it (mode %04o)", path,
                    st->st_mode & 07777);
}

/* The lock ends with the process. The process that has the lock and finds the name still on the
 * file is the only one that may rename it. */
bool
cpr_reboot_claim_file (int file, const char *path, const char *name, struct stat *st, GError **error)
{
  if (cpr_sys->flock (file, LOCK_EX | LOCK_NB) < 0)
    return errno == EWOULDBLOCK ? throw_busy (path, error) : cpr_throw_errno (error, errno, "state '%s': flock", path);
  if (cpr_sys->fstat (file, st) < 0)
    return cpr_throw_errno (error, errno, "state '%s': fstat", path);
  return check_name (st, path, name, error) && check_owner (st, path, error);
}

uint64_t
cpr_reboot_get_base (uint64_t stream_len)
{
  return (stream_len + CPR_RAM_AREA_ALIGN - 1) / CPR_RAM_AREA_ALIGN * CPR_RAM_AREA_ALIGN;
}
