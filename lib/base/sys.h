/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_BASE_SYS_H
#define CPR_BASE_SYS_H

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

/* The one table of the system calls that can fail an update. Everything above calls the kernel
 * through it, so that a test can script the answers or fail the n-th call. Each entry answers like
 * its wrapper in libc: -1 and errno; posix_spawn the error's number.
 *
 * The guardian and the signal handlers are the exception: their code runs without errno and calls
 * the kernel directly (process/raw.h). A call that can't fail and leaves nothing behind isn't here
 * either.
 */
typedef struct
{
  int (*memfd_create) (const char *name, unsigned flags);
  int (*ftruncate) (int fd, off_t size);
  int (*fallocate) (int fd, int mode, off_t offset, off_t len);
  ssize_t (*read) (int fd, void *data, size_t len);
  ssize_t (*write) (int fd, const void *data, size_t len);
  ssize_t (*pread) (int fd, void *data, size_t len, off_t offset);
  ssize_t (*pwrite) (int fd, const void *data, size_t len, off_t offset);
  off_t (*lseek) (int fd, off_t offset, int whence);
  ssize_t (*preadv) (int fd, const struct iovec *parts, int n, off_t offset);
  int (*open) (const char *path, int flags, mode_t mode);
  int (*rename_new) (const char *from, const char *to); /* renameat2() with RENAME_NOREPLACE */
  int (*link) (const char *from, const char *to);
  int (*unlink) (const char *path);
  int (*fsync) (int fd);
  int (*sync_file_range) (int fd, off_t offset, off_t len, unsigned flags);
  int (*flock) (int fd, int operation);
  int (*futimens) (int fd, const struct timespec times[2]);
  int (*close) (int fd);
  int (*close_range) (unsigned first, unsigned last, int flags);
  int (*dup3) (int from, int to, int flags);
  int (*stat) (const char *path, struct stat *st);
  int (*fstat) (int fd, struct stat *st);
  int (*faccessat) (int folder, const char *path, int mode, int flags);
  int (*chdir) (const char *path);
  ssize_t (*readlink) (const char *path, char *target, size_t size);
  ssize_t (*getdents64) (int fd, void *buffer, size_t size);
  int (*fchmod) (int fd, mode_t mode);
  int (*socket) (int domain, int type, int protocol);
  int (*socketpair) (int domain, int type, int protocol, int fds[2]);
  int (*bind) (int fd, const struct sockaddr *address, socklen_t len);
  int (*listen) (int fd, int backlog);
  int (*accept4) (int fd, struct sockaddr *address, socklen_t *len, int flags);
  int (*connect) (int fd, const struct sockaddr *address, socklen_t len);
  int (*getsockopt) (int fd, int level, int option, void *value, socklen_t *len);
  int (*setsockopt) (int fd, int level, int option, const void *value, socklen_t len);
  ssize_t (*sendmsg) (int fd, const struct msghdr *message, int flags);
  ssize_t (*recvmsg) (int fd, struct msghdr *message, int flags);
  int (*poll) (struct pollfd *fds, nfds_t n, int timeout_ms);
  int (*fcntl) (int fd, int command, long argument);
  int (*ioctl) (int fd, unsigned long request, void *argument);
  void *(*mmap) (void *address, size_t size, int protection, int flags, int fd, off_t offset);
  int (*munmap) (void *address, size_t size);
  int (*mprotect) (void *address, size_t size, int protection);
  int (*madvise) (void *address, size_t size, int advice);
  int (*mincore) (void *address, size_t size, unsigned char *pages);
  int (*mlock2) (const void *address, size_t size, unsigned flags);
  int (*eventfd) (unsigned initial, int flags);
  int (*pidfd_open) (pid_t pid);
  int (*pidfd_getfd) (int pidfd, int fd);
  int (*pidfd_send_signal) (int pidfd, int signal);
  int (*kcmp_file) (pid_t pid1, pid_t pid2, int fd1, int fd2);
  int (*clone) (int (*entry) (void *), void *stack_top, int flags, void *argument);
  int (*execve) (const char *path, char *const *argv, char *const *envp);
  int (*execveat) (int fd, char *const *argv, char *const *envp);
  pid_t (*waitpid) (pid_t pid, int *status, int options);
  int (*waitid) (idtype_t type, id_t id, siginfo_t *info, int options);
  int (*kill) (pid_t pid, int signal);
  int (*pipe2) (int fds[2], int flags);
  int (*posix_spawn) (pid_t *pid,
                      const char *path,
                      const posix_spawn_file_actions_t *actions,
                      const posix_spawnattr_t *attributes,
                      char *const *argv,
                      char *const *envp);
  int (*futex_wait) (const _Atomic uint32_t *word, uint32_t value, const struct timespec *patience);
  int (*sched_setscheduler) (pid_t pid, int policy, const struct sched_param *param);
  int (*getrlimit) (int resource, struct rlimit *limit);
  int (*setrlimit) (int resource, const struct rlimit *limit);
  int (*getitimer) (int which, struct itimerval *value);
  int (*setitimer) (int which, const struct itimerval *value, struct itimerval *old);
} CprSys;

/* The one global of the library: the kernel is one for the process too. Only tests point it
 * elsewhere. */
extern const CprSys *cpr_sys;

/* The real kernel. */
extern const CprSys cpr_sys_kernel;

/* CLOCK_MONOTONIC in ns. */
uint64_t cpr_now_ns (void);
/* CLOCK_REALTIME in ns. */
uint64_t cpr_real_now_ns (void);

/* How long this thread has run, in ns; *n_preempted: how often another one took the CPU from it. */
uint64_t cpr_thread_ran_ns (long *n_preempted);

#endif
