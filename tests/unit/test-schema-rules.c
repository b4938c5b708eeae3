/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The rules of doc/stream-format.md, section 6, broken one at a time: in a schema that is read,
 * and as far as they can be broken there in a program's own tables; and structs that could keep
 * somebody busy for ever. */
#include "carry.h"
#include "everything.h"

static GError *error;

static void
setup (void)
{
  error = NULL;
}

/* ---- Schemas that are read. */

typedef struct
{
  const char *name;
  uint8_t kind, width;
  uint16_t flags;
  uint32_t count, struct_index;
  uint64_t default_value;
} Row;

#define NONE CPR_SCHEMA_NO_STRUCT
enum
{
  ARRAY = CPR_FIELD_FLAG_ARRAY,
  COUNTED = CPR_FIELD_FLAG_ARRAY | CPR_FIELD_FLAG_COUNTED,
  OPTIONAL = CPR_FIELD_FLAG_OPTIONAL,
  IGNORABLE = CPR_FIELD_FLAG_OPTIONAL | CPR_FIELD_FLAG_IGNORABLE
};

static void
put_struct (CprWriter *writer, const char *name, const Row *rows, uint32_t n)
{
  cpr_writer_put_string (writer, name);
  cpr_writer_put_u32 (writer, n);
  for (uint32_t i = 0; i < n; i++)
    {
      cpr_writer_put_string (writer, rows[i].name);
      cpr_writer_put_u8 (writer, rows[i].kind);
      cpr_writer_put_u8 (writer, rows[i].width);
      cpr_writer_put_u16 (writer, rows[i].flags);
      cpr_writer_put_u32 (writer, rows[i].count);
      cpr_writer_put_u32 (writer, rows[i].struct_index);
      cpr_writer_put_u64 (writer, rows[i].default_value);
    }
}

static void
put_type (CprWriter *writer, const char *name, uint32_t version, uint32_t minimum, uint32_t struct_index)
{
  cpr_writer_put_string (writer, name);
  cpr_writer_put_u32 (writer, version);
  cpr_writer_put_u32 (writer, minimum);
  cpr_writer_put_u32 (writer, struct_index);
}

/* A copy of its own size, so that a tool sees every read beyond it. */
static bool
read_schema (CprSchema *schema, const CprWriter *writer, size_t less)
{
  CprCursor cursor = written_from (writer, CPR_FORMAT_HEADER_SIZE);
  g_autofree uint8_t *copy = g_memdup2 (cursor.data, cursor.len - less);
  bool ok;

  cursor.data = copy;
  cursor.len -= less;
  *schema = (CprSchema){ NULL, NULL };
  ok = cpr_schema_read (schema, &cursor, &error);
  ck_assert (ok == (error == NULL));
  return ok;
}

/* Two structs and a type: "Inner", with a u8, and "Outer", with these fields. */
static bool
reads (const Row *rows, uint32_t n)
{
  const Row inner = { "x", CPR_KIND_UINT, 1, 0, 1, NONE, 0 };
  CprSchema schema;
  CprWriter writer;
  bool ok;

  cpr_writer_init (&writer, -1);
  cpr_writer_put_u32 (&writer, 2);
  put_struct (&writer, "Inner", &inner, 1);
  put_struct (&writer, "Outer", rows, n);
  cpr_writer_put_u32 (&writer, 1);
  put_type (&writer, "type", 2, 1, 1);
  ok = read_schema (&schema, &writer, 0);
  cpr_schema_clear (&schema);
  cpr_writer_clear (&writer);
  return ok;
}

static void
assert_row_refused (Row row, const char *text)
{
  ck_assert_msg (!reads (&row, 1), "accepted: kind %u, width %u, flags 0x%x, count %u", row.kind, row.width, row.flags,
                 row.count);
  assert_error (&error, CPR_ERROR_CORRUPT, text);
}

