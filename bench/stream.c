/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Measures the stream by itself, beside what it can be compared with in the same run: device state
 * of many small fields, bulk data beside memcpy() of the same bytes, extra memory, and how the time
 * grows with the number of things.
 *
 *     bench/stream [--json FILE]
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/sys.h"
#include "registry/device/bulk.h"
#include "registry/device/device.h"
#include "registry/fd-table.h"

#define RUNS 21

static GString *json;

static void
check (bool ok, GError *error)
{
  if (ok)
    return;
  fprintf (stderr, "bench/stream: %s\n", error != NULL ? error->message : "failed");
  exit (EXIT_FAILURE);
}

static int
compare (const void *a, const void *b)
{
  double x = *(const double *) a, y = *(const double *) b;

  return x < y ? -1 : x > y;
}

static double
median (double *values, size_t n)
{
  qsort (values, n, sizeof *values, compare);
  return values[n / 2];
}

static void
report (const char *name, const char *unit, double value, double beside, double ratio)
{
  printf ("%-44s %10.2f %-5s %10.2f   %6.2f\n", name, value, unit, beside, ratio);
  g_string_append_printf (json,
                          "%s{\"name\": \"%s\", \"unit\": \"%s\", \"value\": %.4f, \"beside\": %.4f, \"ratio\": %.4f}",
                          json->len > 1 ? ",\n " : "", name, unit, value, beside, ratio);
}

/* ---- Device state: 25 fields a device. */

#define SMALL_FIELDS(Number)                                                                         \
  bool on, dirty, masked;                                                                            \
  uint8_t ier, lcr, mcr, scr, ring[16];                                                              \
  Number base, limit, status, control, mode, count, reload, mask, pending, vector, a, b, c, d, e, f; \
  uint64_t deadline, ticks

#define FIELD_TABLE(Type)                                                                                            \
  CPR_FIELD (Type, on), CPR_FIELD (Type, dirty), CPR_FIELD (Type, masked), CPR_FIELD (Type, ier),                    \
      CPR_FIELD (Type, lcr), CPR_FIELD (Type, mcr), CPR_FIELD_OPTIONAL (Type, scr, 0), CPR_FIELD_ARRAY (Type, ring), \
      CPR_FIELD (Type, base), CPR_FIELD (Type, limit), CPR_FIELD (Type, status), CPR_FIELD (Type, control),          \
      CPR_FIELD (Type, mode), CPR_FIELD (Type, count), CPR_FIELD (Type, reload), CPR_FIELD (Type, mask),             \
      CPR_FIELD (Type, pending), CPR_FIELD (Type, vector), CPR_FIELD (Type, a), CPR_FIELD (Type, b),                 \
      CPR_FIELD (Type, c), CPR_FIELD (Type, d), CPR_FIELD_OPTIONAL (Type, e, 7), CPR_FIELD_TIME (Type, deadline),    \
      CPR_FIELD (Type, ticks), CPR_FIELD_END

typedef struct
{
  SMALL_FIELDS (uint32_t);
} Device;

typedef struct
{
  SMALL_FIELDS (uint64_t);
} WideDevice;

static const CprField device_fields[] = { FIELD_TABLE (Device) };
static const CprField wide_fields[] = { FIELD_TABLE (WideDevice) };
static const CprDeviceType device_type = { .size = sizeof (CprDeviceType),
                                           .name = "device",
                                           .state = { "Device", sizeof (Device), device_fields } };
static const CprDeviceType wide_type = { .size = sizeof (CprDeviceType),
                                         .name = "device",
                                         .state = { "Device", sizeof (WideDevice), wide_fields } };

/* The devices of a VM with their types; those beyond the first type are copies of it under
 * another name. */
typedef struct
{
  CprDeviceTable table;
  CprDeviceType *types;
  uint8_t *states;
} Machine;

static void
machine_init (Machine *machine, const CprDeviceType *type, guint n_devices, guint n_types)
{
  GError *error = NULL;

  cpr_device_table_init (&machine->table);
  machine->states = g_malloc0 ((gsize) n_devices * type->state.size);
  machine->types = g_new0 (CprDeviceType, n_types);
  for (guint i = 0; i < n_types; i++)
    {
      machine->types[i] = *type;
      machine->types[i].name = g_strdup_printf ("type%u", i);
    }
  for (guint i = 0; i < n_devices; i++)
    {
      g_autofree char *name = g_strdup_printf ("device%u", i);

      check (cpr_device_table_add (&machine->table, name, &machine->types[i % n_types],
                                   machine->states + (gsize) i * type->state.size, &error),
             error);
    }
}

