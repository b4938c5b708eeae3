/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "everything.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "registry/ram/ram.h"
#include "state/manifest.h"

static const CprField line_fields[] = { CPR_FIELD (Line, vector), CPR_FIELD (Line, masked), CPR_FIELD_END };
static const CprStruct line_struct = { "Line", sizeof (Line), line_fields };

static const CprField event_fields[] = { CPR_FIELD_TIME (Event, when), CPR_FIELD_HEAP_STRING (Event, what, 100),
                                         CPR_FIELD_END };
static const CprStruct event_struct = { "Event", sizeof (Event), event_fields };

static void *
next_event (const void *container, const void *element)
{
  return element != NULL ? ((const Event *) element)->next : *(Event *const *) container;
}

static void *
append_event (void *container)
{
  Event **end = container;

  while (*end != NULL)
    end = &(*end)->next;
  *end = g_new0 (Event, 1);
  return *end;
}

static void
clear_events (void *container)
{
  Event *event = *(Event **) container;

  while (event != NULL)
    {
      Event *next = event->next;

      g_free (event->what);
      g_free (event);
      event = next;
    }
  *(Event **) container = NULL;
}

static const CprList event_list = { next_event, append_event, clear_events };

static bool
fifo_is_on (const void *device)
{
  return ((const Everything *) device)->fifo_on;
}

static const CprField fifo_fields[] = { CPR_FIELD (Everything, fifo_level), CPR_FIELD (Everything, fifo_on),
                                        CPR_FIELD_END };
static const CprStruct fifo_struct = { "Fifo", sizeof (Everything), fifo_fields };

static const CprField everything_fields[] = {
  CPR_FIELD (Everything, on),
  CPR_FIELD (Everything, u8),
  CPR_FIELD (Everything, u16),
  CPR_FIELD (Everything, u32),
  CPR_FIELD (Everything, u64),
  CPR_FIELD (Everything, i8),
  CPR_FIELD (Everything, i16),
  CPR_FIELD (Everything, i32),
  CPR_FIELD (Everything, i64),
  CPR_FIELD (Everything, f),
  CPR_FIELD (Everything, d),
  CPR_FIELD_OPTIONAL (Everything, left_out, 5),
  CPR_FIELD_IGNORABLE (Everything, written, 5),
  CPR_FIELD_ARRAY (Everything, array),
  CPR_FIELD_COUNTED (Everything, counted, used),
  CPR_FIELD_BYTES (Everything, mac),
  CPR_FIELD_HEAP_BYTES (Everything, blob, n_blob, 4096),
  CPR_FIELD_HEAP_ARRAY (Everything, heap, n_heap, 10),
  CPR_FIELD_STRING (Everything, label),
  CPR_FIELD_HEAP_STRING (Everything, path, 255),
  CPR_FIELD_HEAP_STRING (Everything, no_path, 255),
  CPR_FIELD_STRUCT (Everything, line, Line, line_struct),
  CPR_FIELD_STRUCT_ARRAY (Everything, lines, Line, line_struct),
  CPR_FIELD_STRUCT_COUNTED (Everything, some, n_some, Line, line_struct),
  CPR_FIELD_POINTER (Everything, extra, Line, line_struct),
  CPR_FIELD_POINTER (Everything, no_extra, Line, line_struct),
  CPR_FIELD_LIST (Everything, events, Event, event_struct, 8, event_list),
  CPR_FIELD_FD (Everything, fd),
  CPR_FIELD_FD (Everything, no_fd),
  CPR_FIELD_FD_ARRAY (Everything, fds),
  CPR_FIELD_TIME (Everything, deadline),
  CPR_FIELD_GROUP (Everything, "fifo", fifo_struct, fifo_is_on),
  CPR_FIELD_RETIRED (gone, uint16_t, 77),
  CPR_FIELD_END,
};

uint8_t
everything_bulk_byte (size_t at)
{
  return (uint8_t) (at * 7 + at / 251);
}

static bool
save_bulk (void *device, CprBulk *bulk, GError **error)
{
  g_autofree uint8_t *data = g_malloc (EVERYTHING_BULK);

  for (size_t i = 0; i < EVERYTHING_BULK; i++)
    data[i] = everything_bulk_byte (i);
  return cpr_bulk_write (bulk, data, EVERYTHING_BULK, error);
}

/* The data is compared at once and not kept. */
static bool
load_bulk (void *device, CprBulk *bulk, GError **error)
{
  g_autofree uint8_t *data = g_malloc (EVERYTHING_BULK);

  if (!cpr_bulk_read (bulk, data, EVERYTHING_BULK, error))
    return false;
  for (size_t i = 0; i < EVERYTHING_BULK; i++)
    if (data[i] != everything_bulk_byte (i))
      return false;
  return true;
}

