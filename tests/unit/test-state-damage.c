/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A real state, cut off and changed everywhere: it is refused, or loaded into values that are
 * well-formed. */
#include "everything.h"
#include "machine.h"

#include <xxhash.h>

static Machine machine;
static Everything everything;
static uint8_t *state;
static size_t state_len;
static GArray *frames; /* size_t: where the header and each chunk end */

/* Where trying all bytes takes too long, one of this many is tried. */
static size_t
stride (size_t otherwise)
{
  return under_valgrind () ? otherwise * 37 : otherwise;
}

static void
find_frames (void)
{
  CprReader reader;

  frames = g_array_new (FALSE, FALSE, sizeof (size_t));
  ck_assert (cpr_reader_open (&reader, state, state_len, NULL));
  for (guint i = 0; i < reader.chunks->len; i++)
    {
      size_t start = (size_t) g_array_index (reader.chunks, CprChunk, i).offset;

      g_array_append_val (frames, start);
    }
  g_array_append_val (frames, state_len);
  cpr_reader_clear (&reader);
}

static void
setup (void)
{
  CprManifest head;
  CprWriter writer;

  machine_init (&machine);
  everything_add_fds (&machine.fds);
  everything_fill (&everything, &machine.fds);
  ck_assert (cpr_device_table_add (&machine.devices, "all", &everything_type, &everything, NULL));
  machine_head (&head);
  machine_write_to_memory (&machine, &head, &writer);
  state = g_memdup2 (writer.data, writer.len);
  state_len = writer.len;
  cpr_writer_clear (&writer);
  find_frames ();
}

static void
teardown (void)
{
  g_array_unref (frames);
  g_free (state);
  everything_clear (&everything);
  machine_clear (&machine);
}

/* A state is loaded into this. */
typedef struct
{
  Serial serial;
  Disk disk;
  Everything all;
} Target;

static void
assert_bool (const bool *at)
{
  uint8_t byte;

  memcpy (&byte, at, 1); /* as a byte: a bool that is 2 is what is looked for */
  ck_assert_uint_le (byte, 1);
}

static void
assert_list_well_formed (const NodeList *list, unsigned most)
{
  unsigned n = 0;

  for (const Node *node = list->first; node != NULL; node = node->next, n++)
    ck_assert (node->label == NULL || strlen (node->label) <= 40);
  ck_assert_uint_le (n, most);
}

static void
assert_well_formed (const Target *target)
{
  const Everything *all = &target->all;

  assert_bool (&target->serial.enabled);
  assert_bool (&target->disk.dirty);
  assert_bool (&all->flag);
  assert_bool (&all->grouped);
  ck_assert_uint_le (target->serial.n_queue, SERIAL_QUEUE);
  ck_assert (all->n_counted <= 5 && all->n_numbers <= 100 && all->n_buffer <= 1000 && all->n_queue <= 3);
  for (uint64_t i = 0; i < all->n_numbers; i++)
    ck_assert_uint_le (all->numbers[i], UINT32_MAX); /* it is there to be read */
  for (unsigned i = 0; i < all->n_buffer; i++)
    ck_assert_uint_le (all->buffer[i], UINT8_MAX);
  ck_assert_ptr_nonnull (memchr (all->text, '\0', sizeof all->text));
  ck_assert (all->name == NULL || strlen (all->name) <= 60);
  assert_list_well_formed (&all->nodes, 10);
  if (all->branch != NULL)
    {
      ck_assert_uint_le (all->branch->n_some, 2);
      assert_list_well_formed (&all->branch->list, 4);
    }
}

static bool
load_devices (CprDeviceTable *devices, CprManifest *manifest, CprReader *reader, GError **error)
{
  CprCodec codec = cpr_fd_table_get_codec (&manifest->fds);
  g_autoptr (CprDeviceLoad) load = cpr_device_load_new (devices, &manifest->schema, error);

  return load != NULL && cpr_device_load_check (load, reader, &codec, error) && cpr_device_load_apply (load, error);
}

