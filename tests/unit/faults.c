/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kernel as the library sees it, with one call that fails. */
#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

Faults faults;

static bool
fails (const char *call, int usual_errnum)
{
  if (faults.executed || ++faults.calls != faults.fail_at)
    return false;
  faults.failed = call;
  errno = faults.errnum != 0 ? faults.errnum : usual_errnum;
  return true;
}

static int
faulty_memfd_create (const char *name, unsigned flags)
{
  return fails ("memfd_create", ENOMEM) ? -1 : cpr_sys_kernel.memfd_create (name, flags);
}

static int
faulty_ftruncate (int fd, off_t size)
{
  return fails ("ftruncate", ENOSPC) ? -1 : cpr_sys_kernel.ftruncate (fd, size);
}

static ssize_t
faulty_write (int fd, const void *data, size_t len)
{
  return fails ("write", ENOSPC) ? -1 : cpr_sys_kernel.write (fd, data, len);
}

static ssize_t
faulty_pread (int fd, void *data, size_t len, off_t offset)
{
  return fails ("pread", EIO) ? -1 : cpr_sys_kernel.pread (fd, data, len, offset);
}

static int
faulty_open (const char *path, int flags, mode_t mode)
{
  return fails ("open", EMFILE) ? -1 : cpr_sys_kernel.open (path, flags, mode);
}

static int
faulty_close_range (unsigned first, unsigned last, int flags)
{
  return fails ("close_range", ENOMEM) ? -1 : cpr_sys_kernel.close_range (first, last, flags);
}

static int
faulty_fstat (int fd, struct stat *st)
{
  return fails ("fstat", EIO) ? -1 : cpr_sys_kernel.fstat (fd, st);
}

/* F_GETFD never fails for an open fd. */
static int
faulty_fcntl (int fd, int command, long argument)
{
  return command != F_GETFD && fails ("fcntl", ENOMEM) ? -1 : cpr_sys_kernel.fcntl (fd, command, argument);
}

static void *
faulty_mmap (void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
  void *made = fails ("mmap", ENOMEM) ? MAP_FAILED : cpr_sys_kernel.mmap (address, size, protection, flags, fd, offset);

  faults.mappings += made != MAP_FAILED;
  return made;
}

static int
faulty_munmap (void *address, size_t size)
{
  faults.mappings--;
  return cpr_sys_kernel.munmap (address, size);
}

static int
faulty_mprotect (void *address, size_t size, int protection)
{
  return fails ("mprotect", ENOMEM) ? -1 : cpr_sys_kernel.mprotect (address, size, protection);
}

static int
faulty_madvise (void *address, size_t size, int advice)
{
  return fails ("madvise", ENOMEM) ? -1 : cpr_sys_kernel.madvise (address, size, advice);
}

static int
faulty_mlock2 (const void *address, size_t size, unsigned flags)
{
  return fails ("mlock2", ENOMEM) ? -1 : cpr_sys_kernel.mlock2 (address, size, flags);
}

static int
faulty_eventfd (unsigned initial, int flags)
{
  return fails ("eventfd", EMFILE) ? -1 : cpr_sys_kernel.eventfd (initial, flags);
}

static int
faulty_pidfd_open (pid_t pid)
{
  return fails ("pidfd_open", EMFILE) ? -1 : cpr_sys_kernel.pidfd_open (pid);
}

static int
faulty_clone (int (*entry) (void *), void *stack_top, int flags, void *argument)
{
  return fails ("clone", ENOMEM) ? -1 : cpr_sys_kernel.clone (entry, stack_top, flags, argument);
}

static int
faulty_execve (const char *path, char *const *argv, char *const *envp)
{
  faults.executed = true;
  errno = faults.exec_errnum;
  return faults.exec_errnum != 0 ? -1 : cpr_sys_kernel.execve (path, argv, envp);
}

static int
faulty_execveat (int fd, char *const *argv, char *const *envp)
{
  faults.executed = true;
  errno = faults.exec_errnum;
  return faults.exec_errnum != 0 ? -1 : cpr_sys_kernel.execveat (fd, argv, envp);
}

static int
faulty_pipe2 (int ends[2], int flags)
{
  return fails ("pipe2", EMFILE) ? -1 : cpr_sys_kernel.pipe2 (ends, flags);
}

static int
faulty_poll (struct pollfd *fds, nfds_t n_fds, int timeout_ms)
{
  return fails ("poll", ENOMEM) ? -1 : cpr_sys_kernel.poll (fds, n_fds, timeout_ms);
}

static int
faulty_posix_spawn (pid_t *pid,
                    const char *program,
                    const posix_spawn_file_actions_t *actions,
                    const posix_spawnattr_t *attributes,
                    char *const *argv,
                    char *const *envp)
{
  return fails ("posix_spawn", EAGAIN) ? errno
                                       : cpr_sys_kernel.posix_spawn (pid, program, actions, attributes, argv, envp);
}

static int
faulty_setitimer (int which, const struct itimerval *value, struct itimerval *old)
{
  return fails ("setitimer", EINVAL) ? -1 : cpr_sys_kernel.setitimer (which, value, old);
}

void
faults_begin (unsigned fail_at, int errnum, int exec_errnum)
{
  static CprSys faulty;

  faulty = cpr_sys_kernel;
  faulty.memfd_create = faulty_memfd_create;
  faulty.ftruncate = faulty_ftruncate;
  faulty.write = faulty_write;
  faulty.pread = faulty_pread;
  faulty.open = faulty_open;
  faulty.close_range = faulty_close_range;
  faulty.fstat = faulty_fstat;
  faulty.fcntl = faulty_fcntl;
  faulty.mmap = faulty_mmap;
  faulty.munmap = faulty_munmap;
  faulty.mprotect = faulty_mprotect;
  faulty.madvise = faulty_madvise;
  faulty.mlock2 = faulty_mlock2;
  faulty.eventfd = faulty_eventfd;
  faulty.pidfd_open = faulty_pidfd_open;
  faulty.clone = faulty_clone;
  faulty.execve = faulty_execve;
  faulty.execveat = faulty_execveat;
  faulty.pipe2 = faulty_pipe2;
  faulty.poll = faulty_poll;
  faulty.posix_spawn = faulty_posix_spawn;
  faulty.setitimer = faulty_setitimer;
  faults = (Faults){ .fail_at = fail_at, .errnum = errnum, .exec_errnum = exec_errnum };
  cpr_sys = &faulty;
}

void
faults_end (void)
{
  cpr_sys = &cpr_sys_kernel;
}