static const Row right_rows[] = {
  { "f", CPR_KIND_BOOL, 1, 0, 1, NONE, 0 },
  { "f", CPR_KIND_BOOL, 1, OPTIONAL, 1, NONE, 1 },
  { "f", CPR_KIND_BOOL, 1, OPTIONAL | ARRAY, 9, NONE, 1 },
  { "f", CPR_KIND_UINT, 1, OPTIONAL, 1, NONE, 0xff },
  { "f", CPR_KIND_UINT, 8, IGNORABLE | COUNTED, UINT32_MAX, NONE, UINT64_MAX },
  { "f", CPR_KIND_INT, 2, OPTIONAL, 1, NONE, (uint64_t) INT16_MIN },
  { "f", CPR_KIND_INT, 2, OPTIONAL, 1, NONE, INT16_MAX },
  { "f", CPR_KIND_FLOAT, 4, OPTIONAL, 1, NONE, UINT32_MAX },
  { "f", CPR_KIND_FLOAT, 8, ARRAY, 1, NONE, 0 },
  { "f", CPR_KIND_BYTES, 1, ARRAY, 1, NONE, 0 },
  { "f", CPR_KIND_BYTES, 1, IGNORABLE | COUNTED, UINT32_MAX, NONE, 0 },
  { "f", CPR_KIND_STRUCT, 0, 0, 1, 0, 0 },
  { "f", CPR_KIND_STRUCT, 0, OPTIONAL, 1, 0, 0 },
  { "f", CPR_KIND_STRUCT, 0, ARRAY, 7, 0, 0 },
  { "f", CPR_KIND_STRUCT, 0, OPTIONAL | COUNTED, 7, 0, 0 },
  { "f", CPR_KIND_STRING, 1, 0, 1, NONE, 0 },
  { "f", CPR_KIND_STRING, 1, OPTIONAL, UINT32_MAX, NONE, 0 },
  { "f", CPR_KIND_FD, 4, 0, 1, NONE, 0 },
  { "f", CPR_KIND_FD, 4, OPTIONAL | COUNTED, 7, NONE, 0 },
  { "f", CPR_KIND_TIME, 8, 0, 1, NONE, 0 },
  { "f", CPR_KIND_TIME, 8, OPTIONAL, 1, NONE, (uint64_t) -1 },
};

START_TEST (every_kind_is_read_in_every_shape_that_it_may_have)
{
  for (size_t i = 0; i < G_N_ELEMENTS (right_rows); i++)
    ck_assert_msg (reads (&right_rows[i], 1), "%zu: %s", i, error->message);
}
END_TEST

START_TEST (other_kinds_and_widths_are_refused)
{
  static const uint8_t widths[][5] = { { 0 }, { 1 },          { 1, 2, 4, 8 }, { 1, 2, 4, 8 }, { 4, 8 },
                                       { 1 }, { 0, 0, 0, 0 }, { 1 },          { 4 },          { 8 } };

  for (unsigned kind = 0; kind < 256; kind++)
    for (unsigned width = 0; width < 256; width += width < 20 ? 1 : 59)
      {
        Row row = { "f", (uint8_t) kind, (uint8_t) width, 0, 1, NONE, 0 };
        bool right = kind >= CPR_KIND_BOOL && kind <= CPR_KIND_TIME &&
                     (width == 0 ? kind == CPR_KIND_STRUCT : memchr (widths[kind], (int) width, 5) != NULL);

        if (kind == CPR_KIND_STRUCT)
          row.struct_index = 0;
        if (kind == CPR_KIND_BYTES)
          row.flags = ARRAY;
        if (right)
          ck_assert_msg (reads (&row, 1), "kind %u, width %u: %s", kind, width, error->message);
        else
          assert_row_refused (row, "schema: struct 'Outer': field 'f' can't be right");
      }
}
END_TEST