/* Everything that a new program does with a state before it trusts it. */
static bool
load (const uint8_t *data, size_t len, Target *target, GError **error)
{
  CprDeviceTable devices;
  CprManifest manifest;
  CprReader reader;
  bool ok;

  cpr_device_table_init (&devices);
  ck_assert (cpr_device_table_add (&devices, "com1", &serial_type, &target->serial, NULL));
  ck_assert (cpr_device_table_add (&devices, "sda", &disk_type, &target->disk, NULL));
  ck_assert (cpr_device_table_add (&devices, "all", &everything_type, &target->all, NULL));
  cpr_manifest_init (&manifest);
  ok = cpr_reader_open (&reader, data, len, error) && cpr_manifest_read (&manifest, &reader, error) &&
       load_devices (&devices, &manifest, &reader, error);
  cpr_manifest_clear (&manifest);
  cpr_reader_clear (&reader);
  cpr_device_table_clear (&devices);
  return ok;
}

/* The state was refused for a reason that an operator can read, and nothing was applied. */
static void
assert_refused (const uint8_t *data, size_t len)
{
  Target target = { .serial.n_queue = 99, .disk.sector = 99, .all.u8 = 99 };
  const Target before = target;
  GError *error = NULL;

  ck_assert (!load (data, len, &target, &error));
  ck_assert_mem_eq (&target, &before, sizeof target);
  ck_assert (error != NULL && error->domain == CPR_ERROR && error->message[0] != '\0');
  ck_assert (error->code == CPR_ERROR_CORRUPT || error->code == CPR_ERROR_VERSION);
  g_error_free (error);
}

START_TEST (the_undamaged_state_loads)
{
  Target target = { .serial.n_queue = 0 };
  GError *error = NULL;

  ck_assert (load (state, state_len, &target, &error));
  assert_serial_eq (&target.serial, &serial_example);
  ck_assert_uint_eq (target.disk.sector, disk_example.sector);
  ck_assert (target.disk.dirty);
  assert_everything_eq (&target.all, &everything);
  everything_clear (&target.all);
}
END_TEST

/* A copy of its own size, so that a tool sees every read beyond it. */
START_TEST (every_prefix_is_refused)
{
  for (size_t len = 0; len < state_len; len += stride (1))
    {
      g_autofree uint8_t *prefix = g_memdup2 (state, len);

      assert_refused (prefix != NULL ? prefix : state, len);
    }
}
END_TEST

START_TEST (every_flipped_byte_is_refused)
{
  g_autofree uint8_t *copy = g_memdup2 (state, state_len);

  for (size_t at = 0; at < state_len; at += stride (1))
    {
      copy[at] ^= (uint8_t) (1u << at % 8);
      assert_refused (copy, state_len);
      copy[at] = (uint8_t) ~state[at];
      assert_refused (copy, state_len);
      copy[at] = state[at];
    }
}
END_TEST

START_TEST (every_other_value_of_a_byte_is_refused)
{
  g_autofree uint8_t *copy = g_memdup2 (state, state_len);

  for (size_t at = 0; at < state_len; at += at < 96 ? stride (1) : stride (61))
    {
      for (unsigned value = 0; value < 256; value++)
        if (value != state[at])
          {
            copy[at] = (uint8_t) value;
            assert_refused (copy, state_len);
          }
      copy[at] = state[at];
    }
}
END_TEST

START_TEST (a_byte_more_or_less_within_is_refused)
{
  for (size_t at = 0; at < state_len; at += stride (3))
    {
      g_autofree uint8_t *more = g_malloc (state_len + 1), *less = g_malloc (state_len);

      memcpy (more, state, at);
      more[at] = 0;
      memcpy (more + at + 1, state + at, state_len - at);
      assert_refused (more, state_len + 1);
      memcpy (less, state, at);
      memcpy (less + at, state + at + 1, state_len - at - 1);
      assert_refused (less, state_len - 1);
    }
}
END_TEST

/* The checksummed piece that @at lies in: the header or a chunk; *end is where its checksum is. */
static void
find_frame (size_t at, size_t *start, size_t *end)
{
  *start = 0;
  for (guint i = 0; i < frames->len; i++)
    {
      *end = g_array_index (frames, size_t, i) - CPR_FORMAT_CHECKSUM_SIZE;
      if (at < *end + CPR_FORMAT_CHECKSUM_SIZE)
        return;
      *start = *end + CPR_FORMAT_CHECKSUM_SIZE;
    }
  ck_abort_msg ("offset %zu is behind the last chunk", at);
}

