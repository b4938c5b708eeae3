/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tables of fields that break a rule, in a program and in a state. */
#include "guest.h"

#include "stream/struct.h"

static GError *error;

static void
setup (void)
{
  error = NULL;
}

typedef struct
{
  uint32_t a, b;
  int8_t c;
  bool d;
} Abc;

static const CprField ab_fields[] = { CPR_FIELD (Abc, a), CPR_FIELD (Abc, b), CPR_FIELD_END };

typedef struct
{
  uint8_t n;
  uint16_t items[4];
} Counted;

static void
assert_table_refused (const CprField *field, const char *text)
{
  const CprField fields[] = { *field, CPR_FIELD_END };
  const CprStruct type = { "Abc", sizeof (Abc), fields };

  ck_assert (!cpr_struct_check (&type, &error));
  ck_assert_ptr_nonnull (strstr (error->message, "struct 'Abc'"));
  assert_error (&error, CPR_ERROR_INVALID, text);
}

START_TEST (check_refuses_two_fields_of_one_name)
{
  const CprField fields[] = { CPR_FIELD (Abc, a), CPR_FIELD (Abc, b), CPR_FIELD (Abc, a), CPR_FIELD_END };
  const CprStruct type = { "Abc", sizeof (Abc), fields };

  ck_assert (!cpr_struct_check (&type, &error));
  assert_error (&error, CPR_ERROR_INVALID, "struct 'Abc': two fields are named 'a'");
}
END_TEST

START_TEST (check_refuses_a_struct_without_name_or_fields)
{
  const CprField none[] = { CPR_FIELD_END };
  const CprStruct types[] = {
    { "Abc", 4, none }, { "Abc", 4, NULL }, { NULL, sizeof (Abc), ab_fields }, { "", sizeof (Abc), ab_fields }
  };

  for (size_t i = 0; i < G_N_ELEMENTS (types); i++)
    {
      ck_assert (!cpr_struct_check (&types[i], &error));
      assert_error (&error, CPR_ERROR_INVALID, types[i].name != NULL ? types[i].name : "struct ''");
    }
}
END_TEST

START_TEST (check_refuses_a_field_outside_its_struct)
{
  const CprField right = CPR_FIELD (Abc, a);
  CprField field = right;

  field.offset = sizeof (Abc) - 3;
  assert_table_refused (&field, "field 'a' doesn't lie in its");
  field.offset = SIZE_MAX - 1;
  assert_table_refused (&field, "field 'a' doesn't lie in its");
  field = right;
  field.shape = CPR_SHAPE_ARRAY;
  field.count = sizeof (Abc) / 4 + 1;
  assert_table_refused (&field, "field 'a' doesn't lie in its");
  field.count = UINT32_MAX;
  assert_table_refused (&field, "field 'a' doesn't lie in its");
}
END_TEST

START_TEST (check_refuses_widths_and_kinds_that_cannot_be_right)
{
  static const size_t widths[] = { 0, 3, 5, 16, (size_t) CPR_LIMIT_STRUCT + 1, (size_t) UINT32_MAX + 2, SIZE_MAX };
  const CprField right = CPR_FIELD (Abc, a);
  CprField field = right;

  for (size_t i = 0; i < G_N_ELEMENTS (widths); i++)
    for (CprKind kind = CPR_KIND_BOOL; kind <= CPR_KIND_TIME; kind++)
      if (kind != CPR_KIND_STRUCT || widths[i] == 0 || widths[i] > CPR_LIMIT_STRUCT)
        {
          field.kind = kind;
          field.width = widths[i];
          assert_table_refused (&field, "field 'a': it ");
        }
  field = right;
  for (unsigned kind = 0; kind < 256; kind++)
    if (kind < CPR_KIND_BOOL || kind > CPR_KIND_TIME)
      {
        field.kind = kind;
        assert_table_refused (&field, "field 'a': it ");
      }
}
END_TEST

