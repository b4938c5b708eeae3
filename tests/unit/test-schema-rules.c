/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The rules of doc/stream-format.md, section 6, broken one at a time in a schema that is read. */
#include "carry.h"
#include "everything.h"

static GError *error;

static void
setup (void)
{
  error = NULL;
}

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
          assert_row_refused (row, "schema: struct 'Outer': field 'f': it ");
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
    assert_row_refused (rows[i], "schema: struct 'Outer': field 'f': it ");
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

/* @types: the types that follow the structs, or NULL for a right one. */
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
  assert_error (&error, CPR_ERROR_CORRUPT, "schema: device type 1 of 2 is cut off, or has no name");
  ck_assert (!reads_types (too_long, 1, 1, 0));
  assert_error (&error, CPR_ERROR_CORRUPT, "schema: device type 1 of 2 is cut off, or has no name");
  ck_assert (!reads_types ("second", 1, 2, 0));
  assert_error (&error, CPR_ERROR_CORRUPT, "schema: device type 'second' has version 1, and reads from 2 on");
  ck_assert (!reads_types ("second", 1, 1, 1));
  assert_error (&error, CPR_ERROR_CORRUPT, "schema: device type 'second' is of struct 1, there are 1");
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
  assert_error (&error, CPR_ERROR_CORRUPT, "schema: its last value ends at byte ");
  cpr_schema_clear (&schema);
  cpr_writer_clear (&writer);
}
END_TEST

/* The reader doesn't look for more than the rest of the chunk can hold. */
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
  return run_suite (suite);
}
