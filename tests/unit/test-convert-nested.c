/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Conversion of arrays and of structs in structs, from one program's tables to another's. */
#include "carry.h"
#include "guest.h"

static GError *error;

static void
setup (void)
{
  error = NULL;
}

/* ---- Arrays. */

typedef struct
{
  uint8_t n;
  uint16_t items[4];
} Counted;

typedef struct
{
  uint16_t n;
  int32_t items[6];
} Longer;

static const CprField counted_fields[] = { CPR_FIELD_COUNTED (Counted, items, n), CPR_FIELD_END };
static const CprStruct counted_struct = { "List", sizeof (Counted), counted_fields };
static const CprField longer_fields[] = { CPR_FIELD_COUNTED (Longer, items, n), CPR_FIELD_END };
static const CprStruct longer_struct = { "List", sizeof (Longer), longer_fields };
static const CprField fixed_fields[] = { CPR_FIELD_ARRAY (Counted, items), CPR_FIELD_END };
static const CprStruct fixed_struct = { "List", sizeof (Counted), fixed_fields };
static const CprField fixed6_fields[] = { CPR_FIELD_ARRAY (Longer, items), CPR_FIELD_END };
static const CprStruct fixed6_struct = { "List", sizeof (Longer), fixed6_fields };

START_TEST (a_counted_array_carries_what_is_in_use)
{
  for (uint8_t n = 0; n <= 4; n++)
    {
      const Counted source = { n, { 11, 12, 13, 14 } };
      Counted target = { 77, { 0, 0, 0, 0 } };
      Longer longer = { 77, { 0 } };

      ck_assert (carry (&counted_struct, &source, &counted_struct, &target, &error));
      ck_assert_uint_eq (target.n, n);
      ck_assert (carry (&counted_struct, &source, &longer_struct, &longer, &error));
      ck_assert_uint_eq (longer.n, n);
      for (unsigned i = 0; i < 4; i++)
        {
          ck_assert_uint_eq (target.items[i], i < n ? 11 + i : 0);
          ck_assert_int_eq (longer.items[i], i < n ? (int) (11 + i) : 0);
        }
    }
}
END_TEST

START_TEST (more_elements_than_there_are_cannot_be_saved)
{
  const Counted source = { 5, { 0 } };
  Counted target = { 77, { 0 } };

  ck_assert (!carry (&counted_struct, &source, &counted_struct, &target, &error));
  assert_error (&error, CPR_ERROR_INVALID, "field 'items': 5 elements are counted, 4 is the most");
}
END_TEST

START_TEST (more_elements_than_fit_here_are_refused)
{
  Longer source = { 4, { 1, 2, 3, 4, 5, 6 } };
  Counted target = { 77, { 0 } };

  ck_assert (carry (&longer_struct, &source, &counted_struct, &target, &error));
  ck_assert_uint_eq (target.n, 4);
  source.n = 5;
  target.n = 77;
  ck_assert (!carry (&longer_struct, &source, &counted_struct, &target, &error));
  assert_error (&error, CPR_ERROR_MISMATCH, "field 'items' has 5 elements in the state, at most 4 here");
  ck_assert_uint_eq (target.n, 77);
  source = (Longer){ 1, { 70000 } };
  ck_assert (!carry (&longer_struct, &source, &counted_struct, &target, &error));
  assert_error (&error, CPR_ERROR_MISMATCH, "70000 doesn't fit");
}
END_TEST

/* A count that no writer of this schema writes; the reader would have the room. */
START_TEST (more_elements_than_the_state_s_own_maximum_are_refused)
{
  const uint8_t bytes[] = { 5, 0, 0, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0 };
  Longer target = { 77, { 0 } };
  Carried carried;

  carried_make (&carried, &counted_struct, bytes, sizeof bytes);
  ck_assert (!carried_read (&carried, &longer_struct, &target, NULL, &error));
  assert_error (&error, CPR_ERROR_CORRUPT, "field 'items' has 5 of 4 elements");
  ck_assert_uint_eq (target.n, 77);
  carried_clear (&carried);
}
END_TEST