START_TEST (flags_counts_and_defaults_that_break_a_rule_are_refused)
{
  static const Row rows[] = {
    { "f", CPR_KIND_UINT, 4, 1 << 4, 1, NONE, 0 },
    { "f", CPR_KIND_UINT, 4, 1 << 15, 1, NONE, 0 },
    { "f", CPR_KIND_UINT, 4, CPR_FIELD_FLAG_COUNTED, 1, NONE, 0 },
    { "f", CPR_KIND_UINT, 4, CPR_FIELD_FLAG_IGNORABLE, 1, NONE, 0 },
    { "f", CPR_KIND_UINT, 4, 0, 0, NONE, 0 },
    { "f", CPR_KIND_UINT, 4, ARRAY, 0, NONE, 0 },
    { "f", CPR_KIND_UINT, 4, COUNTED, 0, NONE, 0 },
    { "f", CPR_KIND_STRING, 1, 0, 0, NONE, 0 },
    { "f", CPR_KIND_UINT, 4, 0, 2, NONE, 0 },
    { "f", CPR_KIND_FD, 4, OPTIONAL, 2, NONE, 0 },
    { "f", CPR_KIND_STRUCT, 0, 0, 2, 0, 0 },
    { "f", CPR_KIND_BYTES, 1, 0, 1, NONE, 0 },
    { "f", CPR_KIND_STRING, 1, ARRAY, 9, NONE, 0 },
    { "f", CPR_KIND_STRING, 1, COUNTED, 9, NONE, 0 },
    { "f", CPR_KIND_STRUCT, 0, OPTIONAL | ARRAY, 7, 0, 0 },
    { "f", CPR_KIND_UINT, 4, 0, 1, NONE, 1 },
    { "f", CPR_KIND_BYTES, 1, ARRAY | OPTIONAL, 1, NONE, 1 },
    { "f", CPR_KIND_STRING, 1, OPTIONAL, 1, NONE, 1 },
    { "f", CPR_KIND_STRUCT, 0, OPTIONAL, 1, 0, 1 },
    { "f", CPR_KIND_FD, 4, OPTIONAL, 1, NONE, 1 },
    { "f", CPR_KIND_BOOL, 1, OPTIONAL, 1, NONE, 2 },
    { "f", CPR_KIND_UINT, 1, OPTIONAL, 1, NONE, 0x100 },
    { "f", CPR_KIND_UINT, 4, OPTIONAL, 1, NONE, UINT64_MAX },
    { "f", CPR_KIND_FLOAT, 4, OPTIONAL, 1, NONE, UINT64_C (1) << 32 },
    { "f", CPR_KIND_INT, 1, OPTIONAL, 1, NONE, 0x80 },
    { "f", CPR_KIND_INT, 4, OPTIONAL, 1, NONE, 0xffffffff },
    { "f", CPR_KIND_INT, 4, OPTIONAL, 1, NONE, (uint64_t) INT64_MIN },
    { "f", CPR_KIND_UINT, 4, 0, 1, 0, 0 },
    { "f", CPR_KIND_TIME, 8, 0, 1, 5, 0 },
  };

  for (size_t i = 0; i < G_N_ELEMENTS (rows); i++)
    assert_row_refused (rows[i], "schema: struct 'Outer': field 'f' can't be right");
}
END_TEST

START_TEST (a_struct_refers_to_those_before_it_only)
{
  static const uint32_t indices[] = { 1, 2, 1000, INT32_MAX, NONE };

  for (size_t i = 0; i < G_N_ELEMENTS (indices); i++)
    assert_row_refused ((Row){ "f", CPR_KIND_STRUCT, 0, 0, 1, indices[i], 0 },
                        "schema: struct 'Outer': field 'f' is of a struct not known yet");
}
END_TEST

START_TEST (names_of_fields_are_1_to_255_bytes_and_unique)
{
  g_autofree char *longest = name_of (255), *too_long = name_of (256);
  Row rows[] = { { longest, CPR_KIND_UINT, 1, 0, 1, NONE, 0 }, { "f", CPR_KIND_UINT, 1, 0, 1, NONE, 0 } };

  ck_assert (reads (rows, 2));
  rows[0].name = too_long;
  assert_row_refused (rows[0], "schema: struct 'Outer' is cut off");
  rows[0].name = "";
  assert_row_refused (rows[0], "schema: struct 'Outer' is cut off");
  rows[0].name = "f";
  ck_assert (!reads (rows, 2));
  assert_error (&error, CPR_ERROR_CORRUPT, "schema: struct 'Outer' has two fields of one name");
}
END_TEST

