/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writes states, with the library's own writer: write-states NAME FILE. They are the same at
 * each call; no fd in them is open. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "registry/device/bulk.h"
#include "state/manifest.h"

#define BOOT_ID "01234567-89ab-cdef-0123-456789abcdef"

typedef struct
{
  CprManifest head;
  CprDeviceTable devices;
  CprWriter writer;
} State;

static void
add_fd (State *state, const char *name, int index, int fd, CprFdIdentity identity)
{
  CprFdTable *table = &state->head.fds;
  CprFdEntry *entry = g_new0 (CprFdEntry, 1);

  entry->name = g_strdup (name);
  entry->index = index;
  entry->fd = fd;
  entry->where = (uint32_t) fd;
  entry->identity = identity;
  entry->position = table->entries->len;
  g_ptr_array_add (table->entries, entry);
  g_hash_table_add (table->by_name, entry);
  g_hash_table_insert (table->by_fd, GINT_TO_POINTER (fd), entry);
}

static void
add_block (State *state, const char *name, size_t size, CprRamBackend backend, unsigned flags, int fd)
{
  g_autofree char *fd_name = g_strconcat (CPR_RAM_FD_PREFIX, name, NULL);
  CprRamBlock *block = g_new0 (CprRamBlock, 1);

  add_fd (state, fd_name, 0, fd, (CprFdIdentity){ S_IFREG, O_RDWR, 1, (uint64_t) (1000 + fd), 0, 0 });
  block->name = g_strdup (name);
  block->size = size;
  block->backend = backend;
  block->flags = flags;
  block->fd = fd;
  g_ptr_array_add (state->head.ram.blocks, block);
}

/* A device of a container, with an MSI vector that is enabled. */
static void
add_assigned (State *state, CprVfioContainer *container, const char *name, uint32_t group, int fd)
{
  CprVfioDevice *device = cpr_vfio_container_add_device (container, name, "0000:00:04.0");
  g_autofree char *fd_name = g_strconcat (CPR_VFIO_DEVICE_FD, name, NULL);
  g_autofree char *irq_name = g_strconcat (CPR_VFIO_TRIGGER_FD, name, NULL);
  const CprVfioIrq irq = { .key = cpr_vfio_irq_get_key (1, 2), .fd = -1, .enabled = true };

  device->claimed = false;
  device->group = group;
  cpr_vfio_device_add_irq (device, &irq);
  add_fd (state, irq_name, irq.key, fd, (CprFdIdentity){ 0, O_RDWR, 15, 1, 0, 0 });
  if (container->backend != CPR_VFIO_NONE)
    add_fd (state, fd_name, 0, fd + 1, (CprFdIdentity){ 0, O_RDWR, 15, 1, 0, 0 });
  if (container->backend == CPR_VFIO_TYPE1)
    add_fd (state, CPR_VFIO_GROUP_FD, (int) group, fd + 2, (CprFdIdentity){ S_IFCHR, O_RDWR, 5, 26, 0, 0 });
}

static CprVfioContainer *
add_container (State *state, const char *name, CprVfioBackend backend, uint32_t ioas, int fd)
{
  CprVfioContainer *container = cpr_vfio_table_add (&state->head.vfio, name, backend);
  g_autofree char *fd_name = g_strconcat (CPR_VFIO_CONTAINER_FD, name, NULL);

  container->claimed = false;
  container->ioas = ioas;
  if (backend != CPR_VFIO_NONE)
    add_fd (state, fd_name, 0, fd, (CprFdIdentity){ S_IFCHR, O_RDWR, 5, 3, 0, 0 });
  return container;
}

static void
add_mapping (State *state, CprVfioContainer *container, uint64_t iova, guint block, uint64_t size)
{
  const CprDmaMapping mapping = {
    .iova = iova, .size = size, .block = state->head.ram.blocks->pdata[block], .flags = CPR_DMA_READ | CPR_DMA_WRITE
  };

  cpr_dma_mappings_insert (&container->dma, &mapping);
}

