/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pages before they are touched: whole pages are asked for, and the answer is the kernel's. */
#include "helpers.h"

#include <errno.h>
#include <sys/mman.h>

#include "base/populate.h"

static CprSys sys;
static void *asked_at;
static size_t asked_size;
static unsigned n_asked;
static int denied; /* errno, or 0 */

static int
note_madvise (void *address, size_t size, int advice)
{
  asked_at = address;
  asked_size = size;
  n_asked++;
  ck_assert_int_eq (advice, 23); /* MADV_POPULATE_WRITE */
  errno = denied;
  return denied != 0 ? -1 : 0;
}

static void
setup (void)
{
  sys = cpr_sys_kernel;
  sys.madvise = note_madvise;
  cpr_sys = &sys;
  n_asked = 0;
  denied = 0;
}

static void
teardown (void)
{
  cpr_sys = &cpr_sys_kernel;
}

START_TEST (a_part_of_a_page_is_asked_for_as_the_whole_page)
{
  static uint8_t memory[4 * PAGE] __attribute__ ((aligned (PAGE)));

  ck_assert (cpr_populate (memory + PAGE + 1, PAGE));
  ck_assert_ptr_eq (asked_at, memory + PAGE);
  ck_assert_uint_eq (asked_size, 2 * PAGE);
  ck_assert (cpr_populate (memory, 3 * PAGE));
  ck_assert_ptr_eq (asked_at, memory);
  ck_assert_uint_eq (asked_size, 3 * PAGE);
}
END_TEST

START_TEST (nothing_is_asked_for_where_there_is_nothing)
{
  ck_assert (cpr_populate (NULL, 0));
  ck_assert_uint_eq (n_asked, 0);
}
END_TEST

START_TEST (the_answer_is_the_kernels)
{
  uint8_t byte;

  denied = ENOMEM;
  ck_assert (!cpr_populate (&byte, 1));
  ck_assert_int_eq (errno, ENOMEM);
}
END_TEST

START_TEST (a_thread_that_has_to_rest_rests_as_often_as_it_has_to)
{
  unsigned n_rests = 2;
  uint64_t begin_ns = cpr_now_ns ();

  cpr_populate_yield (&n_rests);
  cpr_populate_yield (&n_rests);
  ck_assert_uint_eq (n_rests, 0);
  ck_assert_uint_ge (cpr_now_ns () - begin_ns, 2 * 500000);
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("populate");
  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, a_part_of_a_page_is_asked_for_as_the_whole_page);
  tcase_add_test (tests, nothing_is_asked_for_where_there_is_nothing);
  tcase_add_test (tests, the_answer_is_the_kernels);
  tcase_add_test (tests, a_thread_that_has_to_rest_rests_as_often_as_it_has_to);
  return run_suite (suite);
}