START_TEST (a_struct_has_1_to_4096_fields)
{
  g_autofree Row *rows = g_new0 (Row, CPR_LIMIT_FIELDS + 1);
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);

  for (unsigned i = 0; i <= CPR_LIMIT_FIELDS; i++)
    {
      g_ptr_array_add (names, g_strdup_printf ("field-%u", i));
      rows[i] = (Row){ names->pdata[i], CPR_KIND_UINT, 1, 0, 1, NONE, 0 };
    }
  ck_assert (reads (rows, CPR_LIMIT_FIELDS));
  ck_assert (!reads (rows, CPR_LIMIT_FIELDS + 1));
  assert_error (&error, CPR_ERROR_CORRUPT, "schema: struct 'Outer' has 4097 fields");
  ck_assert (!reads (rows, 0));
  assert_error (&error, CPR_ERROR_CORRUPT, "schema: struct 'Outer' has 0 fields");
}
END_TEST

/* The types that follow the structs; NULL: one that is right. */
static bool
reads_types (const char *name, uint32_t version, uint32_t minimum, uint32_t struct_index)
{
  const Row row = { "x", CPR_KIND_UINT, 1, 0, 1, NONE, 0 };
  CprSchema schema;
  CprWriter writer;
  bool ok;

  cpr_writer_init (&writer, -1);
  cpr_writer_put_u32 (&writer, 1);
  put_struct (&writer, "Inner", &row, 1);
  cpr_writer_put_u32 (&writer, 2);
  put_type (&writer, "first", 1, 1, 0);
  put_type (&writer, name, version, minimum, struct_index);
  ok = read_schema (&schema, &writer, 0);
  cpr_schema_clear (&schema);
  cpr_writer_clear (&writer);
  return ok;
}

START_TEST (types_that_break_a_rule_are_refused)
{
  g_autofree char *too_long = name_of (256);

  ck_assert (reads_types ("second", UINT32_MAX, 0, 0));
  ck_assert (reads_types ("second", 0, 0, 0));
  ck_assert (!reads_types ("first", 1, 1, 0));
  assert_error (&error, CPR_ERROR_CORRUPT, "schema: two device types are named 'first'");
  ck_assert (!reads_types ("", 1, 1, 0));
  assert_error (&error, CPR_ERROR_CORRUPT, "schema: device type 1 of 2 can't be right");
  ck_assert (!reads_types (too_long, 1, 1, 0));
  assert_error (&error, CPR_ERROR_CORRUPT, "schema: device type 1 of 2 can't be right");
  ck_assert (!reads_types ("second", 1, 2, 0));
  assert_error (&error, CPR_ERROR_CORRUPT, "schema: device type 1 of 2 can't be right");
  ck_assert (!reads_types ("second", 1, 1, 1));
  assert_error (&error, CPR_ERROR_CORRUPT, "schema: device type 1 of 2 can't be right");
}
END_TEST

static void
write_everything (CprWriter *writer)
{
  CprSchemaBuilder builder;

  cpr_writer_init (writer, -1);
  cpr_schema_builder_init (&builder);
  cpr_schema_builder_add (&builder, &everything_type);
  cpr_schema_builder_add (&builder, &serial_type);
  cpr_schema_builder_write (&builder, writer);
  cpr_schema_builder_clear (&builder);
}

START_TEST (a_schema_that_is_cut_off_anywhere_is_refused)
{
  CprSchema schema;
  CprWriter writer;

  write_everything (&writer);
  for (size_t less = writer.len - CPR_FORMAT_HEADER_SIZE; less > 0; less--)
    {
      ck_assert (!read_schema (&schema, &writer, less));
      assert_error (&error, CPR_ERROR_CORRUPT, "schema: ");
      cpr_schema_clear (&schema);
    }
  ck_assert (read_schema (&schema, &writer, 0));
  cpr_schema_clear (&schema);
  cpr_writer_put_u8 (&writer, 0);
  ck_assert (!read_schema (&schema, &writer, 0));
  assert_error (&error, CPR_ERROR_CORRUPT, "schema: cut off, or bytes after its end");
  cpr_schema_clear (&schema);
  cpr_writer_clear (&writer);
}
END_TEST

