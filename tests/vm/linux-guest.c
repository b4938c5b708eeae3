/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The first and only program of the Linux guest in tests/integration/linux.py. On each CPU a
 * process fills memory, checks it, and compares the clocks of the CPUs. The first process prints a
 * line now and then, and answers what it reads on the console:
 *
 *   t NUMBER   what time it is
 *   k          the kernel's messages since the last time
 *   d          ends the writing to the disk, and says what was written
 *   n          what came over the network
 *   e          32 random bytes
 *   o, r       switches the machine off, restarts it */
#include "linux-guest-disk.h"
#include "linux-guest-net.h"

#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <sys/utsname.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define CPUS_MAX    64
#define WORDS       (1 << 20) /* 8 MiB for each CPU */
#define TICK_MS     100
#define CLOCK_STEP  4096 /* how many words between two looks at the clock */
#define LOG_ALL     3
#define LOG_CONSOLE 8

/* Of all processes. */
typedef struct
{
  atomic_ullong latest_ns; /* of all CPUs */
  struct
  {
    atomic_ullong passes, memory_errors, clock_errors, float_errors;
  } cpu[CPUS_MAX];
} Shared;

static Shared *shared;

static uint64_t
get_ns (clockid_t clock)
{
  struct timespec now;

  clock_gettime (clock, &now);
  return (uint64_t) now.tv_sec * 1000000000 + (uint64_t) now.tv_nsec;
}

/* ---- The checker of one CPU. */

/* No CPU's clock may be behind what another one has read already. */
static void
check_clock (unsigned cpu)
{
  unsigned long long before = atomic_load (&shared->latest_ns), now = get_ns (CLOCK_MONOTONIC);

  if (now < before)
    atomic_fetch_add (&shared->cpu[cpu].clock_errors, 1);
  while (before < now && !atomic_compare_exchange_weak (&shared->latest_ns, &before, now))
    ;
}

static uint64_t
make_word (uint64_t pass, uint64_t place)
{
  return (pass * 0x9e3779b97f4a7c15 + place) * 0xbf58476d1ce4e5b9;
}

static void
check_memory (unsigned cpu, volatile uint64_t *words, uint64_t pass)
{
  double sum = 0; /* exact; in a register of the FPU most of the time */

  for (uint64_t i = 0; i < WORDS; i++)
    {
      if (words[i] != make_word (pass, i))
        atomic_fetch_add (&shared->cpu[cpu].memory_errors, 1);
      words[i] = make_word (pass + 1, i);
      sum += (double) i;
      if (i % CLOCK_STEP == 0)
        check_clock (cpu);
    }
  if (sum != (double) WORDS * (WORDS - 1) / 2)
    atomic_fetch_add (&shared->cpu[cpu].float_errors, 1);
  atomic_fetch_add (&shared->cpu[cpu].passes, 1);
}

static void
run_checker (unsigned cpu)
{
  volatile uint64_t *words = malloc (WORDS * sizeof *words);
  cpu_set_t set;

  CPU_ZERO (&set);
  CPU_SET (cpu, &set);
  if (words == NULL || sched_setaffinity (0, sizeof set, &set) < 0)
    _exit (1);
  for (uint64_t i = 0; i < WORDS; i++)
    words[i] = make_word (0, i);
  for (uint64_t pass = 0;; pass++)
    check_memory (cpu, words, pass);
}

/* ---- The first process. */

typedef struct
{
  uint64_t last_ns, last_real_ns;
  int64_t least, most; /* between these is CLOCK_REALTIME - CLOCK_MONOTONIC */
  unsigned n_errors;
} Clocks;

/* The time of day may be no further from the other clock than it was at first. */
static void
compare_clocks (Clocks *clocks)
{
  uint64_t before = get_ns (CLOCK_MONOTONIC), real = get_ns (CLOCK_REALTIME), after = get_ns (CLOCK_MONOTONIC);
  int64_t least = (int64_t) (real - after), most = (int64_t) (real - before);

  if (before < clocks->last_ns || after < before || real < clocks->last_real_ns)
    clocks->n_errors++;
  if (clocks->last_ns == 0)
    *clocks = (Clocks){ .least = least, .most = most };
  if (least > clocks->most || most < clocks->least)
    clocks->n_errors++;
  clocks->least = least > clocks->least ? least : clocks->least;
  clocks->most = most < clocks->most ? most : clocks->most;
  clocks->last_ns = after;
  clocks->last_real_ns = real;
}

