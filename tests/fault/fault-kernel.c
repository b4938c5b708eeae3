/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Turns minivmm into minivmm-fault: every system call of the library goes by here, is counted,
 * and one of them fails, ends or stops the program as the test says. CPR_FAULT names a file that
 * test and programs have mapped: what the test orders, what was counted, and who has the baton.
 *
 * A call belongs to a side: "old" is the program that calls cpr_session_update(), "new" the one
 * that takes its state up, "back" those that take it up after that; all of them until the guest
 * runs. "finish" is what their threads do afterwards. "asked" is the new program in a preflight,
 * "asked-old" the old one: each a process of its own. A program that was started with an
 * `incoming` is "new" from cpr_session_new() on; "helper" are the threads that fill page tables
 * and copy RAM before the commit. */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <libcpr/libcpr.h>

#include "ask/child.h"
#include "ask/question.h"
#include "base/sys.h"
#include "base/uapi.h"
#include "handoff/baton.h"
#include "process/program.h"
#include "process/raw.h"

typedef enum
{
  SIDE_NONE,
  SIDE_OLD,
  SIDE_NEW,
  SIDE_BACK,
  SIDE_FINISH,
  SIDE_ASKED,
  SIDE_ASKED_OLD,
  SIDE_HELPER,
  N_SIDES
} Side;

typedef enum
{
  ACTION_NONE,
  ACTION_FAIL,  /* the argument is the errno */
  ACTION_SHORT, /* does half of what it is told to */
  ACTION_RAISE, /* the argument is the signal */
  ACTION_MEET   /* waits until the test says go on */
} Action;

#define CALLS_MAX 4096
#define NAME_SIZE 20

/* tests/integration/faultvmm.py knows it too. */
typedef struct
{
  _Atomic uint32_t side, at, action, argument; /* the order: at 0 there is none */
  _Atomic uint32_t hit, go_on;
  _Atomic uint32_t incarnation; /* 0: the old program; then counting */
  _Atomic int32_t mappings;     /* of the program that has the guest, made by the library */
  _Atomic uint64_t word;        /* the baton's last state << 56 | attempt << 48 | pid; 0: not offered yet */
  _Atomic uint64_t word_at_hit;
  _Atomic uint32_t storm; /* this program gets SIGALRM all the time */
  _Atomic uint32_t n_calls[N_SIDES];
  _Atomic uint32_t n_wanted;
  _Atomic uint32_t keep;  /* an update begins before cpr_session_update(): the test has made this page ready for it */
  char wanted[NAME_SIZE]; /* of the order: only calls of this name are counted; empty: all */
  char calls[N_SIDES][CALLS_MAX][NAME_SIZE];
} Page;

static Page *page;
static Side side; /* of the main thread */
static bool took_up;
static bool has_guest;
static _Atomic int32_t mappings; /* of this program */
static __thread bool is_main;

/* Other threads than the main one are those that finish an update, and helpers. */
static Side
get_side (void)
{
  char name[16] = "";

  if (is_main)
    return side;
  if ((side == SIDE_OLD || side == SIDE_NEW) && pthread_getname_np (pthread_self (), name, sizeof name) == 0 &&
      (strcmp (name, "cpr-fill") == 0 || strcmp (name, "cpr-ram") == 0))
    return SIDE_HELPER;
  return took_up && side != SIDE_OLD ? SIDE_FINISH : SIDE_NONE;
}

static bool
obey (Action action, uint32_t argument)
{
  page->word_at_hit = page->word;
  page->hit = 1;
  switch (action)
    {
    case ACTION_FAIL:
      errno = (int) argument;
      return true;
    case ACTION_RAISE:
      raise ((int) argument);
      return false;
    case ACTION_MEET:
      while (page->go_on == 0)
        usleep (100);
      page->go_on = 2; /* seen */
      return false;
    default:
      return false;
    }
}

