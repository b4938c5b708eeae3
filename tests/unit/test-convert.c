/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Encoding and conversion of one value, and of fields by name: what one program's tables wrote,
 * another program's tables read. */
#include "carry.h"
#include "guest.h"

static GError *error;

static void
setup (void)
{
  error = NULL;
}

/* One struct with one field, of several layouts. */
#define LAYOUT(Name, type)                                                            \
  typedef struct                                                                      \
  {                                                                                   \
    type value;                                                                       \
  } Name;                                                                             \
  static const CprField Name##_fields[] = { CPR_FIELD (Name, value), CPR_FIELD_END }; \
  static const CprStruct Name##_struct = { "One", sizeof (Name), Name##_fields }

LAYOUT (U8, uint8_t);
LAYOUT (U16, uint16_t);
LAYOUT (U32, uint32_t);
LAYOUT (U64, uint64_t);
LAYOUT (I8, int8_t);
LAYOUT (I16, int16_t);
LAYOUT (I32, int32_t);
LAYOUT (I64, int64_t);
LAYOUT (F32, float);
LAYOUT (F64, double);
LAYOUT (Bool, bool);

static const struct
{
  const CprStruct *type;
  int bits; /* negative: signed */
} integers[] = {
  { &U8_struct, 8 },  { &U16_struct, 16 },  { &U32_struct, 32 },  { &U64_struct, 64 },
  { &I8_struct, -8 }, { &I16_struct, -16 }, { &I32_struct, -32 }, { &I64_struct, -64 },
};

/* A number of 128 bits has room for what an integer of either kind can be. */
static __int128
number_of (const uint64_t *memory, int bits)
{
  uint64_t mask = UINT64_MAX >> (64 - ABS (bits)), value = *memory & mask;

  if (bits < 0 && (value >> (-bits - 1) & 1) != 0)
    return (__int128) value - ((__int128) mask + 1);
  return (__int128) value;
}

static bool
holds (int bits, __int128 number)
{
  __int128 most = ((__int128) 1 << (bits < 0 ? -bits - 1 : bits)) - 1, least = bits < 0 ? -most - 1 : 0;

  return number >= least && number <= most;
}

static const uint64_t samples[] = { 0,
                                    1,
                                    0x7f,
                                    0x80,
                                    0xff,
                                    0x100,
                                    0x7fff,
                                    0x8000,
                                    0xffff,
                                    0x10000,
                                    0x7fffffff,
                                    0x80000000,
                                    0xffffffff,
                                    INT64_MAX,
                                    INT64_MIN,
                                    UINT64_MAX,
                                    UINT64_MAX - 127,
                                    UINT64_MAX - 128,
                                    UINT64_MAX - 32768,
                                    UINT64_MAX - 0x80000000,
                                    UINT64_C (0x100000000) };

START_TEST (an_integer_arrives_in_every_width_that_holds_it_and_in_no_other)
{
  unsigned fitted = 0, refused = 0;

  for (size_t from = 0; from < G_N_ELEMENTS (integers); from++)
    for (size_t to = 0; to < G_N_ELEMENTS (integers); to++)
      for (size_t i = 0; i < G_N_ELEMENTS (samples); i++)
        {
          uint64_t source = samples[i], target = UINT64_C (0x1111111111111111);
          __int128 number = number_of (&source, integers[from].bits);
          bool fits = holds (integers[to].bits, number);

          ck_assert (carry (integers[from].type, &source, integers[to].type, &target, &error) == fits);
          if (fits)
            ck_assert (number_of (&target, integers[to].bits) == number);
          else
            {
              ck_assert_uint_eq (target, UINT64_C (0x1111111111111111));
              assert_error (&error, CPR_ERROR_MISMATCH, "field 'value'");
            }
          fitted += fits;
          refused += !fits;
        }
  ck_assert_uint_gt (fitted, 0);
  ck_assert_uint_gt (refused, 0);
}
END_TEST

