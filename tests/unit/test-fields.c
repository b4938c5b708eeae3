/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Every field macro, read with the table that wrote it; and values on the heap, in lists and in the
 * fd table. */
#include "carry.h"
#include "everything.h"

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

static void
carry_everything (const Everything *source, Everything *target)
{
  Carried carried;

  ck_assert (carried_write (&carried, &everything_struct, source, &codec, &error));
  ck_assert (carried_read (&carried, &everything_struct, target, &codec, &error));
  carried_clear (&carried);
}

START_TEST (every_field_round_trips_into_an_empty_struct)
{
  Everything source, target = { .fd = 0 };

  everything_fill (&source, &fds);
  carry_everything (&source, &target);
  assert_everything_eq (&source, &target);
  everything_clear (&source);
  everything_clear (&target);
}
END_TEST

START_TEST (every_field_round_trips_over_other_values)
{
  Everything source, target;

  everything_fill (&source, &fds);
  everything_fill (&target, NULL);
  node_list_add (&target.nodes, 10, "one more");
  target.numbers = g_renew (uint32_t, target.numbers, 50);
  target.n_numbers = 50;
  target.when = target.x = target.optional = target.flag = 0;
  carry_everything (&source, &target);
  assert_everything_eq (&source, &target);
  everything_clear (&source);
  everything_clear (&target);
}
END_TEST

START_TEST (an_empty_struct_round_trips_over_a_full_one)
{
  Everything source = { .fd = -1, .fds = { -1, -1, -1 }, .x = 11, .y = 12 }, target;

  everything_fill (&target, NULL);
  carry_everything (&source, &target);
  assert_everything_eq (&source, &target); /* x and y: nothing is in the state, so they are kept */
  ck_assert_ptr_null (target.numbers);
  ck_assert_ptr_null (target.buffer);
  everything_clear (&target);
}
END_TEST

/* ---- The heap. */

typedef struct
{
  char *text;
} Heap;

static const CprField heap_fields[] = { CPR_FIELD_HEAP_STRING (Heap, text, 8), CPR_FIELD_END };
static const CprStruct heap_struct = { "Heap", sizeof (Heap), heap_fields };

START_TEST (a_heap_string_keeps_null)
{
  Heap source = { NULL }, target = { g_strdup ("old") };

  ck_assert (carry (&heap_struct, &source, &heap_struct, &target, &error));
  ck_assert_ptr_null (target.text);
}
END_TEST

START_TEST (an_empty_heap_string_is_not_null)
{
  char empty[] = "";
  Heap source = { empty }, target = { NULL };

  ck_assert (carry (&heap_struct, &source, &heap_struct, &target, &error));
  ck_assert_pstr_eq (target.text, "");
  g_free (target.text);
}
END_TEST

START_TEST (a_heap_string_has_at_most_its_maximum)
{
  char eight[] = "12345678", nine[] = "123456789";
  Heap source = { eight }, target = { NULL };

  ck_assert (carry (&heap_struct, &source, &heap_struct, &target, &error));
  ck_assert_str_eq (target.text, eight);
  source.text = nine;
  ck_assert (!carry (&heap_struct, &source, &heap_struct, &target, &error));
  assert_error (&error, CPR_ERROR_INVALID, "field 'text': a string of more than 8 bytes");
  ck_assert_str_eq (target.text, eight);
  g_free (target.text);
}
END_TEST

typedef struct
{
  Branch *branch;
} Tree;

static const CprField tree_fields[] = { CPR_FIELD_POINTER (Tree, branch, Branch, branch_struct), CPR_FIELD_END };
static const CprStruct tree_struct = { "Tree", sizeof (Tree), tree_fields };

START_TEST (a_pointer_is_made_where_there_is_none_and_kept_where_there_is_one)
{
  Tree source = { branch_new (5) }, target = { NULL };
  Branch *made;

  ck_assert (carry (&tree_struct, &source, &tree_struct, &target, &error));
  made = target.branch;
  ck_assert_ptr_nonnull (made);
  ck_assert_uint_eq (made->array[1].id, 6);
  made->some[1].label = g_strdup ("behind the count");
  source.branch->inner.id = 77;
  ck_assert (carry (&tree_struct, &source, &tree_struct, &target, &error));
  ck_assert_ptr_eq (target.branch, made);
  ck_assert_uint_eq (made->inner.id, 77);
  ck_assert_str_eq (made->some[1].label, "behind the count");
  branch_free (source.branch);
  branch_free (target.branch);
}
END_TEST