/* What the rest of the chunk can't hold isn't looked for. */
START_TEST (numbers_of_structs_and_types_that_are_too_high_end_at_once)
{
  CprSchema schema;
  CprWriter writer;

  for (int i = 0; i < 2; i++)
    {
      cpr_writer_init (&writer, -1);
      for (int zeros = 0; zeros < i; zeros++)
        cpr_writer_put_u32 (&writer, 0);
      cpr_writer_put_u32 (&writer, UINT32_MAX);
      ck_assert (!read_schema (&schema, &writer, 0));
      assert_error (&error, CPR_ERROR_CORRUPT, "schema: ");
      cpr_schema_clear (&schema);
      cpr_writer_clear (&writer);
    }
}
END_TEST

/* ---- A program's own tables. */

typedef struct
{
  uint8_t u8;
  int32_t i32;
  bool flag;
  float f32;
  uint8_t bytes[4];
  char text[4];
  char *pointer;
  uint32_t n;
  uint32_t *numbers;
  Timer timer;
  Timer *heap_timer;
  Timer timers[2];
  NodeList nodes;
  int fd;
  int64_t when;
} Own;

static bool
needed (const void *device G_GNUC_UNUSED)
{
  return true;
}

static const CprField own_group_fields[] = { CPR_FIELD (Own, n), CPR_FIELD_END };
static const CprStruct own_group = { "Group", sizeof (Own), own_group_fields };

static void
assert_own_refused (CprField field, const char *text)
{
  const CprField fields[] = { field, CPR_FIELD_END };
  const CprStruct type = { "Own", sizeof (Own), fields };

  ck_assert_msg (!cpr_struct_check (&type, &error), "accepted: '%s', %s expected", field.name, text);
  assert_error (&error, CPR_ERROR_INVALID, text);
}

#define FIELD(...) ((CprField) __VA_ARGS__)
#define CHANGED(changes, ...)                              \
  do                                                       \
    {                                                      \
      CprField field = __VA_ARGS__;                        \
                                                           \
      changes;                                             \
      assert_own_refused (field, "struct 'Own': field '"); \
    }                                                      \
  while (0)

START_TEST (own_counts_and_shapes_that_break_a_rule_are_refused)
{
  CHANGED (field.count = 0, CPR_FIELD_STRING (Own, text));
  CHANGED (field.count = 0, CPR_FIELD_BYTES (Own, bytes));
  CHANGED (field.count = 0, CPR_FIELD_LIST (Own, nodes, Node, node_struct, 1, node_callbacks));
  CHANGED (field.count = (size_t) UINT32_MAX + 1, CPR_FIELD_HEAP_BYTES (Own, pointer, n, 1));
  CHANGED (field.count = 2, CPR_FIELD_FD (Own, fd));
  CHANGED (field.shape = CPR_SHAPE_ONE, CPR_FIELD_BYTES (Own, bytes));
  CHANGED (field.shape = CPR_SHAPE_ARRAY, CPR_FIELD_STRING (Own, text));
  CHANGED (field.shape = CPR_SHAPE_COUNTED, CPR_FIELD_STRING (Own, text));
  CHANGED (field.optional = true, CPR_FIELD_STRUCT_ARRAY (Own, timers, Timer, timer_struct));
  CHANGED (field.ignorable = true, CPR_FIELD_STRUCT_COUNTED (Own, timers, n, Timer, timer_struct));
}
END_TEST