/* Counts the call. What is to be done with it; all but failing and shortening is done here. Who
 * doesn't look at the answer can't fail. */
static Action
pass (const char *call)
{
  Side at = get_side ();
  uint32_t n;

  if (page == NULL || at == SIDE_NONE)
    return ACTION_NONE;
  n = atomic_fetch_add (&page->n_calls[at], 1) + 1;
  if (n <= CALLS_MAX)
    strncpy (page->calls[at][n - 1], call, NAME_SIZE - 1);
  if (page->side != at || page->hit != 0)
    return ACTION_NONE;
  if (page->wanted[0] != '\0')
    {
      if (strncmp (page->wanted, call, NAME_SIZE) != 0)
        return ACTION_NONE;
      n = ++page->n_wanted;
    }
  if (page->at != n)
    return ACTION_NONE;
  if (page->action == ACTION_SHORT)
    page->hit = 1;
  return page->action == ACTION_SHORT || obey (page->action, page->argument) ? (Action) page->action : ACTION_NONE;
}

static bool
fails (const char *call)
{
  return pass (call) == ACTION_FAIL;
}

/* ---- The calls. */

static int
faulty_memfd_create (const char *name, unsigned flags)
{
  return fails ("memfd_create") ? -1 : cpr_sys_kernel.memfd_create (name, flags);
}

static int
faulty_ftruncate (int fd, off_t size)
{
  return fails ("ftruncate") ? -1 : cpr_sys_kernel.ftruncate (fd, size);
}

static int
faulty_fallocate (int fd, int mode, off_t offset, off_t len)
{
  return fails ("fallocate") ? -1 : cpr_sys_kernel.fallocate (fd, mode, offset, len);
}

static ssize_t
faulty_read (int fd, void *data, size_t len)
{
  Action action = pass ("read");

  return action == ACTION_FAIL ? -1 : cpr_sys_kernel.read (fd, data, action == ACTION_SHORT ? (len + 1) / 2 : len);
}

static ssize_t
faulty_write (int fd, const void *data, size_t len)
{
  Action action = pass ("write");

  return action == ACTION_FAIL ? -1 : cpr_sys_kernel.write (fd, data, action == ACTION_SHORT ? (len + 1) / 2 : len);
}

static ssize_t
faulty_pread (int fd, void *data, size_t len, off_t offset)
{
  Action action = pass ("pread");

  return action == ACTION_FAIL ? -1
                               : cpr_sys_kernel.pread (fd, data, action == ACTION_SHORT ? (len + 1) / 2 : len, offset);
}

static ssize_t
faulty_preadv (int fd, const struct iovec *parts, int n, off_t offset)
{
  Action action = pass ("preadv");

  return action == ACTION_FAIL ? -1
                               : cpr_sys_kernel.preadv (fd, parts, action == ACTION_SHORT ? (n + 1) / 2 : n, offset);
}

static ssize_t
faulty_pwrite (int fd, const void *data, size_t len, off_t offset)
{
  Action action = pass ("pwrite");

  return action == ACTION_FAIL ? -1
                               : cpr_sys_kernel.pwrite (fd, data, action == ACTION_SHORT ? (len + 1) / 2 : len, offset);
}

static off_t
faulty_lseek (int fd, off_t offset, int whence)
{
  return fails ("lseek") ? -1 : cpr_sys_kernel.lseek (fd, offset, whence);
}

static int
faulty_rename_new (const char *from, const char *to)
{
  return fails ("rename_new") ? -1 : cpr_sys_kernel.rename_new (from, to);
}

static int
faulty_fsync (int fd)
{
  return fails ("fsync") ? -1 : cpr_sys_kernel.fsync (fd);
}

static int
faulty_sync_file_range (int fd, off_t offset, off_t len, unsigned flags)
{
  return fails ("sync_file_range") ? -1 : cpr_sys_kernel.sync_file_range (fd, offset, len, flags);
}

