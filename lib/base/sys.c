/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of system calls with the real kernel behind it. The library calls the kernel
 * through cpr_sys, so that a test can put a failure there. */
#include "base/sys.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/futex.h>
#include <linux/kcmp.h>

static int
sys_open (const char *path, int flags, mode_t mode)
{
  return open (path, flags, mode);
}

static int
sys_rename_new (const char *from, const char *to)
{
  return renameat2 (AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
}

static int
sys_fcntl (int fd, int command, long argument)
{
  return fcntl (fd, command, argument);
}

static int
sys_ioctl (int fd, unsigned long request, void *argument)
{
  return ioctl (fd, request, argument);
}

static int
sys_close_range (unsigned first, unsigned last, int flags)
{
  return (int) syscall (SYS_close_range, first, last, flags);
}

static int
sys_pidfd_open (pid_t pid)
{
  return (int) syscall (SYS_pidfd_open, pid, 0);
}

static int
sys_pidfd_getfd (int pidfd, int fd)
{
  return (int) syscall (SYS_pidfd_getfd, pidfd, fd, 0);
}

static int
sys_pidfd_send_signal (int pidfd, int signal)
{
  return (int) syscall (SYS_pidfd_send_signal, pidfd, signal, NULL, 0);
}

static int
sys_accept4 (int fd, struct sockaddr *address, socklen_t *len, int flags)
{
  return accept4 (fd, address, len, flags);
}

static int
sys_bind (int fd, const struct sockaddr *address, socklen_t len)
{
  return bind (fd, address, len);
}

static int
sys_connect (int fd, const struct sockaddr *address, socklen_t len)
{
  return connect (fd, address, len);
}

static int
sys_kcmp_file (pid_t pid1, pid_t pid2, int fd1, int fd2)
{
  return (int) syscall (SYS_kcmp, pid1, pid2, KCMP_FILE, (unsigned long) fd1, (unsigned long) fd2);
}

static int
sys_eventfd (unsigned initial, int flags)
{
  return eventfd (initial, flags);
}

static int
sys_clone (int (*entry) (void *), void *stack_top, int flags, void *argument)
{
  return clone (entry, stack_top, flags, argument);
}

static int
sys_execveat (int fd, char *const *argv, char *const *envp)
{
  return (int) syscall (SYS_execveat, fd, "", argv, envp, AT_EMPTY_PATH);
}

static int
sys_setitimer (int which, const struct itimerval *value, struct itimerval *old)
{
  return setitimer (which, value, old);
}

static int
sys_waitid (idtype_t type, id_t id, siginfo_t *info, int options)
{
  return waitid (type, id, info, options);
}

static int
sys_poll (struct pollfd *fds, nfds_t n_fds, int timeout_ms)
{
  return poll (fds, n_fds, timeout_ms);
}

static int
sys_posix_spawn (pid_t *pid,
                 const char *path,
                 const posix_spawn_file_actions_t *actions,
                 const posix_spawnattr_t *attributes,
                 char *const *argv,
                 char *const *envp)
{
  return posix_spawn (pid, path, actions, attributes, argv, envp);
}

static int
sys_fstat (int fd, struct stat *st)
{
  return fstat (fd, st);
}

static int
sys_stat (const char *path, struct stat *st)
{
  return stat (path, st);
}

static ssize_t
sys_getdents64 (int fd, void *buffer, size_t size)
{
  return syscall (SYS_getdents64, fd, buffer, size);
}

static int
sys_getsockopt (int fd, int level, int option, void *value, socklen_t *len)
{
  return getsockopt (fd, level, option, value, len);
}

static int
sys_futex_wait (const _Atomic uint32_t *word, uint32_t value, const struct timespec *patience)
{
  return (int) syscall (SYS_futex, word, FUTEX_WAIT, value, patience, NULL, 0);
}

static int
sys_getrlimit (int resource, struct rlimit *limit)
{
  return getrlimit ((__rlimit_resource_t) resource, limit);
}

static int
sys_setrlimit (int resource, const struct rlimit *limit)
{
  return setrlimit ((__rlimit_resource_t) resource, limit);
}

static int
sys_getitimer (int which, struct itimerval *value)
{
  return getitimer (which, value);
}

const CprSys cpr_sys_kernel = {
  .memfd_create = memfd_create,
  .ftruncate = ftruncate,
  .fallocate = fallocate,
  .read = read,
  .write = write,
  .pread = pread,
  .pwrite = pwrite,
  .lseek = lseek,
  .preadv = preadv,
  .open = sys_open,
  .rename_new = sys_rename_new,
  .link = link,
  .unlink = unlink,
  .fsync = fsync,
  .sync_file_range = sync_file_range,
  .flock = flock,
  .futimens = futimens,
  .close = close,
  .close_range = sys_close_range,
  .dup3 = dup3,
  .stat = sys_stat,
  .fstat = sys_fstat,
  .faccessat = faccessat,
  .chdir = chdir,
  .readlink = readlink,
  .getdents64 = sys_getdents64,
  .fchmod = fchmod,
  .socket = socket,
  .socketpair = socketpair,
  .bind = sys_bind,
  .listen = listen,
  .accept4 = sys_accept4,
  .connect = sys_connect,
  .getsockopt = sys_getsockopt,
  .setsockopt = setsockopt,
  .sendmsg = sendmsg,
  .recvmsg = recvmsg,
  .fcntl = sys_fcntl,
  .ioctl = sys_ioctl,
  .mmap = mmap,
  .munmap = munmap,
  .mprotect = mprotect,
  .madvise = madvise,
  .mincore = mincore,
  .mlock2 = mlock2,
  .eventfd = sys_eventfd,
  .pidfd_open = sys_pidfd_open,
  .pidfd_getfd = sys_pidfd_getfd,
  .pidfd_send_signal = sys_pidfd_send_signal,
  .kcmp_file = sys_kcmp_file,
  .clone = sys_clone,
  .execve = execve,
  .execveat = sys_execveat,
  .waitpid = waitpid,
  .waitid = sys_waitid,
  .kill = kill,
  .pipe2 = pipe2,
  .poll = sys_poll,
  .posix_spawn = sys_posix_spawn,
  .futex_wait = sys_futex_wait,
  .sched_setscheduler = sched_setscheduler,
  .getrlimit = sys_getrlimit,
  .setrlimit = sys_setrlimit,
  .getitimer = sys_getitimer,
  .setitimer = sys_setitimer,
};

const CprSys *cpr_sys = &cpr_sys_kernel;

uint64_t
cpr_now_ns (void)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);
  return (uint64_t) now.tv_sec * 1000000000u + (uint64_t) now.tv_nsec;
}

uint64_t
cpr_real_now_ns (void)
{
  struct timespec now;

  clock_gettime (CLOCK_REALTIME, &now);
  return (uint64_t) now.tv_sec * 1000000000u + (uint64_t) now.tv_nsec;
}

uint64_t
cpr_thread_ran_ns (long *n_preempted)
{
  struct rusage usage;
  struct timespec ran;

  getrusage (RUSAGE_THREAD, &usage);
  clock_gettime (CLOCK_THREAD_CPUTIME_ID, &ran);
  *n_preempted = usage.ru_nivcsw;
  return (uint64_t) ran.tv_sec * 1000000000u + (uint64_t) ran.tv_nsec;
}