/* Strings in a struct in it, in arrays, behind a count, in its list; its own pointer: ASan and
 * valgrind count what is left. */
START_TEST (a_pointer_that_is_null_in_the_state_is_freed_with_all_below_it)
{
  Tree source = { NULL }, target = { branch_new (5) };

  target.branch->n_some = 2;
  target.branch->some[1].label = g_strdup ("second");
  ck_assert (carry (&tree_struct, &source, &tree_struct, &target, &error));
  ck_assert_ptr_null (target.branch);
}
END_TEST

START_TEST (elements_behind_a_smaller_count_are_freed)
{
  Tree source = { branch_new (5) }, target = { branch_new (5) };

  target.branch->n_some = 2;
  target.branch->some[1].label = g_strdup ("second");
  ck_assert (carry (&tree_struct, &source, &tree_struct, &target, &error));
  ck_assert_uint_eq (target.branch->n_some, 1);
  ck_assert_str_eq (target.branch->some[0].label, "some");
  ck_assert_ptr_null (target.branch->some[1].label);
  branch_free (source.branch);
  branch_free (target.branch);
}
END_TEST

/* What it had is replaced: ASan and valgrind count what is left. */
START_TEST (an_element_that_comes_into_use_owns_what_it_pointed_to)
{
  Tree source = { branch_new (5) }, target = { branch_new (5) };

  g_free (target.branch->some[0].label);
  target.branch->n_some = 0;
  target.branch->some[0].label = g_strdup ("allocated beforehand");
  ck_assert (carry (&tree_struct, &source, &tree_struct, &target, &error));
  ck_assert_uint_eq (target.branch->n_some, 1);
  ck_assert_str_eq (target.branch->some[0].label, "some");
  branch_free (source.branch);
  branch_free (target.branch);
}
END_TEST

START_TEST (elements_that_are_counted_but_not_there_cannot_be_saved)
{
  Everything source = { .fd = -1, .fds = { -1, -1, -1 }, .n_numbers = 3 }, target = { .fd = -1 };

  ck_assert (!carry (&everything_struct, &source, &everything_struct, &target, &error));
  assert_error (&error, CPR_ERROR_INVALID, "field 'numbers': 3 elements are counted, there are none");
  source.n_numbers = 101;
  ck_assert (!carry (&everything_struct, &source, &everything_struct, &target, &error));
  assert_error (&error, CPR_ERROR_INVALID, "field 'numbers': 101 elements are counted, 100 is the most");
  source.n_numbers = UINT64_MAX;
  ck_assert (!carry (&everything_struct, &source, &everything_struct, &target, &error));
  assert_error (&error, CPR_ERROR_INVALID, "field 'numbers': 18446744073709551615 elements are counted");
  source.n_numbers = 0;
  source.n_buffer = 1;
  ck_assert (!carry (&everything_struct, &source, &everything_struct, &target, &error));
  assert_error (&error, CPR_ERROR_INVALID, "field 'buffer': 1 elements are counted, there are none");
}
END_TEST

/* ---- Lists. */

typedef struct
{
  NodeList nodes;
} Nodes;

static const CprField nodes_fields[] = { CPR_FIELD_LIST (Nodes, nodes, Node, node_struct, 3, node_callbacks),
                                         CPR_FIELD_END };
static const CprStruct nodes_struct = { "Nodes", sizeof (Nodes), nodes_fields };

