/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The disk of the Linux guest in tests/integration/linux.py: processes write numbered blocks,
 * each to a part of its own, and read back what they wrote. */
#include "linux-guest-disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define DISK       "/dev/vda"
#define MODULES    "/modules"
#define WRITERS    3
#define BLOCK      4096
#define BLOCKS     64 /* of each writer */
#define SYNC_EVERY 16
#define PATIENCE   1000 /* looks, 10 ms apart */

/* Of all processes. */
typedef struct
{
  atomic_bool stop;
  atomic_uint n_stopped;
  atomic_ullong written[WRITERS], errors;
} Shared;

static Shared *shared; /* NULL: no disk */

static void
load_modules (void)
{
  struct dirent **entries;
  int n = scandir (MODULES, &entries, NULL, alphasort);

  for (int i = 0; i < n; i++)
    {
      char path[sizeof MODULES + 256];
      snprintf (path, sizeof path, MODULES "/%s", entries[i]->d_name);
      int fd = open (path, O_RDONLY);
      if (entries[i]->d_name[0] != '.' && syscall (SYS_finit_module, fd, "", 0) < 0)
        printf ("%s: not loaded\n", path);
      close (fd);
    }
}

static void
fill (uint64_t *block, uint64_t writer, uint64_t number)
{
  for (uint64_t i = 0; i < BLOCK / sizeof *block; i++)
    block[i] = number << 16 | writer << 12 | i;
}

static off_t
get_place (unsigned writer, uint64_t number)
{
  return (off_t) (writer * BLOCKS + number % BLOCKS) * BLOCK;
}

/* The block that was written longest ago: its number is known. */
static void
check_oldest (int fd, unsigned writer, uint64_t number, uint64_t *expected, uint64_t *found)
{
  uint64_t oldest = number >= BLOCKS ? number - BLOCKS + 1 : 1;

  fill (expected, writer, oldest);
  if (pread (fd, found, BLOCK, get_place (writer, oldest)) != BLOCK || memcmp (expected, found, BLOCK) != 0)
    atomic_fetch_add (&shared->errors, 1);
}

static void
run_writer (unsigned writer)
{
  int fd = open (DISK, O_RDWR | O_DIRECT);
  uint64_t *block = aligned_alloc (BLOCK, BLOCK), *other = aligned_alloc (BLOCK, BLOCK);

  for (uint64_t number = 1; !atomic_load (&shared->stop); number++)
    {
      fill (block, writer, number);
      if (pwrite (fd, block, BLOCK, get_place (writer, number)) != BLOCK)
        atomic_fetch_add (&shared->errors, 1);
      atomic_store (&shared->written[writer], number);
      if (number % SYNC_EVERY == 0 && fdatasync (fd) < 0)
        atomic_fetch_add (&shared->errors, 1);
      check_oldest (fd, writer, number, block, other);
    }
  atomic_fetch_add (&shared->n_stopped, 1);
  _exit (0);
}

static bool
wait_for_disk (void)
{
  const struct timespec pause = { .tv_nsec = 10000000 };

  for (int i = 0; i < PATIENCE && access (DISK, F_OK) < 0; i++)
    nanosleep (&pause, NULL);
  return access (DISK, F_OK) == 0;
}

void
disk_begin (void)
{
  if (access (MODULES, F_OK) < 0)
    return;
  mount ("dev", "/dev", "devtmpfs", 0, NULL);
  load_modules ();
  if (!wait_for_disk ())
    {
      printf ("no disk\n");
      return;
    }
  shared = mmap (NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  for (unsigned i = 0; i < WRITERS; i++)
    if (fork () == 0)
      run_writer (i);
}

void
disk_end (void)
{
  const struct timespec pause = { .tv_nsec = 10000000 };

  if (shared == NULL)
    return;
  atomic_store (&shared->stop, true);
  while (atomic_load (&shared->n_stopped) < WRITERS)
    nanosleep (&pause, NULL);
  printf ("disk errors %llu written", (unsigned long long) atomic_load (&shared->errors));
  for (unsigned i = 0; i < WRITERS; i++)
    printf (" %llu", (unsigned long long) atomic_load (&shared->written[i]));
  printf ("\n");
}
