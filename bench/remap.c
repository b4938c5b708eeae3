/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Measures what the library itself takes for 10,000 DMA mappings: its system calls are answered by
 * a table that does nothing, so that only its own work is left. Beside it stands, in the same run,
 * a real call that works on one page of memory as the ioctls of VFIO do: mlock() of a page. It is a
 * cheap stand-in: MAP_DMA pins the page and fills the IOMMU's tables as well. Where a real time is
 * known, give it.
 *
 *     bench/remap [--json FILE] [--ioctl-ns NS]
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/vfio.h>

#include "base/sys.h"
#include "stream/reader.h"
#include "vfio/container.h"

#define N_MAPPINGS 10000
#define RUNS       21
#define PAGE       UINT64_C (4096)
#define MOST       10.0 /* percent */

static unsigned long n_ioctls;
static uint64_t total;

/* The played kernel accepts everything. */
static int
empty_ioctl (int fd, unsigned long request, void *argument)
{
  (void) fd;
  n_ioctls++;
  if (request == VFIO_IOMMU_UNMAP_DMA)
    {
      struct vfio_iommu_type1_dma_unmap *unmap = argument;

      unmap->size = (unmap->flags & VFIO_DMA_UNMAP_FLAG_ALL) != 0 ? total : unmap->size;
    }
  return 0;
}

/* @error points to the error, because the call that answers @ok may be evaluated after it. */
static void
check (bool ok, GError **error)
{
  if (ok)
    return;
  fprintf (stderr, "bench/remap: %s\n", error != NULL && *error != NULL ? (*error)->message : "failed");
  exit (EXIT_FAILURE);
}

static int
compare (const void *a, const void *b)
{
  double x = *(const double *) a, y = *(const double *) b;

  return x < y ? -1 : x > y;
}

static double
median (double *values)
{
  qsort (values, RUNS, sizeof *values, compare);
  return values[RUNS / 2];
}

/* ---- What is measured: a program that maps, is saved, and its successor. */

typedef struct
{
  CprFdTable fds;
  CprRamTable ram;
  CprVfioTable vfio;
  CprRamBlock block;
  CprVfioContainer *container;
} Side;

static void
side_init (Side *side)
{
  cpr_fd_table_init (&side->fds);
  side->ram.blocks = g_ptr_array_new ();
  side->block = (CprRamBlock){ .name = (char *) "ram", .size = 2 * N_MAPPINGS * PAGE, .fd = -1, .vaddr = side };
  g_ptr_array_add (side->ram.blocks, &side->block);
  cpr_vfio_table_init (&side->vfio);
  side->vfio.fds = &side->fds;
  side->vfio.ram = &side->ram;
}

static void
side_clear (Side *side)
{
  cpr_vfio_table_clear (&side->vfio);
  cpr_fd_table_clear (&side->fds);
  g_ptr_array_unref (side->ram.blocks);
}

/* Each mapping is one page, and every other page has one: no two can be merged. */
static CprDmaMapping
get_mapping (Side *side, unsigned i)
{
  return (CprDmaMapping){ .iova = 2 * i * PAGE,
                          .size = PAGE,
                          .offset = 2 * i * PAGE,
                          .block = &side->block,
                          .flags = CPR_DMA_READ | CPR_DMA_WRITE };
}

static void
map_all (Side *side, const unsigned *order)
{
  GError *error = NULL;

  for (unsigned i = 0; i < N_MAPPINGS; i++)
    {
      const CprDmaMapping mapping = get_mapping (side, order[i]);

      check (cpr_vfio_container_map (side->container, &mapping, &error) != NULL, &error);
    }
}

static void
take_all (Side *side, const unsigned *order)
{
  GError *error = NULL;

  for (unsigned i = 0; i < N_MAPPINGS; i++)
    {
      const CprDmaMapping mapping = get_mapping (side, order[i]);

      check (cpr_vfio_container_take_mapping (side->container, &mapping, &error), &error);
    }
}

enum
{
  MAP,
  MAP_AT_RANDOM,
  SAVE,
  READ,
  TAKE,
  TAKE_AT_RANDOM,
  ATTACH,
  REFERENCE,
  N_PARTS
};

static const char *const names[N_PARTS] = {
  [MAP] = "map, ascending", [MAP_AT_RANDOM] = "map, at random", [SAVE] = "save",
  [READ] = "read",          [TAKE] = "take over, ascending",    [TAKE_AT_RANDOM] = "take over, at random",
  [ATTACH] = "attach",      [REFERENCE] = "mlock() of a page"
};

static double
since (uint64_t *begin)
{
  uint64_t now = cpr_now_ns ();
  double each = (double) (now - *begin) / N_MAPPINGS;

  *begin = now;
  return each;
}

static void
begin_container (Side *side)
{
  side_init (side);
  side->container = cpr_vfio_table_add (&side->vfio, "c", CPR_VFIO_TYPE1);
  side->container->claimed = false; /* there is nothing to close */
}