static void
machine_clear (Machine *machine, guint n_types)
{
  cpr_device_table_clear (&machine->table);
  for (guint i = 0; i < n_types; i++)
    g_free ((char *) machine->types[i].name);
  g_free (machine->types);
  g_free (machine->states);
}

/* A state needs a manifest. The benchmark has none, and so its chunks have the order of a
 * question. */
static void
save (const Machine *machine, CprWriter *writer)
{
  static const uint32_t others[] = { CPR_CHUNK_VM, CPR_CHUNK_PROGRAM, CPR_CHUNK_FDS, CPR_CHUNK_RAM };
  CprSchemaBuilder builder;
  GError *error = NULL;

  cpr_writer_init (writer, -1);
  for (size_t i = 0; i < G_N_ELEMENTS (others); i++)
    {
      cpr_writer_begin_chunk (writer, others[i], 0);
      cpr_writer_end_chunk (writer);
    }
  cpr_schema_builder_init (&builder);
  cpr_device_table_write_schema (&machine->table, &builder, writer);
  check (cpr_device_table_write_sections (&machine->table, &builder, NULL, writer, &error), error);
  cpr_writer_finish (writer);
  cpr_schema_builder_clear (&builder);
}

static void
load (const Machine *machine, const CprWriter *writer)
{
  CprSchema schema;
  CprReader reader;
  CprChunk chunk;
  GError *error = NULL;
  CprDeviceLoad *loading;

  check (cpr_reader_open (&reader, writer->data, writer->len, &error), error);
  while (cpr_reader_next (&reader, &chunk) && chunk.type != CPR_CHUNK_SCHEMA)
    ;
  check (cpr_schema_read (&schema, &chunk.payload, &error), error);
  loading = cpr_device_load_new (&machine->table, &schema, &error);
  check (loading != NULL && cpr_device_load_check (loading, &reader, NULL, &error) &&
             cpr_device_load_apply (loading, &error),
         error);
  cpr_device_load_free (loading);
  cpr_schema_clear (&schema);
  cpr_reader_clear (&reader);
}

/* Both are medians in µs. */
static void
time_devices (
    const CprDeviceType *reader_type, guint n_devices, guint n_types, int runs, double *save_us, double *load_us)
{
  double saves[RUNS], loads[RUNS];
  Machine from, to;

  machine_init (&from, &device_type, n_devices, n_types);
  machine_init (&to, reader_type, n_devices, n_types);
  for (int run = 0; run < runs; run++)
    {
      uint64_t start = cpr_now_ns (), saved;
      CprWriter writer;

      save (&from, &writer);
      saved = cpr_now_ns ();
      load (&to, &writer);
      saves[run] = (double) (saved - start) / 1000;
      loads[run] = (double) (cpr_now_ns () - saved) / 1000;
      cpr_writer_clear (&writer);
    }
  *save_us = median (saves, (size_t) runs);
  *load_us = median (loads, (size_t) runs);
  machine_clear (&from, n_types);
  machine_clear (&to, n_types);
}

static void
bench_devices (void)
{
  double equal_save, equal_load, wide_save, wide_load, equal, small, large, save_us, load_us;

  time_devices (&device_type, 200, 1, RUNS, &equal_save, &equal_load);
  time_devices (&wide_type, 200, 1, RUNS, &wide_save, &wide_load);
  equal = equal_save + equal_load;
  report ("200 devices, 5,000 fields: save and load", "us", equal, 300, equal / 300);
  report ("  of that the save", "us", equal_save, equal, equal_save / equal);
  report ("  with another schema, beside the same one", "us", wide_save + wide_load, equal,
          (wide_save + wide_load) / equal);

  time_devices (&device_type, 10000, 100, 5, &save_us, &load_us);
  small = save_us + load_us;
  time_devices (&device_type, 100000, 1000, 3, &save_us, &load_us);
  large = save_us + load_us;
  report ("100,000 devices of 1,000 types, beside 10 x 10,000", "ms", large / 1000, 10 * small / 1000,
          large / (10 * small));
}

/* ---- fds: reading a table of many, without having them. */

