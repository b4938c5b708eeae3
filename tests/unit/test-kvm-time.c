/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A guest's time on another host: the clock by the time of day, and a TSC of another frequency. */
#include <stdio.h>

#include "kvm-machine.h"

#ifdef __x86_64__

#  include <errno.h>
#  include <sys/ioctl.h>

#  define KHZ 2000000u

static KvmMachine machine;
static CprDeviceTable devices;
static CprKvmVm *vm;
static CprKvmVcpu *vcpu;
static GError *error;

/* KVM's answers about time, and what it was told. */
static struct
{
  uint32_t khz, set_khz; /* of the TSC; 0: it wasn't set */
  bool can_scale;
  int khz_errno; /* of KVM_GET_TSC_KHZ; 0: it works */
  struct kvm_clock_data clock;
} host;

static int
refuse (int errnum)
{
  errno = errnum;
  return -1;
}

static int
answer (int fd, unsigned long request, void *argument)
{
  switch (request)
    {
    case KVM_SET_CLOCK:
      host.clock = *(const struct kvm_clock_data *) argument;
      return 0;
    case KVM_GET_TSC_KHZ:
      return host.khz_errno != 0 ? refuse (host.khz_errno) : (int) host.khz;
    case KVM_SET_TSC_KHZ:
      if (!host.can_scale)
        return refuse (EINVAL);
      host.set_khz = GPOINTER_TO_UINT (argument);
      return 0;
    default:
      return ioctl (fd, request, argument);
    }
}

static void
setup (void)
{
  static CprSys sys;

  error = NULL;
  memset (&host, 0, sizeof host);
  host.khz = KHZ;
  kvm_machine_init (&machine, IRQCHIP_FULL);
  cpr_device_table_init (&devices);
  vm = cpr_kvm_vm_create (NULL, &devices, "kvm", machine.kvm, machine.vm, 0, &error);
  vcpu = cpr_kvm_vcpu_create (vm, 0, machine.vcpus[0], &error);
  ck_assert_ptr_nonnull (vcpu);
  sys = cpr_sys_kernel;
  sys.ioctl = answer;
  cpr_sys = &sys;
}

static void
teardown (void)
{
  cpr_sys = &cpr_sys_kernel;
  cpr_kvm_vm_destroy (vm);
  cpr_device_table_clear (&devices);
  kvm_machine_clear (&machine);
}

/* ---- The clock. */

static void
save_clock (void)
{
  ck_assert (cpr_kvm_vm_get (vm, &error));
  vm->clock_ns = 1000;
  vm->clock_flags = KVM_CLOCK_REALTIME;
  vm->clock_realtime_ns = 777;
  vm->can.has_set_realtime = true;
}

START_TEST (after_a_restart_of_the_host_kvm_is_told_the_time_of_day_of_the_save)
{
  save_clock ();
  vm->at_ns = vm->taken_ns - 5000; /* as it is on the new host's clock */
  ck_assert (cpr_kvm_vm_set (vm, 1, &error));
  ck_assert_uint_eq (host.clock.flags, KVM_CLOCK_REALTIME);
  ck_assert_uint_eq (host.clock.realtime, 777);
  ck_assert_uint_eq (host.clock.clock, 1000);
}
END_TEST

START_TEST (otherwise_the_clock_goes_on_by_what_has_passed)
{
  bool stops = _i == 2;

  save_clock ();
  vm->at_ns -= 5000000000;
  if (_i == 0) /* the state is of this boot */
    vm->taken_ns = vm->at_ns;
  else if (_i == 1) /* KVM doesn't know the time of day */
    vm->clock_flags = 0;
  else
    vm->flags = CPR_KVM_TIME_STOPS;
  ck_assert (cpr_kvm_vm_set (vm, 1, &error));
  ck_assert_uint_eq (host.clock.flags, 0);
  ck_assert_uint_ge (host.clock.clock, stops ? 1000 : 5000001000);
  ck_assert_uint_lt (host.clock.clock, stops ? 1001 : 65000001000); /* a minute for a slow machine */
}
END_TEST

/* Its instant is below 0 on CLOCK_MONOTONIC, which began with this boot. */
START_TEST (a_save_from_before_this_boot_counts_all_of_the_time_since)
{
  uint64_t now_ns = cpr_now_ns ();

  save_clock ();
  vm->clock_flags = 0;
  vm->at_ns = -(uint64_t) 5000000000;
  ck_assert (cpr_kvm_vm_set (vm, 1, &error));
  ck_assert_uint_ge (host.clock.clock, now_ns + 5000001000);
}
END_TEST

/* ---- The TSC. */

static void
save_tsc (uint32_t khz)
{
  ck_assert (cpr_kvm_vcpu_get (vcpu, &error));
  ck_assert_uint_eq (vcpu->tsc_khz, KHZ);
  host.khz = khz;
}

START_TEST (a_tsc_of_another_frequency_is_scaled)
{
  save_tsc (3000000);
  host.can_scale = true;
  ck_assert_msg (cpr_kvm_vcpu_set (vcpu, 1, &error), "%s", error->message);
  ck_assert_uint_eq (host.set_khz, KHZ);
}
END_TEST

START_TEST (two_measurements_of_one_frequency_are_the_same)
{
  save_tsc (_i == 0 ? KHZ : KHZ + KHZ / 1000000 * 200);
  ck_assert_msg (cpr_kvm_vcpu_set (vcpu, 1, &error), "%s", error->message);
  ck_assert_uint_eq (host.set_khz, 0);
}
END_TEST

START_TEST (a_cpu_that_cannot_scale_refuses_another_frequency)
{
  save_tsc (KHZ + KHZ / 1000000 * 300);
  ck_assert (!cpr_kvm_vcpu_set (vcpu, 1, &error));
  ck_assert_int_eq (cpr_error_get_errno (error), EINVAL);
  assert_error (&error, CPR_ERROR_SYSTEM,
                "KVM VM 'kvm': vCPU 0: KVM_SET_TSC_KHZ: its TSC has 2000000 kHz in the state, 2000600 kHz here");
}
END_TEST

START_TEST (a_tsc_without_a_frequency_is_left_alone)
{
  host.khz_errno = EIO;
  ck_assert_msg (cpr_kvm_vcpu_get (vcpu, &error), "%s", error->message);
  ck_assert_uint_eq (vcpu->tsc_khz, 0);
  ck_assert_msg (cpr_kvm_vcpu_set (vcpu, 1, &error), "%s", error->message);
  ck_assert_uint_eq (host.set_khz, 0);
}
END_TEST

int
main (void)
{
  kvm_need ();
  BEGIN_SUITE ("kvm-time");

  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, after_a_restart_of_the_host_kvm_is_told_the_time_of_day_of_the_save);
  tcase_add_loop_test (tests, otherwise_the_clock_goes_on_by_what_has_passed, 0, 3);
  tcase_add_test (tests, a_save_from_before_this_boot_counts_all_of_the_time_since);
  tcase_add_test (tests, a_tsc_of_another_frequency_is_scaled);
  tcase_add_loop_test (tests, two_measurements_of_one_frequency_are_the_same, 0, 2);
  tcase_add_test (tests, a_cpu_that_cannot_scale_refuses_another_frequency);
  tcase_add_test (tests, a_tsc_without_a_frequency_is_left_alone);
  return run_suite (suite);
}

#else

int
main (void)
{
  puts ("1..0 # SKIP these guests are those of x86-64");
  return 0;
}

#endif
