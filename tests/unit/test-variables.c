/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fields that are variables of the program, and names that a table can't do without. */
#include "programs.h"

#include "carry.h"

#include "stream/struct.h"

static GError *error;
static uint32_t ticks;
static bool armed;
static uint16_t table[4];
static struct
{
  uint8_t mode;
  uint32_t divisor;
} latch;

typedef struct
{
  uint32_t before, after;
} Clock;

static const CprField clock_fields[] = { CPR_FIELD (Clock, before),
                                         CPR_FIELD_VARIABLE (ticks),
                                         CPR_FIELD_VARIABLE (armed, CPR_OPTIONAL),
                                         CPR_FIELD_VARIABLE_ARRAY (table),
                                         CPR_FIELD_VARIABLE_BYTES (latch, CPR_OPTIONAL),
                                         CPR_FIELD_VARIABLE (latch.mode, CPR_WRITTEN_AS ("latch_mode")),
                                         CPR_FIELD (Clock, after),
                                         CPR_FIELD_END };
static const CprStruct clock_struct = { "Clock", sizeof (Clock), clock_fields };

static void
set (uint32_t to_ticks, bool to_armed, uint16_t first, uint32_t divisor)
{
  ticks = to_ticks;
  armed = to_armed;
  for (int i = 0; i < 4; i++)
    table[i] = (uint16_t) (first + i);
  latch.mode = (uint8_t) divisor;
  latch.divisor = divisor;
}

static void
assert_set (uint32_t to_ticks, bool to_armed, uint16_t first, uint32_t divisor)
{
  ck_assert_uint_eq (ticks, to_ticks);
  ck_assert (armed == to_armed);
  for (int i = 0; i < 4; i++)
    ck_assert_uint_eq (table[i], first + i);
  ck_assert_uint_eq (latch.mode, divisor & 0xff);
  ck_assert_uint_eq (latch.divisor, divisor);
}

static void
setup (void)
{
  error = NULL;
}

START_TEST (variables_are_saved_and_loaded_among_the_members)
{
  const Clock from = { 1, 2 };
  Clock to = { 8, 9 };
  Carried carried;

  set (5, true, 10, 0x01020304);
  ck_assert (carried_write (&carried, &clock_struct, &from, NULL, &error));
  set (0, false, 0, 0);
  ck_assert (carried_read (&carried, &clock_struct, &to, NULL, &error));
  carried_clear (&carried);
  assert_set (5, true, 10, 0x01020304);
  ck_assert_uint_eq (to.before, 1);
  ck_assert_uint_eq (to.after, 2);
}
END_TEST

/* The default of those that are optional. */
START_TEST (variables_that_are_not_in_the_state_get_their_default)
{
  const Clock from = { 1, 2 };
  Clock to = { 8, 9 };
  Carried carried;

  set (0, false, 0, 0);
  ck_assert (carried_write (&carried, &clock_struct, &from, NULL, &error));
  set (6, true, 7, 0x7fffffff);
  ck_assert (carried_read (&carried, &clock_struct, &to, NULL, &error));
  carried_clear (&carried);
  assert_set (0, false, 0, 0);
}
END_TEST

START_TEST (a_check_that_fails_changes_no_variable)
{
  static uint8_t small;
  static const CprField wide_fields[] = { CPR_FIELD_VARIABLE (ticks),
                                          CPR_FIELD_VARIABLE (latch.divisor, CPR_WRITTEN_AS ("small")), CPR_FIELD_END };
  static const CprField small_fields[] = { CPR_FIELD_VARIABLE (ticks), CPR_FIELD_VARIABLE (small), CPR_FIELD_END };
  const CprStruct wide = { "Globals", 0, wide_fields }, narrow = { "Globals", 0, small_fields };
  Carried carried;

  set (5, true, 10, 300);
  ck_assert (carried_write (&carried, &wide, &ticks, NULL, &error));
  set (6, false, 11, 400);
  ck_assert (!carried_read (&carried, &narrow, &ticks, NULL, &error));
  assert_error (&error, CPR_ERROR_MISMATCH, "field 'small': 300 doesn't fit into uint of 1 byte");
  carried_clear (&carried);
  assert_set (6, false, 11, 400);
  ck_assert_uint_eq (small, 0);
}
END_TEST

START_TEST (a_device_can_consist_of_variables)
{
  static const CprField fields[] = { CPR_FIELD_VARIABLE (ticks), CPR_FIELD_VARIABLE_ARRAY (table), CPR_FIELD_END };
  static const CprDeviceType type = { .size = sizeof (CprDeviceType),
                                      .name = "globals",
                                      .state = { "Globals", 0, fields } };
  Programs programs;

  programs_init (&programs);
  ck_assert (cpr_device_table_add (&programs.saved, "globals", &type, &ticks, &error));
  ck_assert (cpr_device_table_add (&programs.loaded, "globals", &type, &ticks, &error));
  set (5, true, 10, 300);
  ck_assert (programs_save (&programs, &error));
  set (6, false, 11, 300);
  ck_assert (programs_load (&programs, &error));
  assert_set (5, false, 10, 300);
  programs_clear (&programs);
}
END_TEST

static bool
is_needed (const void *device G_GNUC_UNUSED)
{
  return true;
}