START_TEST (check_refuses_shapes_layouts_and_flags_that_cannot_be_right)
{
  const CprField right = CPR_FIELD (Abc, a);
  CprField field = right;

  field.shape = 3;
  assert_table_refused (&field, "field 'a': it ");
  field = right;
  field.layout = 4;
  assert_table_refused (&field, "field 'a': it ");
  field = right;
  field.ignorable = true;
  assert_table_refused (&field, "field 'a': it ");
  field = right;
  field.count = 2;
  assert_table_refused (&field, "field 'a': it ");
  field.count = 0;
  assert_table_refused (&field, "field 'a': it ");
  field.shape = CPR_SHAPE_ARRAY;
  assert_table_refused (&field, "field 'a': it ");
}
END_TEST

START_TEST (check_refuses_a_count_outside_its_struct)
{
  CprField field = CPR_FIELD_COUNTED (Counted, items, n);
  const CprField fields[] = { field, CPR_FIELD_END };
  CprField changed[] = { field, CPR_FIELD_END };
  const CprStruct right = { "List", sizeof (Counted), fields }, wrong = { "List", sizeof (Counted), changed };

  ck_assert (cpr_struct_check (&right, &error));
  changed[0].count_offset = sizeof (Counted);
  ck_assert (!cpr_struct_check (&wrong, &error));
  assert_error (&error, CPR_ERROR_INVALID, "struct 'List': the count of 'items' has ");
  changed[0].count_offset = SIZE_MAX;
  ck_assert (!cpr_struct_check (&wrong, &error));
  assert_error (&error, CPR_ERROR_INVALID, "the count of 'items'");
}
END_TEST

START_TEST (check_refuses_a_struct_field_of_another_struct)
{
  CprField field = { .name = "timer", .kind = CPR_KIND_STRUCT, .width = 3, .count = 1, .type = &timer_struct };

  assert_table_refused (&field, "field 'timer' isn't of the struct it names");
  field.width = sizeof (Timer);
  field.type = NULL;
  assert_table_refused (&field, "field 'timer' isn't of the struct it names");
}
END_TEST

START_TEST (field_names_have_1_to_255_bytes)
{
  g_autofree char *longest = name_of (255), *too_long = name_of (256);
  CprField fields[] = { CPR_FIELD (Abc, a), CPR_FIELD_END };
  const CprStruct type = { "Abc", sizeof (Abc), fields };

  fields[0].name = longest;
  ck_assert (cpr_struct_check (&type, &error));
  fields[0].name = too_long;
  ck_assert (!cpr_struct_check (&type, &error));
  assert_error (&error, CPR_ERROR_INVALID, "struct 'Abc'");
  fields[0].name = "";
  ck_assert (!cpr_struct_check (&type, &error));
  assert_error (&error, CPR_ERROR_INVALID, "struct 'Abc': field ''");
}
END_TEST

START_TEST (a_struct_used_twice_is_in_the_schema_once)
{
  CprSchema schema = { NULL, NULL };
  CprSchemaBuilder builder;
  CprWriter writer;
  CprCursor cursor;

  cpr_writer_init (&writer, -1);
  cpr_schema_builder_init (&builder);
  ck_assert_uint_eq (cpr_schema_builder_add (&builder, &serial_type), 0);
  ck_assert_uint_eq (cpr_schema_builder_add (&builder, &disk_type), 1);
  ck_assert_uint_eq (cpr_schema_builder_add (&builder, &serial_type), 0);
  cpr_schema_builder_write (&builder, &writer);
  cursor = written_from (&writer, CPR_FORMAT_HEADER_SIZE);
  ck_assert (cpr_schema_read (&schema, &cursor, &error));
  ck_assert_uint_eq (schema.structs->len, 3); /* Timer, Serial, Disk */
  ck_assert_uint_eq (schema.types->len, 2);
  ck_assert_str_eq (g_array_index (schema.types, CprSchemaType, 0).name, "serial");
  ck_assert_uint_eq (g_array_index (schema.types, CprSchemaType, 0).version, serial_type.version);
  cpr_schema_clear (&schema);
  cpr_schema_builder_clear (&builder);
  cpr_writer_clear (&writer);
}
END_TEST

