/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How time goes on for a guest on AArch64: counters and timers. */
#include <stdio.h>

#include "kvm-arm64.h"

#ifdef __aarch64__

#  include <errno.h>
#  include <string.h>
#  include <sys/ioctl.h>

#  define HOUR_NS ((uint64_t) 3600 * 1000000000)

static ArmPair pair;
static GError *error;

static uint64_t
host (void)
{
  uint64_t ticks;

  __asm__ volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(ticks) : : "memory");
  return ticks;
}

static uint64_t
hour (void)
{
  return (uint64_t) 3600 * cpr_kvm_counters_get_hz ();
}

static void
begin (unsigned flags)
{
  error = NULL;
  arm_pair_init (&pair, ARM_OPTIONS, ARM_OPTIONS, flags);
}

static void
end (void)
{
  arm_pair_clear (&pair);
}

static void
carry (void)
{
  programs_carry (&pair.programs);
}

static uint64_t
get_counter (const ArmMachine *machine, unsigned vcpu)
{
  return arm_get (machine->vcpus[vcpu], KVM_REG_ARM_TIMER_CNT);
}

START_TEST (the_counter_goes_on_and_never_back)
{
  uint64_t before, after, host_before;

  begin (0);
  arm_set (pair.from.vcpus[0], KVM_REG_ARM_TIMER_CNT, 1000 * hour ());
  host_before = host ();
  before = get_counter (&pair.from, 0);
  carry ();
  after = get_counter (&pair.to, 0);
  ck_assert_uint_ge (after, before);
  ck_assert_uint_le (after - before, 2 * (host () - host_before));
  ck_assert_uint_ge (get_counter (&pair.to, 1), after);
  ck_assert_uint_le (get_counter (&pair.to, 1) - before, 2 * (host () - host_before));
  end ();
}
END_TEST

/* As if saved an hour ago. Loop: on the same boot; after a restart; where time stops. */
START_TEST (the_counter_goes_on_by_what_has_passed)
{
  uint64_t began, passed = _i < 2 ? hour () : 0, is;

  begin (_i == 2 ? CPR_KVM_TIME_STOPS : 0);
  ck_assert (cpr_kvm_counters_get (pair.saved, &error));
  began = host ();
  pair.loaded->has_counters = true;
  pair.loaded->counter_hz = pair.saved->counter_hz;
  pair.loaded->counter = 5 * hour ();
  pair.loaded->host_counter = _i == 0 ? began - hour () : 12345;
  pair.loaded->at_ns = cpr_now_ns () - HOUR_NS;
  pair.loaded->taken_ns = _i == 0 ? pair.loaded->at_ns : 1;
  ck_assert_msg (cpr_kvm_counters_set (pair.loaded, &error), "%s", error->message);
  is = get_counter (&pair.to, 1);
  ck_assert_uint_ge (is, 5 * hour () + passed - cpr_kvm_counters_get_hz () / 1000);
  ck_assert_uint_le (is, 5 * hour () + passed + 2 * (host () - began) + cpr_kvm_counters_get_hz () / 1000);
  end ();
}
END_TEST

/* A reading that is near to what was aimed at is just that, so errors don't add up. One that
 * is far from it isn't. That a busy machine comes near to it at least once is enough. */
START_TEST (the_distance_to_the_host_is_kept_from_update_to_update)
{
  uint64_t distance, aimed;
  unsigned n_kept = 0;

  begin (0);
  ck_assert (cpr_kvm_counters_get (pair.saved, &error));
  distance = pair.saved->host_counter - pair.saved->counter;
  for (unsigned i = 0; i < 1000; i++)
    {
      aimed = distance + cpr_kvm_counters_get_hz () / 100000;
      pair.saved->counter = pair.saved->host_counter - aimed;
      ck_assert (cpr_kvm_counters_get (pair.saved, &error));
      n_kept += pair.saved->host_counter - pair.saved->counter == aimed;
    }
  ck_assert_uint_gt (n_kept, 0);
  pair.saved->counter = pair.saved->host_counter - distance - hour ();
  ck_assert (cpr_kvm_counters_get (pair.saved, &error));
  ck_assert_uint_lt (pair.saved->host_counter - pair.saved->counter, distance + hour () / 2);
  end ();
}
END_TEST