static int
faulty_flock (int fd, int operation)
{
  return fails ("flock") ? -1 : cpr_sys_kernel.flock (fd, operation);
}

static int
faulty_futimens (int fd, const struct timespec times[2])
{
  return fails ("futimens") ? -1 : cpr_sys_kernel.futimens (fd, times);
}

static int
faulty_open (const char *path, int flags, mode_t mode)
{
  return fails ("open") ? -1 : cpr_sys_kernel.open (path, flags, mode);
}

static int
faulty_close (int fd)
{
  bool failed = fails ("close");
  int errnum = errno;
  int result = cpr_sys_kernel.close (fd);

  /* It is closed whatever close() answers. */
  if (failed)
    errno = errnum;
  return failed ? -1 : result;
}

static int
faulty_close_range (unsigned first, unsigned last, int flags)
{
  return fails ("close_range") ? -1 : cpr_sys_kernel.close_range (first, last, flags);
}

static int
faulty_dup3 (int from, int to, int flags)
{
  return fails ("dup3") ? -1 : cpr_sys_kernel.dup3 (from, to, flags);
}

static int
faulty_stat (const char *path, struct stat *st)
{
  return fails ("stat") ? -1 : cpr_sys_kernel.stat (path, st);
}

static int
faulty_fstat (int fd, struct stat *st)
{
  return fails ("fstat") ? -1 : cpr_sys_kernel.fstat (fd, st);
}

static int
faulty_faccessat (int folder, const char *path, int mode, int flags)
{
  return fails ("faccessat") ? -1 : cpr_sys_kernel.faccessat (folder, path, mode, flags);
}

static int
faulty_chdir (const char *path)
{
  return fails ("chdir") ? -1 : cpr_sys_kernel.chdir (path);
}

static ssize_t
faulty_getdents64 (int fd, void *buffer, size_t size)
{
  return fails ("getdents64") ? -1 : cpr_sys_kernel.getdents64 (fd, buffer, size);
}

static int
faulty_getsockopt (int fd, int level, int option, void *value, socklen_t *len)
{
  return fails ("getsockopt") ? -1 : cpr_sys_kernel.getsockopt (fd, level, option, value, len);
}

static int
faulty_poll (struct pollfd *fds, nfds_t n, int timeout_ms)
{
  if (timeout_ms == 0) /* only a look, as often as there is time for */
    return cpr_sys_kernel.poll (fds, n, timeout_ms);
  return fails ("poll") ? -1 : cpr_sys_kernel.poll (fds, n, timeout_ms);
}

static int
faulty_pipe2 (int ends[2], int flags)
{
  return fails ("pipe2") ? -1 : cpr_sys_kernel.pipe2 (ends, flags);
}

/* Answers the error's number. */
static int
faulty_posix_spawn (pid_t *pid,
                    const char *path,
                    const posix_spawn_file_actions_t *actions,
                    const posix_spawnattr_t *attributes,
                    char *const *argv,
                    char *const *envp)
{
  return fails ("posix_spawn") ? errno : cpr_sys_kernel.posix_spawn (pid, path, actions, attributes, argv, envp);
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
  return fails (name) ? -1 : cpr_sys_kernel.fcntl (fd, command, argument);
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
  const char *name = "ioctl";

  for (size_t i = 0; i < G_N_ELEMENTS (names); i++)
    if (names[i].request == request)
      name = names[i].name;
  return fails (name) ? -1 : cpr_sys_kernel.ioctl (fd, request, argument);
}

static ssize_t
faulty_readlink (const char *path, char *target, size_t size)
{
  return fails ("readlink") ? -1 : cpr_sys_kernel.readlink (path, target, size);
}

static void
count_mapping (int change)
{
  mappings += change;
  if (page != NULL && has_guest)
    page->mappings = mappings;
}