static const char *const after_bus[] = { "bus", NULL };

const CprDeviceType everything_type = {
  .size = sizeof (CprDeviceType),
  .name = "everything",
  .version = 3,
  .minimum_version = 2,
  .state = { "Everything", sizeof (Everything), everything_fields },
  .load_after = after_bus,
  .save_bulk = save_bulk,
  .load_bulk = load_bulk,
};

const CprDeviceType everything_bus_type = {
  .size = sizeof (CprDeviceType),
  .name = "bus",
  .version = 1,
  .minimum_version = 1,
  .state = { "Line", sizeof (Line), line_fields },
};

void
everything_fill (Everything *everything)
{
  Event *event;

  *everything = (Everything){
    .on = true,
    .u8 = 200,
    .u16 = 60000,
    .u32 = 4000000000u,
    .u64 = UINT64_MAX - 1,
    .i8 = -100,
    .i16 = -30000,
    .i32 = -2000000000,
    .i64 = INT64_MIN,
    .f = 1.5f,
    .d = -0.1,
    .left_out = 5,
    .written = 6,
    .array = { 1, 2, 65535 },
    .used = 2,
    .counted = { 10, 20 },
    .mac = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 },
    .n_blob = 5,
    .n_heap = 3,
    .label = "first label",
    .line = { 33, true },
    .lines = { { 1, false }, { 2, true } },
    .n_some = 1,
    .some = { { 7, true } },
    .fd = 10,
    .no_fd = -1,
    .fds = { 11, -1 },
    .deadline = 123456789012345,
    .fifo_level = 9,
    .fifo_on = true,
  };
  everything->blob = g_memdup2 ("\x00\x01\xfe\xff\x7f", 5);
  everything->heap = g_memdup2 ((int32_t[]){ -1, 0, 1 }, 3 * sizeof (int32_t));
  everything->path = g_strdup ("/var/lib/größe"); /* UTF-8 */
  everything->extra = g_memdup2 (&(Line){ 99, false }, sizeof (Line));
  event = append_event (&everything->events);
  event->when = 1;
  event->what = g_strdup ("first");
  event = append_event (&everything->events);
  event->when = UINT64_MAX;
}

void
everything_clear (Everything *everything)
{
  g_free (everything->blob);
  g_free (everything->heap);
  g_free (everything->path);
  g_free (everything->no_path);
  g_free (everything->extra);
  g_free (everything->no_extra);
  clear_events (&everything->events);
  memset (everything, 0, sizeof *everything);
}

static bool
lines_equal (const Line *a, const Line *b, size_t n)
{
  for (size_t i = 0; i < n; i++)
    if (a[i].vector != b[i].vector || a[i].masked != b[i].masked)
      return false;
  return true;
}

static bool
heaps_equal (const Everything *a, const Everything *b)
{
  const Event *x = a->events, *y = b->events;

  for (; x != NULL && y != NULL; x = x->next, y = y->next)
    if (x->when != y->when || g_strcmp0 (x->what, y->what) != 0)
      return false;
  return x == y && a->n_blob == b->n_blob && memcmp (a->blob, b->blob, a->n_blob) == 0 && a->n_heap == b->n_heap &&
         memcmp (a->heap, b->heap, a->n_heap * sizeof *a->heap) == 0 && g_strcmp0 (a->path, b->path) == 0 &&
         g_strcmp0 (a->no_path, b->no_path) == 0 && a->extra != NULL && b->extra != NULL &&
         lines_equal (a->extra, b->extra, 1) && a->no_extra == b->no_extra;
}

bool
everything_equal (const Everything *a, const Everything *b)
{
  return a->on == b->on && a->u8 == b->u8 && a->u16 == b->u16 && a->u32 == b->u32 && a->u64 == b->u64 &&
         a->i8 == b->i8 && a->i16 == b->i16 && a->i32 == b->i32 && a->i64 == b->i64 && a->f == b->f && a->d == b->d &&
         a->left_out == b->left_out && a->written == b->written && memcmp (a->array, b->array, sizeof a->array) == 0 &&
         a->used == b->used && memcmp (a->counted, b->counted, a->used * sizeof a->counted[0]) == 0 &&
         memcmp (a->mac, b->mac, sizeof a->mac) == 0 && strcmp (a->label, b->label) == 0 &&
         lines_equal (&a->line, &b->line, 1) && lines_equal (a->lines, b->lines, 2) && a->n_some == b->n_some &&
         lines_equal (a->some, b->some, a->n_some) && a->fd == b->fd && a->no_fd == b->no_fd &&
         a->fds[0] == b->fds[0] && a->fds[1] == b->fds[1] && a->deadline == b->deadline &&
         a->fifo_level == b->fifo_level && a->fifo_on == b->fifo_on && heaps_equal (a, b);
}

