/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The library's system calls, each of which goes by fault-kernel.c first and may fail there. */
#include "fault-kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <linux/kvm.h>
#include <linux/vfio.h>
#include <sys/mman.h>

#include "base/uapi.h"

static int
faulty_memfd_create (const char *name, unsigned flags)
{
  return fault_fails ("memfd_create") ? -1 : cpr_sys_kernel.memfd_create (name, flags);
}

static int
faulty_ftruncate (int fd, off_t size)
{
  return fault_fails ("ftruncate") ? -1 : cpr_sys_kernel.ftruncate (fd, size);
}

static int
faulty_fallocate (int fd, int mode, off_t offset, off_t len)
{
  return fault_fails ("fallocate") ? -1 : cpr_sys_kernel.fallocate (fd, mode, offset, len);
}

static ssize_t
faulty_read (int fd, void *data, size_t len)
{
  Action action = fault_pass ("read");

  return action == ACTION_FAIL ? -1 : cpr_sys_kernel.read (fd, data, action == ACTION_SHORT ? (len + 1) / 2 : len);
}

static ssize_t
faulty_write (int fd, const void *data, size_t len)
{
  Action action = fault_pass ("write");

  return action == ACTION_FAIL ? -1 : cpr_sys_kernel.write (fd, data, action == ACTION_SHORT ? (len + 1) / 2 : len);
}

static ssize_t
faulty_pread (int fd, void *data, size_t len, off_t offset)
{
  Action action = fault_pass ("pread");

  return action == ACTION_FAIL ? -1
                               : cpr_sys_kernel.pread (fd, data, action == ACTION_SHORT ? (len + 1) / 2 : len, offset);
}

static ssize_t
faulty_preadv (int fd, const struct iovec *parts, int n, off_t offset)
{
  Action action = fault_pass ("preadv");

  return action == ACTION_FAIL ? -1
                               : cpr_sys_kernel.preadv (fd, parts, action == ACTION_SHORT ? (n + 1) / 2 : n, offset);
}

static ssize_t
faulty_pwrite (int fd, const void *data, size_t len, off_t offset)
{
  Action action = fault_pass ("pwrite");

  return action == ACTION_FAIL ? -1
                               : cpr_sys_kernel.pwrite (fd, data, action == ACTION_SHORT ? (len + 1) / 2 : len, offset);
}

static off_t
faulty_lseek (int fd, off_t offset, int whence)
{
  return fault_fails ("lseek") ? -1 : cpr_sys_kernel.lseek (fd, offset, whence);
}

static int
faulty_rename_new (const char *from, const char *to)
{
  return fault_fails ("rename_new") ? -1 : cpr_sys_kernel.rename_new (from, to);
}

static int
faulty_fsync (int fd)
{
  return fault_fails ("fsync") ? -1 : cpr_sys_kernel.fsync (fd);
}

static int
faulty_sync_file_range (int fd, off_t offset, off_t len, unsigned flags)
{
  return fault_fails ("sync_file_range") ? -1 : cpr_sys_kernel.sync_file_range (fd, offset, len, flags);
}

static int
faulty_flock (int fd, int operation)
{
  return fault_fails ("flock") ? -1 : cpr_sys_kernel.flock (fd, operation);
}

static int
faulty_futimens (int fd, const struct timespec times[2])
{
  return fault_fails ("futimens") ? -1 : cpr_sys_kernel.futimens (fd, times);
}

static int
faulty_open (const char *path, int flags, mode_t mode)
{
  return fault_fails ("open") ? -1 : cpr_sys_kernel.open (path, flags, mode);
}

static int
faulty_close (int fd)
{
  bool failed = fault_fails ("close");
  int errnum = errno;
  int result = cpr_sys_kernel.close (fd);

  /* The fd is closed, whatever close() answers. */
  if (failed)
    errno = errnum;
  return failed ? -1 : result;
}

static int
faulty_close_range (unsigned first, unsigned last, int flags)
{
  return fault_fails ("close_range") ? -1 : cpr_sys_kernel.close_range (first, last, flags);
}

static int
faulty_dup3 (int from, int to, int flags)
{
  return fault_fails ("dup3") ? -1 : cpr_sys_kernel.dup3 (from, to, flags);
}

static int
faulty_stat (const char *path, struct stat *st)
{
  return fault_fails ("stat") ? -1 : cpr_sys_kernel.stat (path, st);
}