static void
add_device (State *state, const char *name, const CprDeviceType *type, void *device)
{
  g_autoptr (GError) error = NULL;

  if (!cpr_device_table_add (&state->devices, name, type, device, &error))
    g_error ("%s", error->message);
}

static void
set_program (State *state, const char *const *argv, const char *const *envp, const char *cwd, const char *comm)
{
  CprProgram *program = &state->head.program;

  program->argv = g_strdupv ((char **) argv);
  program->envp = g_strdupv ((char **) envp);
  program->cwd = g_strdup (cwd);
  g_strlcpy (program->comm, comm, sizeof program->comm);
  program->umask = 022;
  program->n_limits = 16;
  for (int i = 0; i < CPR_PROGRAM_MAX_LIMITS; i++)
    program->limits[i] = (struct rlimit){ RLIM_INFINITY, RLIM_INFINITY };
}

static void
begin (State *state, const char *name)
{
  *state = (State){ .devices.devices = NULL };
  cpr_manifest_init (&state->head);
  cpr_device_table_init (&state->devices);
  cpr_writer_init (&state->writer, -1);
  state->head.vm_name = g_strdup (name);
  g_strlcpy (state->head.boot_id, BOOT_ID, sizeof state->head.boot_id);
  state->head.uid = 1000;
  state->head.pid = 4242;
  state->head.generation = 3;
  state->head.run_state = CPR_RUN_STATE_RUNNING;
  state->head.saved_ns = UINT64_C (5000000000);
  state->head.saved_real_ns = UINT64_C (1800000000123456789);
  state->head.signal_mask = UINT64_C (1) << (SIGUSR1 - 1);
}

static void
put_unknown (State *state, uint32_t type, const void *payload, size_t len)
{
  cpr_writer_begin_chunk (&state->writer, type, CPR_CHUNK_FLAG_OPTIONAL);
  cpr_writer_put (&state->writer, payload, len);
  cpr_writer_end_chunk (&state->writer);
}

static void
finish (State *state, bool unknown_chunks, const char *path)
{
  CprCodec codec = cpr_fd_table_get_codec (&state->head.fds);
  CprWriter *writer = &state->writer;
  g_autoptr (GError) error = NULL;
  CprSchemaBuilder builder;

  cpr_schema_builder_init (&builder);
  if (unknown_chunks)
    put_unknown (state, 99, "before all", 10);
  cpr_manifest_write_vm (&state->head, writer);
  cpr_manifest_write_program (&state->head.program, &state->head.successor, writer);
  cpr_manifest_write_tables (&state->head.fds, &state->head.ram, writer);
  cpr_manifest_write_vfio (&state->head.vfio, &state->head.ram, writer);
  if (unknown_chunks)
    put_unknown (state, UINT32_MAX, "", 0);
  cpr_device_table_write_schema (&state->devices, &builder, writer);
  if (!cpr_device_table_write_sections (&state->devices, &builder, &codec, writer, &error))
    g_error ("%s", error->message);
  if (unknown_chunks)
    put_unknown (state, 1000, "at the end, of 8", 16);
  cpr_writer_finish (writer);
  if (!g_file_set_contents (path, (const char *) writer->data, (gssize) writer->len, &error))
    g_error ("%s", error->message);
  cpr_schema_builder_clear (&builder);
  cpr_writer_clear (writer);
  cpr_device_table_clear (&state->devices);
  cpr_manifest_clear (&state->head);
}

static bool
save_bulk (void *device G_GNUC_UNUSED, CprBulk *bulk, GError **error)
{
  static const uint8_t pixels[] = { 0x10, 0x20, 0x30, 0x40, 0x50 };

  return cpr_bulk_write (bulk, pixels, sizeof pixels, error);
}