static void
assert_refused (const CprField *field, const char *text)
{
  const CprField fields[] = { *field, CPR_FIELD_END };
  const CprStruct type = { "Owner", sizeof (Clock), fields };

  ck_assert (!cpr_struct_check (&type, &error));
  assert_error (&error, CPR_ERROR_INVALID, text);
}

START_TEST (a_variable_belongs_to_a_device_or_its_group_and_to_no_struct_inside)
{
  typedef struct
  {
    Clock inner;
  } Owner;
  const CprField inside = CPR_FIELD_STRUCT (Owner, inner, Clock, clock_struct);
  const CprField group[] = { CPR_FIELD_GROUP (Clock, "group", clock_struct, is_needed), CPR_FIELD_END };
  const CprStruct grouped = { "Grouped", sizeof (Clock), group };
  const CprField inside_group = CPR_FIELD_STRUCT (Owner, inner, Clock, grouped);

  assert_refused (&inside, "struct 'Owner': field 'inner': a variable is among the fields of 'Clock', and should be");
  assert_refused (&inside_group, "field 'inner': a variable is among the fields of 'Grouped'");
  ck_assert (cpr_struct_check (&grouped, &error));
  assert_no_error (error);
}
END_TEST

START_TEST (a_variable_on_the_heap_and_a_counted_one_are_refused)
{
  const CprField right = CPR_FIELD_VARIABLE_ARRAY (table);
  CprField field = right;

  field.layout = CPR_LAYOUT_HEAP;
  assert_refused (&field, "field 'table': it is a variable, which only numbers");
  field = right;
  field.shape = CPR_SHAPE_COUNTED;
  field.count_width = 4;
  assert_refused (&field, "field 'table': it is a variable, which only numbers");
}
END_TEST

START_TEST (a_callback_of_a_group_on_anything_else_is_refused)
{
  typedef struct
  {
    Clock inner;
  } Owner;
  CprField wrong[] = { CPR_FIELD (Clock, after), CPR_FIELD (Clock, after, CPR_OPTIONAL),
                       CPR_FIELD_STRUCT (Owner, inner, Clock, clock_struct), CPR_FIELD_END };
  const CprStruct inside = { "Inside", sizeof (Clock), wrong };
  const CprField group = CPR_FIELD_GROUP (Clock, "group", inside, is_needed);
  const CprField nested = CPR_FIELD_STRUCT (Owner, inner, Clock, inside);

  wrong[2].shape = CPR_SHAPE_ARRAY;
  for (CprField *field = wrong; field->name != NULL; field++)
    {
      field->needed = is_needed;
      assert_refused (field, "it has a group's callback and isn't one struct inside its struct");
    }
  assert_refused (&group, "it has a group's callback and isn't one struct inside its struct");
  assert_refused (&nested, "it has a group's callback and isn't one struct inside its struct");
}
END_TEST

START_TEST (a_member_of_a_member_demands_a_name_in_the_state)
{
  typedef struct
  {
    struct
    {
      uint16_t flags__, array[2];
    } hdr;
  } Packet;
  const CprField without[] = { CPR_FIELD (Packet, hdr.flags__), CPR_FIELD (Packet, hdr.array[1]),
                               CPR_FIELD_ARRAY (Packet, hdr.array), CPR_FIELD_VARIABLE (latch.mode),
                               CPR_FIELD (Packet, hdr.flags__, CPR_ALIASES ("flags")) };
  const CprField in_group[] = { CPR_FIELD (Packet, hdr.array[0], CPR_WRITTEN_AS ("first")), CPR_FIELD_END };
  const CprStruct group = { "Group", sizeof (Packet), in_group };
  const CprField with[] = { CPR_FIELD (Packet, hdr.flags__, CPR_WRITTEN_AS ("flags")),
                            CPR_FIELD (Packet, hdr.array[1], CPR_WRITTEN_AS ("hdr.array[1]")),
                            CPR_FIELD_GROUP (Packet, "a.group", group, is_needed), CPR_FIELD_END };
  const CprStruct type = { "Packet", sizeof (Packet), with };

  for (size_t i = 0; i < G_N_ELEMENTS (without); i++)
    assert_refused (&without[i],
                    "it is a member of a member, and should have a CPR_WRITTEN_AS() with its name in the state");
  ck_assert (cpr_struct_check (&type, &error));
  assert_no_error (error);
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("variables");

  tcase_add_checked_fixture (tests, setup, NULL);
  tcase_add_test (tests, variables_are_saved_and_loaded_among_the_members);
  tcase_add_test (tests, variables_that_are_not_in_the_state_get_their_default);
  tcase_add_test (tests, a_check_that_fails_changes_no_variable);
  tcase_add_test (tests, a_device_can_consist_of_variables);
  tcase_add_test (tests, a_variable_belongs_to_a_device_or_its_group_and_to_no_struct_inside);
  tcase_add_test (tests, a_variable_on_the_heap_and_a_counted_one_are_refused);
  tcase_add_test (tests, a_callback_of_a_group_on_anything_else_is_refused);
  tcase_add_test (tests, a_member_of_a_member_demands_a_name_in_the_state);
  return run_suite (suite);
}
