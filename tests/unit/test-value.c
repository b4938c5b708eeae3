/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Conversion from one kind of field to another: each row of the table of doc/stream-format.md,
 * section 11. */
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

/* A member for each kind and shape; each table has one field of them, of the same name. */
typedef struct
{
  bool flag;
  uint8_t u8;
  uint32_t u32;
  int16_t i16;
  int64_t i64;
  float f32;
  double f64;
  uint8_t bytes[4], more_bytes[6];
  uint8_t n;
  uint8_t *heap_bytes;
  char text[5], longer_text[9];
  char *heap_text;
  Timer timer;
  Timer *pointer;
  Timer timers[4];
  NodeList nodes;
  int fd, fds[4];
  int64_t when;
  uint32_t array[4], longer_array[6];
  uint32_t *heap_array;
} Any;

#define TABLE(name, ...)                                                  \
  static const CprField name##_fields[] = { __VA_ARGS__, CPR_FIELD_END }; \
  static const CprStruct name = { "Any", sizeof (Any), name##_fields }
#define VALUE .name = "value"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init" /* they are all called the same */
TABLE (flag, CPR_FIELD (Any, flag, VALUE));
TABLE (u8, CPR_FIELD (Any, u8, VALUE));
TABLE (u32, CPR_FIELD (Any, u32, VALUE));
TABLE (i16, CPR_FIELD (Any, i16, VALUE));
TABLE (i64, CPR_FIELD (Any, i64, VALUE));
TABLE (f32, CPR_FIELD (Any, f32, VALUE));
TABLE (f64, CPR_FIELD (Any, f64, VALUE));
TABLE (bytes, CPR_FIELD_BYTES (Any, bytes, VALUE));
TABLE (more_bytes, CPR_FIELD_BYTES (Any, more_bytes, VALUE));
TABLE (heap_bytes, CPR_FIELD_HEAP_BYTES (Any, heap_bytes, n, 5, VALUE));
TABLE (text, CPR_FIELD_STRING (Any, text, VALUE));
TABLE (longer_text, CPR_FIELD_STRING (Any, longer_text, VALUE));
TABLE (heap_text, CPR_FIELD_HEAP_STRING (Any, heap_text, 6, VALUE));
TABLE (timer, CPR_FIELD_STRUCT (Any, timer, Timer, timer_struct, VALUE));
TABLE (pointer, CPR_FIELD_POINTER (Any, pointer, Timer, timer_struct, VALUE));
TABLE (timers, CPR_FIELD_STRUCT_ARRAY (Any, timers, Timer, timer_struct, VALUE));
TABLE (some_timers, CPR_FIELD_STRUCT_COUNTED (Any, timers, n, Timer, timer_struct, VALUE));
TABLE (fd, CPR_FIELD_FD (Any, fd, VALUE));
TABLE (all_fds, CPR_FIELD_FD_ARRAY (Any, fds, VALUE));
TABLE (when, CPR_FIELD_TIME (Any, when, VALUE));
TABLE (array, CPR_FIELD_ARRAY (Any, array, VALUE));
TABLE (longer_array, CPR_FIELD_ARRAY (Any, longer_array, VALUE));
TABLE (counted, CPR_FIELD_COUNTED (Any, array, n, VALUE));
TABLE (heap_array, CPR_FIELD_HEAP_ARRAY (Any, heap_array, n, 5, VALUE));
TABLE (retired, CPR_FIELD_RETIRED (value, uint16_t, 9));
#pragma GCC diagnostic pop

static bool
carry_any (const CprStruct *from, const Any *source, const CprStruct *to, Any *target)
{
  return carry_with (from, source, to, target, &codec, &error);
}

static void
assert_refused (const CprStruct *from, const Any *source, const CprStruct *to, const char *reason)
{
  Any target, before;

  memset (&target, 0x55, sizeof target);
  before = target;
  ck_assert_msg (!carry_any (from, source, to, &target), "the value was accepted, expected: %s", reason);
  assert_error (&error, CPR_ERROR_MISMATCH, reason);
  ck_assert_mem_eq (&target, &before, sizeof target);
}

/* Kinds by class: those of one class go together, as long as the value fits; the classes don't. */
static const struct
{
  const CprStruct *type;
  int class;
  const char *name;
} kinds[] = {
  { &flag, 1, "bool" },
  { &u8, 1, "uint of 1 byte" },
  { &u32, 1, "uint of 4 bytes" },
  { &i16, 1, "int of 2 bytes" },
  { &i64, 1, "int of 8 bytes" },
  { &f32, 2, "float of 4 bytes" },
  { &f64, 2, "float of 8 bytes" },
  { &bytes, 3, "4 raw bytes" },
  { &heap_bytes, 3, "at most 5 raw bytes" },
  { &text, 4, "string" },
  { &heap_text, 4, "string" },
  { &timer, 5, "struct" },
  { &pointer, 5, "struct" },
  { &timers, 6, "4 of struct" },
  { &some_timers, 6, "at most 4 of struct" },
  { &fd, 7, "fd" },
  { &all_fds, 8, "4 of fd" },
  { &when, 9, "time" },
  { &array, 10, "4 of uint of 4 bytes" },
  { &counted, 10, "at most 4 of uint of 4 bytes" },
};

static void
fill (Any *any)
{
  memset (any, 0, sizeof *any);
  any->fd = -1;
  for (int i = 0; i < 4; i++)
    any->fds[i] = -1;
}

START_TEST (any_other_pair_of_kinds_and_shapes_is_refused_by_its_names)
{
  unsigned refused = 0;
  Any source;

  fill (&source);
  for (size_t from = 0; from < G_N_ELEMENTS (kinds); from++)
    for (size_t to = 0; to < G_N_ELEMENTS (kinds); to++)
      {
        g_autofree char *words =
            g_strdup_printf ("field 'value' is %s in the state, %s here", kinds[from].name, kinds[to].name);

        if (kinds[from].class == kinds[to].class)
          continue;
        assert_refused (kinds[from].type, &source, kinds[to].type, words);
        refused++;
      }
  ck_assert_uint_eq (refused, 20 * 20 - 5 * 5 - 6 * 2 * 2 - 3);
}
END_TEST

START_TEST (a_bool_becomes_0_or_1_of_any_width)
{
  static const CprStruct *const integers[] = { &u8, &u32, &i16, &i64 };

  for (int value = 0; value < 2; value++)
    {
      Any source, target = { .u8 = 9, .u32 = 9, .i16 = 9, .i64 = 9 };

      fill (&source);
      source.flag = value;
      for (size_t i = 0; i < G_N_ELEMENTS (integers); i++)
        ck_assert (carry_any (&flag, &source, integers[i], &target));
      ck_assert (target.u8 == value && target.u32 == (uint32_t) value && target.i16 == value && target.i64 == value);
    }
}
END_TEST

START_TEST (an_integer_becomes_a_bool_if_it_is_0_or_1)
{
  Any source = { .u32 = 1 }, target = { .flag = false };

  ck_assert (carry_any (&u32, &source, &flag, &target));
  ck_assert (target.flag);
  ck_assert (carry_any (&i16, &source, &flag, &target));
  ck_assert (!target.flag);
  source.u32 = 2;
  assert_refused (&u32, &source, &flag, "field 'value': 2 doesn't fit into bool");
  source.u32 = 256;
  assert_refused (&u32, &source, &flag, "field 'value': 256 doesn't fit into bool");
  source.i16 = -1;
  assert_refused (&i16, &source, &flag, "field 'value': -1 doesn't fit into bool");
  source.i64 = INT64_MIN;
  assert_refused (&i64, &source, &flag, "field 'value': -9223372036854775808 doesn't fit into bool");
}
END_TEST

START_TEST (floating_point_is_widened)
{
  static const float values[] = { 0.0f, -0.0f, 0.1f, 3.4e38f, 1e-45f, -__builtin_inff () };

  for (size_t i = 0; i < G_N_ELEMENTS (values); i++)
    {
      Any source = { .f32 = values[i] }, target = { .f64 = 7 };
      double wide = (double) values[i];

      ck_assert (carry_any (&f32, &source, &f64, &target));
      ck_assert_mem_eq (&target.f64, &wide, sizeof wide);
      ck_assert (carry_any (&f64, &target, &f32, &source));
      ck_assert_mem_eq (&source.f32, &values[i], sizeof values[i]);
    }
}
END_TEST

START_TEST (floating_point_is_narrowed_where_nothing_is_lost)
{
  static const double lost[] = { 0.1, 1e39, -1e300, 1e-46, 16777217.0 };
  Any source = { .f64 = 16777216.0 }, target = { .f32 = 7 };

  ck_assert (carry_any (&f64, &source, &f32, &target));
  ck_assert (target.f32 == 16777216.0f);
  for (size_t i = 0; i < G_N_ELEMENTS (lost); i++)
    {
      source.f64 = lost[i];
      assert_refused (&f64, &source, &f32, "field 'value': a value doesn't fit into float of 4 bytes");
    }
}
END_TEST

START_TEST (bytes_keep_their_number)
{
  Any source = { .bytes = { 1, 0, 3, 4 } }, target = { .n = 0 };

  assert_refused (&bytes, &source, &more_bytes, "field 'value' is 4 raw bytes in the state, 6 raw bytes here");
  assert_refused (&more_bytes, &source, &bytes, "field 'value' is 6 raw bytes in the state, 4 raw bytes here");
  assert_refused (&heap_bytes, &source, &bytes, "is at most 5 raw bytes in the state, 4 raw bytes here");
  assert_refused (&more_bytes, &source, &heap_bytes, "is 6 raw bytes in the state, at most 5 raw bytes here");
  ck_assert (carry_any (&bytes, &source, &heap_bytes, &target));
  ck_assert_uint_eq (target.n, 4);
  ck_assert_mem_eq (target.heap_bytes, source.bytes, 4);
  g_free (target.heap_bytes);
}
END_TEST

START_TEST (a_string_fits_by_its_length_wherever_it_is)
{
  char four[] = "four", five[] = "fiver";
  Any source = { .heap_text = four, .longer_text = "four" }, target = { .text = "old" };

  ck_assert (carry_any (&heap_text, &source, &text, &target));
  ck_assert_str_eq (target.text, "four");
  ck_assert (carry_any (&longer_text, &source, &text, &target));
  ck_assert (carry_any (&text, &target, &heap_text, &target));
  ck_assert_str_eq (target.heap_text, "four");
  g_free (target.heap_text);
  source.heap_text = five;
  assert_refused (&heap_text, &source, &text, "field 'value' has 5 bytes in the state, at most 4 here");
  strcpy (source.longer_text, "sevenxy");
  assert_refused (&longer_text, &source, &heap_text, "field 'value' has 7 bytes in the state, at most 6 here");
}
END_TEST

START_TEST (a_shorter_string_leaves_nothing_of_a_longer_one)
{
  Any source = { .text = "a" }, target;

  memset (target.text, 'x', sizeof target.text);
  ck_assert (carry_any (&text, &source, &text, &target));
  ck_assert_mem_eq (target.text, "a\0\0\0", sizeof target.text);
}
END_TEST

START_TEST (a_string_without_end_cannot_be_saved)
{
  Any source, target = { .text = "old" };

  memset (&source, 'x', sizeof source);
  ck_assert (!carry_any (&text, &source, &text, &target));
  assert_error (&error, CPR_ERROR_INVALID, "field 'value': a string of more than 4 bytes");
}
END_TEST

START_TEST (strings_that_cannot_be_right_are_refused)
{
  static const struct
  {
    const char *bytes;
    size_t len;
  } wrong[] = {
    { "\5\0\0\0abcde", 9 }, /* more than the schema's maximum */
    { "\3\0\0\0a\0c", 7 },  /* a zero byte */
    { "\3\0\0\0ab", 6 },    /* cut off */
    { "\3\0\0", 3 },        /* its length cut off */
    { "\xff\xff\xff\xff"
      "abc",
      7 },
  };

  for (size_t i = 0; i < G_N_ELEMENTS (wrong); i++)
    {
      Any target = { .text = "old" };
      Carried carried;

      carried_make (&carried, &text, wrong[i].bytes, wrong[i].len);
      ck_assert_msg (!carried_read (&carried, &longer_text, &target, NULL, &error), "%zu", i);
      assert_error (&error, CPR_ERROR_CORRUPT, "field 'value'");
      ck_assert_str_eq (target.text, "old");
      carried_clear (&carried);
    }
}
END_TEST

START_TEST (a_fixed_array_becomes_one_on_the_heap_that_is_as_long)
{
  Any source = { .array = { 1, 2, 3, 4 } }, target = { .n = 0 };

  ck_assert (carry_any (&array, &source, &heap_array, &target));
  ck_assert_uint_eq (target.n, 4);
  ck_assert_mem_eq (target.heap_array, source.array, sizeof source.array);
  ck_assert (carry_any (&heap_array, &target, &counted, &source));
  ck_assert_uint_eq (source.n, 4);
  assert_refused (&heap_array, &target, &array, "is at most 5 of uint of 4 bytes in the state, 4 of uint of 4 bytes");
  assert_refused (&longer_array, &source, &heap_array, "is 6 of uint of 4 bytes in the state, at most 5 of uint of 4");
  g_free (target.heap_array);
}
END_TEST

START_TEST (one_value_is_no_array_and_an_array_not_one_value)
{
  static const CprStruct *const arrays[] = { &array, &counted, &heap_array };
  Any source;

  fill (&source);
  for (size_t i = 0; i < G_N_ELEMENTS (arrays); i++)
    {
      assert_refused (&u32, &source, arrays[i], "field 'value' is uint of 4 bytes in the state, ");
      assert_refused (arrays[i], &source, &u32, "in the state, uint of 4 bytes here");
    }
}
END_TEST

START_TEST (a_struct_may_be_reached_by_a_pointer_on_one_side)
{
  Any source = { .timer = { 5, -5 } }, target = { .pointer = NULL };

  ck_assert (carry_any (&timer, &source, &pointer, &target));
  ck_assert_uint_eq (target.pointer->period, 5);
  target.pointer->drift = 6;
  ck_assert (carry_any (&pointer, &target, &timer, &source));
  ck_assert_int_eq (source.timer.drift, 6);
  g_clear_pointer (&target.pointer, g_free);
  assert_refused (&pointer, &target, &timer, "field 'value' is NULL in the state, and always there in this program");
}
END_TEST

START_TEST (a_count_must_fit_the_member_that_counts)
{
  enum
  {
    MANY = 256
  };
  typedef struct
  {
    uint16_t n;
    uint8_t *bytes;
  } Wide;
  typedef struct
  {
    uint8_t n;
    uint8_t *bytes;
  } Narrow;
  const CprField wide_fields[] = { CPR_FIELD_HEAP_BYTES (Wide, bytes, n, 1000), CPR_FIELD_END };
  const CprField narrow_fields[] = { CPR_FIELD_HEAP_BYTES (Narrow, bytes, n, 1000), CPR_FIELD_END };
  const CprStruct wide = { "Wide", sizeof (Wide), wide_fields }, narrow = { "Narrow", sizeof (Narrow), narrow_fields };
  uint8_t data[MANY] = { 1 };
  const Wide source = { MANY, data };
  Narrow target = { 9, NULL };

  ck_assert (!carry (&wide, &source, &narrow, &target, &error));
  assert_error (&error, CPR_ERROR_MISMATCH, "field 'bytes' has 256 elements in the state");
  ck_assert (target.n == 9 && target.bytes == NULL);
}
END_TEST

START_TEST (a_bool_of_the_state_that_is_neither_0_nor_1_is_refused_wherever_it_goes)
{
  static const CprStruct *const targets[] = { &flag, &u8, &i64, &retired };

  for (size_t i = 0; i < G_N_ELEMENTS (targets); i++)
    for (unsigned value = 2; value < 256; value += 23)
      {
        Any target = { .u8 = 9, .i64 = 9 };
        uint8_t byte = (uint8_t) value;
        Carried carried;

        carried_make (&carried, &flag, &byte, 1);
        ck_assert (!carried_read (&carried, targets[i], &target, NULL, &error));
        assert_error (&error, CPR_ERROR_CORRUPT, "field 'value': a bool is neither 0 nor 1");
        ck_assert (!target.flag && target.u8 == 9 && target.i64 == 9);
        carried_clear (&carried);
      }
}
END_TEST

START_TEST (a_field_that_is_cut_off_is_refused_at_every_byte)
{
  static const CprStruct *const types[] = { &u32,     &f64,     &bytes,       &heap_bytes, &text,      &timer,
                                            &pointer, &timers,  &some_timers, &fd,         &when,      &all_fds,
                                            &array,   &counted, &heap_array,  &flag,       &heap_text, &retired };
  Any source, target;

  for (size_t i = 0; i < G_N_ELEMENTS (types); i++)
    {
      Carried carried;

      fill (&source);
      fill (&target);
      ck_assert (carried_write (&carried, types[i], &source, &codec, &error));
      while (carried.fields.len-- > 0)
        {
          ck_assert (!carried_read (&carried, types[i], &target, &codec, &error));
          assert_error (&error, CPR_ERROR_CORRUPT, "field '");
        }
      carried_clear (&carried);
    }
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("value");

  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, any_other_pair_of_kinds_and_shapes_is_refused_by_its_names);
  tcase_add_test (tests, a_bool_becomes_0_or_1_of_any_width);
  tcase_add_test (tests, an_integer_becomes_a_bool_if_it_is_0_or_1);
  tcase_add_test (tests, floating_point_is_widened);
  tcase_add_test (tests, floating_point_is_narrowed_where_nothing_is_lost);
  tcase_add_test (tests, bytes_keep_their_number);
  tcase_add_test (tests, a_string_fits_by_its_length_wherever_it_is);
  tcase_add_test (tests, a_shorter_string_leaves_nothing_of_a_longer_one);
  tcase_add_test (tests, a_string_without_end_cannot_be_saved);
  tcase_add_test (tests, strings_that_cannot_be_right_are_refused);
  tcase_add_test (tests, a_fixed_array_becomes_one_on_the_heap_that_is_as_long);
  tcase_add_test (tests, one_value_is_no_array_and_an_array_not_one_value);
  tcase_add_test (tests, a_struct_may_be_reached_by_a_pointer_on_one_side);
  tcase_add_test (tests, a_count_must_fit_the_member_that_counts);
  tcase_add_test (tests, a_bool_of_the_state_that_is_neither_0_nor_1_is_refused_wherever_it_goes);
  tcase_add_test (tests, a_field_that_is_cut_off_is_refused_at_every_byte);
  return run_suite (suite);
}