static int
faulty_fstat (int fd, struct stat *st)
{
  return fault_fails ("fstat") ? -1 : cpr_sys_kernel.fstat (fd, st);
}

static int
faulty_faccessat (int folder, const char *path, int mode, int flags)
{
  return fault_fails ("faccessat") ? -1 : cpr_sys_kernel.faccessat (folder, path, mode, flags);
}

static int
faulty_chdir (const char *path)
{
  return fault_fails ("chdir") ? -1 : cpr_sys_kernel.chdir (path);
}

static ssize_t
faulty_getdents64 (int fd, void *buffer, size_t size)
{
  return fault_fails ("getdents64") ? -1 : cpr_sys_kernel.getdents64 (fd, buffer, size);
}

static int
faulty_getsockopt (int fd, int level, int option, void *value, socklen_t *len)
{
  return fault_fails ("getsockopt") ? -1 : cpr_sys_kernel.getsockopt (fd, level, option, value, len);
}

static int
faulty_poll (struct pollfd *fds, nfds_t n, int timeout_ms)
{
  if (timeout_ms == 0) /* only a look, as often as there is time for */
    return cpr_sys_kernel.poll (fds, n, timeout_ms);
  return fault_fails ("poll") ? -1 : cpr_sys_kernel.poll (fds, n, timeout_ms);
}

static int
faulty_pipe2 (int ends[2], int flags)
{
  return fault_fails ("pipe2") ? -1 : cpr_sys_kernel.pipe2 (ends, flags);
}

/* posix_spawn() returns the error's number. */
static int
faulty_posix_spawn (pid_t *pid,
                    const char *path,
                    const posix_spawn_file_actions_t *actions,
                    const posix_spawnattr_t *attributes,
                    char *const *argv,
                    char *const *envp)
{
  return fault_fails ("posix_spawn") ? errno : cpr_sys_kernel.posix_spawn (pid, path, actions, attributes, argv, envp);
}

static int
faulty_fcntl (int fd, int command, long argument)
{
  static const struct
  {
    int command;
    const char *name;
  } names[] = { { F_GETFD, "F_GETFD" },         { F_SETFD, "F_SETFD" },
                { F_GETFL, "F_GETFL" },         { F_DUPFD_CLOEXEC, "F_DUPFD_CLOEXEC" },
                { F_ADD_SEALS, "F_ADD_SEALS" }, { F_GET_SEALS, "F_GET_SEALS" } };
  const char *name = "fcntl";

  for (size_t i = 0; i < G_N_ELEMENTS (names); i++)
    if (names[i].command == command)
      name = names[i].name;
  return fault_fails (name) ? -1 : cpr_sys_kernel.fcntl (fd, command, argument);
}

static int
faulty_ioctl (int fd, unsigned long request, void *argument)
{
  static const struct
  {
    unsigned long request;
    const char *name;
  } names[] = { { VFIO_CHECK_EXTENSION, "VFIO_EXTENSION" },
                { VFIO_IOMMU_MAP_DMA, "VFIO_MAP_DMA" },
                { VFIO_IOMMU_UNMAP_DMA, "VFIO_UNMAP_DMA" },
                { VFIO_DEVICE_GET_INFO, "VFIO_INFO" },
                { VFIO_DEVICE_GET_REGION_INFO, "VFIO_REGION_INFO" },
                { VFIO_DEVICE_SET_IRQS, "VFIO_SET_IRQS" },
                { CPR_UAPI_IOAS_CHANGE_PROCESS, "IOAS_CHANGE_PROCESS" } };
  const char *name = _IOC_TYPE (request) == KVMIO ? "KVM" : "ioctl";

  for (size_t i = 0; i < G_N_ELEMENTS (names); i++)
    if (names[i].request == request)
      name = names[i].name;
  return fault_fails (name) ? -1 : cpr_sys_kernel.ioctl (fd, request, argument);
}

static ssize_t
faulty_readlink (const char *path, char *target, size_t size)
{
  return fault_fails ("readlink") ? -1 : cpr_sys_kernel.readlink (path, target, size);
}

static void *
faulty_mmap (void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
  void *made = fault_fails ("mmap") ? MAP_FAILED : cpr_sys_kernel.mmap (address, size, protection, flags, fd, offset);

  if (made != MAP_FAILED)
    fault_count_mapping (1);
  return made;
}

static int
faulty_munmap (void *address, size_t size)
{
  fault_count_mapping (-1);
  fault_pass ("munmap");
  return cpr_sys_kernel.munmap (address, size);
}

