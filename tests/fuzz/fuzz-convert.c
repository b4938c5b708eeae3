/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Two programs with tables of fields of their own: one saves, the other loads, and what comes of
 * it is what the specification says.
 *
 * The input: a byte that says how much of the rest makes the tables, then that; then come the
 * values. The last bytes say how a table is spoiled. */
#include <string.h>

#include "convert-model.h"
#include "convert-specs.h"
#include "registry/device/device.h"
#include "stream/convert.h"

/* A state of one device, without a frame. */
typedef struct
{
  uint8_t *schema_bytes, *fields;
  size_t schema_len, len;
  CprSchema schema;
} Saved;

/* ---- The fd table: fd 10 + n is "net" n. */

static bool
find_name (void *fds, int fd, const char **name, int *index)
{
  *name = "net";
  *index = fd - FDS_FIRST;
  return fd >= FDS_FIRST && fd < FDS_END;
}

static int
find_fd (void *fds, const char *name, int index)
{
  const Circumstances *circumstances = fds;
  int fd = FDS_FIRST + index;

  if (strcmp (name, "net") != 0 || index >= FDS_END - FDS_FIRST || (circumstances->fds_gone && fd >= FDS_GONE))
    return -1;
  return fd + circumstances->fd_offset;
}

static CprCodec
make_codec (const Circumstances *circumstances)
{
  return (CprCodec){ .find_name = find_name,
                     .find_fd = find_fd,
                     .fds = (void *) circumstances,
                     .time_offset_ns = circumstances->time_offset_ns };
}

/* ---- Saving. */

static void
write_schema (const CprDeviceType *type, CprWriter *writer)
{
  CprSchemaBuilder builder;

  cpr_schema_builder_init (&builder);
  cpr_schema_builder_add (&builder, type);
  cpr_schema_builder_write (&builder, writer);
  cpr_schema_builder_clear (&builder);
}

static bool
read_schema (CprSchema *schema, const uint8_t *bytes, size_t len)
{
  CprCursor cursor = { .data = bytes, .len = len };

  *schema = (CprSchema){ NULL, NULL };
  return cpr_schema_read (schema, &cursor, NULL);
}

static uint8_t *
copy_from (const CprWriter *writer, size_t start, size_t *len)
{
  *len = writer->len - start;
  return g_memdup2 (writer->data + start, *len);
}

static bool
save (const CprDeviceType *type, const uint8_t *memory, Saved *saved)
{
  Circumstances none = { 0 };
  CprCodec codec = make_codec (&none);
  GError *error = NULL;
  CprWriter writer;
  size_t start;
  bool ok;

  cpr_writer_init (&writer, -1);
  write_schema (type, &writer);
  saved->schema_bytes = copy_from (&writer, CPR_FORMAT_HEADER_SIZE, &saved->schema_len);
  start = writer.len;
  ok = cpr_struct_encode (&type->state, memory, &codec, &writer, &error);
  g_assert (ok ? error == NULL : error->code == CPR_ERROR_INVALID);
  g_clear_error (&error);
  saved->fields = copy_from (&writer, start, &saved->len);
  cpr_writer_clear (&writer);
  /* A table that was accepted can be read as a schema. */
  g_assert (read_schema (&saved->schema, saved->schema_bytes, saved->schema_len));
  g_assert (saved->schema.types->len == 1);
  return ok;
}

static void
saved_clear (Saved *saved)
{
  cpr_schema_clear (&saved->schema);
  g_free (saved->schema_bytes);
  g_free (saved->fields);
}

static void
see_dropped (const char *field, void *user_data)
{
  g_assert (field[0] != '\0');
}

/* ---- Loading: first the check, then the same with somewhere to put it. */

static bool
load (const Saved *saved, const CprDeviceType *type, uint8_t *memory, const CprCodec *codec, bool *matches, int *code)
{
  const CprSchemaType *from = &g_array_index (saved->schema.types, CprSchemaType, 0);
  CprCursor fields = { .data = saved->fields, .len = saved->len };
  CprPlans *plans = cpr_plans_new (&saved->schema);
  const CprPlan *plan = NULL;
  GError *error = NULL;
  bool ok, applied;

  *matches = cpr_device_type_accepts (type, from, plans, NULL, NULL, &plan, NULL);
  ok = cpr_device_type_accepts (type, from, plans, &fields, codec, &plan, &error);
  g_assert (ok == (error == NULL) && (*matches || !ok));
  *code = ok ? -1 : error->code;
  g_clear_error (&error);
  if (*matches)
    cpr_plan_foreach_dropped (plan, see_dropped, NULL);
  /* A state that is refused would not be applied. Applying it must not break anything all the same.
   * Only the check sees what follows the last field. */
  if (*matches && memory != NULL)
    {
      applied = cpr_plan_apply (plan, &fields, memory, codec, &error) && cpr_cursor_left (&fields) == 0;
      g_assert (applied == ok);
      g_clear_error (&error);
    }
  cpr_plans_free (plans);
  return ok;
}