START_TEST (fixed_arrays_have_one_length)
{
  const Counted source = { 2, { 1, 2, 3, 4 } };
  Counted target = { 77, { 0 } };
  Longer longer = { 77, { 0 } };

  ck_assert (carry (&fixed_struct, &source, &fixed_struct, &target, &error));
  ck_assert_mem_eq (target.items, source.items, sizeof source.items);
  ck_assert (!carry (&fixed_struct, &source, &fixed6_struct, &longer, &error));
  assert_error (&error, CPR_ERROR_MISMATCH,
                "field 'items' is 4 of uint of 2 bytes in the state, 6 of int of 4 bytes here");
  ck_assert (!carry (&fixed6_struct, &longer, &fixed_struct, &target, &error));
  assert_error (&error, CPR_ERROR_MISMATCH, "is 6 of int of 4 bytes in the state, 4 of uint of 2 bytes here");
  ck_assert_uint_eq (target.n, 77);
}
END_TEST

START_TEST (a_counted_array_does_not_become_a_fixed_one)
{
  const Counted source = { 4, { 1, 2, 3, 4 } };
  Counted target = { 77, { 0 } };

  ck_assert (!carry (&counted_struct, &source, &fixed_struct, &target, &error));
  assert_error (&error, CPR_ERROR_MISMATCH,
                "field 'items' is at most 4 of uint of 2 bytes in the state, 4 of uint of 2 bytes here");
  ck_assert_uint_eq (target.items[0], 0);
}
END_TEST

START_TEST (a_fixed_array_becomes_a_counted_one_that_is_as_long)
{
  const Counted source = { 2, { 1, 2, 3, 4 } };
  Longer six = { 0, { 1, 2, 3, 4, 5, 6 } }, longer = { 77, { 0 } };
  Counted target = { 77, { 0 } };

  ck_assert (carry (&fixed_struct, &source, &counted_struct, &target, &error));
  ck_assert_uint_eq (target.n, 4);
  ck_assert_mem_eq (target.items, source.items, sizeof source.items);
  ck_assert (carry (&fixed_struct, &source, &longer_struct, &longer, &error));
  ck_assert_uint_eq (longer.n, 4);
  ck_assert_int_eq (longer.items[3], 4);
  ck_assert (!carry (&fixed6_struct, &six, &counted_struct, &target, &error));
  assert_error (&error, CPR_ERROR_MISMATCH,
                "field 'items' is 6 of int of 4 bytes in the state, at most 4 of uint of 2 bytes here");
}
END_TEST

START_TEST (a_fixed_array_is_widened_element_by_element)
{
  typedef struct
  {
    int64_t items[4];
  } Wide;
  const CprField wide_fields[] = { CPR_FIELD_ARRAY (Wide, items), CPR_FIELD_END };
  const CprStruct wide_struct = { "List", sizeof (Wide), wide_fields };
  const Counted source = { 2, { 1, 2, 3, 65535 } };
  Wide target = { { 0 } };

  ck_assert (carry (&fixed_struct, &source, &wide_struct, &target, &error));
  for (unsigned i = 0; i < 4; i++)
    ck_assert_int_eq (target.items[i], source.items[i]);
}
END_TEST

/* ---- Structs in structs. */

typedef struct
{
  Timer timers[2];
  uint32_t n;
  Timer more[3];
} Board;

static const CprField board_fields[] = { CPR_FIELD_STRUCT_ARRAY (Board, timers, Timer, timer_struct),
                                         CPR_FIELD_STRUCT_COUNTED (Board, more, n, Timer, timer_struct),
                                         CPR_FIELD_END };
static const CprStruct board_struct = { "Board", sizeof (Board), board_fields };