static const struct
{
  const char *name;
  int index, fd;
  uint32_t type, access;
  uint64_t inode;
  uint32_t domain, socket_type;
} fds[] = {
  { "disk", 0, 10, S_IFREG, O_RDWR, 1001, 0, 0 },
  { "irq", 0, 11, 0, O_RDWR, 1002, 0, 0 },
  { "monitor", 3, 12, S_IFSOCK, O_RDWR, 1003, 1, 1 },
  { CPR_RAM_FD_PREFIX "pc.ram", 0, 13, S_IFREG, O_RDWR, 1004, 0, 0 },
};

static void
write_fds (CprWriter *writer)
{
  cpr_writer_put_u32 (writer, G_N_ELEMENTS (fds));
  for (size_t i = 0; i < G_N_ELEMENTS (fds); i++)
    {
      cpr_writer_put_string (writer, fds[i].name);
      cpr_writer_put_u32 (writer, (uint32_t) fds[i].index);
      cpr_writer_put_u32 (writer, (uint32_t) fds[i].fd);
      cpr_writer_put_u32 (writer, fds[i].type);
      cpr_writer_put_u32 (writer, fds[i].access);
      cpr_writer_put_u64 (writer, 42); /* device */
      cpr_writer_put_u64 (writer, fds[i].inode);
      cpr_writer_put_u32 (writer, fds[i].domain);
      cpr_writer_put_u32 (writer, fds[i].socket_type);
    }
}

void
everything_init_fds (CprFdTable *table)
{
  CprWriter writer;
  CprCursor cursor;
  size_t start;

  cpr_writer_init (&writer, -1);
  start = writer.len;
  write_fds (&writer);
  cursor = (CprCursor){ .data = writer.data + start, .len = writer.len - start };
  cpr_fd_table_init (table);
  cpr_fd_table_read (table, &cursor, NULL);
  cpr_writer_clear (&writer);
}

static void
write_manifest (CprWriter *writer)
{
  char *argv[] = { (char *) "vmm", (char *) "--ram", (char *) "64M", NULL }, *envp[] = { (char *) "LANG=C", NULL };
  const CprManifest head = { .vm_name = (char *) "golden",
                             .boot_id = "01234567-89ab-cdef-0123-456789abcdef",
                             .uid = 1000,
                             .pid = 4321,
                             .generation = 7,
                             .run_state = CPR_RUN_STATE_PAUSED,
                             .saved_ns = 1000000000,
                             .saved_real_ns = 1700000000000000000,
                             .signal_mask = 1u << 13 };
  CprProgram program = {
    .argv = argv, .envp = envp, .cwd = (char *) "/", .comm = "vmm", .umask = 022, .ignored_signals = 1u << 12
  };
  const CprSuccessor successor = { .device = 42, .inode = 2001, .build_id = (char *) "0011223344556677" };

  program.n_limits = 2;
  program.limits[0] = (struct rlimit){ 100, 200 };
  program.limits[1] = (struct rlimit){ RLIM_INFINITY, RLIM_INFINITY };
  cpr_manifest_write_vm (&head, writer);
  cpr_manifest_write_program (&program, &successor, writer);

  cpr_writer_begin_chunk (writer, CPR_CHUNK_FDS, 0);
  write_fds (writer);
  cpr_writer_end_chunk (writer);
  cpr_writer_begin_chunk (writer, CPR_CHUNK_RAM, 0);
  cpr_writer_put_u32 (writer, 1);
  cpr_writer_put_string (writer, "pc.ram");
  cpr_writer_put_u64 (writer, 64 << 20);
  cpr_writer_put_u32 (writer, CPR_RAM_MEMFD);
  cpr_writer_put_u32 (writer, CPR_RAM_DONT_DUMP);
  cpr_writer_end_chunk (writer);
}

void
everything_write (CprWriter *writer)
{
  Everything everything;
  Line bus = { 5, true };
  CprSchemaBuilder builder;
  CprDeviceTable devices;
  CprFdTable table;
  CprCodec codec;

  everything_fill (&everything);
  everything_init_fds (&table);
  codec = cpr_fd_table_get_codec (&table);
  cpr_device_table_init (&devices);
  cpr_device_table_add (&devices, "everything0", &everything_type, &everything, NULL);
  cpr_device_table_add (&devices, "bus0", &everything_bus_type, &bus, NULL);

  cpr_writer_init (writer, -1);
  write_manifest (writer);
  cpr_schema_builder_init (&builder);
  cpr_device_table_write_schema (&devices, &builder, writer);
  cpr_device_table_write_sections (&devices, &builder, &codec, writer, NULL);
  cpr_writer_finish (writer);

  cpr_schema_builder_clear (&builder);
  cpr_device_table_clear (&devices);
  cpr_fd_table_clear (&table);
  everything_clear (&everything);
}