static void
print_tick (unsigned long number, const Clocks *clocks, unsigned n_cpus, uint64_t longest_ns)
{
  unsigned long long passes = ~0ULL, memory = 0, clock = clocks->n_errors, floats = 0;

  for (unsigned i = 0; i < n_cpus; i++)
    {
      unsigned long long mine = atomic_load (&shared->cpu[i].passes);
      passes = mine < passes ? mine : passes;
      memory += atomic_load (&shared->cpu[i].memory_errors);
      clock += atomic_load (&shared->cpu[i].clock_errors);
      floats += atomic_load (&shared->cpu[i].float_errors);
    }
  printf ("tick %lu passes %llu memory %llu clock %llu float %llu sleep %llu us\n", number, passes, memory, clock,
          floats, (unsigned long long) longest_ns / 1000);
}

/* Between lines of their own, so that they can't be taken for those of a tick. */
static void
print_kernel_log (void)
{
  static char log[1 << 20];
  static int known;
  int size = klogctl (LOG_ALL, log, sizeof log - 1);

  log[size > known ? size : known] = '\0';
  printf ("KERNEL LOG\n%s\nEND OF KERNEL LOG\n", known > 0 ? log + known : "");
  known = size > known ? size : known;
}

/* Those of the virtio device, and not the kernel's own. */
static void
print_random_bytes (void)
{
  uint8_t bytes[32];
  FILE *file = fopen ("/dev/hwrng", "rb");

  if (file == NULL || fread (bytes, sizeof bytes, 1, file) != 1)
    perror ("/dev/hwrng");
  else
    {
      printf ("random ");
      for (size_t i = 0; i < sizeof bytes; i++)
        printf ("%02x", bytes[i]);
      printf ("\n");
    }
  if (file)
    fclose (file);
}

static void
execute (const char *line)
{
  if (line[0] == 't')
    printf ("time %lu %llu\n", strtoul (line + 1, NULL, 10), (unsigned long long) get_ns (CLOCK_MONOTONIC));
  else if (line[0] == 'k')
    print_kernel_log ();
  else if (line[0] == 'd')
    disk_end ();
  else if (line[0] == 'n')
    net_tell ();
  else if (line[0] == 'e')
    print_random_bytes ();
  else if (line[0] == 'o')
    reboot (RB_POWER_OFF);
  else if (line[0] == 'r')
    reboot (RB_AUTOBOOT);
}

static void
read_commands (void)
{
  static char line[80];
  static size_t len;
  char byte;

  while (poll (&(struct pollfd){ STDIN_FILENO, POLLIN, 0 }, 1, 0) > 0 && read (STDIN_FILENO, &byte, 1) == 1)
    if (byte != '\n' && len < sizeof line - 1)
      line[len++] = byte;
    else
      {
        line[len] = '\0';
        len = 0;
        execute (line);
      }
}

/* Bytes in both directions are what they are. */
static void
set_terminal (void)
{
  struct termios settings;

  setvbuf (stdout, NULL, _IOLBF, 0);
  if (tcgetattr (STDIN_FILENO, &settings) < 0)
    return;
  settings.c_iflag = settings.c_oflag = 0;
  settings.c_lflag = 0;
  settings.c_cc[VMIN] = 1;
  settings.c_cc[VTIME] = 0;
  tcsetattr (STDIN_FILENO, TCSANOW, &settings);
}

int
main (void)
{
  Clocks clocks = { 0 };
  uint64_t longest = 0; /* of the sleeps, which are TICK_MS or shorter if nothing gets in between */
  cpu_set_t cpus;
  struct utsname system;
  struct pollfd input = { STDIN_FILENO, POLLIN, 0 };

  set_terminal ();
  unsigned n_cpus = sched_getaffinity (0, sizeof cpus, &cpus) == 0 ? (unsigned) CPU_COUNT (&cpus) : 1;
  klogctl (LOG_CONSOLE, NULL, 4); /* of the kernel's messages only errors, so that they don't cut lines in two */
  shared = mmap (NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  for (unsigned i = 0; i < n_cpus; i++)
    if (fork () == 0)
      run_checker (i);
  disk_begin ();
  net_begin ();
  uname (&system);
  printf ("GUEST with %u CPUs, Linux %s\n", n_cpus, system.release);
  for (unsigned long tick = 1;; tick++)
    {
      uint64_t begin = get_ns (CLOCK_MONOTONIC);
      poll (&input, 1, TICK_MS);
      uint64_t slept = get_ns (CLOCK_MONOTONIC) - begin;
      longest = slept > longest ? slept : longest;
      read_commands ();
      compare_clocks (&clocks);
      print_tick (tick, &clocks, n_cpus, longest);
    }
}