/* These are the successor's tables. The container's fd is made up. */
static void
read_side (Side *side, const CprWriter *writer)
{
  CprCursor cursor = { .data = writer->data + CPR_FORMAT_HEADER_SIZE, .len = writer->len - CPR_FORMAT_HEADER_SIZE };
  GError *error = NULL;
  int fd = fcntl (STDERR_FILENO, F_DUPFD_CLOEXEC, 3);

  check (cpr_vfio_table_add_fd (&side->vfio, CPR_VFIO_CONTAINER_FD, "c", 0, fd, &error), &error);
  cpr_fd_table_find (&side->fds, CPR_VFIO_CONTAINER_FD "c", 0)->claimed = false;
  check (cpr_vfio_table_read (&side->vfio, &side->fds, &side->ram, &cursor, &error), &error);
  side->container = cpr_vfio_table_find (&side->vfio, "c");
  side->container->claimed = true;
}

static void
run_once (unsigned run, const unsigned *ascending, const unsigned *random, double parts[N_PARTS][RUNS])
{
  bool shuffled = run % 2 == 1;
  Side old, new;
  CprWriter writer;
  GError *error = NULL;
  uint64_t begin;

  begin_container (&old);
  begin = cpr_now_ns ();
  map_all (&old, random);
  parts[MAP_AT_RANDOM][run] = since (&begin);
  side_clear (&old);

  begin_container (&old);
  begin = cpr_now_ns ();
  map_all (&old, ascending);
  parts[MAP][run] = since (&begin);
  total = old.container->dma.total;
  cpr_writer_init (&writer, -1);
  cpr_vfio_table_write (&old.vfio, &old.ram, &writer);
  parts[SAVE][run] = since (&begin);

  for (int i = 0; i < 2; i++, shuffled = !shuffled)
    {
      side_init (&new);
      begin = cpr_now_ns ();
      read_side (&new, &writer);
      parts[READ][run] = since (&begin);
      take_all (&new, shuffled ? random : ascending);
      parts[shuffled ? TAKE_AT_RANDOM : TAKE][run] = since (&begin);
      check (cpr_vfio_table_reattach (&new.vfio, NULL, &error), &error);
      parts[ATTACH][run] = since (&begin);
      side_clear (&new);
    }
  cpr_writer_clear (&writer);
  side_clear (&old);
}

/* Each page is locked by itself, so that the kernel works on one at a time. */
static void
measure_reference (double values[RUNS])
{
  for (unsigned run = 0; run < RUNS; run++)
    {
      size_t size = 2 * N_MAPPINGS * PAGE;
      char *pages = mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
      uint64_t begin;

      check (pages != MAP_FAILED, NULL);
      begin = cpr_now_ns ();
      for (unsigned i = 0; i < N_MAPPINGS; i++)
        check (mlock (pages + 2 * i * PAGE, PAGE) == 0, NULL);
      values[run] = since (&begin);
      munmap (pages, size);
    }
}

static void
shuffle (unsigned *order)
{
  for (unsigned i = N_MAPPINGS - 1; i > 0; i--)
    {
      unsigned k = (unsigned) g_random_int_range (0, (gint32) i + 1), other = order[k];

      order[k] = order[i];
      order[i] = other;
    }
}

static bool
report (double parts[N_PARTS][RUNS], double ioctl_ns, GString *json)
{
  bool ok = true;

  printf ("%-24s %10s %8s\n", "each of 10,000", "ns", "percent");
  for (int i = 0; i < N_PARTS; i++)
    {
      double ns = i == REFERENCE ? ioctl_ns : median (parts[i]), percent = 100 * ns / ioctl_ns;

      printf ("%-24s %10.1f %8.1f\n", names[i], ns, percent);
      g_string_append_printf (json, "%s{\"name\": \"%s\", \"ns\": %.2f, \"percent\": %.2f}", i > 0 ? ",\n " : "[",
                              names[i], ns, percent);
      ok &= i == REFERENCE || percent <= MOST;
    }
  g_string_append (json, "]\n");
  return ok;
}

int
main (int argc, char **argv)
{
  static double parts[N_PARTS][RUNS];
  static unsigned ascending[N_MAPPINGS], random[N_MAPPINGS];
  g_autoptr (GString) json = g_string_new (NULL);
  const char *file = NULL;
  double ioctl_ns = 0;
  CprSys table = cpr_sys_kernel;
  bool ok;

  for (int i = 1; i + 1 < argc; i += 2)
    if (strcmp (argv[i], "--json") == 0)
      file = argv[i + 1];
    else if (strcmp (argv[i], "--ioctl-ns") == 0)
      ioctl_ns = g_ascii_strtod (argv[i + 1], NULL);
  for (unsigned i = 0; i < N_MAPPINGS; i++)
    ascending[i] = random[i] = i;
  shuffle (random);
  table.ioctl = empty_ioctl;
  cpr_sys = &table;
  for (unsigned run = 0; run < RUNS; run++)
    run_once (run, ascending, random, parts);
  if (ioctl_ns <= 0)
    {
      measure_reference (parts[REFERENCE]);
      ioctl_ns = median (parts[REFERENCE]);
    }
  ok = report (parts, ioctl_ns, json);
  if (file != NULL)
    g_file_set_contents (file, json->str, -1, NULL);
  printf ("%s: no part takes more than %.0f %%\n", ok ? "yes" : "no", MOST);
  return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