START_TEST (a_timer_arrives_with_its_deadline)
{
  begin (0);
  for (unsigned i = 0; i < ARM_VCPUS; i++)
    {
      arm_set (pair.from.vcpus[i], KVM_REG_ARM_TIMER_CVAL, 77 * hour () + i);
      arm_set (pair.from.vcpus[i], KVM_REG_ARM_TIMER_CTL, 1 + 2 * i);
    }
  carry ();
  for (unsigned i = 0; i < ARM_VCPUS; i++)
    {
      ck_assert_uint_eq (arm_get (pair.to.vcpus[i], KVM_REG_ARM_TIMER_CVAL), 77 * hour () + i);
      ck_assert_uint_eq (arm_get (pair.to.vcpus[i], KVM_REG_ARM_TIMER_CTL), 1 + 2 * i);
    }
  end ();
}
END_TEST

START_TEST (the_physical_counter_stays_that_of_the_host)
{
  uint64_t counter = 0, before, after;

  begin (0);
  carry ();
  before = host ();
  if (cpr_kvm_register_read (pair.to.vcpus[0], KVM_REG_ARM_PTIMER_CNT, &counter) == 0) /* since Linux 6.4 */
    {
      after = host ();
      ck_assert_uint_ge (counter, before);
      ck_assert_uint_le (counter, after);
    }
  end ();
}
END_TEST

START_TEST (a_counter_of_another_frequency_is_refused)
{
  begin (0);
  ck_assert (cpr_kvm_counters_get (pair.saved, &error));
  pair.saved->counter_hz++;
  ck_assert (!cpr_kvm_counters_set (pair.saved, &error));
  ck_assert_msg (g_error_matches (error, CPR_ERROR, CPR_ERROR_MISMATCH) &&
                     strstr (error->message, "KVM VM 'kvm': its counters have ") != NULL,
                 "%s", error->message);
  g_clear_error (&error);
  end ();
}
END_TEST

/* KVM takes the value and doesn't use it, where the VMM has fixed the offset. */
static int
ignore (int fd, unsigned long request, void *argument)
{
  const struct kvm_one_reg *reg = argument;

  return request == KVM_SET_ONE_REG && reg->id == KVM_REG_ARM_TIMER_CNT ? 0 : ioctl (fd, request, argument);
}

START_TEST (a_counter_that_kvm_does_not_set_is_an_error)
{
  CprSys sys = cpr_sys_kernel;

  begin (0);
  arm_set (pair.from.vcpus[0], KVM_REG_ARM_TIMER_CNT, 1000 * hour ());
  sys.ioctl = ignore;
  cpr_sys = &sys;
  ck_assert (programs_save (&pair.programs, &error));
  ck_assert (!programs_load (&pair.programs, &error));
  ck_assert_msg (g_error_matches (error, CPR_ERROR, CPR_ERROR_MISMATCH) &&
                     strstr (error->message, "its virtual counter (KVM_REG_ARM_TIMER_CNT) should be ") != NULL,
                 "%s", error->message);
  g_clear_error (&error);
  end ();
}
END_TEST

static void
add_tests (TCase *tests)
{
  tcase_add_test (tests, the_counter_goes_on_and_never_back);
  tcase_add_loop_test (tests, the_counter_goes_on_by_what_has_passed, 0, 3);
  tcase_add_test (tests, the_distance_to_the_host_is_kept_from_update_to_update);
  tcase_add_test (tests, a_timer_arrives_with_its_deadline);
  tcase_add_test (tests, the_physical_counter_stays_that_of_the_host);
  tcase_add_test (tests, a_counter_of_another_frequency_is_refused);
  tcase_add_test (tests, a_counter_that_kvm_does_not_set_is_an_error);
}

int
main (void)
{
  kvm_need ();
  BEGIN_SUITE ("kvm-arm64-time");

  add_tests (tests);
  return run_suite (suite);
}

#else

int
main (void)
{
  puts ("1..0 # SKIP these counters are those of AArch64");
  return 0;
}

#endif