static int
faulty_mprotect (void *address, size_t size, int protection)
{
  return fault_fails ("mprotect") ? -1 : cpr_sys_kernel.mprotect (address, size, protection);
}

static int
faulty_madvise (void *address, size_t size, int advice)
{
  return fault_fails ("madvise") ? -1 : cpr_sys_kernel.madvise (address, size, advice);
}

static int
faulty_mincore (void *address, size_t size, unsigned char *pages)
{
  return fault_fails ("mincore") ? -1 : cpr_sys_kernel.mincore (address, size, pages);
}

static int
faulty_mlock2 (const void *address, size_t size, unsigned flags)
{
  return fault_fails ("mlock2") ? -1 : cpr_sys_kernel.mlock2 (address, size, flags);
}

static int
faulty_eventfd (unsigned initial, int flags)
{
  return fault_fails ("eventfd") ? -1 : cpr_sys_kernel.eventfd (initial, flags);
}

static int
faulty_pidfd_open (pid_t pid)
{
  return fault_fails ("pidfd_open") ? -1 : cpr_sys_kernel.pidfd_open (pid);
}

static int
faulty_pidfd_getfd (int pidfd, int fd)
{
  return fault_fails ("pidfd_getfd") ? -1 : cpr_sys_kernel.pidfd_getfd (pidfd, fd);
}

static int
faulty_kcmp_file (pid_t pid1, pid_t pid2, int fd1, int fd2)
{
  return fault_fails ("kcmp_file") ? -1 : cpr_sys_kernel.kcmp_file (pid1, pid2, fd1, fd2);
}

static int
faulty_clone (int (*entry) (void *), void *stack_top, int flags, void *argument)
{
  return fault_fails ("clone") ? -1 : cpr_sys_kernel.clone (entry, stack_top, flags, argument);
}

static int
faulty_execve (const char *path, char *const *argv, char *const *envp)
{
  return fault_fails ("execve") ? -1 : cpr_sys_kernel.execve (path, argv, envp);
}

static int
faulty_execveat (int fd, char *const *argv, char *const *envp)
{
  return fault_fails ("execveat") ? -1 : cpr_sys_kernel.execveat (fd, argv, envp);
}

static pid_t
faulty_waitpid (pid_t pid, int *status, int options)
{
  return fault_fails ("waitpid") ? -1 : cpr_sys_kernel.waitpid (pid, status, options);
}

static int
faulty_waitid (idtype_t type, id_t id, siginfo_t *info, int options)
{
  return fault_fails ("waitid") ? -1 : cpr_sys_kernel.waitid (type, id, info, options);
}

static int
faulty_kill (pid_t pid, int number)
{
  fault_pass ("kill");
  return cpr_sys_kernel.kill (pid, number);
}

static int
faulty_sched_setscheduler (pid_t pid, int policy, const struct sched_param *param)
{
  return fault_fails ("sched_setscheduler") ? -1 : cpr_sys_kernel.sched_setscheduler (pid, policy, param);
}

static int
faulty_getrlimit (int resource, struct rlimit *limit)
{
  return fault_fails ("getrlimit") ? -1 : cpr_sys_kernel.getrlimit (resource, limit);
}

static int
faulty_setrlimit (int resource, const struct rlimit *limit)
{
  return fault_fails ("setrlimit") ? -1 : cpr_sys_kernel.setrlimit (resource, limit);
}

static int
faulty_getitimer (int which, struct itimerval *value)
{
  fault_pass ("getitimer");
  return cpr_sys_kernel.getitimer (which, value);
}

static int
faulty_setitimer (int which, const struct itimerval *value, struct itimerval *old)
{
  return fault_fails ("setitimer") ? -1 : cpr_sys_kernel.setitimer (which, value, old);
}

static int
faulty_unlink (const char *path)
{
  return fault_fails ("unlink") ? -1 : cpr_sys_kernel.unlink (path);
}

static int
faulty_link (const char *from, const char *to)
{
  return fault_fails ("link") ? -1 : cpr_sys_kernel.link (from, to);
}

static int
faulty_fchmod (int fd, mode_t mode)
{
  return fault_fails ("fchmod") ? -1 : cpr_sys_kernel.fchmod (fd, mode);
}

static int
faulty_socket (int domain, int type, int protocol)
{
  return fault_fails ("socket") ? -1 : cpr_sys_kernel.socket (domain, type, protocol);
}