static double
time_fd_table (guint n)
{
  double times[5];
  CprWriter writer;

  cpr_writer_init (&writer, -1);
  cpr_writer_begin_chunk (&writer, CPR_CHUNK_FDS, 0);
  cpr_writer_put_u32 (&writer, n);
  for (guint i = 0; i < n; i++)
    {
      g_autofree char *name = g_strdup_printf ("fd%u", i);

      cpr_writer_put_string (&writer, name);
      cpr_writer_put_u32 (&writer, 0);
      cpr_writer_put_u32 (&writer, 3 + i);
      for (int zero = 0; zero < 8; zero++)
        cpr_writer_put_u32 (&writer, 0);
    }
  for (int run = 0; run < 5; run++)
    {
      CprCursor cursor = { .data = writer.data + writer.chunk_start + CPR_FORMAT_CHUNK_HEADER_SIZE,
                           .len = cpr_writer_chunk_len (&writer) };
      uint64_t start = cpr_now_ns ();
      GError *error = NULL;
      CprFdTable table;

      cpr_fd_table_init (&table);
      check (cpr_fd_table_read (&table, &cursor, &error), error);
      cpr_fd_table_clear (&table);
      times[run] = (double) (cpr_now_ns () - start) / 1000;
    }
  cpr_writer_clear (&writer);
  return median (times, 5);
}

static void
bench_fds (void)
{
  double small = time_fd_table (10000), large = time_fd_table (100000);

  report ("table of 100,000 fds read, beside 10 x 10,000", "ms", large / 1000, 10 * small / 1000, large / (10 * small));
}

/* ---- Bulk data beside memcpy() of the same bytes, from touched memory into touched memory. */

#define BULK_SIZE (256ul << 20)

static double
gb_per_s (uint64_t start, size_t size)
{
  return (double) size / (double) (cpr_now_ns () - start);
}

static uint8_t *
map_touched (size_t size, int fill)
{
  uint8_t *at = mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

  check (at != MAP_FAILED, NULL);
  memset (at, fill, size);
  return at;
}

/* The chunks that have to be there before the first bulk data. */
static void
put_other_chunks (CprWriter *writer)
{
  static const uint32_t others[] = { CPR_CHUNK_VM, CPR_CHUNK_PROGRAM, CPR_CHUNK_FDS, CPR_CHUNK_RAM, CPR_CHUNK_SCHEMA };

  for (size_t i = 0; i < G_N_ELEMENTS (others); i++)
    {
      cpr_writer_begin_chunk (writer, others[i], 0);
      cpr_writer_end_chunk (writer);
    }
}

static void
bench_bulk_in_memory (void)
{
  double copies[RUNS], writes[RUNS], reads[RUNS], copied;
  uint8_t *from = map_touched (BULK_SIZE, 1), *to = map_touched (BULK_SIZE, 2);
  size_t capacity = BULK_SIZE + (16u << 20);
  uint8_t *room = map_touched (capacity, 0);

  for (int run = 0; run < 9; run++)
    {
      GError *error = NULL;
      CprWriter writer;
      CprReader reader;
      CprBulk bulk;
      uint64_t start = cpr_now_ns ();

      memcpy (to, from, BULK_SIZE);
      copies[run] = gb_per_s (start, BULK_SIZE);

      cpr_writer_init (&writer, -1);
      memcpy (room, writer.data, writer.len);
      g_free (writer.data);
      writer.data = room; /* memory that was touched before, as memcpy()'s destination was */
      writer.capacity = capacity;
      put_other_chunks (&writer);
      start = cpr_now_ns ();
      cpr_writer_put_bulk (&writer, "device", 0, from, BULK_SIZE);
      writes[run] = gb_per_s (start, BULK_SIZE);
      cpr_writer_finish (&writer);

      start = cpr_now_ns ();
      check (cpr_reader_open (&reader, writer.data, writer.len, &error), error);
      cpr_bulk_open (&bulk, &reader, cpr_reader_find_bulk (&reader, "device"));
      check (cpr_bulk_read (&bulk, to, BULK_SIZE, &error), error);
      reads[run] = gb_per_s (start, BULK_SIZE);
      check (memcmp (from, to, BULK_SIZE) == 0, NULL);
      cpr_bulk_clear (&bulk);
      cpr_reader_clear (&reader);
      writer.data = NULL;
      cpr_writer_clear (&writer);
    }
  copied = median (copies, 9);
  report ("bulk written to memory, beside memcpy", "GB/s", median (writes, 9), copied, median (writes, 9) / copied);
  report ("bulk read from memory, beside memcpy", "GB/s", median (reads, 9), copied, median (reads, 9) / copied);
  munmap (from, BULK_SIZE);
  munmap (to, BULK_SIZE);
  munmap (room, capacity);
}

static int
new_memfd (size_t size)
{
  int fd = cpr_memfd_new ("bench", 0);

  check (fd >= 0 && ftruncate (fd, (off_t) size) == 0, NULL);
  return fd;
}

/* The data goes into a new memfd, whose pages don't exist yet, as in an update. Beside it stand
 * write() and read() of the same bytes. */
