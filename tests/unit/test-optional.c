/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fields that may be absent from a state: optional, ignorable, renamed, retired and grouped
 * ones. */
#include "carry.h"
#include "everything.h"

#include <math.h>

static CprFdTable fds;
static CprCodec codec;
static GError *error;

static void
setup (void)
{
  cpr_fd_table_init (&fds);
  everything_add_fds (&fds);
  codec = cpr_fd_table_get_codec (&fds);
  error = NULL;
}

static void
teardown (void)
{
  cpr_fd_table_clear (&fds);
}

typedef struct
{
  uint32_t anchor; /* in every table */
  bool flag;
  uint16_t number;
  double real;
  int64_t when;
  int32_t array[3];
  uint8_t n;
  uint16_t counted[4];
  uint16_t *heap;
  uint8_t bytes[4];
  uint8_t *buffer;
  char text[6];
  char *heap_text;
  Timer *pointer;
  Timer timers[2];
  NodeList nodes;
  int fd, fds[2];
  bool grouped;
  uint8_t x;
  char *label;
} Thing;

#define TABLE(name, ...)                                                                             \
  static const CprField name##_fields[] = { CPR_FIELD (Thing, anchor), __VA_ARGS__, CPR_FIELD_END }; \
  static const CprStruct name = { "Thing", sizeof (Thing), name##_fields }

static bool
is_grouped (const void *device)
{
  return ((const Thing *) device)->grouped;
}

static const CprField group_fields[] = { CPR_FIELD (Thing, x), CPR_FIELD_HEAP_STRING (Thing, label, 9), CPR_FIELD_END };
static const CprStruct group = { "Group", sizeof (Thing), group_fields };

static const CprField alone_fields[] = { CPR_FIELD (Thing, anchor), CPR_FIELD_END };
static const CprStruct alone = { "Thing", sizeof (Thing), alone_fields };

/* One table for each kind and layout that may be absent. */
TABLE (flag, CPR_FIELD_OPTIONAL (Thing, flag, true));
TABLE (number, CPR_FIELD_OPTIONAL (Thing, number, 500));
TABLE (real, CPR_FIELD (Thing, real, CPR_OPTIONAL));
TABLE (when, CPR_FIELD_TIME (Thing, when, CPR_OPTIONAL));
TABLE (array, CPR_FIELD_ARRAY (Thing, array, CPR_OPTIONAL));
TABLE (counted, CPR_FIELD_COUNTED (Thing, counted, n, CPR_OPTIONAL));
TABLE (heap, CPR_FIELD_HEAP_ARRAY (Thing, heap, n, 4, CPR_OPTIONAL));
TABLE (bytes, CPR_FIELD_BYTES (Thing, bytes, CPR_OPTIONAL));
TABLE (buffer, CPR_FIELD_HEAP_BYTES (Thing, buffer, n, 4, CPR_OPTIONAL));
TABLE (text, CPR_FIELD_STRING (Thing, text, CPR_OPTIONAL));
TABLE (heap_text, CPR_FIELD_HEAP_STRING (Thing, heap_text, 9));
TABLE (pointer, CPR_FIELD_POINTER (Thing, pointer, Timer, timer_struct));
TABLE (timers, CPR_FIELD_STRUCT_COUNTED (Thing, timers, n, Timer, timer_struct, CPR_OPTIONAL));
TABLE (nodes, CPR_FIELD_LIST (Thing, nodes, Node, node_struct, 4, node_callbacks, CPR_OPTIONAL));
TABLE (fd, CPR_FIELD_FD (Thing, fd, CPR_OPTIONAL));
TABLE (all_fds, CPR_FIELD_FD_ARRAY (Thing, fds, CPR_OPTIONAL));
TABLE (grouped, CPR_FIELD_GROUP (Thing, "group", group, is_grouped));

static const CprStruct *const tables[] = { &flag,    &number, &real,   &when,    &array,  &counted,
                                           &heap,    &bytes,  &buffer, &text,    &fd,     &heap_text,
                                           &pointer, &timers, &nodes,  &all_fds, &grouped };

/* A thing whose fields are all at their defaults, and one where none is. */
static void
fill_defaults (Thing *thing)
{
  *thing = (Thing){ .anchor = 1, .flag = true, .number = 500, .fd = -1, .fds = { -1, -1 } };
}

static void
fill (Thing *thing)
{
  *thing = (Thing){
    .anchor = 2,
    .number = 7,
    .real = -0.0,
    .when = 9,
    .array = { 0, 0, 1 },
    .n = 2,
    .counted = { 5, 6 },
    .bytes = { 0, 0, 0, 1 },
    .text = "t",
    .timers = { { 1, 2 }, { 3, 4 } },
    .fd = 100,
    .fds = { -1, 101 },
    .grouped = true,
    .x = 8,
  };
  thing->heap = g_memdup2 (thing->counted, 4);
  thing->buffer = g_memdup2 ("xy", 2);
  thing->heap_text = g_strdup ("");
  thing->pointer = g_new0 (Timer, 1);
  node_list_add (&thing->nodes, 1, "node");
  thing->label = g_strdup ("label");
}

static void
clear (Thing *thing)
{
  g_free (thing->heap);
  g_free (thing->buffer);
  g_free (thing->heap_text);
  g_free (thing->pointer);
  node_list_clear (&thing->nodes);
  g_free (thing->label);
}

static bool
carry_thing (const CprStruct *from, const Thing *source, const CprStruct *to, Thing *target)
{
  return carry_with (from, source, to, target, &codec, &error);
}

static size_t
encoded_size (const CprStruct *table, const Thing *thing)
{
  Carried carried;
  size_t size;

  ck_assert (carried_write (&carried, table, thing, &codec, &error));
  size = carried.fields.len;
  carried_clear (&carried);
  return size;
}

START_TEST (at_its_default_a_field_is_one_byte)
{
  Thing defaults, other;

  fill_defaults (&defaults);
  fill (&other);
  for (size_t i = 0; i < G_N_ELEMENTS (tables); i++)
    {
      ck_assert_msg (encoded_size (tables[i], &defaults) == 4 + 1, "%s", tables[i]->fields[1].name);
      ck_assert_msg (encoded_size (tables[i], &other) > 4 + 1, "%s", tables[i]->fields[1].name);
    }
  clear (&other);
}
END_TEST

START_TEST (any_true_bool_is_at_a_default_of_true)
{
  uint8_t byte = 2;
  Thing thing;

  fill_defaults (&thing);
  memcpy (&thing.flag, &byte, 1);
  ck_assert_uint_eq (encoded_size (&flag, &thing), 4 + 1);
}
END_TEST

START_TEST (at_its_default_a_field_may_be_unknown_and_else_it_must_not)
{
  Thing defaults, other, target = { .anchor = 0 };

  fill_defaults (&defaults);
  fill (&other);
  for (size_t i = 0; i < G_N_ELEMENTS (tables); i++)
    {
      g_autofree char *reason = g_strdup_printf ("field '%s' isn't at its default in the state and not known here",
                                                 tables[i]->fields[1].name);

      ck_assert (carry_thing (tables[i], &defaults, &alone, &target));
      ck_assert_uint_eq (target.anchor, 1);
      ck_assert (!carry_thing (tables[i], &other, &alone, &target));
      assert_error (&error, CPR_ERROR_MISMATCH, reason);
      ck_assert_uint_eq (target.anchor, 1);
    }
  clear (&other);
}
END_TEST

/* A field may be in a reader's table and absent from the state. The reader then does this. */
START_TEST (a_field_that_the_state_does_not_know_gets_the_reader_s_default)
{
  Thing source, target;

  fill_defaults (&source);
  fill (&target);
  for (size_t i = 0; i < G_N_ELEMENTS (tables); i++)
    {
      target.n = 2; /* shared by all that count */
      ck_assert (carry_thing (&alone, &source, tables[i], &target));
      ck_assert_uint_eq (target.n, tables[i]->fields[1].count_width > 0 ? 0 : 2);
    }
  ck_assert (target.flag && target.number == 500 && target.when == 0 && target.real == 0 && !signbit (target.real));
  ck_assert (target.array[0] == 0 && target.array[2] == 0 && target.bytes[3] == 0);
  ck_assert (target.heap == NULL && target.buffer == NULL && target.heap_text == NULL && target.pointer == NULL);
  ck_assert (target.text[0] == '\0' && target.nodes.first == NULL);
  ck_assert (target.fd == -1 && target.fds[0] == -1 && target.fds[1] == -1);
  ck_assert (target.grouped && target.x == 8); /* a group is kept as it is */
  ck_assert_str_eq (target.label, "label");
  clear (&target);
}
END_TEST

START_TEST (an_absent_field_becomes_what_its_absence_stands_for)
{
  Thing source, target;

  fill_defaults (&source);
  fill (&target);
  for (size_t i = 0; i < G_N_ELEMENTS (tables); i++)
    {
      target.n = 2;
      ck_assert (carry_thing (tables[i], &source, tables[i], &target));
      ck_assert_uint_eq (target.n, tables[i]->fields[1].count_width > 0 ? 0 : 2);
    }
  ck_assert (target.flag && target.number == 500 && target.when == 0 && target.real == 0 && !signbit (target.real));
  ck_assert (target.array[0] == 0 && target.array[2] == 0 && target.bytes[3] == 0);
  ck_assert (target.heap == NULL && target.buffer == NULL && target.heap_text == NULL && target.pointer == NULL);
  ck_assert (target.text[0] == '\0' && target.nodes.first == NULL);
  ck_assert (target.fd == -1 && target.fds[0] == -1 && target.fds[1] == -1);
  ck_assert (target.grouped && target.x == 8);
  ck_assert_str_eq (target.label, "label");
  clear (&target);
}
END_TEST

START_TEST (a_present_field_replaces_what_there_is)
{
  Thing source, target;

  fill (&source);
  fill_defaults (&target);
  for (size_t i = 0; i < G_N_ELEMENTS (tables); i++)
    {
      target.n = 0;
      ck_assert (carry_thing (tables[i], &source, tables[i], &target));
      ck_assert_uint_eq (target.n, tables[i]->fields[1].count_width > 0 ? 2 : 0);
    }
  ck_assert (!target.flag && target.number == 7 && target.when == 9 && target.real == 0 && signbit (target.real));
  ck_assert (target.array[2] == 1 && target.counted[1] == 6 && target.bytes[3] == 1);
  ck_assert (target.heap[1] == 6 && target.buffer[1] == 'y' && target.heap_text[0] == '\0');
  ck_assert (target.pointer != NULL && target.pointer->period == 0 && target.timers[1].drift == 4);
  ck_assert_str_eq (target.text, "t");
  ck_assert_str_eq (target.nodes.first->label, "node");
  ck_assert (target.fd == 100 && target.fds[0] == -1 && target.fds[1] == 101 && target.x == 8);
  ck_assert_str_eq (target.label, "label");
  clear (&source);
  clear (&target);
}
END_TEST

/* ---- The writer's default against the reader's own. */

TABLE (number_of_600, CPR_FIELD_OPTIONAL (Thing, number, 600));
TABLE (plain_number, CPR_FIELD (Thing, number));
TABLE (number_as_flag, CPR_FIELD_OPTIONAL (Thing, flag, true, CPR_ALIASES ("number")));
TABLE (plain_array, CPR_FIELD_ARRAY (Thing, array));

START_TEST (the_writer_s_default_is_taken_before_the_reader_s)
{
  Thing source, target = { .number = 1 };

  fill_defaults (&source);
  ck_assert (carry_thing (&number, &source, &number_of_600, &target));
  ck_assert_uint_eq (target.number, 500);
  target.number = 1;
  ck_assert (carry_thing (&number, &source, &plain_number, &target));
  ck_assert_uint_eq (target.number, 500);
  ck_assert (carry_thing (&alone, &source, &number_of_600, &target));
  ck_assert_uint_eq (target.number, 600);
}
END_TEST

START_TEST (the_writer_s_default_must_fit_too)
{
  Thing source, target = { .flag = false };

  fill_defaults (&source);
  ck_assert (!carry_thing (&number, &source, &number_as_flag, &target));
  assert_error (&error, CPR_ERROR_MISMATCH, "field 'flag': 500 doesn't fit into bool");
  ck_assert (!target.flag);
}
END_TEST

START_TEST (a_field_that_is_never_absent_becomes_an_optional_one)
{
  Thing source, target = { .number = 1 };

  fill_defaults (&source);
  ck_assert (carry_thing (&plain_number, &source, &number_of_600, &target));
  ck_assert_uint_eq (target.number, 500);
  source.number = 600;
  ck_assert (carry_thing (&plain_number, &source, &number_of_600, &target));
  ck_assert_uint_eq (target.number, 600);
}
END_TEST

/* ---- A fixed array that is absent, where the reader counts. */

typedef struct
{
  uint32_t anchor;
  uint8_t n;
  int64_t array[4];
  int64_t *on_heap;
  uint8_t *bytes;
} Counting;

#define COUNTING(name, ...)                                                                             \
  static const CprField name##_fields[] = { CPR_FIELD (Counting, anchor), __VA_ARGS__, CPR_FIELD_END }; \
  static const CprStruct name = { "Thing", sizeof (Counting), name##_fields }

COUNTING (counting, CPR_FIELD_COUNTED (Counting, array, n));
COUNTING (counting_on_heap, CPR_FIELD_HEAP_ARRAY (Counting, on_heap, n, 3, CPR_ALIASES ("array")));
COUNTING (counting_bytes, CPR_FIELD_HEAP_BYTES (Counting, bytes, n, 4));

START_TEST (an_absent_fixed_array_becomes_as_many_elements)
{
  Counting target = { .n = 9, .array = { 9, 9, 9, 9 }, .on_heap = NULL, .bytes = NULL };
  Thing source;

  fill_defaults (&source);
  ck_assert (carry (&array, &source, &counting, &target, &error));
  ck_assert_uint_eq (target.n, 3);
  ck_assert (target.array[0] == 0 && target.array[2] == 0 && target.array[3] == 9);
  ck_assert (carry (&array, &source, &counting_on_heap, &target, &error));
  ck_assert (target.n == 3 && target.on_heap[0] == 0 && target.on_heap[2] == 0);
  ck_assert (carry (&bytes, &source, &counting_bytes, &target, &error));
  ck_assert (target.n == 4 && target.bytes[0] == 0 && target.bytes[3] == 0);
  g_free (target.on_heap);
  g_free (target.bytes);
}
END_TEST

START_TEST (an_absent_array_has_the_writer_s_default_in_all_elements)
{
  Counting target = { .n = 9 };
  CprField sevens_fields[] = { CPR_FIELD (Thing, anchor), CPR_FIELD_ARRAY (Thing, array, CPR_OPTIONAL), CPR_FIELD_END };
  const CprStruct sevens = { "Thing", sizeof (Thing), sevens_fields };
  Thing source, same = { .anchor = 0 };

  sevens_fields[1].default_value = (uint64_t) -7; /* no macro makes it, but a state may have it */
  fill_defaults (&source);
  for (int i = 0; i < 3; i++)
    source.array[i] = -7;
  ck_assert_uint_eq (encoded_size (&sevens, &source), 5);
  ck_assert (carry (&sevens, &source, &counting, &target, &error));
  ck_assert (target.n == 3 && target.array[0] == -7 && target.array[2] == -7);
  ck_assert (carry (&sevens, &source, &plain_array, &same, &error));
  ck_assert (same.array[0] == -7 && same.array[2] == -7);
}
END_TEST

/* ---- Ignorable. */

TABLE (ignorable_text, CPR_FIELD_HEAP_STRING (Thing, heap_text, 9, .ignorable = true));
TABLE (ignorable_nodes, CPR_FIELD_LIST (Thing, nodes, Node, node_struct, 4, node_callbacks, CPR_IGNORABLE));
TABLE (ignorable_counted, CPR_FIELD_COUNTED (Thing, counted, n, CPR_IGNORABLE));
TABLE (ignorable_fds, CPR_FIELD_FD_ARRAY (Thing, fds, CPR_IGNORABLE));
TABLE (ignorable_group, CPR_FIELD_GROUP (Thing, "group", group, is_grouped, .ignorable = true));

START_TEST (an_ignorable_field_of_any_kind_is_dropped)
{
  static const CprStruct *const ignorable[] = { &ignorable_text, &ignorable_nodes, &ignorable_counted, &ignorable_fds,
                                                &ignorable_group };
  Thing source, target;

  fill (&source);
  for (size_t i = 0; i < G_N_ELEMENTS (ignorable); i++)
    {
      target = (Thing){ .anchor = 0 };
      ck_assert (carry_thing (ignorable[i], &source, &alone, &target));
      ck_assert_uint_eq (target.anchor, 2);
    }
  clear (&source);
}
END_TEST

static void
collect (const char *field, void *user_data)
{
  g_string_append_printf (user_data, "%s ", field);
}

typedef struct
{
  Thing thing;
} Outer;

START_TEST (what_is_dropped_is_named_with_the_structs_around_it)
{
  const CprField from_fields[] = { CPR_FIELD_STRUCT (Outer, thing, Thing, ignorable_text), CPR_FIELD_END };
  const CprField to_fields[] = { CPR_FIELD_STRUCT (Outer, thing, Thing, alone), CPR_FIELD_END };
  const CprStruct from = { "Outer", sizeof (Outer), from_fields }, to = { "Outer", sizeof (Outer), to_fields };
  g_autoptr (GString) dropped = g_string_new (NULL);
  g_autoptr (CprPlans) plans = NULL;
  Outer source = { .thing = { .anchor = 1 } };
  const CprPlan *plan;
  Carried carried;

  ck_assert (carried_write (&carried, &from, &source, NULL, &error));
  plans = cpr_plans_new (&carried.schema);
  plan = cpr_plans_get (plans, carried.index, &to, &error);
  ck_assert_ptr_nonnull (plan);
  cpr_plan_foreach_dropped (plan, collect, dropped);
  ck_assert_str_eq (dropped->str, "thing.heap_text ");
  carried_clear (&carried);
}
END_TEST

/* ---- Renamed and retired. */

TABLE (renamed, CPR_FIELD (Thing, x, CPR_ALIASES ("oldest older number")));
TABLE (renamed_optional, CPR_FIELD_OPTIONAL (Thing, x, 3, CPR_ALIASES ("number")));
TABLE (renamed_twice, CPR_FIELD (Thing, number), CPR_FIELD (Thing, x));
TABLE (retired, CPR_FIELD_RETIRED (number, uint16_t, 77));
TABLE (retired_alias, CPR_FIELD_RETIRED (gone, int64_t, -1, CPR_ALIASES ("number")));

START_TEST (a_field_is_found_by_any_of_its_older_names)
{
  Thing source, target = { .x = 1 };

  fill_defaults (&source);
  source.number = 9;
  ck_assert (carry_thing (&plain_number, &source, &renamed, &target));
  ck_assert_uint_eq (target.x, 9);
  source.number = 500;
  ck_assert (carry_thing (&number, &source, &renamed_optional, &target) == false); /* the writer's 500, not the 3 */
  assert_error (&error, CPR_ERROR_MISMATCH, "field 'x': 500 doesn't fit into uint of 1 byte");
  ck_assert (carry_thing (&renamed, &target, &renamed, &target));
  ck_assert (!carry_thing (&renamed, &target, &plain_number, &source));
  assert_error (&error, CPR_ERROR_MISMATCH, "field 'x' is in the state and not known here");
}
END_TEST

START_TEST (a_field_that_comes_under_two_of_its_names_is_refused)
{
  Thing source, target = { .x = 1 };

  fill_defaults (&source);
  ck_assert (!carry_thing (&renamed_twice, &source, &renamed, &target));
  assert_error (&error, CPR_ERROR_MISMATCH, "field 'x' is in the state under two of its names");
  ck_assert_uint_eq (target.x, 1);
}
END_TEST

START_TEST (a_retired_field_writes_its_value_and_drops_what_it_reads)
{
  static const CprStruct *const sources[] = { &plain_number, &number, &alone };
  static const CprStruct *const targets[] = { &retired, &retired_alias };
  Thing source, target = { .number = 1 };

  fill_defaults (&source);
  source.number = 9;
  for (size_t i = 0; i < G_N_ELEMENTS (sources); i++)
    for (size_t j = 0; j < G_N_ELEMENTS (targets); j++)
      {
        ck_assert (carry_thing (sources[i], &source, targets[j], &target));
        ck_assert_uint_eq (target.number, 1);
      }
  ck_assert (carry_thing (&retired, &source, &plain_number, &target));
  ck_assert_uint_eq (target.number, 77);
  ck_assert (carry_thing (&retired, &source, &retired, &target));
  ck_assert (!carry_thing (&retired_alias, &source, &plain_number, &target)); /* it is written under its own name */
  assert_error (&error, CPR_ERROR_MISMATCH, "field 'gone' is in the state and not known here");
}
END_TEST

START_TEST (a_retired_field_drops_any_kind)
{
  TABLE (gone_nodes, CPR_FIELD_RETIRED (nodes, bool, true));
  TABLE (gone_fds, CPR_FIELD_RETIRED (fds, bool, true));
  TABLE (gone_pointer, CPR_FIELD_RETIRED (pointer, bool, true));
  Thing source, target = { .anchor = 0 };

  fill (&source);
  ck_assert (carry_thing (&nodes, &source, &gone_nodes, &target));
  ck_assert (carry_thing (&all_fds, &source, &gone_fds, &target));
  ck_assert (carry_thing (&pointer, &source, &gone_pointer, &target));
  ck_assert_uint_eq (target.anchor, 2);
  clear (&source);
}
END_TEST

/* ---- Groups. */

START_TEST (a_group_is_asked_with_its_struct_whether_it_is_needed)
{
  Thing source, target;

  fill (&source);
  fill_defaults (&target);
  ck_assert (carry_thing (&grouped, &source, &grouped, &target));
  ck_assert_uint_eq (target.x, 8);
  ck_assert_str_eq (target.label, "label");
  source.grouped = false;
  source.x = 9;
  ck_assert (carry_thing (&grouped, &source, &grouped, &target));
  ck_assert_uint_eq (target.x, 8); /* as the reader had it */
  clear (&source);
  clear (&target);
}
END_TEST

START_TEST (presence_is_0_or_1)
{
  static const uint8_t right[] = { 1, 0, 0, 0, 2, 7, 0 };

  for (unsigned presence = 2; presence < 256; presence += 11)
    {
      uint8_t changed[sizeof right];
      Thing target = { .number = 1 };
      Carried carried;

      memcpy (changed, right, sizeof right);
      changed[4] = (uint8_t) presence;
      carried_make (&carried, &number, changed, sizeof changed);
      ck_assert (!carried_read (&carried, &number, &target, NULL, &error));
      assert_error (&error, CPR_ERROR_CORRUPT, "field 'number': its presence is");
      ck_assert (!carried_read (&carried, &alone, &target, NULL, &error));
      assert_error (&error, CPR_ERROR_CORRUPT, "field 'number': its presence is");
      ck_assert_uint_eq (target.number, 1);
      carried_clear (&carried);
    }
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("optional");

  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, at_its_default_a_field_is_one_byte);
  tcase_add_test (tests, any_true_bool_is_at_a_default_of_true);
  tcase_add_test (tests, at_its_default_a_field_may_be_unknown_and_else_it_must_not);
  tcase_add_test (tests, a_field_that_the_state_does_not_know_gets_the_reader_s_default);
  tcase_add_test (tests, an_absent_field_becomes_what_its_absence_stands_for);
  tcase_add_test (tests, a_present_field_replaces_what_there_is);
  tcase_add_test (tests, the_writer_s_default_is_taken_before_the_reader_s);
  tcase_add_test (tests, the_writer_s_default_must_fit_too);
  tcase_add_test (tests, a_field_that_is_never_absent_becomes_an_optional_one);
  tcase_add_test (tests, an_absent_fixed_array_becomes_as_many_elements);
  tcase_add_test (tests, an_absent_array_has_the_writer_s_default_in_all_elements);
  tcase_add_test (tests, an_ignorable_field_of_any_kind_is_dropped);
  tcase_add_test (tests, what_is_dropped_is_named_with_the_structs_around_it);
  tcase_add_test (tests, a_field_is_found_by_any_of_its_older_names);
  tcase_add_test (tests, a_field_that_comes_under_two_of_its_names_is_refused);
  tcase_add_test (tests, a_retired_field_writes_its_value_and_drops_what_it_reads);
  tcase_add_test (tests, a_retired_field_drops_any_kind);
  tcase_add_test (tests, a_group_is_asked_with_its_struct_whether_it_is_needed);
  tcase_add_test (tests, presence_is_0_or_1);
  return run_suite (suite);
}