START_TEST (structs_nest_16_deep_and_no_deeper)
{
  Nest nested;

  ck_assert (cpr_struct_check (nest (&nested, CPR_LIMIT_DEPTH), &error));
  ck_assert (!cpr_struct_check (nest (&nested, CPR_LIMIT_DEPTH + 1), &error));
  assert_error (&error, CPR_ERROR_INVALID, "struct 'Nest': nested more than 16 deep");
}
END_TEST

START_TEST (a_state_that_nests_deeper_is_refused)
{
  CprDeviceType type = { .size = sizeof type, .name = "t" };
  CprSchema schema = { NULL, NULL };
  CprSchemaBuilder builder;
  CprWriter writer;
  CprCursor cursor;
  Nest nested;

  type.state = *nest (&nested, CPR_LIMIT_DEPTH + 1);
  cpr_writer_init (&writer, -1);
  cpr_schema_builder_init (&builder);
  cpr_schema_builder_add (&builder, &type);
  cpr_schema_builder_write (&builder, &writer);
  cursor = written_from (&writer, CPR_FORMAT_HEADER_SIZE);
  ck_assert (!cpr_schema_read (&schema, &cursor, &error));
  assert_error (&error, CPR_ERROR_CORRUPT, "struct 'Nest' is nested more than 16 deep");
  cpr_schema_clear (&schema);
  cpr_schema_builder_clear (&builder);
  cpr_writer_clear (&writer);
}
END_TEST

typedef struct
{
  uint16_t items[4];
  uint64_t n;
} Items;

START_TEST (check_refuses_a_count_of_a_width_that_is_none)
{
  static const size_t widths[] = { 0, 3, 5, 6, 7 };
  CprField fields[] = { CPR_FIELD_COUNTED (Items, items, n), CPR_FIELD_END };
  const CprStruct type = { "Items", sizeof (Items), fields };

  for (size_t i = 0; i < G_N_ELEMENTS (widths); i++)
    {
      fields[0].count_width = widths[i];
      ck_assert_msg (!cpr_struct_check (&type, &error), "a count of %zu bytes", widths[i]);
      assert_error (&error, CPR_ERROR_INVALID, "items");
    }
}
END_TEST

START_TEST (check_refuses_a_count_within_its_array)
{
  CprField fields[] = { CPR_FIELD_COUNTED (Items, items, n), CPR_FIELD_END };
  const CprStruct type = { "Items", sizeof (Items), fields };

  fields[0].count_offset = 0;
  ck_assert (!cpr_struct_check (&type, &error));
  assert_error (&error, CPR_ERROR_INVALID, "items");
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("schema");

  tcase_add_checked_fixture (tests, setup, NULL);
  tcase_add_test (tests, structs_nest_16_deep_and_no_deeper);
  tcase_add_test (tests, a_state_that_nests_deeper_is_refused);
  tcase_add_test (tests, check_refuses_two_fields_of_one_name);
  tcase_add_test (tests, check_refuses_a_struct_without_name_or_fields);
  tcase_add_test (tests, check_refuses_a_field_outside_its_struct);
  tcase_add_test (tests, check_refuses_widths_and_kinds_that_cannot_be_right);
  tcase_add_test (tests, check_refuses_shapes_layouts_and_flags_that_cannot_be_right);
  tcase_add_test (tests, check_refuses_a_count_outside_its_struct);
  tcase_add_test (tests, check_refuses_a_struct_field_of_another_struct);
  tcase_add_test (tests, field_names_have_1_to_255_bytes);
  tcase_add_test (tests, a_struct_used_twice_is_in_the_schema_once);
  tcase_add_test (tests, check_refuses_a_count_of_a_width_that_is_none);
  tcase_add_test (tests, check_refuses_a_count_within_its_array);
  return run_suite (suite);
}