START_TEST (a_value_that_does_not_fit_is_named_with_its_sign)
{
  I64 negative = { -5 };
  U64 large = { 300 };
  U8 target = { 1 };

  ck_assert (!carry (&I64_struct, &negative, &U8_struct, &target, &error));
  assert_error (&error, CPR_ERROR_MISMATCH, "field 'value': -5 doesn't fit into uint of 1 byte");
  ck_assert (!carry (&U64_struct, &large, &U8_struct, &target, &error));
  assert_error (&error, CPR_ERROR_MISMATCH, "300 doesn't fit into uint of 1 byte");
  ck_assert_uint_eq (target.value, 1);
}
END_TEST

START_TEST (floating_point_arrives_bit_by_bit)
{
  static const double values[] = {
    0.0, -0.0, 0.1, G_MAXDOUBLE, G_MINDOUBLE / 2, __builtin_inf (), __builtin_nan ("7")
  };

  for (size_t i = 0; i < G_N_ELEMENTS (values); i++)
    {
      F64 wide = { values[i] }, wide_target = { 1 };
      F32 narrow = { (float) values[i] }, narrow_target = { 1 };

      ck_assert (carry (&F64_struct, &wide, &F64_struct, &wide_target, &error));
      ck_assert_mem_eq (&wide, &wide_target, sizeof wide);
      ck_assert (carry (&F32_struct, &narrow, &F32_struct, &narrow_target, &error));
      ck_assert_mem_eq (&narrow, &narrow_target, sizeof narrow);
    }
}
END_TEST

START_TEST (whole_numbers_and_floating_point_do_not_mix)
{
  static const CprStruct *const types[] = { &U8_struct, &Bool_struct, &I32_struct, &F32_struct, &F64_struct };
  static const char *const names[] = { "uint of 1 byte", "bool", "int of 4 bytes", "float of 4 bytes",
                                       "float of 8 bytes" };
  uint64_t source = 1, target = 77;

  for (size_t from = 0; from < G_N_ELEMENTS (types); from++)
    for (size_t to = 0; to < G_N_ELEMENTS (types); to++)
      {
        g_autofree char *text = g_strdup_printf ("field 'value' is %s in the state, %s here", names[from], names[to]);

        if ((from < 3) == (to < 3))
          continue;
        ck_assert (!carry (types[from], &source, types[to], &target, &error));
        assert_error (&error, CPR_ERROR_MISMATCH, text);
        ck_assert_uint_eq (target, 77);
      }
}
END_TEST

START_TEST (a_bool_is_written_as_0_or_1)
{
  for (unsigned byte = 0; byte < 256; byte += 51)
    {
      uint8_t source = (uint8_t) byte, target = 9;

      ck_assert (carry (&Bool_struct, &source, &Bool_struct, &target, &error));
      ck_assert_uint_eq (target, byte != 0);
    }
}
END_TEST

START_TEST (all_kinds_of_fields_round_trip)
{
  Serial target;

  memset (&target, 0xee, sizeof target);
  ck_assert (carry (&serial_type.state, &serial_example, &serial_type.state, &target, &error));
  assert_serial_eq (&target, &serial_example);
}
END_TEST

/* ---- Fields that only one side knows, and their order. */

typedef struct
{
  uint32_t a, b;
  int8_t c;
  bool d;
} Abc;