/* The bytes between the fields are not touched. */
static void
check_gaps (const CprStruct *type, const uint8_t *before, const uint8_t *after)
{
  g_autofree uint8_t *mask = g_malloc0 (type->size);

  object_mark_fields (type, mask);
  for (size_t i = 0; i < type->size; i++)
    g_assert (mask[i] != 0 || before[i] == after[i]);
}

/* Loads, and compares with the model. @memory: the reader's struct, before and after. */
static void
check_load (const CprDeviceType *writer,
            const Object *source,
            const Saved *saved,
            const CprDeviceType *reader,
            uint8_t *memory,
            const Circumstances *circumstances)
{
  const CprCodec codec = make_codec (circumstances);
  g_autofree uint8_t *before = g_memdup2 (memory, reader->state.size);
  Object *expected = object_get (&reader->state, memory), *result;
  bool should_match, should_load, matches, loads;
  int code;

  should_match = model_types_match (writer, reader) && model_matches (&writer->state, &reader->state);
  should_load = should_match && model_load (&writer->state, source, &reader->state, expected, circumstances);
  loads = load (saved, reader, memory, &codec, &matches, &code);
  g_assert (matches == should_match);
  g_assert (loads == should_load);
  g_assert (loads || code == CPR_ERROR_MISMATCH || code == CPR_ERROR_VERSION);
  if (loads)
    {
      result = object_get (&reader->state, memory);
      g_assert (objects_equal (&reader->state, result, expected));
      object_free (result);
    }
  check_gaps (&reader->state, before, memory);
  object_free (expected);
}

static bool
has_groups (const CprStruct *type)
{
  for (const CprField *field = type->fields; field->name != NULL; field++)
    if (field_is_group (field) || (field->kind == CPR_KIND_STRUCT && has_groups (field->type)))
      return true;
  return false;
}

/* With the writer's own table nothing is lost: what was loaded is saved to the same bytes.
 * Members of a group that wasn't needed aren't in the state, nor whether it was. */
static void
check_own (const CprDeviceType *type, const Object *source, const Saved *saved, uint8_t *memory)
{
  Circumstances none = { 0 };
  Saved again;
  bool ok;

  check_load (type, source, saved, type, memory, &none);
  if (has_groups (&type->state))
    return;
  ok = save (type, memory, &again);
  g_assert (ok && again.len == saved->len && memcmp (again.fields, saved->fields, saved->len) == 0);
  saved_clear (&again);
}

static void
damage (Saved *saved, Choices *choices)
{
  for (unsigned n = choose (choices, 4); n > 0 && saved->len > 0; n--)
    {
      size_t at = choose_bytes (choices, 2) % saved->len;

      saved->fields[at] ^= (uint8_t) choose_byte (choices);
    }
  if (choose (choices, 4) == 3)
    saved->len = choose_bytes (choices, 2) % (saved->len + 1);
  /* A copy ends with the last byte to be read, so that a tool sees every read beyond it. */
  saved->fields = g_realloc (saved->fields, MAX (saved->len, 1));
}

static bool
walk (const Saved *saved, const CprCodec *codec)
{
  uint32_t index = g_array_index (saved->schema.types, CprSchemaType, 0).struct_index;
  CprCursor fields = { .data = saved->fields, .len = saved->len };

  return cpr_struct_walk (&saved->schema, index, &fields, codec, NULL, NULL) && cpr_cursor_left (&fields) == 0;
}

/* Check and load agree, whatever is wrong with the bytes. So does the walk without a reader. The
 * one difference: a reader does not look up the fds of a field that it drops. */
static void
check_damaged (Saved *saved,
               Choices *choices,
               const CprDeviceType *writer,
               uint8_t *writer_memory,
               const CprDeviceType *reader,
               uint8_t *reader_memory)
{
  Circumstances none = { 0 };
  CprCodec codec = make_codec (&none);
  bool matches;
  int code;

  damage (saved, choices);
  g_assert (load (saved, writer, writer_memory, &codec, &matches, &code) == walk (saved, &codec));
  g_assert (!load (saved, reader, reader_memory, &codec, &matches, &code) || walk (saved, NULL));
}