static void *
faulty_mmap (void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
  void *made = fails ("mmap") ? MAP_FAILED : cpr_sys_kernel.mmap (address, size, protection, flags, fd, offset);

  if (made != MAP_FAILED)
    count_mapping (1);
  return made;
}

static int
faulty_munmap (void *address, size_t size)
{
  count_mapping (-1);
  pass ("munmap");
  return cpr_sys_kernel.munmap (address, size);
}

static int
faulty_madvise (void *address, size_t size, int advice)
{
  return fails ("madvise") ? -1 : cpr_sys_kernel.madvise (address, size, advice);
}

static int
faulty_mincore (void *address, size_t size, unsigned char *pages)
{
  return fails ("mincore") ? -1 : cpr_sys_kernel.mincore (address, size, pages);
}

static int
faulty_mlock2 (const void *address, size_t size, unsigned flags)
{
  return fails ("mlock2") ? -1 : cpr_sys_kernel.mlock2 (address, size, flags);
}

static int
faulty_eventfd (unsigned initial, int flags)
{
  return fails ("eventfd") ? -1 : cpr_sys_kernel.eventfd (initial, flags);
}

static int
faulty_pidfd_open (pid_t pid)
{
  return fails ("pidfd_open") ? -1 : cpr_sys_kernel.pidfd_open (pid);
}

static int
faulty_pidfd_getfd (int pidfd, int fd)
{
  return fails ("pidfd_getfd") ? -1 : cpr_sys_kernel.pidfd_getfd (pidfd, fd);
}

static int
faulty_kcmp_file (pid_t pid1, pid_t pid2, int fd1, int fd2)
{
  return fails ("kcmp_file") ? -1 : cpr_sys_kernel.kcmp_file (pid1, pid2, fd1, fd2);
}

static int
faulty_clone (int (*entry) (void *), void *stack_top, int flags, void *argument)
{
  return fails ("clone") ? -1 : cpr_sys_kernel.clone (entry, stack_top, flags, argument);
}

static int
faulty_execve (const char *path, char *const *argv, char *const *envp)
{
  return fails ("execve") ? -1 : cpr_sys_kernel.execve (path, argv, envp);
}

static int
faulty_execveat (int fd, char *const *argv, char *const *envp)
{
  return fails ("execveat") ? -1 : cpr_sys_kernel.execveat (fd, argv, envp);
}

static pid_t
faulty_waitpid (pid_t pid, int *status, int options)
{
  return fails ("waitpid") ? -1 : cpr_sys_kernel.waitpid (pid, status, options);
}

static int
faulty_waitid (idtype_t type, id_t id, siginfo_t *info, int options)
{
  return fails ("waitid") ? -1 : cpr_sys_kernel.waitid (type, id, info, options);
}

static int
faulty_kill (pid_t pid, int number)
{
  pass ("kill");
  return cpr_sys_kernel.kill (pid, number);
}

static int
faulty_sched_setscheduler (pid_t pid, int policy, const struct sched_param *param)
{
  return fails ("sched_setscheduler") ? -1 : cpr_sys_kernel.sched_setscheduler (pid, policy, param);
}

static int
faulty_getrlimit (int resource, struct rlimit *limit)
{
  return fails ("getrlimit") ? -1 : cpr_sys_kernel.getrlimit (resource, limit);
}

static int
faulty_setrlimit (int resource, const struct rlimit *limit)
{
  return fails ("setrlimit") ? -1 : cpr_sys_kernel.setrlimit (resource, limit);
}

static int
faulty_getitimer (int which, struct itimerval *value)
{
  pass ("getitimer");
  return cpr_sys_kernel.getitimer (which, value);
}

static int
faulty_setitimer (int which, const struct itimerval *value, struct itimerval *old)
{
  return fails ("setitimer") ? -1 : cpr_sys_kernel.setitimer (which, value, old);
}

static int
faulty_unlink (const char *path)
{
  return fails ("unlink") ? -1 : cpr_sys_kernel.unlink (path);
}