static void
bench_bulk_in_memfd (void)
{
  double copies[RUNS], writes[RUNS], reads[RUNS], plain_reads[RUNS], copied, read;
  uint8_t *from = map_touched (BULK_SIZE, 1), *to = map_touched (BULK_SIZE, 2);

  for (int run = 0; run < 5; run++)
    {
      int plain = new_memfd (0), fd = new_memfd (0);
      GError *error = NULL;
      CprWriter writer;
      CprReader reader;
      CprBulk bulk;
      uint64_t start = cpr_now_ns ();

      check (cpr_fd_write_all (plain, from, BULK_SIZE), NULL);
      copies[run] = gb_per_s (start, BULK_SIZE);
      start = cpr_now_ns ();
      check (cpr_fd_read_at (plain, to, BULK_SIZE, 0), NULL);
      plain_reads[run] = gb_per_s (start, BULK_SIZE);
      close (plain);

      cpr_writer_init (&writer, fd);
      put_other_chunks (&writer);
      start = cpr_now_ns ();
      cpr_writer_put_bulk (&writer, "device", 0, from, BULK_SIZE);
      check (cpr_writer_finish (&writer), NULL);
      writes[run] = gb_per_s (start, BULK_SIZE);
      cpr_writer_clear (&writer);

      check (fcntl (fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0, NULL);
      start = cpr_now_ns ();
      check (cpr_reader_open_fd (&reader, fd, &error), error);
      cpr_bulk_open (&bulk, &reader, cpr_reader_find_bulk (&reader, "device"));
      check (cpr_bulk_read (&bulk, to, BULK_SIZE, &error), error);
      reads[run] = gb_per_s (start, BULK_SIZE);
      cpr_bulk_clear (&bulk);
      cpr_reader_clear (&reader);
      close (fd);
    }
  copied = median (copies, 5);
  read = median (plain_reads, 5);
  report ("bulk written to a new memfd, beside write()", "GB/s", median (writes, 5), copied,
          median (writes, 5) / copied);
  report ("bulk read from a memfd, beside read()", "GB/s", median (reads, 5), read, median (reads, 5) / read);
  munmap (from, BULK_SIZE);
  munmap (to, BULK_SIZE);
}

/* ---- Memory: what a stream of 1 GiB takes beyond its source and destination, which are 4 MiB
 * here. */

static long
peak_kib (void)
{
  struct rusage usage;

  getrusage (RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

static void
bench_memory (void)
{
  const size_t step = 4u << 20, total = 1ul << 30;
  int fd = new_memfd (0);
  uint8_t *buffer = map_touched (step, 3);
  long before = peak_kib (), after_write, after_read;
  GError *error = NULL;
  CprWriter writer;
  CprReader reader;
  CprBulk bulk;

  cpr_writer_init (&writer, fd);
  put_other_chunks (&writer);
  for (size_t done = 0; done < total; done += step)
    cpr_writer_put_bulk (&writer, "device", done, buffer, step);
  check (cpr_writer_finish (&writer), NULL);
  check (fcntl (fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0, NULL);
  cpr_writer_clear (&writer);
  after_write = peak_kib ();
  check (cpr_reader_open_fd (&reader, fd, &error), error);
  cpr_bulk_open (&bulk, &reader, cpr_reader_find_bulk (&reader, "device"));
  for (size_t done = 0; done < total; done += step)
    check (cpr_bulk_read (&bulk, buffer, step, &error), error);
  after_read = peak_kib ();
  cpr_bulk_clear (&bulk);
  cpr_reader_clear (&reader);
  close (fd);
  report ("extra memory of the writer, stream of 1 GiB", "MiB", (double) (after_write - before) / 1024, 16,
          (double) (after_write - before) / 1024 / 16);
  report ("extra memory of the reader, stream of 1 GiB", "MiB", (double) (after_read - after_write) / 1024, 16,
          (double) (after_read - after_write) / 1024 / 16);
}

int
main (int argc, char **argv)
{
  json = g_string_new ("[");
  printf ("%-44s %10s %-5s %10s   %6s\n", "", "median", "", "beside", "ratio");
  bench_memory (); /* first: the peak of what runs later must not hide it */
  bench_devices ();
  bench_fds ();
  bench_bulk_in_memory ();
  bench_bulk_in_memfd ();
  g_string_append (json, "]\n");
  if (argc == 3 && strcmp (argv[1], "--json") == 0)
    check (g_file_set_contents (argv[2], json->str, -1, NULL), NULL);
  return EXIT_SUCCESS;
}
