/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The rules of doc/stream-format.md, section 6, broken one at a time in a program's own tables, as
 * far as they can be broken there; and structs that could keep a reader busy for ever. */
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

  ck_assert_msg (!cpr_struct_check (&type, &error), "field '%s' was accepted, expected: %s", field.name, text);
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
                        "struct 'Own': field 'u8' is also named '");
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

/* Sixteen levels, each with many lists of the level below. A tree of them would have 100^15
 * leaves. */
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

/* The bytes say "one element" over and over, and end at the first leaf. */
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
  BEGIN_SUITE ("own-tables");

  tcase_add_checked_fixture (tests, setup, NULL);
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