/* The data is longer than a piece, and its length is no multiple of anything. */
static bool
save_much (void *device G_GNUC_UNUSED, CprBulk *bulk, GError **error)
{
  size_t size = 700001;
  g_autofree uint8_t *data = g_malloc (size);

  for (size_t i = 0; i < size; i++)
    data[i] = (uint8_t) (i * 7 + (i >> 8));
  return cpr_bulk_write (bulk, data, size, error) && cpr_bulk_write (bulk, "tail", 4, error);
}

/* ---- The example of doc/stream-format.md. */

typedef struct
{
  uint32_t period;
  uint16_t level;
  char label[9];
  int16_t queue[4];
  uint8_t n_queue;
} Timer;

static const CprField timer_fields[] = { CPR_FIELD (Timer, period), CPR_FIELD_OPTIONAL (Timer, level, 16),
                                         CPR_FIELD_STRING (Timer, label), CPR_FIELD_COUNTED (Timer, queue, n_queue),
                                         CPR_FIELD_END };
static const CprDeviceType timer_type = { .size = sizeof (CprDeviceType),
                                          .name = "timer",
                                          .version = 2,
                                          .minimum_version = 1,
                                          .state = { "Timer", sizeof (Timer), timer_fields },
                                          .save_bulk = save_bulk };

static void
write_example (const char *path)
{
  static const char *const argv[] = { "vmm", NULL }, *const envp[] = { NULL };
  Timer timer = { .period = 1000, .level = 16, .label = "hpet", .queue = { 7, -1 }, .n_queue = 2 };
  State state;

  begin (&state, "vm1");
  set_program (&state, argv, envp, "/", "vmm");
  state.head.program.n_limits = 2;
  add_block (&state, "ram", 1 << 20, CPR_RAM_MEMFD, 0, 5);
  add_device (&state, "timer0", &timer_type, &timer);
  finish (&state, false, path);
}

/* ---- Every kind of field. */

typedef struct
{
  uint8_t a;
  int16_t b;
} Inner;

typedef struct
{
  Inner inner[2];
  Inner *next;
} Middle;

typedef struct
{
  bool flag, flags[3];
  uint8_t u8, u8_max;
  uint16_t u16, u16s[4];
  uint32_t u32;
  uint64_t u64;
  int8_t i8;
  int16_t i16;
  int32_t i32, queue[8];
  int64_t i64;
  uint32_t n_queue;
  float real;
  double wide, reals[2];
  uint64_t *heap;
  uint32_t n_heap;
  uint8_t mac[6];
  uint8_t *blob;
  uint64_t n_blob;
  char label[16];
  char *note;
  Inner inner, pair[2], ring[4];
  uint16_t n_ring;
  Inner *pointer;
  Middle middle;
  GSList *list;
  int backend, queues[3];
  int64_t deadline;
  uint32_t level;
  int8_t cache;
  uint16_t zeros[4];
  uint8_t opaque[4];
  int maybe_fd;
  bool extra;
  uint64_t extra_counter;
} Everything;

static void *
list_next (const void *container, const void *element)
{
  GSList *list = *(GSList *const *) container;

  list = element != NULL ? g_slist_find (list, element)->next : list;
  return list != NULL ? list->data : NULL;
}

static void *
list_append (void *container)
{
  Inner *made = g_new0 (Inner, 1);

  *(GSList **) container = g_slist_append (*(GSList **) container, made);
  return made;
}

static void
list_clear (void *container)
{
  g_slist_free_full (*(GSList **) container, g_free);
  *(GSList **) container = NULL;
}

static bool
extra_needed (const void *device)
{
  return ((const Everything *) device)->extra;
}

static const CprList list_callbacks = { list_next, list_append, list_clear };
static const CprField inner_fields[] = { CPR_FIELD (Inner, a), CPR_FIELD (Inner, b), CPR_FIELD_END };
static const CprStruct inner_struct = { "Inner", sizeof (Inner), inner_fields };
static const CprField middle_fields[] = { CPR_FIELD_STRUCT_ARRAY (Middle, inner, Inner, inner_struct),
                                          CPR_FIELD_POINTER (Middle, next, Inner, inner_struct), CPR_FIELD_END };