START_TEST (arrays_of_structs_round_trip)
{
  const Board source = { { { 1, -1 }, { 2, -2 } }, 2, { { 3, -3 }, { 4, -4 }, { 5, -5 } } };
  Board target = { .n = 0 };

  ck_assert (carry (&board_struct, &source, &board_struct, &target, &error));
  for (unsigned i = 0; i < 2; i++)
    {
      ck_assert_uint_eq (target.timers[i].period, source.timers[i].period);
      ck_assert_int_eq (target.timers[i].drift, source.timers[i].drift);
    }
  ck_assert_uint_eq (target.n, 2);
  ck_assert_uint_eq (target.more[1].period, 4);
  ck_assert_int_eq (target.more[1].drift, -4);
  ck_assert_uint_eq (target.more[2].period, 0);
}
END_TEST

/* The same struct as another program lays it out: narrower, in another order, with one field
 * more. */
typedef struct
{
  int64_t drift;
  bool armed;
  uint16_t period;
} OtherTimer;

typedef struct
{
  uint8_t n;
  OtherTimer more[2];
  OtherTimer timers[2];
} OtherBoard;

static const CprField other_timer_fields[] = { CPR_FIELD (OtherTimer, drift),
                                               CPR_FIELD_OPTIONAL (OtherTimer, armed, true),
                                               CPR_FIELD (OtherTimer, period), CPR_FIELD_END };
static const CprStruct other_timer_struct = { "Timer", sizeof (OtherTimer), other_timer_fields };
static const CprField other_board_fields[] = {
  CPR_FIELD_STRUCT_COUNTED (OtherBoard, more, n, OtherTimer, other_timer_struct),
  CPR_FIELD_STRUCT_ARRAY (OtherBoard, timers, OtherTimer, other_timer_struct), CPR_FIELD_END
};
static const CprStruct other_board_struct = { "Board", sizeof (OtherBoard), other_board_fields };

START_TEST (nested_structs_are_converted_too)
{
  Board source = { { { 1, -1 }, { 2, -2 } }, 2, { { 3, -3 }, { 65535, -4 }, { 5, -5 } } };
  OtherBoard target = { .n = 0 };

  ck_assert (carry (&board_struct, &source, &other_board_struct, &target, &error));
  ck_assert_uint_eq (target.n, 2);
  ck_assert_uint_eq (target.timers[1].period, 2);
  ck_assert_int_eq (target.timers[1].drift, -2);
  ck_assert (target.timers[0].armed && target.more[1].armed);
  ck_assert_uint_eq (target.more[1].period, 65535);
  source.more[1].period = 65536;
  ck_assert (!carry (&board_struct, &source, &other_board_struct, &target, &error));
  assert_error (&error, CPR_ERROR_MISMATCH, "field 'more': field 'period': 65536 doesn't fit into uint of 2 bytes");
}
END_TEST

START_TEST (structs_nested_16_deep_round_trip)
{
  const uint32_t source = 0xabcdef;
  uint32_t target = 0;
  Nest nested;

  for (unsigned depth = 1; depth <= CPR_LIMIT_DEPTH; depth++)
    {
      target = 0;
      ck_assert (carry (nest (&nested, depth), &source, nest (&nested, depth), &target, &error));
      ck_assert_uint_eq (target, 0xabcdef);
    }
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("convert-nested");

  tcase_add_checked_fixture (tests, setup, NULL);
  tcase_add_test (tests, a_counted_array_carries_what_is_in_use);
  tcase_add_test (tests, more_elements_than_there_are_cannot_be_saved);
  tcase_add_test (tests, more_elements_than_fit_here_are_refused);
  tcase_add_test (tests, more_elements_than_the_state_s_own_maximum_are_refused);
  tcase_add_test (tests, fixed_arrays_have_one_length);
  tcase_add_test (tests, a_counted_array_does_not_become_a_fixed_one);
  tcase_add_test (tests, a_fixed_array_becomes_a_counted_one_that_is_as_long);
  tcase_add_test (tests, a_fixed_array_is_widened_element_by_element);
  tcase_add_test (tests, arrays_of_structs_round_trip);
  tcase_add_test (tests, nested_structs_are_converted_too);
  tcase_add_test (tests, structs_nested_16_deep_round_trip);
  return run_suite (suite);
}
