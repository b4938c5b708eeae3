/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads and puts back everything around a process that an execve keeps and that the command of
 * an update may change. Exec mode's exec.c reads it, and guardian.c puts it back. The code makes
 * only calls that a signal handler may make, since fatal.c goes back from one. */
#include "process/surroundings.h"

#include <fcntl.h>
#include <sched.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "process/raw.h"

#define IOPRIO_WHO_PROCESS 1 /* of linux/ioprio.h, which older kernel headers lack */

#define HASH_BASIS UINT64_C (0xcbf29ce484222325) /* FNV-1a, 64 bits */
#define HASH_PRIME UINT64_C (0x100000001b3)

#define CHUNK_SIZE 1024

/* ---- Reading. */

/* Which hash a line of /proc/self/status goes into, by the name that the line starts with. */
typedef struct
{
  const char *name;
  size_t hash; /* its offset */
} StatusLine;

static const StatusLine status_lines[] = {
  { "Uid:", offsetof (CprSurroundings, credentials) },
  { "Gid:", offsetof (CprSurroundings, credentials) },
  { "Groups:", offsetof (CprSurroundings, credentials) },
  { "CapInh:", offsetof (CprSurroundings, capabilities) },
  { "CapBnd:", offsetof (CprSurroundings, capabilities) },
  { "CapAmb:", offsetof (CprSurroundings, capabilities) },
  { "NoNewPrivs:", offsetof (CprSurroundings, confinement) },
  { "Seccomp_filters:", offsetof (CprSurroundings, confinement) },
};

#define NAME_MAX_LEN 20

typedef struct
{
  CprSurroundings *to;
  char name[NAME_MAX_LEN + 1];
  size_t len;     /* of the name so far */
  uint64_t *hash; /* the line's hash, once its name is known; NULL: no hash, or not known yet */
} StatusReader;

static void
add_to_hash (uint64_t *hash, char c)
{
  *hash = ((*hash != 0 ? *hash : HASH_BASIS) ^ (uint8_t) c) * HASH_PRIME;
}

static uint64_t *
find_hash (const StatusReader *reader)
{
  for (size_t i = 0; i < sizeof status_lines / sizeof status_lines[0]; i++)
    if (strcmp (status_lines[i].name, reader->name) == 0)
      return (uint64_t *) (void *) ((char *) reader->to + status_lines[i].hash);
  return NULL;
}

static void
read_status_char (StatusReader *reader, char c)
{
  if (reader->hash != NULL)
    add_to_hash (reader->hash, c);
  if (c == '\n')
    {
      reader->len = 0;
      reader->hash = NULL;
      return;
    }
  if (reader->len >= NAME_MAX_LEN)
    return;
  reader->name[reader->len++] = c;
  reader->name[reader->len] = '\0';
  if (c == ':')
    {
      reader->hash = find_hash (reader);
      reader->len = NAME_MAX_LEN;
    }
}

static int
open_proc (const char *path, int flags)
{
  return cpr_fd_above_std (open (path, flags | O_CLOEXEC));
}

static void
read_status (CprSurroundings *to)
{
  StatusReader reader = { .to = to };
  int fd = open_proc ("/proc/self/status", O_RDONLY);
  char chunk[CHUNK_SIZE];
  ssize_t len;

  while (fd >= 0 && (len = read (fd, chunk, sizeof chunk)) > 0)
    for (ssize_t i = 0; i < len; i++)
      read_status_char (&reader, chunk[i]);
  if (fd >= 0)
    close (fd);
}

static void
read_control_group (CprSurroundings *to)
{
  int fd = open_proc ("/proc/self/cgroup", O_RDONLY);
  char chunk[CHUNK_SIZE];
  ssize_t len;

  while (fd >= 0 && (len = read (fd, chunk, sizeof chunk)) > 0)
    for (ssize_t i = 0; i < len; i++)
      add_to_hash (&to->control_group, chunk[i]);
  if (fd >= 0)
    close (fd);
}