static int
faulty_socketpair (int domain, int type, int protocol, int fds[2])
{
  return fault_fails ("socketpair") ? -1 : cpr_sys_kernel.socketpair (domain, type, protocol, fds);
}

static int
faulty_bind (int fd, const struct sockaddr *address, socklen_t len)
{
  return fault_fails ("bind") ? -1 : cpr_sys_kernel.bind (fd, address, len);
}

static int
faulty_listen (int fd, int backlog)
{
  return fault_fails ("listen") ? -1 : cpr_sys_kernel.listen (fd, backlog);
}

static int
faulty_accept4 (int fd, struct sockaddr *address, socklen_t *len, int flags)
{
  return fault_fails ("accept4") ? -1 : cpr_sys_kernel.accept4 (fd, address, len, flags);
}

static int
faulty_connect (int fd, const struct sockaddr *address, socklen_t len)
{
  return fault_fails ("connect") ? -1 : cpr_sys_kernel.connect (fd, address, len);
}

static int
faulty_setsockopt (int fd, int level, int option, const void *value, socklen_t len)
{
  return fault_fails ("setsockopt") ? -1 : cpr_sys_kernel.setsockopt (fd, level, option, value, len);
}

static ssize_t
faulty_sendmsg (int fd, const struct msghdr *message, int flags)
{
  return fault_fails ("sendmsg") ? -1 : cpr_sys_kernel.sendmsg (fd, message, flags);
}

static ssize_t
faulty_recvmsg (int fd, struct msghdr *message, int flags)
{
  return fault_fails ("recvmsg") ? -1 : cpr_sys_kernel.recvmsg (fd, message, flags);
}

static int
faulty_pidfd_send_signal (int pidfd, int number)
{
  return fault_fails ("pidfd_send_signal") ? -1 : cpr_sys_kernel.pidfd_send_signal (pidfd, number);
}

CprSys fault_calls = {
  .memfd_create = faulty_memfd_create,
  .ftruncate = faulty_ftruncate,
  .fallocate = faulty_fallocate,
  .read = faulty_read,
  .write = faulty_write,
  .pread = faulty_pread,
  .preadv = faulty_preadv,
  .pwrite = faulty_pwrite,
  .lseek = faulty_lseek,
  .rename_new = faulty_rename_new,
  .fsync = faulty_fsync,
  .sync_file_range = faulty_sync_file_range,
  .flock = faulty_flock,
  .futimens = faulty_futimens,
  .open = faulty_open,
  .close = faulty_close,
  .close_range = faulty_close_range,
  .dup3 = faulty_dup3,
  .stat = faulty_stat,
  .fstat = faulty_fstat,
  .faccessat = faulty_faccessat,
  .chdir = faulty_chdir,
  .readlink = faulty_readlink,
  .getdents64 = faulty_getdents64,
  .getsockopt = faulty_getsockopt,
  .poll = faulty_poll,
  .pipe2 = faulty_pipe2,
  .posix_spawn = faulty_posix_spawn,
  .fcntl = faulty_fcntl,
  .ioctl = faulty_ioctl,
  .mmap = faulty_mmap,
  .munmap = faulty_munmap,
  .mprotect = faulty_mprotect,
  .madvise = faulty_madvise,
  .mincore = faulty_mincore,
  .mlock2 = faulty_mlock2,
  .eventfd = faulty_eventfd,
  .pidfd_open = faulty_pidfd_open,
  .pidfd_getfd = faulty_pidfd_getfd,
  .kcmp_file = faulty_kcmp_file,
  .clone = faulty_clone,
  .execve = faulty_execve,
  .execveat = faulty_execveat,
  .waitpid = faulty_waitpid,
  .waitid = faulty_waitid,
  .kill = faulty_kill,
  .sched_setscheduler = faulty_sched_setscheduler,
  .getrlimit = faulty_getrlimit,
  .setrlimit = faulty_setrlimit,
  .getitimer = faulty_getitimer,
  .setitimer = faulty_setitimer,
  .unlink = faulty_unlink,
  .link = faulty_link,
  .fchmod = faulty_fchmod,
  .socket = faulty_socket,
  .socketpair = faulty_socketpair,
  .bind = faulty_bind,
  .listen = faulty_listen,
  .accept4 = faulty_accept4,
  .connect = faulty_connect,
  .setsockopt = faulty_setsockopt,
  .sendmsg = faulty_sendmsg,
  .recvmsg = faulty_recvmsg,
  .pidfd_send_signal = faulty_pidfd_send_signal,
};