START_TEST (own_layouts_that_no_macro_makes_are_refused)
{
  CHANGED (field.optional = true, CPR_FIELD_STRUCT (Own, timer, Timer, timer_struct));
  CHANGED (field.optional = false, CPR_FIELD_POINTER (Own, heap_timer, Timer, timer_struct));
  CHANGED (field.optional = false, CPR_FIELD_HEAP_STRING (Own, pointer, 4));
  CHANGED (field.optional = false, CPR_FIELD_GROUP (Own, "group", own_group, needed));
  CHANGED (field.needed = NULL, CPR_FIELD_GROUP (Own, "group", own_group, needed));
  CHANGED (field.layout = CPR_LAYOUT_HEAP, CPR_FIELD (Own, i32));
  CHANGED (field.layout = CPR_LAYOUT_HEAP, CPR_FIELD_BYTES (Own, bytes));
  CHANGED (field.layout = CPR_LAYOUT_HEAP, CPR_FIELD_FD (Own, fd));
  CHANGED (field.layout = CPR_LAYOUT_HEAP, CPR_FIELD_STRUCT_COUNTED (Own, timers, n, Timer, timer_struct));
  CHANGED (field.layout = CPR_LAYOUT_LIST, CPR_FIELD_STRUCT_COUNTED (Own, timers, n, Timer, timer_struct));
  CHANGED (field.layout = CPR_LAYOUT_LIST, CPR_FIELD (Own, i32));
  CHANGED (field.layout = CPR_LAYOUT_NONE, CPR_FIELD_BYTES (Own, bytes));
  CHANGED (field.layout = CPR_LAYOUT_NONE, CPR_FIELD_OPTIONAL (Own, i32, 1));
  CHANGED (field.list = &node_callbacks, CPR_FIELD (Own, i32));
  CHANGED (field.list = NULL, CPR_FIELD_LIST (Own, nodes, Node, node_struct, 1, node_callbacks));
}
END_TEST

START_TEST (a_list_needs_all_its_callbacks)
{
  const CprList incomplete[] = { { NULL, node_callbacks.append, node_callbacks.clear },
                                 { node_callbacks.get_next, NULL, node_callbacks.clear },
                                 { node_callbacks.get_next, node_callbacks.append, NULL } };

  for (size_t i = 0; i < G_N_ELEMENTS (incomplete); i++)
    CHANGED (field.list = &incomplete[i], CPR_FIELD_LIST (Own, nodes, Node, node_struct, 1, node_callbacks));
}
END_TEST

START_TEST (own_defaults_that_break_a_rule_are_refused)
{
  CHANGED (field.default_value = 256, CPR_FIELD_OPTIONAL (Own, u8, 1));
  CHANGED (field.default_value = UINT64_C (1) << 32, CPR_FIELD_OPTIONAL (Own, i32, 1));
  CHANGED (field.default_value = 0x80000000, CPR_FIELD_OPTIONAL (Own, i32, 1));
  CHANGED (field.default_value = 2, CPR_FIELD_OPTIONAL (Own, flag, true));
  CHANGED (field.default_value = UINT64_C (1) << 32, CPR_FIELD (Own, f32, CPR_OPTIONAL));
  CHANGED (field.default_value = 1, CPR_FIELD (Own, u8));
  CHANGED (field.default_value = 1, CPR_FIELD_BYTES (Own, bytes, CPR_OPTIONAL));
  CHANGED (field.default_value = 1, CPR_FIELD_STRING (Own, text, CPR_OPTIONAL));
  CHANGED (field.default_value = 1, CPR_FIELD_POINTER (Own, heap_timer, Timer, timer_struct));
  CHANGED (field.default_value = 1, CPR_FIELD_FD (Own, fd, CPR_OPTIONAL));
  CHANGED (field.default_value = 2, CPR_FIELD_RETIRED (gone, bool, true));
  CHANGED (field.default_value = 256, CPR_FIELD_RETIRED (gone, uint8_t, 1));
}
END_TEST