/* Changes one byte, makes the checksum right and loads: whatever comes of it, it is well-formed. */
static bool
try_with_checksum (uint8_t *copy, size_t at, uint8_t value)
{
  Target target = { .serial.n_queue = 0 };
  GError *error = NULL;
  XXH64_hash_t checksum;
  size_t start, end;
  bool ok;

  find_frame (at, &start, &end);
  if (at >= end)
    return false; /* the checksum itself */
  copy[at] = value;
  checksum = XXH3_64bits (copy + start, end - start);
  memcpy (copy + end, &checksum, sizeof checksum);
  ok = load (copy, state_len, &target, &error);
  ck_assert (ok == (error == NULL));
  if (ok)
    assert_well_formed (&target);
  else
    ck_assert (error->domain == CPR_ERROR && error->message[0] != '\0');
  g_clear_error (&error);
  everything_clear (&target.all);
  memcpy (copy + start, state + start, end + CPR_FORMAT_CHECKSUM_SIZE - start);
  return ok;
}

START_TEST (damage_with_a_right_checksum_never_crashes)
{
  static const uint8_t flips[] = { 0x01, 0x02, 0x10, 0x80, 0xff };
  g_autofree uint8_t *copy = g_memdup2 (state, state_len);
  unsigned loaded = 0, refused = 0;

  for (size_t at = 0; at < state_len; at += stride (1))
    for (size_t i = 0; i < G_N_ELEMENTS (flips); i++)
      if (try_with_checksum (copy, at, state[at] ^ flips[i]))
        loaded++;
      else
        refused++;
  ck_assert_uint_gt (loaded, 0); /* values of devices */
  ck_assert_uint_gt (refused, 0);
}
END_TEST

static size_t
offset_of_chunk (uint32_t type)
{
  CprReader reader;
  CprChunk chunk;

  ck_assert (cpr_reader_open (&reader, state, state_len, NULL));
  while (cpr_reader_next (&reader, &chunk) && chunk.type != type)
    ;
  cpr_reader_clear (&reader);
  ck_assert_uint_eq (chunk.type, type);
  return (size_t) chunk.offset;
}

START_TEST (every_value_in_schema_and_sections_never_crashes)
{
  g_autofree uint8_t *copy = g_memdup2 (state, state_len);
  unsigned loaded = 0;

  for (size_t at = offset_of_chunk (CPR_CHUNK_SCHEMA); at < state_len; at += stride (29))
    for (unsigned value = 0; value < 256; value++)
      loaded += try_with_checksum (copy, at, (uint8_t) value);
  ck_assert_uint_gt (loaded, 0);
}
END_TEST

/* Two bytes of one chunk at once, where lengths and counts would have to agree; the same ones in
 * every run. */
START_TEST (two_changes_with_a_right_checksum_never_crash)
{
  g_autofree uint8_t *copy = g_memdup2 (state, state_len);
  g_autoptr (GRand) random = g_rand_new_with_seed (20);
  size_t first = offset_of_chunk (CPR_CHUNK_SCHEMA);

  for (int i = 0; i < (under_valgrind () ? 200 : 20000); i++)
    {
      size_t at = first + g_rand_int (random) % (state_len - first), start, end, other;

      find_frame (at, &start, &end);
      other = start + g_rand_int (random) % (end - start);
      copy[other] = (uint8_t) g_rand_int (random);
      try_with_checksum (copy, at, (uint8_t) g_rand_int (random));
      copy[other] = state[other];
    }
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("state-damage");

  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, the_undamaged_state_loads);
  tcase_add_test (tests, every_prefix_is_refused);
  tcase_add_test (tests, every_flipped_byte_is_refused);
  tcase_add_test (tests, every_other_value_of_a_byte_is_refused);
  tcase_add_test (tests, a_byte_more_or_less_within_is_refused);
  tcase_add_test (tests, damage_with_a_right_checksum_never_crashes);
  tcase_add_test (tests, every_value_in_schema_and_sections_never_crashes);
  tcase_add_test (tests, two_changes_with_a_right_checksum_never_crash);
  return run_suite (suite);
}