static const CprStruct middle_struct = { "Middle", sizeof (Middle), middle_fields };
static const CprField extra_fields[] = { CPR_FIELD (Everything, extra_counter), CPR_FIELD_END };
static const CprStruct extra_struct = { "Everything/extra", sizeof (Everything), extra_fields };

/* clang-format off */
static const CprField everything_fields[] = {
  CPR_FIELD (Everything, flag), CPR_FIELD_ARRAY (Everything, flags),
  CPR_FIELD (Everything, u8), CPR_FIELD (Everything, u8_max), CPR_FIELD (Everything, u16),
  CPR_FIELD_ARRAY (Everything, u16s), CPR_FIELD (Everything, u32), CPR_FIELD (Everything, u64),
  CPR_FIELD (Everything, i8), CPR_FIELD (Everything, i16), CPR_FIELD (Everything, i32), CPR_FIELD (Everything, i64),
  CPR_FIELD_COUNTED (Everything, queue, n_queue),
  CPR_FIELD (Everything, real), CPR_FIELD (Everything, wide), CPR_FIELD_ARRAY (Everything, reals),
  CPR_FIELD_HEAP_ARRAY (Everything, heap, n_heap, 1000),
  CPR_FIELD_BYTES (Everything, mac), CPR_FIELD_HEAP_BYTES (Everything, blob, n_blob, 4096),
  CPR_FIELD_STRING (Everything, label), CPR_FIELD_HEAP_STRING (Everything, note, 100),
  CPR_FIELD_STRUCT (Everything, inner, Inner, inner_struct),
  CPR_FIELD_STRUCT_ARRAY (Everything, pair, Inner, inner_struct),
  CPR_FIELD_STRUCT_COUNTED (Everything, ring, n_ring, Inner, inner_struct),
  CPR_FIELD_POINTER (Everything, pointer, Inner, inner_struct),
  CPR_FIELD_STRUCT (Everything, middle, Middle, middle_struct),
  CPR_FIELD_LIST (Everything, list, Inner, inner_struct, 100, list_callbacks),
  CPR_FIELD_FD (Everything, backend), CPR_FIELD_FD_ARRAY (Everything, queues),
  CPR_FIELD_TIME (Everything, deadline),
  CPR_FIELD_OPTIONAL (Everything, level, 16), CPR_FIELD_IGNORABLE (Everything, cache, -1),
  CPR_FIELD_ARRAY (Everything, zeros, CPR_OPTIONAL), CPR_FIELD_BYTES (Everything, opaque, CPR_IGNORABLE),
  CPR_FIELD_FD (Everything, maybe_fd, CPR_OPTIONAL),
  CPR_FIELD_GROUP (Everything, "extra", extra_struct, extra_needed),
  CPR_FIELD_RETIRED (vintage, uint16_t, 1981),
  CPR_FIELD_END
};
/* The fields of an earlier build: some are missing, and others are narrower. */
typedef struct
{
  uint8_t u8;
  uint16_t u32;
  int32_t queue[4];
  uint8_t n_queue;
  char label[16];
  uint32_t level;
  Inner pair[3];
  uint8_t dropped;
} Earlier;

static const CprField earlier_fields[] = {
  CPR_FIELD (Earlier, u8), CPR_FIELD (Earlier, u32), CPR_FIELD_COUNTED (Earlier, queue, n_queue),
  CPR_FIELD_STRING (Earlier, label), CPR_FIELD_OPTIONAL (Earlier, level, 16),
  CPR_FIELD_STRUCT_ARRAY (Earlier, pair, Inner, inner_struct), CPR_FIELD (Earlier, dropped), CPR_FIELD_END
};
/* clang-format on */

static const CprDeviceType everything_type = { .size = sizeof (CprDeviceType),
                                               .name = "everything",
                                               .version = 7,
                                               .minimum_version = 3,
                                               .state = { "Everything", sizeof (Everything), everything_fields },
                                               .save_bulk = save_much };