/* ---- Tables that may be wrong. */

static void
check_spoiled (Tables *tables, Choices *choices, const CprStruct *type)
{
  CprDeviceType spoiled = { .size = sizeof spoiled, .name = "t" };
  CprSchema schema = { NULL, NULL };
  GError *error = NULL;
  CprWriter writer;

  tables_spoil (tables, choices);
  spoiled.state = *type;
  if (!cpr_device_type_check (&spoiled, &error))
    {
      g_assert (error->code == CPR_ERROR_INVALID);
      g_error_free (error);
      return;
    }
  cpr_writer_init (&writer, -1);
  write_schema (&spoiled, &writer);
  g_assert (read_schema (&schema, writer.data + CPR_FORMAT_HEADER_SIZE, writer.len - CPR_FORMAT_HEADER_SIZE));
  cpr_schema_clear (&schema);
  cpr_writer_clear (&writer);
}

/* ---- All of it. */

#define MAX_OBJECTS 200
#define SPOILING    16

static uint8_t *
choose_memory (const CprStruct *type, Choices *choices)
{
  unsigned budget = MAX_OBJECTS;
  Object *object = object_choose (type, choices, &budget, NULL);
  uint8_t *memory = g_malloc (type->size);

  object_put (type, object, memory);
  object_free (object);
  return memory;
}

static void
free_memory (const CprStruct *type, uint8_t *memory)
{
  object_clear_memory (type, memory);
  g_free (memory);
}

static void
check_all (
    const CprDeviceType *writer, const CprDeviceType *reader, const Object *source, Saved *saved, Choices *choices)
{
  Circumstances circumstances = { .fd_offset = 100, .fds_gone = true };
  uint8_t *own = choose_memory (&writer->state, choices), *other = choose_memory (&reader->state, choices);

  if (choose (choices, 2) != 0)
    circumstances.time_offset_ns = (int64_t) number_choose (choices, CPR_KIND_INT, 8);
  check_load (writer, source, saved, reader, other, &circumstances);
  check_own (writer, source, saved, own);
  check_damaged (saved, choices, writer, own, reader, other);
  free_memory (&writer->state, own);
  free_memory (&reader->state, other);
}

static void
save_and_check (const CprDeviceType *writer, const CprDeviceType *reader, Choices *choices)
{
  unsigned budget = MAX_OBJECTS;
  bool bad = false, saves;
  Object *source = object_choose (&writer->state, choices, &budget, &bad);
  uint8_t *memory = g_malloc (writer->state.size);
  Saved saved;

  object_put (&writer->state, source, memory);
  saves = save (writer, memory, &saved);
  g_assert (saves == !bad);
  if (saves)
    check_all (writer, reader, source, &saved, choices);
  saved_clear (&saved);
  free_memory (&writer->state, memory);
  object_free (source);
}

static CprDeviceType
make_type (const CprStruct *state, Choices *choices)
{
  unsigned n = choose_byte (choices), version = 1 + n % 2;

  return (CprDeviceType){ .size = sizeof (CprDeviceType),
                          .name = n == 255 ? "other" : "t",
                          .version = version,
                          .minimum_version = n < 192 ? 1 : version,
                          .state = *state };
}

/* Tables that obey the rules are accepted. */
static void
check_sane (const CprDeviceType *type)
{
  GError *error = NULL;
  bool sane = cpr_device_type_check (type, &error);

  g_assert_no_error (error);
  g_assert (sane);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  Choices for_tables, for_values, for_spoiling;
  CprDeviceType writer, reader;
  Tables tables;
  size_t cut, last;
  Pair pair;

  if (size == 0)
    return 0;
  last = MIN (SPOILING, size - 1);
  cut = (size - 1 - last) * data[0] / 255;
  for_tables = (Choices){ data + 1, cut };
  for_values = (Choices){ data + 1 + cut, size - 1 - last - cut };
  for_spoiling = (Choices){ data + size - last, last };
  fuzz_begin ();
  tables_init (&tables, &for_tables);
  pair = tables_make_pair (&tables);
  writer = make_type (pair.writer, &for_values);
  reader = make_type (pair.reader, &for_values);
  check_sane (&writer);
  check_sane (&reader);
  save_and_check (&writer, &reader, &for_values);
  check_spoiled (&tables, &for_spoiling, choose (&for_spoiling, 2) == 0 ? pair.writer : pair.reader);
  tables_clear (&tables);
  fuzz_end (64u << 20);
  return 0;
}