START_TEST (aliases_are_names_and_as_unique)
{
  g_autofree char *too_long = name_of (256), *spaced = g_strconcat ("a ", too_long, NULL);
  const char *const wrong[] = { " ", " a", "a ", "a  b", too_long, spaced };

  for (size_t i = 0; i < G_N_ELEMENTS (wrong); i++)
    assert_own_refused (FIELD (CPR_FIELD (Own, u8, CPR_ALIASES (wrong[i]))),
                        "struct 'Own': the aliases of 'u8' can't be right");
  assert_own_refused (FIELD (CPR_FIELD (Own, u8, CPR_ALIASES ("u8"))), "struct 'Own': two fields are named 'u8'");
  assert_own_refused (FIELD (CPR_FIELD (Own, u8, CPR_ALIASES ("a b a"))), "struct 'Own': two fields are named 'a'");
  for (int order = 0; order < 2; order++)
    {
      const CprField first = CPR_FIELD (Own, u8), second = CPR_FIELD (Own, i32, CPR_ALIASES ("a u8"));
      const CprField fields[] = { order == 0 ? first : second, order == 0 ? second : first, CPR_FIELD_END };
      const CprStruct type = { "Own", sizeof (Own), fields };

      ck_assert (!cpr_struct_check (&type, &error));
      assert_error (&error, CPR_ERROR_INVALID, "struct 'Own': two fields are named 'u8'");
    }
}
END_TEST

START_TEST (own_structs_have_at_most_4096_fields_and_a_gibibyte)
{
  g_autofree CprField *fields = g_new0 (CprField, CPR_LIMIT_FIELDS + 2);
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  const CprField right = CPR_FIELD (Own, u8);
  CprStruct type = { "Own", sizeof (Own), fields };

  for (unsigned i = 0; i <= CPR_LIMIT_FIELDS; i++)
    {
      g_ptr_array_add (names, g_strdup_printf ("field-%u", i));
      fields[i] = right;
      fields[i].name = i < CPR_LIMIT_FIELDS ? names->pdata[i] : NULL;
    }
  ck_assert (cpr_struct_check (&type, &error));
  fields[CPR_LIMIT_FIELDS].name = names->pdata[CPR_LIMIT_FIELDS];
  ck_assert (!cpr_struct_check (&type, &error));
  assert_error (&error, CPR_ERROR_INVALID, "struct 'Own': more than 4096 fields");
  fields[1].name = NULL;
  type.size = CPR_LIMIT_STRUCT;
  ck_assert (cpr_struct_check (&type, &error));
  type.size++;
  ck_assert (!cpr_struct_check (&type, &error));
  assert_error (&error, CPR_ERROR_INVALID, "struct 'Own': 1073741825 bytes are more than 1073741824");
}
END_TEST

/* ---- Structs in structs. */

START_TEST (own_structs_that_go_round_in_a_circle_are_refused)
{
  CprField fields[] = { CPR_FIELD_POINTER (Own, heap_timer, Timer, timer_struct), CPR_FIELD_END };
  CprStruct type = { "Own", sizeof (Own), fields };

  fields[0].type = &type;
  fields[0].width = sizeof (Own);
  ck_assert (!cpr_struct_check (&type, &error));
  assert_error (&error, CPR_ERROR_INVALID, "struct 'Own': nested more than 16 deep");
  fields[0] = (CprField) CPR_FIELD_GROUP (Own, "group", own_group, needed);
  fields[0].type = &type;
  ck_assert (!cpr_struct_check (&type, &error));
  assert_error (&error, CPR_ERROR_INVALID, "struct 'Own': nested more than 16 deep");
}
END_TEST

/* Sixteen levels, each with many lists of the level below: as a tree it had 100^15 leaves. */
#define FAN 100

typedef struct
{
  uint8_t leaf;
  NodeList nodes; /* always empty here */
} Nodes;

typedef struct
{
  CprStruct structs[CPR_LIMIT_DEPTH];
  CprField fields[CPR_LIMIT_DEPTH][FAN + 1];
} Dag;

static const CprStruct *
make_dag (Dag *dag, GPtrArray *names)
{
  const CprField leaf = CPR_FIELD (Nodes, leaf),
                 branch = CPR_FIELD_LIST (Nodes, nodes, Nodes, dag->structs[0], 1, node_callbacks);

  memset (dag, 0, sizeof *dag);
  for (int i = 0; i < FAN; i++)
    g_ptr_array_add (names, g_strdup_printf ("f%d", i));
  for (int level = 0; level < CPR_LIMIT_DEPTH; level++)
    {
      for (int i = 0; i < FAN; i++)
        {
          dag->fields[level][i] = level == 0 ? leaf : branch;
          dag->fields[level][i].name = names->pdata[i];
          dag->fields[level][i].type = level == 0 ? NULL : &dag->structs[level - 1];
        }
      dag->structs[level] = (CprStruct){ "Nodes", sizeof (Nodes), dag->fields[level] };
    }
  return &dag->structs[CPR_LIMIT_DEPTH - 1];
}