static void
read_namespaces (CprSurroundings *to)
{
  static const char *const paths[CPR_SURROUNDINGS_NAMESPACES] = {
    "/proc/self/ns/cgroup", "/proc/self/ns/ipc",
    "/proc/self/ns/mnt",    "/proc/self/ns/net",
    "/proc/self/ns/pid",    "/proc/self/ns/pid_for_children",
    "/proc/self/ns/time",   "/proc/self/ns/time_for_children",
    "/proc/self/ns/user",   "/proc/self/ns/uts",
  };
  struct stat st;

  for (int i = 0; i < CPR_SURROUNDINGS_NAMESPACES; i++)
    if (stat (paths[i], &st) == 0)
      to->namespaces[i] = st.st_ino;
  if (stat ("/", &st) == 0)
    {
      to->root_device = st.st_dev;
      to->root_inode = st.st_ino;
    }
}

static int
read_oom_score_adj (void)
{
  int fd = open_proc ("/proc/self/oom_score_adj", O_RDONLY);
  char text[16] = "";

  if (fd >= 0)
    {
      if (read (fd, text, sizeof text - 1) < 0)
        text[0] = '\0';
      close (fd);
    }
  return atoi (text);
}

static void
read_scheduling (CprSurroundings *to)
{
  struct sched_param param = { 0 };

  to->nice = getpriority (PRIO_PROCESS, 0);
  to->policy = sched_getscheduler (0);
  to->priority = sched_getparam (0, &param) == 0 ? param.sched_priority : 0;
  to->io_priority = (int) syscall (SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0);
  if (sched_getaffinity (0, sizeof to->cpus, (cpu_set_t *) (void *) to->cpus) < 0)
    memset (to->cpus, 0, sizeof to->cpus); /* a machine with more CPUs */
}

void
cpr_surroundings_read (CprSurroundings *surroundings)
{
  memset (surroundings, 0, sizeof *surroundings);
  surroundings->size = sizeof *surroundings;
  read_scheduling (surroundings);
  surroundings->oom_score_adj = read_oom_score_adj ();
  surroundings->session = getsid (0);
  surroundings->group = getpgrp ();
  surroundings->personality = (uint64_t) (unsigned) personality (0xffffffff);
  read_namespaces (surroundings);
  read_status (surroundings);
  read_control_group (surroundings);
  cpr_streams_read (surroundings->streams);
  for (int i = 0; i < CPR_SURROUNDINGS_LIMITS; i++)
    {
      struct rlimit limit = { 0, 0 };

      getrlimit (i, &limit);
      surroundings->limits[i].soft = limit.rlim_cur;
      surroundings->limits[i].hard = limit.rlim_max;
    }
}

/* ---- Putting back. Each function returns whether this process now has what is wanted. Where a
 * process can't change a thing for itself, the function only compares. */

static bool
restore_scheduling (const CprSurroundings *wanted, const CprSurroundings *here)
{
  const struct sched_param param = { .sched_priority = wanted->priority };

  return (wanted->policy == here->policy && wanted->priority == here->priority) ||
         sched_setscheduler (0, wanted->policy, &param) == 0;
}

static bool
restore_nice (const CprSurroundings *wanted, const CprSurroundings *here)
{
  return wanted->nice == here->nice || setpriority (PRIO_PROCESS, 0, wanted->nice) == 0;
}

static bool
restore_io_priority (const CprSurroundings *wanted, const CprSurroundings *here)
{
  return wanted->io_priority == here->io_priority ||
         syscall (SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, wanted->io_priority) == 0;
}

static bool
restore_cpus (const CprSurroundings *wanted, const CprSurroundings *here)
{
  return memcmp (wanted->cpus, here->cpus, sizeof wanted->cpus) == 0 ||
         sched_setaffinity (0, sizeof wanted->cpus, (const cpu_set_t *) (const void *) wanted->cpus) == 0;
}