START_TEST (a_list_is_cleared_and_filled_in_order)
{
  Nodes source = { { NULL, NULL } }, target = { { NULL, NULL } };

  node_list_add (&target.nodes, 99, "old");
  node_list_add (&source.nodes, 1, "one");
  node_list_add (&source.nodes, 2, NULL);
  ck_assert (carry (&nodes_struct, &source, &nodes_struct, &target, &error));
  ck_assert_uint_eq (target.nodes.first->id, 1);
  ck_assert_str_eq (target.nodes.first->label, "one");
  ck_assert_uint_eq (target.nodes.last->id, 2);
  ck_assert_ptr_null (target.nodes.last->label);
  ck_assert_ptr_eq (target.nodes.first->next, target.nodes.last);
  node_list_clear (&source.nodes);
  ck_assert (carry (&nodes_struct, &source, &nodes_struct, &target, &error));
  ck_assert_ptr_null (target.nodes.first);
}
END_TEST

START_TEST (a_list_has_at_most_its_maximum)
{
  Nodes source = { { NULL, NULL } }, target = { { NULL, NULL } };

  for (uint32_t i = 0; i < 3; i++)
    node_list_add (&source.nodes, i, NULL);
  ck_assert (carry (&nodes_struct, &source, &nodes_struct, &target, &error));
  for (uint32_t i = 3; i < 50; i++)
    node_list_add (&source.nodes, i, NULL);
  ck_assert (!carry (&nodes_struct, &source, &nodes_struct, &target, &error));
  assert_error (&error, CPR_ERROR_INVALID, "field 'nodes': at least 4 elements are counted, 3 is the most");
  ck_assert_uint_eq (target.nodes.last->id, 2);
  node_list_clear (&source.nodes);
  node_list_clear (&target.nodes);
}
END_TEST

START_TEST (a_failure_in_an_element_names_the_list_too)
{
  g_autofree char *too_long = name_of (41);
  Nodes source = { { NULL, NULL } }, target = { { NULL, NULL } };

  node_list_add (&source.nodes, 1, too_long);
  ck_assert (!carry (&nodes_struct, &source, &nodes_struct, &target, &error));
  assert_error (&error, CPR_ERROR_INVALID, "field 'nodes': field 'label': a string of more than 40 bytes");
  node_list_clear (&source.nodes);
}
END_TEST

typedef struct
{
  uint16_t n_nodes;
  Node nodes[2];
} NodeArray;

static const CprField node_array_fields[] = { CPR_FIELD_STRUCT_COUNTED (NodeArray, nodes, n_nodes, Node, node_struct),
                                              CPR_FIELD_END };
static const CprStruct node_array_struct = { "Nodes", sizeof (NodeArray), node_array_fields };

START_TEST (a_list_becomes_a_counted_array_and_back)
{
  NodeArray array = { 2, { { 1, NULL, NULL }, { 2, NULL, NULL } } };
  Nodes nodes = { { NULL, NULL } };

  ck_assert (carry (&node_array_struct, &array, &nodes_struct, &nodes, &error));
  ck_assert_uint_eq (nodes.nodes.last->id, 2);
  array.n_nodes = 0;
  ck_assert (carry (&nodes_struct, &nodes, &node_array_struct, &array, &error));
  ck_assert_uint_eq (array.n_nodes, 2);
  node_list_add (&nodes.nodes, 3, NULL);
  ck_assert (!carry (&nodes_struct, &nodes, &node_array_struct, &array, &error));
  assert_error (&error, CPR_ERROR_MISMATCH, "field 'nodes' has 3 elements in the state, at most 2 here");
  node_list_clear (&nodes.nodes);
}
END_TEST

/* ---- Fds. */

typedef struct
{
  int fd;
  int fds[2];
} Fds;

static const CprField fds_fields[] = { CPR_FIELD_FD (Fds, fd), CPR_FIELD_FD_ARRAY (Fds, fds), CPR_FIELD_END };
static const CprStruct fds_struct = { "Fds", sizeof (Fds), fds_fields };