static const CprDeviceType earlier_type = { .size = sizeof (CprDeviceType),
                                            .name = "everything",
                                            .version = 6,
                                            .minimum_version = 3,
                                            .state = { "Everything", sizeof (Earlier), earlier_fields },
                                            .save_bulk = save_bulk };

static const Everything empty = { .backend = -1, .queues = { -1, -1, -1 }, .level = 16, .cache = -1, .maybe_fd = -1 };

static const Everything full = { .flag = true,
                                 .flags = { true, false, true },
                                 .u8 = 1,
                                 .u8_max = UINT8_MAX,
                                 .u16 = 0x1234,
                                 .u16s = { 1, 2, 3, UINT16_MAX },
                                 .u32 = UINT32_MAX,
                                 .u64 = UINT64_MAX,
                                 .i8 = INT8_MIN,
                                 .i16 = -2,
                                 .i32 = INT32_MAX,
                                 .queue = { -1, 0, 1 },
                                 .n_queue = 3,
                                 .i64 = INT64_MIN,
                                 .real = 1.5F,
                                 .wide = -0.1,
                                 .reals = { __builtin_inf (), __builtin_nan ("7") },
                                 .n_heap = 100,
                                 .mac = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 },
                                 .n_blob = 200,
                                 .label = "sch\xc3\xb6n",
                                 .note = (char *) "tab\there, \"quotes\", \\ and \xff",
                                 .inner = { 1, -1 },
                                 .pair = { { 2, -2 }, { 3, -3 } },
                                 .ring = { { 4, -4 } },
                                 .n_ring = 1,
                                 .backend = 7,
                                 .queues = { 8, -1, 7 },
                                 .deadline = -5,
                                 .level = 17,
                                 .cache = 3,
                                 .zeros = { 0, 0, 0, 1 },
                                 .opaque = { 0, 0, 0, 0xff },
                                 .maybe_fd = 8,
                                 .extra = true,
                                 .extra_counter = 12345678901234567890u };

static void
fill (Everything *device)
{
  Inner *element;

  *device = full;
  device->heap = g_new0 (uint64_t, device->n_heap);
  device->heap[99] = 1;
  device->blob = g_malloc0 (device->n_blob);
  device->pointer = g_memdup2 (&device->inner, sizeof device->inner);
  device->middle.inner[1].a = 9;
  device->middle.next = g_memdup2 (&device->pair[0], sizeof device->pair[0]);
  for (int i = 0; i < 3; i++)
    {
      element = list_append (&device->list);
      *element = (Inner){ (uint8_t) i, (int16_t) -i };
    }
}

static void
empty_out (Everything *device)
{
  g_free (device->heap);
  g_free (device->blob);
  g_free (device->pointer);
  g_free (device->middle.next);
  list_clear (&device->list);
}

static void
begin_full (State *state)
{
  static const char *const argv[] = { "/usr/bin/vmm", "--name", "vm 1", "", NULL };
  static const char *const envp[] = { "HOME=/root", "ODD=\x1b[31m\xff", NULL };

  begin (state, "full");
  set_program (state, argv, envp, "/tmp", "fifteen-letters");
  state->head.run_state = CPR_RUN_STATE_PAUSED;
  state->head.program.limits[RLIMIT_NOFILE] = (struct rlimit){ 1024, 4096 };
  state->head.successor = (CprSuccessor){ 2049, 77, g_strdup ("0123456789abcdefABCDEF") };
  add_fd (state, "tap", 0, 7, (CprFdIdentity){ S_IFCHR, O_RDWR, 5, 6, 0, 0 });
  add_fd (state, "tap", 1, 8, (CprFdIdentity){ S_IFSOCK, O_RDWR, 9, 10, AF_UNIX, SOCK_STREAM });
  add_fd (state, "event", 2147483647, 9, (CprFdIdentity){ 0, O_RDWR, 15, 1, 0, 0 });
  add_block (state, "main", (size_t) 1 << 40, CPR_RAM_HUGETLB, CPR_RAM_PREALLOC | CPR_RAM_LOCKED, 5);
  add_block (state, "vga", 4096, CPR_RAM_FD, 0, 6);
}

