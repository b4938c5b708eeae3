/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Everything that the library does with fds apart from one system call: reading and writing
 * all of it, lists of open fds, close-on-exec, and numbers above 0, 1 and 2. */
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/proc.h"
#include "base/sys.h"
#include "base/uapi.h"

static uint32_t
socket_option (int fd, int option)
{
  int value = 0;
  socklen_t len = sizeof value;

  return cpr_sys->getsockopt (fd, SOL_SOCKET, option, &value, &len) == 0 ? (uint32_t) value : 0;
}

bool
cpr_fd_identify (int fd, CprFdIdentity *identity)
{
  struct stat st;
  int flags;

  if (cpr_sys->fstat (fd, &st) < 0)
    return false;
  flags = cpr_sys->fcntl (fd, F_GETFL, 0);
  if (flags < 0)
    return false;

  *identity = (CprFdIdentity){
    .type = st.st_mode & S_IFMT,
    .access = (uint32_t) (flags & (O_ACCMODE | O_PATH)),
    .device = st.st_dev,
    .inode = st.st_ino,
  };
  if (S_ISSOCK (st.st_mode))
    {
      identity->socket_domain = socket_option (fd, SO_DOMAIN);
      identity->socket_type = socket_option (fd, SO_TYPE);
    }
  return true;
}

bool
cpr_fd_identity_equal (const CprFdIdentity *a, const CprFdIdentity *b)
{
  return a->type == b->type && a->access == b->access && a->device == b->device && a->inode == b->inode &&
         a->socket_domain == b->socket_domain && a->socket_type == b->socket_type;
}

bool
cpr_fd_identity_is_anonymous (const CprFdIdentity *identity)
{
  return identity->type == 0;
}

char *
cpr_fd_identity_describe (const CprFdIdentity *identity)
{
  const char *type;

  switch (identity->type)
    {
    case S_IFREG:
      type = "file";
      break;
    case S_IFDIR:
      type = "directory";
      break;
    case S_IFCHR:
      type = "character device";
      break;
    case S_IFBLK:
      type = "block device";
      break;
    case S_IFIFO:
      type = "pipe";
      break;
    case S_IFSOCK:
      type = "socket";
      break;
    default:
      type = "anonymous inode";
      break;
    }
  return g_strdup_printf ("%s %" G_GUINT64_FORMAT ":%" G_GUINT64_FORMAT " (access mode %o)", type, identity->device,
                          identity->inode, identity->access);
}

bool
cpr_fd_set_cloexec (int fd, bool cloexec)
{
  return cpr_sys->fcntl (fd, F_SETFD, cloexec ? FD_CLOEXEC : 0) == 0;
}

static int
compare_ints (const void *a, const void *b)
{
  int x = *(const int *) a, y = *(const int *) b;

  return (x > y) - (x < y);
}

void
cpr_fd_sort (GArray *fds)
{
  g_array_sort (fds, compare_ints);
}

int
cpr_fd_from (int fd, int least)
{
  int moved;

  if (fd < 0 || fd >= least)
    return fd;
  moved = cpr_sys->fcntl (fd, F_DUPFD_CLOEXEC, least);
  cpr_fd_clear (&fd);
  return moved;
}

int
cpr_fd_above_std (int fd)
{
  return cpr_fd_from (fd, STDERR_FILENO + 1);
}

unsigned
cpr_fd_get_closed_std (void)
{
  unsigned closed = 0;

  for (int fd = 0; fd <= STDERR_FILENO; fd++)
    if (cpr_sys->fcntl (fd, F_GETFD, 0) < 0 && errno == EBADF)
      closed |= 1u << fd;
  return closed;
}

/* The entries that getdents64() answers with (man 2 getdents). The call is made directly: opendir()
 * allocates 32 KiB, and a fresh program looks for a state here on its way to main(). */
typedef struct
{
  uint64_t inode;
  int64_t offset;
  uint16_t len;
  uint8_t type;
  char name[];
} DirectoryEntry;