START_TEST (an_fd_is_carried_by_its_name_and_claimed)
{
  const Fds source = { 101, { -1, 100 } };
  Fds target = { 0, { 0, 0 } };
  Carried carried;

  ck_assert (carried_write (&carried, &fds_struct, &source, &codec, &error));
  cpr_fd_table_find (&fds, "disk", 1)->fd = 201; /* another number in the other program */
  ck_assert (carried_read (&carried, &fds_struct, &target, &codec, &error));
  ck_assert_int_eq (target.fd, 201);
  ck_assert_int_eq (target.fds[0], -1);
  ck_assert_int_eq (target.fds[1], 100);
  ck_assert (cpr_fd_table_find (&fds, "disk", 0)->claimed && cpr_fd_table_find (&fds, "disk", 1)->claimed);
  ck_assert (!cpr_fd_table_find (&fds, "disk", 2)->claimed);
  carried_clear (&carried);
}
END_TEST

START_TEST (an_fd_that_is_not_in_the_table_cannot_be_saved)
{
  Fds source = { 99, { -1, -1 } }, target = { 0, { 0, 0 } };
  Carried carried;

  ck_assert (!carried_write (&carried, &fds_struct, &source, &codec, &error));
  assert_error (&error, CPR_ERROR_INVALID, "field 'fd': fd 99 isn't in the fd table");
  carried_clear (&carried);
  source = (Fds){ -1, { 100, 3 } };
  ck_assert (!carried_write (&carried, &fds_struct, &source, &codec, &error));
  assert_error (&error, CPR_ERROR_INVALID, "field 'fds': fd 3 isn't in the fd table");
  carried_clear (&carried);
  ck_assert (!carry (&fds_struct, &source, &fds_struct, &target, &error)); /* no table at all */
  assert_error (&error, CPR_ERROR_INVALID, "fd 100 isn't in the fd table");
}
END_TEST

START_TEST (an_fd_that_the_reader_s_table_lacks_is_named)
{
  const Fds source = { -1, { -1, 102 } };
  Fds target = { 7, { 7, 7 } };
  Carried carried;

  ck_assert (carried_write (&carried, &fds_struct, &source, &codec, &error));
  cpr_fd_table_remove (&fds, cpr_fd_table_find (&fds, "disk", 2));
  ck_assert (!carried_read (&carried, &fds_struct, &target, &codec, &error));
  assert_error (&error, CPR_ERROR_MISMATCH, "field 'fds': the fd 'disk' 2 isn't there");
  ck_assert_int_eq (target.fd, 7);
  carried_clear (&carried);
}
END_TEST

START_TEST (an_fd_is_a_name_and_an_index_or_nothing_and_0)
{
  static const char *const wrong[] = {
    "\4\0disk\0\0\0\0\x80", /* an index above 2147483647 */
    "\0\0\0\1\0\0\0",       /* no name, but an index */
    "\4\0di\0k\0\0\0\0\0",  /* a zero byte within */
    "\4\0disk!\0\0\0\0",    /* no end */
  };
  static const char *const texts[] = {
    "field 'fd': fd 'disk' has index 2147483648, at most 2147483647 expected",
    "field 'fd': an fd without a name has index 1, 0 expected",
    "field 'fd': an fd's name and index are cut off or damaged",
    "field 'fd': an fd's name and index are cut off or damaged",
  };
  static const size_t lengths[] = { 11, 7, 11, 11 };
  const CprField fields[] = { CPR_FIELD_FD (Fds, fd), CPR_FIELD_END };
  const CprStruct type = { "Fds", sizeof (Fds), fields };
  Fds target = { 7, { 7, 7 } };

  for (size_t i = 0; i < G_N_ELEMENTS (wrong); i++)
    {
      Carried carried;

      carried_make (&carried, &type, wrong[i], lengths[i]);
      ck_assert (!carried_read (&carried, &type, &target, &codec, &error));
      assert_error (&error, CPR_ERROR_CORRUPT, texts[i]);
      carried_clear (&carried);
    }
  ck_assert_int_eq (target.fd, 7);
}
END_TEST

/* ---- Times. */

typedef struct
{
  int64_t when;
  uint64_t unsigned_when;
  int64_t other; /* no time */
} Times;

static const CprField times_fields[] = { CPR_FIELD_TIME (Times, when), CPR_FIELD_TIME (Times, unsigned_when),
                                         CPR_FIELD (Times, other), CPR_FIELD_END };
static const CprStruct times_struct = { "Times", sizeof (Times), times_fields };