static int
faulty_link (const char *from, const char *to)
{
  return fails ("link") ? -1 : cpr_sys_kernel.link (from, to);
}

static int
faulty_fchmod (int fd, mode_t mode)
{
  return fails ("fchmod") ? -1 : cpr_sys_kernel.fchmod (fd, mode);
}

static int
faulty_socket (int domain, int type, int protocol)
{
  return fails ("socket") ? -1 : cpr_sys_kernel.socket (domain, type, protocol);
}

static int
faulty_bind (int fd, const struct sockaddr *address, socklen_t len)
{
  return fails ("bind") ? -1 : cpr_sys_kernel.bind (fd, address, len);
}

static int
faulty_listen (int fd, int backlog)
{
  return fails ("listen") ? -1 : cpr_sys_kernel.listen (fd, backlog);
}

static int
faulty_accept4 (int fd, struct sockaddr *address, socklen_t *len, int flags)
{
  return fails ("accept4") ? -1 : cpr_sys_kernel.accept4 (fd, address, len, flags);
}

static int
faulty_connect (int fd, const struct sockaddr *address, socklen_t len)
{
  return fails ("connect") ? -1 : cpr_sys_kernel.connect (fd, address, len);
}

static int
faulty_setsockopt (int fd, int level, int option, const void *value, socklen_t len)
{
  return fails ("setsockopt") ? -1 : cpr_sys_kernel.setsockopt (fd, level, option, value, len);
}

static ssize_t
faulty_sendmsg (int fd, const struct msghdr *message, int flags)
{
  return fails ("sendmsg") ? -1 : cpr_sys_kernel.sendmsg (fd, message, flags);
}

static ssize_t
faulty_recvmsg (int fd, struct msghdr *message, int flags)
{
  return fails ("recvmsg") ? -1 : cpr_sys_kernel.recvmsg (fd, message, flags);
}

static int
faulty_pidfd_send_signal (int pidfd, int number)
{
  return fails ("pidfd_send_signal") ? -1 : cpr_sys_kernel.pidfd_send_signal (pidfd, number);
}

static CprSys faulty_sys = {
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
  .bind = faulty_bind,
  .listen = faulty_listen,
  .accept4 = faulty_accept4,
  .connect = faulty_connect,
  .setsockopt = faulty_setsockopt,
  .sendmsg = faulty_sendmsg,
  .recvmsg = faulty_recvmsg,
  .pidfd_send_signal = faulty_pidfd_send_signal,
};

/* ---- Where a side begins and ends: the functions of the library and of GLib that the linker
 * gives us (--wrap). */

CprSession *__real_cpr_session_new (const CprSessionConfig *config, GError **error);
CprSession *__wrap_cpr_session_new (const CprSessionConfig *config, GError **error);
bool __real_cpr_session_update (CprSession *session, const CprUpdate *update, GError **error);
bool __wrap_cpr_session_update (CprSession *session, const CprUpdate *update, GError **error);
bool __real_cpr_session_start (CprSession *session, GError **error);
bool __wrap_cpr_session_start (CprSession *session, GError **error);
bool __real_cpr_baton_move (CprBatonPage *baton, CprBatonWord from, CprBatonWord to);
bool __wrap_cpr_baton_move (CprBatonPage *baton, CprBatonWord from, CprBatonWord to);
GThread *__real_g_thread_try_new (const char *name, GThreadFunc run, void *data, GError **error);
GThread *__wrap_g_thread_try_new (const char *name, GThreadFunc run, void *data, GError **error);

CprSession *
__wrap_cpr_session_new (const CprSessionConfig *config, GError **error)
{
  if (config->incoming != NULL && !took_up && side == SIDE_NONE)
    {
      side = SIDE_NEW;
      took_up = true;
    }
  return __real_cpr_session_new (config, error);
}