#define TABLE(name, ...)                                                  \
  static const CprField name##_fields[] = { __VA_ARGS__, CPR_FIELD_END }; \
  static const CprStruct name = { "Abc", sizeof (Abc), name##_fields }

TABLE (ab, CPR_FIELD (Abc, a), CPR_FIELD (Abc, b));
TABLE (ba, CPR_FIELD (Abc, b), CPR_FIELD (Abc, a));
TABLE (abc, CPR_FIELD (Abc, a), CPR_FIELD (Abc, b), CPR_FIELD (Abc, c));
TABLE (cab_optional, CPR_FIELD_OPTIONAL (Abc, c, -7), CPR_FIELD (Abc, a), CPR_FIELD (Abc, b));
TABLE (abc_other_default, CPR_FIELD (Abc, a), CPR_FIELD (Abc, b), CPR_FIELD_OPTIONAL (Abc, c, 3));
TABLE (abc_ignorable, CPR_FIELD (Abc, a), CPR_FIELD (Abc, b), CPR_FIELD_IGNORABLE (Abc, c, -7));
TABLE (abd_optional, CPR_FIELD (Abc, a), CPR_FIELD (Abc, b), CPR_FIELD_OPTIONAL (Abc, d, true));

static const Abc source_abc = { 1, 2, 5, false };

START_TEST (fields_are_matched_by_name_in_any_order)
{
  Abc target = { 0, 0, 0, false };

  ck_assert (carry (&ab, &source_abc, &ba, &target, &error));
  ck_assert_uint_eq (target.a, 1);
  ck_assert_uint_eq (target.b, 2);
}
END_TEST

START_TEST (a_field_that_the_state_lacks_is_refused_by_name)
{
  Abc target = { 9, 9, 9, false };

  ck_assert (!carry (&ab, &source_abc, &abc, &target, &error));
  assert_error (&error, CPR_ERROR_MISMATCH, "field 'c' isn't in the state");
  ck_assert_uint_eq (target.a, 9);
}
END_TEST

START_TEST (a_field_that_the_reader_lacks_is_refused_by_name)
{
  Abc target = { 9, 9, 9, false };

  ck_assert (!carry (&abc, &source_abc, &ab, &target, &error));
  assert_error (&error, CPR_ERROR_MISMATCH, "field 'c' is in the state and not known here");
  ck_assert_uint_eq (target.a, 9);
}
END_TEST

START_TEST (an_optional_field_that_the_state_lacks_gets_the_reader_s_default)
{
  Abc target = { 0, 0, 0, false };

  ck_assert (carry (&ab, &source_abc, &cab_optional, &target, &error));
  ck_assert_int_eq (target.c, -7);
  ck_assert_uint_eq (target.b, 2);
  ck_assert (carry (&ab, &source_abc, &abd_optional, &target, &error));
  ck_assert (target.d);
  target.c = 0;
  ck_assert (carry (&ab, &source_abc, &abc_ignorable, &target, &error));
  ck_assert_int_eq (target.c, -7);
}
END_TEST

START_TEST (an_optional_field_at_its_default_may_be_unknown)
{
  const Abc at_default = { 1, 2, -7, true };
  Abc target = { 0, 0, 9, false };

  ck_assert (carry (&cab_optional, &at_default, &ab, &target, &error));
  ck_assert_uint_eq (target.b, 2);
  ck_assert_int_eq (target.c, 9);
  ck_assert (carry (&abd_optional, &at_default, &ab, &target, &error));
}
END_TEST

START_TEST (an_optional_field_with_a_value_must_be_known)
{
  Abc target = { 9, 9, 9, false };

  ck_assert (!carry (&cab_optional, &source_abc, &ab, &target, &error));
  assert_error (&error, CPR_ERROR_MISMATCH, "field 'c' isn't at its default in the state");
  ck_assert_uint_eq (target.a, 9);
  ck_assert (carry (&cab_optional, &source_abc, &abc, &target, &error));
  ck_assert_int_eq (target.c, 5);
}
END_TEST

START_TEST (an_ignorable_field_may_be_dropped_whatever_its_value)
{
  Abc target = { 0, 0, 9, false };

  ck_assert (carry (&abc_ignorable, &source_abc, &ab, &target, &error));
  ck_assert_uint_eq (target.a, 1);
  ck_assert_int_eq (target.c, 9);
}
END_TEST

START_TEST (the_writer_s_default_wins)
{
  const Abc at_default = { 1, 2, -7, false };
  Abc target = { 0, 0, 0, false };

  ck_assert (carry (&cab_optional, &at_default, &abc_other_default, &target, &error));
  ck_assert_int_eq (target.c, -7);
  target.c = 0;
  ck_assert (carry (&cab_optional, &at_default, &abc, &target, &error));
  ck_assert_int_eq (target.c, -7);
}
END_TEST

/* ---- Names. */

typedef struct
{
  uint32_t a, beta;
} Renamed;

#define RENAMED(name, ...)                                                                                             \
  static const CprField name##_fields[] = { CPR_FIELD (Renamed, a), CPR_FIELD (Renamed, __VA_ARGS__), CPR_FIELD_END }; \
  static const CprStruct name = { "Renamed", sizeof (Renamed), name##_fields }

RENAMED (renamed_kept, beta, CPR_WRITTEN_AS ("b"));
RENAMED (renamed_twice, beta, CPR_WRITTEN_AS ("b"), CPR_ALIASES ("older oldest"));
RENAMED (renamed_alias, beta, CPR_ALIASES ("oldest b"));
RENAMED (renamed_clash, beta, CPR_WRITTEN_AS ("a"));
RENAMED (renamed_to_nothing, beta, CPR_WRITTEN_AS (""));

START_TEST (a_renamed_member_that_is_written_as_before_goes_both_ways)
{
  const Renamed renamed = { 5, 6 };
  Renamed target = { 0, 0 };
  Abc old = { 0, 0, 0, false };

  ck_assert (carry (&ab, &source_abc, &renamed_kept, &target, &error));
  ck_assert_uint_eq (target.beta, 2);
  ck_assert (carry (&renamed_kept, &renamed, &ab, &old, &error));
  ck_assert_uint_eq (old.b, 6);
  ck_assert (carry (&renamed_kept, &renamed, &renamed_twice, &target, &error));
  ck_assert_uint_eq (target.beta, 6);
}
END_TEST

START_TEST (a_renamed_member_is_found_under_all_its_names_and_written_under_one)
{
  const Renamed renamed = { 5, 6 };
  Renamed target = { 0, 0 };
  Abc old = { 0, 0, 0, false };

  ck_assert (carry (&ab, &source_abc, &renamed_alias, &target, &error));
  ck_assert_uint_eq (target.beta, 2);
  ck_assert (carry (&renamed_alias, &renamed, &renamed_kept, &target, &error)); /* under the new name */
  ck_assert_uint_eq (target.beta, 6);
  ck_assert (!carry (&renamed_alias, &renamed, &ab, &old, &error));
  assert_error (&error, CPR_ERROR_MISMATCH, "field 'beta' is in the state and not known here");
}
END_TEST

START_TEST (a_name_in_the_state_must_be_one_and_be_unique)
{
  ck_assert (!cpr_struct_check (&renamed_clash, &error));
  assert_error (&error, CPR_ERROR_INVALID, "struct 'Renamed': two fields are named 'a'");
  ck_assert (!cpr_struct_check (&renamed_to_nothing, &error));
  assert_error (&error, CPR_ERROR_INVALID,
                "struct 'Renamed': field 'beta' is also named '', which hasn't 1 to 255 bytes");
  ck_assert (cpr_struct_check (&renamed_twice, &error));
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("convert");

  tcase_add_checked_fixture (tests, setup, NULL);
  tcase_add_test (tests, an_integer_arrives_in_every_width_that_holds_it_and_in_no_other);
  tcase_add_test (tests, a_value_that_does_not_fit_is_named_with_its_sign);
  tcase_add_test (tests, floating_point_arrives_bit_by_bit);
  tcase_add_test (tests, whole_numbers_and_floating_point_do_not_mix);
  tcase_add_test (tests, a_bool_is_written_as_0_or_1);
  tcase_add_test (tests, all_kinds_of_fields_round_trip);
  tcase_add_test (tests, fields_are_matched_by_name_in_any_order);
  tcase_add_test (tests, a_field_that_the_state_lacks_is_refused_by_name);
  tcase_add_test (tests, a_field_that_the_reader_lacks_is_refused_by_name);
  tcase_add_test (tests, an_optional_field_that_the_state_lacks_gets_the_reader_s_default);
  tcase_add_test (tests, an_optional_field_at_its_default_may_be_unknown);
  tcase_add_test (tests, an_optional_field_with_a_value_must_be_known);
  tcase_add_test (tests, an_ignorable_field_may_be_dropped_whatever_its_value);
  tcase_add_test (tests, the_writer_s_default_wins);
  tcase_add_test (tests, a_renamed_member_that_is_written_as_before_goes_both_ways);
  tcase_add_test (tests, a_renamed_member_is_found_under_all_its_names_and_written_under_one);
  tcase_add_test (tests, a_name_in_the_state_must_be_one_and_be_unique);
  return run_suite (suite);
}