START_TEST (times_are_moved_by_the_offset_and_nothing_else_is)
{
  static const int64_t offsets[] = { 0, 1000, -1000, INT64_MAX, INT64_MIN };
  const Times source = { 500, 600, 700 };
  Carried carried;

  ck_assert (carried_write (&carried, &times_struct, &source, NULL, &error));
  for (size_t i = 0; i < G_N_ELEMENTS (offsets); i++)
    {
      Times target = { 0, 0, 0 };

      codec.time_offset_ns = offsets[i];
      ck_assert (carried_read (&carried, &times_struct, &target, &codec, &error));
      ck_assert_int_eq (target.when, (int64_t) (500 + (uint64_t) offsets[i]));
      ck_assert_uint_eq (target.unsigned_when, 600 + (uint64_t) offsets[i]);
      ck_assert_int_eq (target.other, 700);
    }
  carried_clear (&carried);
}
END_TEST

/* ---- A walk without tables of one's own. */

static void
tell_field (const CprSchemaField *field, void *text)
{
  g_string_append_printf (text, "%s=", field->name);
}

static void
tell_absent (void *text)
{
  g_string_append (text, "nothing ");
}

static void
tell_list (uint32_t count, void *text)
{
  g_string_append_printf (text, "%u[ ", count);
}

static void
tell_list_end (void *text)
{
  g_string_append (text, "] ");
}

static void
tell_struct (void *text)
{
  g_string_append (text, "{ ");
}

static void
tell_struct_end (void *text)
{
  g_string_append (text, "} ");
}

static void
tell_number (const CprSchemaField *field G_GNUC_UNUSED, uint64_t value, void *text)
{
  g_string_append_printf (text, "%" G_GINT64_FORMAT " ", (int64_t) value);
}

static void
tell_bytes (const uint8_t *bytes, size_t len, void *text)
{
  g_string_append_printf (text, "'%.*s' ", (int) len, (const char *) bytes);
}

static void
tell_fd (const char *name, int index, void *text)
{
  g_string_append_printf (text, "%s/%d ", name, index);
}

#if CHAR_MIN < 0
#  define LETTER "-1"
#else
#  define LETTER "255"
#endif

static const char walked[] =
    "{ flag=1 letter=" LETTER
    " i8=-128 i16=-32768 i32=-2147483648 i64=-9223372036854775808 u8=255 u16=65535 u32=4294967295 "
    "u64=-1 f32=1036831949 f64=-9223372036854775808 colour=2147483647 optional=501 ignorable=nothing "
    "array=4[ -1 2 -3 4 ] counted=2[ 4609434218613702656 -4610560118520545280 ] "
    "numbers=3[ 4294967295 4294967294 4294967293 ] bytes='abcdefg' buffer='a\nb\tc' text='eleven char' name='a name' "
    "timer={ period=1 drift=-1 } timers=2[ { period=2 drift=-2 } { period=3 drift=-3 } ] "
    "queue=3[ { period=4 drift=-4 } { period=5 drift=-5 } { period=6 drift=-6 } ] "
    "branch={ inner={ id=1000 label='inner' } array=2[ { id=0 label=nothing } { id=1001 label='' } ] "
    "some=1[ { id=1002 label='some' } ] list=1[ { id=1003 label='listed' } ] timer={ period=1000 drift=0 } } "
    "nodes=3[ { id=7 label='seven' } { id=8 label=nothing } { id=9 label='' } ] fd=disk/0 "
    "fds=3[ disk/1 /-1 disk/2 ] when=123456789 grouped=1 position={ x=11 y=12 } gone=7 } ";