static bool
restore_oom_score_adj (const CprSurroundings *wanted, const CprSurroundings *here)
{
  char text[32], *end = text;
  bool ok;
  int fd;

  if (wanted->oom_score_adj == here->oom_score_adj)
    return true;
  fd = open_proc ("/proc/self/oom_score_adj", O_WRONLY);
  if (wanted->oom_score_adj < 0)
    *end++ = '-';
  end = cpr_raw_put_number (end, (unsigned) abs (wanted->oom_score_adj));
  ok = fd >= 0 && write (fd, text, (size_t) (end - text)) == end - text;
  if (fd >= 0)
    close (fd);
  return ok;
}

static bool
restore_group (const CprSurroundings *wanted, const CprSurroundings *here)
{
  return wanted->session == here->session && (wanted->group == here->group || setpgid (0, wanted->group) == 0);
}

static bool
restore_personality (const CprSurroundings *wanted, const CprSurroundings *here)
{
  return wanted->personality == here->personality || personality (wanted->personality) >= 0;
}

static bool
compare_root (const CprSurroundings *wanted, const CprSurroundings *here)
{
  return wanted->root_device == here->root_device && wanted->root_inode == here->root_inode;
}

static bool
compare_namespaces (const CprSurroundings *wanted, const CprSurroundings *here)
{
  return memcmp (wanted->namespaces, here->namespaces, sizeof wanted->namespaces) == 0;
}

static bool
compare_credentials (const CprSurroundings *wanted, const CprSurroundings *here)
{
  return wanted->credentials == here->credentials;
}

static bool
compare_capabilities (const CprSurroundings *wanted, const CprSurroundings *here)
{
  return wanted->capabilities == here->capabilities;
}

static bool
compare_confinement (const CprSurroundings *wanted, const CprSurroundings *here)
{
  return wanted->confinement == here->confinement;
}

static bool
compare_control_group (const CprSurroundings *wanted, const CprSurroundings *here)
{
  return wanted->control_group == here->control_group;
}

static bool
raise_limit (int resource, const struct rlimit *here, uint64_t hard)
{
  const struct rlimit raised = { here->rlim_cur, hard };

  return hard <= here->rlim_max || setrlimit (resource, &raised) == 0;
}

/* The old program is executed with the limits of its start, so the hard limits here have to be
 * at least as high. If the old program had lowered them since, no process may raise them again,
 * and its last ones have to do. */
static bool
raise_limits (const CprSurroundings *wanted, const CprProgram *program)
{
  for (int i = 0; i < CPR_SURROUNDINGS_LIMITS && i < RLIM_NLIMITS; i++)
    {
      struct rlimit here;

      if (getrlimit (i, &here) < 0)
        return false;
      if (((unsigned) i >= program->n_limits || !raise_limit (i, &here, program->limits[i].rlim_max)) &&
          !raise_limit (i, &here, wanted->limits[i].hard))
        return false;
    }
  return true;
}

typedef bool (*Restore) (const CprSurroundings *wanted, const CprSurroundings *here);

static const struct
{
  const char *name;
  Restore restore;
} aspects[] = {
  { "root directory", compare_root },
  { "namespaces", compare_namespaces },
  { "user or groups", compare_credentials },
  { "capabilities", compare_capabilities },
  { "no_new_privs or seccomp filters", compare_confinement },
  { "control group", compare_control_group },
  { "session or process group", restore_group },
  { "scheduling policy", restore_scheduling },
  { "nice value", restore_nice },
  { "I/O priority", restore_io_priority },
  { "CPU affinity", restore_cpus },
  { "oom_score_adj", restore_oom_score_adj },
  { "personality", restore_personality },
};

const char *
cpr_surroundings_restore (const CprSurroundings *wanted, const CprProgram *program)
{
  CprSurroundings here;

  if (wanted->size < sizeof *wanted)
    return NULL; /* recorded by a program that didn't know all of this struct */
  cpr_surroundings_read (&here);
  for (size_t i = 0; i < sizeof aspects / sizeof aspects[0]; i++)
    if (!aspects[i].restore (wanted, &here))
      return aspects[i].name;
  return raise_limits (wanted, program) ? NULL : "limits";
}
