/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* floor: what an update in exec mode can't do without: the execve of a dynamic GLib program that
 * does nothing, from a small process, and a new KVM VM with one vCPU and SIZE MiB of memory
 * registered.
 *
 *   floor SIZE exec|kvm     prints the nanoseconds from the execve to the end
 *   floor SIZE warm         only touches SIZE MiB of memory and gives them back */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <glib.h>
#include <linux/kvm.h>

#define MIB       (UINT64_C (1) << 20)
#define LOW_LIMIT (UINT64_C (3) << 30)
#define HIGH_BASE (UINT64_C (4) << 30)

static uint64_t
now_ns (void)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);
  return (uint64_t) now.tv_sec * 1000000000u + (uint64_t) now.tv_nsec;
}

static void G_GNUC_NORETURN
fail (const char *what)
{
  fprintf (stderr, "floor: %s: %s\n", what, strerror (errno));
  exit (EXIT_FAILURE);
}

static void
add_memory (int vm, uint32_t slot, uint64_t gpa, uint8_t *vaddr, uint64_t size)
{
  struct kvm_userspace_memory_region region = {
    .slot = slot, .guest_phys_addr = gpa, .memory_size = size, .userspace_addr = (uintptr_t) vaddr
  };

  if (ioctl (vm, KVM_SET_USER_MEMORY_REGION, &region) < 0)
    fail ("KVM_SET_USER_MEMORY_REGION");
}

/* The memory is a memfd that is mapped again, as in an update. It leaves out the hole below 4 GiB,
 * as in a PC. */
static void
make_vm (uint64_t size, int ram)
{
  int kvm = open ("/dev/kvm", O_RDWR | O_CLOEXEC), vm;
  uint8_t *vaddr = mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, ram, 0);

  if (kvm < 0)
    fail ("/dev/kvm");
  if (vaddr == MAP_FAILED)
    fail ("mmap");
  vm = ioctl (kvm, KVM_CREATE_VM, 0);
  if (vm < 0)
    fail ("KVM_CREATE_VM");
  add_memory (vm, 0, 0, vaddr, MIN (size, LOW_LIMIT));
  if (size > LOW_LIMIT)
    add_memory (vm, 1, HIGH_BASE, vaddr + LOW_LIMIT, size - LOW_LIMIT);
  if (ioctl (vm, KVM_CREATE_VCPU, 0) < 0)
    fail ("KVM_CREATE_VCPU");
}

/* The memory consists of huge pages, as KVM's own memory does. */
static void
touch (uint64_t size)
{
  void *memory = mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

  if (memory == MAP_FAILED)
    fail ("mmap");
  madvise (memory, size, MADV_HUGEPAGE);
  memset (memory, 1, size);
}

int
main (int argc, char **argv)
{
  char began[32], fd[16];
  uint64_t size;
  int ram;

  if (argc < 3)
    return EXIT_FAILURE;
  size = g_ascii_strtoull (argv[1], NULL, 10) * MIB;
  if (strcmp (argv[2], "warm") == 0)
    {
      touch (size);
      return EXIT_SUCCESS;
    }
  if (argc == 5)
    {
      if (strcmp (argv[2], "kvm") == 0)
        make_vm (size, atoi (argv[4]));
      printf ("%" G_GUINT64_FORMAT "\n", now_ns () - g_ascii_strtoull (argv[3], NULL, 10));
      return EXIT_SUCCESS;
    }

  ram = memfd_create ("ram", 0);
  if (ram < 0 || ftruncate (ram, (off_t) size) < 0)
    fail ("memfd");
  snprintf (fd, sizeof fd, "%d", ram);
  snprintf (began, sizeof began, "%" G_GUINT64_FORMAT, now_ns ());
  execl ("/proc/self/exe", argv[0], argv[1], argv[2], began, fd, NULL);
  fail ("execl");
}