START_TEST (structs_that_share_structs_on_16_levels_are_checked_read_planned_and_walked)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autofree Dag *dag = g_new (Dag, 1);
  const CprStruct *top = make_dag (dag, names);
  Nodes source = { 0, { NULL, NULL } }, target = { 0, { NULL, NULL } };
  Carried carried;

  ck_assert (carried_write (&carried, top, &source, NULL, &error));
  ck_assert_uint_eq (carried.schema.structs->len, CPR_LIMIT_DEPTH);
  ck_assert_uint_eq (carried.fields.len, FAN * 4);
  ck_assert (cpr_struct_walk (&carried.schema, carried.index,
                              &(CprCursor){ .data = carried.fields.data, .len = carried.fields.len }, NULL, NULL,
                              &error));
  ck_assert (carried_read (&carried, top, &target, NULL, &error));
  carried_clear (&carried);
}
END_TEST

/* Bytes that say "one element" over and over: the first leaf is where they end. */
START_TEST (a_walk_through_shared_structs_ends_with_the_bytes)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autofree Dag *dag = g_new (Dag, 1);
  const CprStruct *top = make_dag (dag, names);
  g_autofree uint32_t *ones = g_new (uint32_t, 10000);
  Nodes target = { 0, { NULL, NULL } };
  Carried carried;

  for (int i = 0; i < 10000; i++)
    ones[i] = 1;
  carried_make (&carried, top, ones, 10000 * sizeof ones[0]);
  ck_assert (!cpr_struct_walk (&carried.schema, carried.index,
                               &(CprCursor){ .data = carried.fields.data, .len = carried.fields.len }, NULL, NULL,
                               &error));
  assert_error (&error, CPR_ERROR_CORRUPT, "is cut off");
  ck_assert (!carried_read (&carried, top, &target, NULL, &error));
  assert_error (&error, CPR_ERROR_CORRUPT, "is cut off");
  carried_clear (&carried);
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("schema-rules");

  tcase_add_checked_fixture (tests, setup, NULL);
  tcase_add_test (tests, every_kind_is_read_in_every_shape_that_it_may_have);
  tcase_add_test (tests, other_kinds_and_widths_are_refused);
  tcase_add_test (tests, flags_counts_and_defaults_that_break_a_rule_are_refused);
  tcase_add_test (tests, a_struct_refers_to_those_before_it_only);
  tcase_add_test (tests, names_of_fields_are_1_to_255_bytes_and_unique);
  tcase_add_test (tests, a_struct_has_1_to_4096_fields);
  tcase_add_test (tests, types_that_break_a_rule_are_refused);
  tcase_add_test (tests, a_schema_that_is_cut_off_anywhere_is_refused);
  tcase_add_test (tests, numbers_of_structs_and_types_that_are_too_high_end_at_once);
  tcase_add_test (tests, own_counts_and_shapes_that_break_a_rule_are_refused);
  tcase_add_test (tests, own_layouts_that_no_macro_makes_are_refused);
  tcase_add_test (tests, a_list_needs_all_its_callbacks);
  tcase_add_test (tests, own_defaults_that_break_a_rule_are_refused);
  tcase_add_test (tests, aliases_are_names_and_as_unique);
  tcase_add_test (tests, own_structs_have_at_most_4096_fields_and_a_gibibyte);
  tcase_add_test (tests, own_structs_that_go_round_in_a_circle_are_refused);
  tcase_add_test (tests, structs_that_share_structs_on_16_levels_are_checked_read_planned_and_walked);
  tcase_add_test (tests, a_walk_through_shared_structs_ends_with_the_bytes);
  return run_suite (suite);
}