static void
append_numbers (GArray *fds, const char *buffer, size_t len, int folder)
{
  for (size_t at = 0; at < len;)
    {
      const DirectoryEntry *entry = (const DirectoryEntry *) (const void *) (buffer + at);
      int fd = atoi (entry->name);

      if (fd > STDERR_FILENO && fd != folder)
        g_array_append_val (fds, fd);
      at += entry->len;
    }
}

GArray *
cpr_fd_list (GError **error)
{
  int folder = cpr_fd_above_std (cpr_sys->open ("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0));
  _Alignas(DirectoryEntry) char buffer[1024]; /* one entry takes 24 bytes */
  GArray *fds;
  ssize_t len;

  if (folder < 0)
    {
      cpr_proc_throw (error, errno, "/proc/self/fd");
      return NULL;
    }
  fds = g_array_new (FALSE, FALSE, sizeof (int));
  while ((len = cpr_sys->getdents64 (folder, buffer, sizeof buffer)) > 0)
    append_numbers (fds, buffer, (size_t) len, folder);
  if (len < 0)
    {
      cpr_throw_errno (error, errno, "/proc/self/fd: getdents64");
      g_clear_pointer (&fds, g_array_unref);
    }
  cpr_fd_clear (&folder);
  if (fds != NULL)
    cpr_fd_sort (fds);
  return fds;
}

void
cpr_fd_clear (int *fd)
{
  int saved = errno;

  if (*fd >= 0)
    cpr_sys->close (*fd);
  *fd = -1;
  errno = saved;
}

int
cpr_memfd_new (const char *name, unsigned flags)
{
  int fd;

  flags |= MFD_CLOEXEC | MFD_ALLOW_SEALING;
  fd = cpr_sys->memfd_create (name, flags | MFD_NOEXEC_SEAL);
  if (fd < 0 && errno == EINVAL) /* Linux < 6.3 */
    fd = cpr_sys->memfd_create (name, flags);
  return cpr_fd_above_std (fd);
}

/* SIGXFSZ and SIGPIPE go to the thread that made the call: blocked meanwhile and taken off
 * again, unless the caller had one pending or blocks it anyway. */
typedef struct
{
  sigset_t old, pending;
} WriteGuard;

static void
guard_begin (WriteGuard *guard)
{
  sigset_t both;

  sigemptyset (&both);
  sigaddset (&both, SIGXFSZ);
  sigaddset (&both, SIGPIPE);
  pthread_sigmask (SIG_BLOCK, &both, &guard->old);
  sigpending (&guard->pending);
}

static void
guard_end (WriteGuard *guard, bool ok)
{
  static const struct timespec no_time = { 0, 0 };
  int saved = errno, signal = ok ? 0 : errno == EFBIG ? SIGXFSZ : errno == EPIPE ? SIGPIPE : 0;
  sigset_t only;

  if (signal != 0 && sigismember (&guard->pending, signal) == 0)
    {
      sigemptyset (&only);
      sigaddset (&only, signal);
      sigtimedwait (&only, NULL, &no_time);
    }
  pthread_sigmask (SIG_SETMASK, &guard->old, NULL);
  errno = saved;
}

bool
cpr_fd_truncate (int fd, uint64_t size)
{
  WriteGuard guard;
  bool ok;

  guard_begin (&guard);
  ok = cpr_sys->ftruncate (fd, (off_t) size) == 0;
  guard_end (&guard, ok);
  return ok;
}

bool
cpr_fd_reserve (int fd, uint64_t size)
{
  WriteGuard guard;
  bool ok;

  guard_begin (&guard);
  ok = cpr_sys->fallocate (fd, FALLOC_FL_KEEP_SIZE, 0, (off_t) size) == 0;
  guard_end (&guard, ok);
  return ok;
}

/* False with ETIMEDOUT at @end_ns, whether there is room then or not. */
static bool
await_room (int fd, uint64_t end_ns)
{
  struct pollfd room = { fd, POLLOUT, 0 };
  int n = 0;

  while (n == 0)
    {
      uint64_t now = cpr_now_ns ();

      if (now >= end_ns)
        {
          errno = ETIMEDOUT;
          return false;
        }
      n = cpr_sys->poll (&room, 1, (int) MIN ((end_ns - now + 999999) / 1000000, G_MAXINT));
      if (n < 0 && errno == EINTR)
        n = 0;
    }
  return n > 0;
}

/* How much can be written at a time without blocking, where there is room at all. */
static size_t
get_most (int fd, uint64_t end_ns)
{
  int flags = end_ns != 0 ? cpr_sys->fcntl (fd, F_GETFL, 0) : 0;

  return end_ns == 0 || (flags >= 0 && (flags & O_NONBLOCK) != 0) ? SIZE_MAX : PIPE_BUF;
}

bool
cpr_fd_write_all (int fd, const void *data, size_t len)
{
  return cpr_fd_write_until (fd, data, len, 0);
}

bool
cpr_fd_write_until (int fd, const void *data, size_t len, uint64_t end_ns)
{
  size_t most = get_most (fd, end_ns);
  const uint8_t *at = data;
  WriteGuard guard;
  bool ok = true;

  guard_begin (&guard);
  while (ok && len > 0)
    {
      ssize_t written;

      ok = end_ns == 0 || await_room (fd, end_ns);
      if (!ok)
        break;
      written = cpr_sys->write (fd, at, MIN (len, most));

      if (written > 0)
        {
          at += written;
          len -= (size_t) written;
        }
      else if (written == 0)
        {
          errno = ENOSPC;
          ok = false;
        }
      else
        ok = errno == EINTR || (errno == EAGAIN && end_ns != 0);
    }
  guard_end (&guard, ok);
  return ok;
}

ssize_t
cpr_fd_write_some (int fd, const void *data, size_t len)
{
  WriteGuard guard;
  ssize_t written;

  guard_begin (&guard);
  written = cpr_sys->write (fd, data, len);
  guard_end (&guard, written >= 0);
  return written;
}

bool
cpr_fd_write_at (int fd, const void *data, size_t len, uint64_t offset)
{
  const uint8_t *at = data;
  WriteGuard guard;
  bool ok = true;

  guard_begin (&guard);
  while (ok && len > 0)
    {
      ssize_t written = cpr_sys->pwrite (fd, at, len, (off_t) offset);

      if (written == 0)
        errno = ENOSPC;
      ok = written > 0 || (written < 0 && errno == EINTR);
      if (written > 0)
        {
          at += written;
          offset += (uint64_t) written;
          len -= (size_t) written;
        }
    }
  guard_end (&guard, ok);
  return ok;
}

bool
cpr_fd_read_at (int fd, void *data, size_t len, uint64_t offset)
{
  uint8_t *at = data;

  while (len > 0)
    {
      ssize_t got = cpr_sys->pread (fd, at, len, (off_t) offset);

      if (got == 0)
        errno = EIO;
      if (got == 0 || (got < 0 && errno != EINTR))
        return false;
      if (got > 0)
        {
          at += got;
          offset += (uint64_t) got;
          len -= (size_t) got;
        }
    }
  return true;
}

bool
cpr_fd_read_all (int fd, void *data, size_t len, size_t *got)
{
  size_t done = 0;
  ssize_t n = 1;

  while (done < len && n != 0)
    {
      n = cpr_sys->read (fd, (uint8_t *) data + done, len - done);
      if (n < 0 && errno != EINTR)
        return false;
      if (n > 0)
        done += (size_t) n;
    }
  if (got != NULL)
    *got = done;
  else if (done < len)
    errno = EIO;
  return got != NULL || done == len;
}

void
cpr_fd_remove_stale_socket (const struct sockaddr_un *address)
{
  struct stat st;
  int probe = -1;

  if (cpr_sys->stat (address->sun_path, &st) == 0 && S_ISSOCK (st.st_mode))
    probe = cpr_fd_above_std (cpr_sys->socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (probe >= 0 && cpr_sys->connect (probe, (const struct sockaddr *) address, sizeof *address) < 0 &&
      errno == ECONNREFUSED)
    cpr_sys->unlink (address->sun_path);
  cpr_fd_clear (&probe);
}