static void
write_full (const char *path)
{
  Everything device, nothing = empty;
  Timer timer = { .level = 1 };
  CprVfioContainer *container;
  State state;

  begin_full (&state);
  container = add_container (&state, "type1", CPR_VFIO_TYPE1, 0, 30);
  add_assigned (&state, container, "nic", 26, 31);
  add_mapping (&state, container, 0, 0, (uint64_t) 1 << 40);
  add_mapping (&state, container, (uint64_t) 1 << 40, 1, 4096);
  add_assigned (&state, add_container (&state, "iommufd", CPR_VFIO_IOMMUFD, 2, 40), "gpu", 0, 41);
  add_container (&state, "nothing", CPR_VFIO_NONE, 0, 0);
  fill (&device);
  add_device (&state, "device", &everything_type, &device);
  add_device (&state, "timer", &timer_type, &timer);
  add_device (&state, "nothing", &everything_type, &nothing);
  finish (&state, false, path);
  empty_out (&device);
}

/* This state is compared with the full one. */
static void
write_other (const char *path)
{
  Earlier device = { .u8 = 2, .queue = { -1, 5, 1, 0 }, .n_queue = 4, .label = "x", .level = 16 };
  Timer timer = { .level = 1, .label = "hpet" };
  State state;

  begin_full (&state);
  add_mapping (&state, add_container (&state, "type1", CPR_VFIO_TYPE1, 0, 30), 0, 0, 4096);
  state.head.generation++;
  add_fd (&state, "disk", 0, 10, (CprFdIdentity){ S_IFREG, O_RDONLY, 1, 2, 0, 0 });
  add_block (&state, "more", 8192, CPR_RAM_MEMFD, 0, 11);
  add_device (&state, "device", &earlier_type, &device);
  add_device (&state, "timer", &timer_type, &timer);
  add_device (&state, "new", &timer_type, &timer);
  finish (&state, false, path);
}

/* The names have all permitted bytes, and there are unknown chunks. */
static void
write_odd (const char *path)
{
  static const char *const argv[] = { "\x01\x7f\xc2\x85\xe2\x80\xae", NULL }, *const envp[] = { NULL };
  char every[256];
  Timer timer = { .label = "\n\t" };
  State state;

  for (int i = 0; i < 255; i++)
    every[i] = (char) (i + 1);
  every[255] = '\0';
  begin (&state, "a\nb\\c\"\xf0\x9f\x98\x80");
  set_program (&state, argv, envp, "/\xff", "\r");
  state.head.program.n_limits = CPR_PROGRAM_MAX_LIMITS;
  add_block (&state, every, G_MAXINT64, CPR_RAM_MEMFD, 31, 3);
  add_fd (&state, every, 0, 2147483647, (CprFdIdentity){ 0 });
  add_device (&state, every, &timer_type, &timer);
  add_device (&state, "\xc3\xbf", &timer_type, &timer);
  finish (&state, true, path);
}

/* The state has only what is mandatory. */
static void
write_empty (const char *path)
{
  static const char *const argv[] = { "", NULL }, *const envp[] = { NULL };
  State state;

  begin (&state, "empty");
  set_program (&state, argv, envp, "", "");
  finish (&state, false, path);
}

int
main (int argc, char **argv)
{
  static const struct
  {
    const char *name;
    void (*write) (const char *path);
  } states[] = {
    { "example", write_example }, { "full", write_full },   { "other", write_other },
    { "odd", write_odd },         { "empty", write_empty },
  };

  for (size_t i = 0; argc == 3 && i < G_N_ELEMENTS (states); i++)
    if (strcmp (states[i].name, argv[1]) == 0)
      {
        states[i].write (argv[2]);
        return 0;
      }
  fprintf (stderr, "usage: write-states example|full|other|odd|empty FILE\n");
  return 2;
}
