/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A list of ioctls that tell a state. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "helpers.h"

#ifdef __x86_64__

#  include "kvm/x86/script.h"

#  define FD 77

/* The kernel: requests 1 to 9 answer with their number in each byte, and in the result. */
static CprSys sys;
static unsigned long made[16];
static unsigned n_made;
static unsigned long failing;
static int with;
static CprKvmScript script;

static int
answer (int fd, unsigned long request, void *argument)
{
  ck_assert_int_eq (fd, FD);
  ck_assert_uint_lt (n_made, G_N_ELEMENTS (made));
  made[n_made++] = request;
  if (request == failing)
    {
      errno = with;
      return -1;
    }
  memset (argument, (int) request, request);
  return (int) request;
}

static void
setup (void)
{
  n_made = 0;
  failing = 0;
  sys = cpr_sys_kernel;
  sys.ioctl = answer;
  cpr_sys = &sys;
  cpr_kvm_script_init (&script, FD, 1024);
}

static void
teardown (void)
{
  cpr_kvm_script_clear (&script);
  cpr_sys = &cpr_sys_kernel;
}

START_TEST (the_calls_are_made_in_their_order_and_each_has_an_argument_of_its_own)
{
  uint8_t three[3], one[1];

  cpr_kvm_script_add (&script, 3, "three", 3);
  cpr_kvm_script_add (&script, 1, "one", 1);
  ck_assert_ptr_null (cpr_kvm_script_run (&script));
  ck_assert_uint_eq (n_made, 2);
  ck_assert_uint_eq (made[0], 3);
  ck_assert_uint_eq (made[1], 1);
  ck_assert (cpr_kvm_script_copy (&script, 3, three, sizeof three));
  ck_assert_mem_eq (three, "\3\3\3", 3);
  ck_assert (cpr_kvm_script_copy (&script, 1, one, sizeof one));
  ck_assert_int_eq (one[0], 1);
}
END_TEST

START_TEST (an_argument_is_zeros_stays_where_it_is_and_can_be_filled_in)
{
  uint8_t *first = cpr_kvm_script_add (&script, 1, "one", 8);
  const CprKvmCall *call;

  ck_assert_mem_eq (first, "\0\0\0\0\0\0\0\0", 8);
  ck_assert_uint_eq ((uintptr_t) first % sizeof (uint64_t), 0);
  first[7] = 42;
  for (int i = 0; i < 10; i++)
    cpr_kvm_script_add (&script, 2, "two", 8);
  ck_assert_ptr_null (cpr_kvm_script_run (&script));
  call = cpr_kvm_script_find (&script, 1, 0);
  ck_assert_ptr_eq (cpr_kvm_script_get (&script, call), first);
  ck_assert_mem_eq (first, "\1\0\0\0\0\0\0\52", 8);
}
END_TEST

START_TEST (a_call_that_fails_is_the_last_one)
{
  const CprKvmCall *failed;

  cpr_kvm_script_add (&script, 1, "one", 8);
  cpr_kvm_script_add (&script, 2, "two", 8);
  cpr_kvm_script_add (&script, 3, "three", 8);
  failing = 2;
  with = EFAULT;
  failed = cpr_kvm_script_run (&script);
  ck_assert_ptr_nonnull (failed);
  ck_assert_str_eq (failed->name, "two");
  ck_assert_int_eq (failed->result, -EFAULT);
  ck_assert_uint_eq (n_made, 2);
}
END_TEST

START_TEST (a_part_that_there_is_not_is_no_failure_and_is_not_found)
{
  static const int absent[] = { EINVAL, ENXIO };
  uint8_t bytes[8];

  for (size_t i = 0; i < G_N_ELEMENTS (absent); i++)
    {
      cpr_kvm_script_clear (&script);
      cpr_kvm_script_init (&script, FD, 1024);
      cpr_kvm_script_add_part (&script, 2, "two", 8, EINVAL, ENXIO);
      cpr_kvm_script_add (&script, 3, "three", 8);
      failing = 2;
      with = absent[i];
      ck_assert_ptr_null (cpr_kvm_script_run (&script));
      ck_assert_ptr_null (cpr_kvm_script_find (&script, 2, 0));
      ck_assert (!cpr_kvm_script_copy (&script, 2, bytes, sizeof bytes));
      ck_assert_ptr_nonnull (cpr_kvm_script_find (&script, 3, 0));
    }
  with = EPERM;
  ck_assert_str_eq (cpr_kvm_script_run (&script)->name, "two");
}
END_TEST

START_TEST (calls_of_one_request_are_counted)
{
  const CprKvmCall *calls[3];

  for (int i = 0; i < 2; i++)
    cpr_kvm_script_add (&script, 4, "four", 8);
  ck_assert_ptr_null (cpr_kvm_script_run (&script));
  for (unsigned i = 0; i < 3; i++)
    calls[i] = cpr_kvm_script_find (&script, 4, i);
  ck_assert_ptr_nonnull (calls[0]);
  ck_assert_ptr_nonnull (calls[1]);
  ck_assert_uint_ne (calls[0]->offset, calls[1]->offset);
  ck_assert_int_eq (calls[1]->result, 4);
  ck_assert_ptr_null (calls[2]);
}
END_TEST

START_TEST (the_clock_is_read_at_its_place)
{
  uint64_t before = cpr_now_ns (), time = 0;

  cpr_kvm_script_add_time (&script);
  ck_assert_ptr_null (cpr_kvm_script_run (&script));
  ck_assert (cpr_kvm_script_copy (&script, 0, &time, sizeof time));
  ck_assert_uint_ge (time, before);
  ck_assert_uint_le (time, cpr_now_ns ());
  ck_assert_uint_eq (n_made, 0);
}
END_TEST

START_TEST (an_argument_of_another_size_is_not_taken)
{
  uint8_t bytes[9];

  cpr_kvm_script_add (&script, 5, "five", 8);
  ck_assert_ptr_null (cpr_kvm_script_run (&script));
  ck_assert (!cpr_kvm_script_copy (&script, 5, bytes, sizeof bytes));
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("kvm-script");

  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, the_calls_are_made_in_their_order_and_each_has_an_argument_of_its_own);
  tcase_add_test (tests, an_argument_is_zeros_stays_where_it_is_and_can_be_filled_in);
  tcase_add_test (tests, a_call_that_fails_is_the_last_one);
  tcase_add_test (tests, a_part_that_there_is_not_is_no_failure_and_is_not_found);
  tcase_add_test (tests, calls_of_one_request_are_counted);
  tcase_add_test (tests, the_clock_is_read_at_its_place);
  tcase_add_test (tests, an_argument_of_another_size_is_not_taken);
  return run_suite (suite);
}

#else

int
main (void)
{
  puts ("1..0 # SKIP only what KVM keeps on x86-64 is read by such a list");
  return 0;
}

#endif