START_TEST (a_walk_tells_every_value_in_order)
{
  g_autoptr (GString) text = g_string_new (NULL);
  const CprVisitor visitor = { tell_field,      tell_absent, tell_list,  tell_list_end, tell_struct,
                               tell_struct_end, tell_number, tell_bytes, tell_fd,       text };
  const CprVisitor silent = { .user_data = NULL };
  Everything source;
  Carried carried;
  CprCursor cursor;

  everything_fill (&source, &fds);
  source.ignorable = -1;
  memcpy (source.bytes, "abcdefg", 7);
  ck_assert (carried_write (&carried, &everything_struct, &source, &codec, &error));
  cursor = carried.fields;
  ck_assert (cpr_struct_walk (&carried.schema, carried.index, &cursor, &codec, &visitor, &error));
  ck_assert_uint_eq (cpr_cursor_left (&cursor), 0);
  ck_assert_str_eq (text->str, walked);
  cursor = carried.fields;
  ck_assert (cpr_struct_walk (&carried.schema, carried.index, &cursor, NULL, &silent, &error));
  ck_assert_uint_eq (cpr_cursor_left (&cursor), 0);
  cpr_fd_table_remove (&fds, cpr_fd_table_find (&fds, "disk", 2));
  cursor = carried.fields;
  ck_assert (!cpr_struct_walk (&carried.schema, carried.index, &cursor, &codec, NULL, &error));
  assert_error (&error, CPR_ERROR_CORRUPT, "field 'fds': the fd 'disk' 2 isn't in the state");
  everything_clear (&source);
  carried_clear (&carried);
}
END_TEST

/* A reader with tables stops where a reader without tables does. */
START_TEST (a_walk_finds_every_byte_that_is_missing)
{
  Everything source;
  Carried carried;

  everything_fill (&source, &fds);
  ck_assert (carried_write (&carried, &everything_struct, &source, &codec, &error));
  for (size_t len = 0; len < carried.fields.len; len++)
    {
      g_autofree uint8_t *copy = g_memdup2 (carried.fields.data, len);
      CprCursor cursor = { .data = copy, .len = len };
      Everything target = { .fd = -1 };
      Carried cut = carried;

      ck_assert (!cpr_struct_walk (&carried.schema, carried.index, &cursor, NULL, NULL, &error));
      ck_assert_int_eq (error->code, CPR_ERROR_CORRUPT);
      g_clear_error (&error);
      cut.fields.len = len;
      ck_assert (!carried_read (&cut, &everything_struct, &target, &codec, &error));
      ck_assert_int_eq (error->code, CPR_ERROR_CORRUPT);
      g_clear_error (&error);
    }
  everything_clear (&source);
  carried_clear (&carried);
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("fields");

  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, every_field_round_trips_into_an_empty_struct);
  tcase_add_test (tests, every_field_round_trips_over_other_values);
  tcase_add_test (tests, an_empty_struct_round_trips_over_a_full_one);
  tcase_add_test (tests, a_heap_string_keeps_null);
  tcase_add_test (tests, an_empty_heap_string_is_not_null);
  tcase_add_test (tests, a_heap_string_has_at_most_its_maximum);
  tcase_add_test (tests, a_pointer_is_made_where_there_is_none_and_kept_where_there_is_one);
  tcase_add_test (tests, a_pointer_that_is_null_in_the_state_is_freed_with_all_below_it);
  tcase_add_test (tests, elements_behind_a_smaller_count_are_freed);
  tcase_add_test (tests, an_element_that_comes_into_use_owns_what_it_pointed_to);
  tcase_add_test (tests, elements_that_are_counted_but_not_there_cannot_be_saved);
  tcase_add_test (tests, a_list_is_cleared_and_filled_in_order);
  tcase_add_test (tests, a_list_has_at_most_its_maximum);
  tcase_add_test (tests, a_failure_in_an_element_names_the_list_too);
  tcase_add_test (tests, a_list_becomes_a_counted_array_and_back);
  tcase_add_test (tests, an_fd_is_carried_by_its_name_and_claimed);
  tcase_add_test (tests, an_fd_that_is_not_in_the_table_cannot_be_saved);
  tcase_add_test (tests, an_fd_that_the_reader_s_table_lacks_is_named);
  tcase_add_test (tests, an_fd_is_a_name_and_an_index_or_nothing_and_0);
  tcase_add_test (tests, times_are_moved_by_the_offset_and_nothing_else_is);
  tcase_add_test (tests, a_walk_tells_every_value_in_order);
  tcase_add_test (tests, a_walk_finds_every_byte_that_is_missing);
  return run_suite (suite);
}