bool
__wrap_cpr_session_update (CprSession *session, const CprUpdate *update, GError **error)
{
  bool ok;

  if (page != NULL && page->keep == 0)
    {
      memset (page->calls, 0, sizeof page->calls);
      for (int i = 0; i < N_SIDES; i++)
        page->n_calls[i] = 0;
      page->incarnation = 0;
      page->word = 0;
    }
  side = SIDE_OLD;
  ok = __real_cpr_session_update (session, update, error);
  side = SIDE_NONE;
  if (ok)
    has_guest = false;
  return ok;
}

bool
__wrap_cpr_session_start (CprSession *session, GError **error)
{
  bool ok = __real_cpr_session_start (session, error);

  if (ok)
    {
      side = SIDE_NONE;
      has_guest = true;
      count_mapping (0);
    }
  return ok;
}

static inline __attribute__ ((always_inline)) uint64_t
page_word (CprBatonWord word)
{
  return (uint64_t) word.state << 56 | (uint64_t) word.attempt << 48 | (uint32_t) word.pid;
}

/* Guardians and signal handlers call it too. The word is written down first: one who dies in
 * between shall not look as if he had never been the owner. */
CPR_RAW_CODE bool
__wrap_cpr_baton_move (CprBatonPage *baton, CprBatonWord from, CprBatonWord to)
{
  uint64_t last = page != NULL ? page->word : 0, next = page_word (to);
  bool moved;

  if (page != NULL)
    page->word = next;
  moved = __real_cpr_baton_move (baton, from, to);
  if (!moved && page != NULL)
    atomic_compare_exchange_strong (&page->word, &next, last);
  return moved;
}

GThread *
__wrap_g_thread_try_new (const char *name, GThreadFunc run, void *data, GError **error)
{
  return fails ("thread") ? NULL : __real_g_thread_try_new (name, run, data, error);
}

/* ---- The begin of the program. */

static void
ignore_signal (int number)
{
}

/* With handlers from the first instruction on, as cpr_session_new() asks for. */
static void
start_storm (void)
{
  static const struct itimerval timer = { { 0, 700 }, { 0, 700 } };
  const struct sigaction action = { .sa_handler = ignore_signal, .sa_flags = SA_RESTART };

  sigaction (SIGALRM, &action, NULL);
  sigaction (SIGUSR1, &action, NULL);
  sigaction (SIGCHLD, &action, NULL);
  setitimer (ITIMER_REAL, &timer, NULL);
}

/* A program that is asked in a preflight; the old one is started by its fd. */
static Side
get_asked_side (const char *state)
{
  int fd = (int) g_ascii_strtoll (state, NULL, 10);

  if (fd != CPR_ASK_FD_QUESTION || !cpr_question_is_one (fd))
    return SIDE_NONE;
  return fcntl (CPR_ASK_FD_EXECUTABLE, F_GETFD) >= 0 ? SIDE_ASKED_OLD : SIDE_ASKED;
}

static __attribute__ ((constructor)) void
begin (void)
{
  const char *path = getenv ("CPR_FAULT");
  const char *state = getenv (CPR_STATE_VARIABLE);
  Side asked = state != NULL ? get_asked_side (state) : SIDE_NONE;
  int fd = path != NULL ? open (path, O_RDWR | O_CLOEXEC) : -1;
  void *mapped;

  if (fd < 0)
    return;
  mapped = mmap (NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close (fd);
  if (mapped == MAP_FAILED)
    abort ();
  page = mapped;
  is_main = true;
  took_up = state != NULL && asked == SIDE_NONE;
  if (asked != SIDE_NONE)
    side = asked;
  if (took_up)
    side = ++page->incarnation == 1 ? SIDE_NEW : SIDE_BACK;
  if (page->storm != 0 && asked == SIDE_NONE)
    start_storm ();
  faulty_sys.futex_wait = cpr_sys_kernel.futex_wait; /* not counted: it is called or not, depending on who is faster */
  cpr_sys = &faulty_sys;
}
