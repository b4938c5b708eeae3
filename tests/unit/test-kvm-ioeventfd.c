/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Eventfds that a KVM guest signals: no kick is lost, and none comes twice. */
#include <stdio.h>

#include "guest.h"
#include "kvm-machine.h"

#ifdef __x86_64__

#  include <sys/eventfd.h>
#  include <sys/ioctl.h>
#  include <unistd.h>

#  include "session/core.h"

#  define KICK    0x30 /* the port that kicks */
#  define STOP    0x31 /* one that ends KVM_RUN */
#  define ADDRESS 0x80000000

/* Real mode: kicks with AX, counts up, and says so, for ever. */
static const uint8_t kicking_code[] = {
  0x31, 0xc0, /* xor ax, ax */
  0xe7, KICK, /* again: out KICK, ax */
  0x40,       /* inc ax */
  0xe6, STOP, /* out STOP, al */
  0xeb, 0xf9, /* jmp again */
};

static Guest guest;
static CprSession *session;
static KvmMachine machine;
static CprKvmVm *vm;
static int kick;
static GError *error;

static void
setup (void)
{
  error = NULL;
  kvm_machine_init (&machine, IRQCHIP_FULL);
  guest_init (&guest);
  session = session_new (&guest, "vm");
  kick = eventfd (0, EFD_NONBLOCK | EFD_CLOEXEC);
  vm = cpr_kvm_vm_new (session, "kvm", machine.kvm, machine.vm, 0, &error);
  for (unsigned i = 0; i < KVM_VCPUS; i++)
    ck_assert (cpr_kvm_vcpu_add (vm, i, machine.vcpus[i], &error));
}

static void
teardown (void)
{
  cpr_session_free (session);
  guest_clear (&guest);
  kvm_machine_clear (&machine);
  close (kick);
}

/* Until the guest has kicked @n times more, or left for another reason. */
static void
run (const KvmMachine *on, unsigned n)
{
  struct kvm_run *state = on->runs[0];

  state->immediate_exit = 0;
  for (unsigned i = 0; i < n; i++)
    {
      kvm_do (on->vcpus[0], KVM_RUN, 0);
      ck_assert_uint_eq (state->exit_reason, KVM_EXIT_IO);
      ck_assert_uint_eq (state->io.port, STOP);
    }
}

static uint64_t
count_kicks (void)
{
  uint64_t count = 0;

  return read (kick, &count, sizeof count) == sizeof count ? count : 0;
}

static bool
add (CprKvmVm *to, uint64_t datamatch, uint32_t flags)
{
  return cpr_kvm_ioeventfd_add (to, kick, KICK, 2, datamatch, KVM_IOEVENTFD_FLAG_PIO | flags, &error);
}

START_TEST (the_guest_kicks_until_the_ioeventfd_is_removed)
{
  ck_assert_msg (add (vm, 0, 0), "%s", error->message);
  kvm_boot (&machine, kicking_code, sizeof kicking_code, 0);
  run (&machine, 3);
  ck_assert_uint_eq (count_kicks (), 3);
  ck_assert (cpr_kvm_ioeventfd_remove (vm, kick, KICK, 2, 0, KVM_IOEVENTFD_FLAG_PIO, &error));
  kvm_do (machine.vcpus[0], KVM_RUN, 0);
  ck_assert_uint_eq (machine.runs[0]->io.port, KICK);
  ck_assert_uint_eq (count_kicks (), 0);
}
END_TEST

START_TEST (only_the_value_that_was_asked_for_kicks)
{
  struct kvm_run *state = machine.runs[0];

  ck_assert (add (vm, 1, KVM_IOEVENTFD_FLAG_DATAMATCH));
  kvm_boot (&machine, kicking_code, sizeof kicking_code, 0);
  kvm_do (machine.vcpus[0], KVM_RUN, 0);
  ck_assert_uint_eq (state->io.port, KICK); /* 0 */
  run (&machine, 2);
  ck_assert_uint_eq (count_kicks (), 1); /* 1 */
  kvm_do (machine.vcpus[0], KVM_RUN, 0);
  ck_assert_uint_eq (state->io.port, KICK); /* 2 */
}
END_TEST

/* Two kicks that nobody has read, one while the guest stands still, and two in the next VM. */
START_TEST (kicks_before_and_in_the_standstill_are_there_in_the_next_vm)
{
  const uint64_t one = 1;
  CprDeviceTable devices;
  CprKvmVm *next_vm;
  KvmMachine next;
  bool more;

  ck_assert (add (vm, 0, 0));
  kvm_boot (&machine, kicking_code, sizeof kicking_code, 0);
  run (&machine, 2);
  ck_assert (cpr_kvm_complete (machine.vcpus[0], machine.runs[0], &more, &error) && !more);
  next_vm = kvm_make_next (&machine, &next, &devices);
  ck_assert_msg (add (next_vm, 0, 0), "%s", error->message);
  ck_assert_int_eq (write (kick, &one, sizeof one), sizeof one);
  kvm_carry (vm, next_vm);
  run (&next, 2);
  ck_assert_uint_eq (count_kicks (), 5);
  cpr_kvm_vm_destroy (next_vm);
  cpr_device_table_clear (&devices);
  kvm_machine_clear (&next);
}
END_TEST

START_TEST (after_an_update_that_fails_the_guest_kicks_as_before)
{
  ck_assert (cpr_session_load (session, &error) && cpr_session_start (session, &error));
  ck_assert (add (vm, 0, 0));
  kvm_boot (&machine, kicking_code, sizeof kicking_code, 0);
  run (&machine, 1);
  ck_assert (!update_up_to_execve (session, 0, &error));
  g_clear_error (&error);
  run (&machine, 1);
  ck_assert_uint_eq (count_kicks (), 2);
}
END_TEST

START_TEST (wrong_ioeventfds_are_refused)
{
  ck_assert (!cpr_kvm_ioeventfd_add (vm, kick, ADDRESS, 4, 0, KVM_IOEVENTFD_FLAG_DEASSIGN, &error));
  assert_error (&error, CPR_ERROR_INVALID, "KVM VM 'kvm': ioeventfd of fd ");
  ck_assert (!cpr_kvm_ioeventfd_remove (vm, kick, ADDRESS, 4, 0, 0, &error));
  assert_error (&error, CPR_ERROR_NOT_FOUND, "address 0x80000000, 4 bytes: such writes don't signal it");
  ck_assert (cpr_kvm_ioeventfd_add (vm, kick, ADDRESS, 4, 0, 0, &error));
  ck_assert (!cpr_kvm_ioeventfd_add (vm, kick, ADDRESS, 4, 0, 0, &error));
  assert_error (&error, CPR_ERROR_EXISTS, "such writes signal an eventfd already");
  ck_assert (!cpr_kvm_ioeventfd_add (vm, kick, KICK, 3, 0, KVM_IOEVENTFD_FLAG_PIO, &error));
  assert_error (&error, CPR_ERROR_SYSTEM, "port 0x30, 3 bytes");
  ck_assert (!cpr_kvm_ioeventfd_add (vm, machine.kvm, KICK, 2, 0, KVM_IOEVENTFD_FLAG_PIO, &error));
  assert_error (&error, CPR_ERROR_SYSTEM, "KVM_IOEVENTFD of fd ");
}
END_TEST

int
main (void)
{
  kvm_need ();
  BEGIN_SUITE ("kvm-ioeventfd");

  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, the_guest_kicks_until_the_ioeventfd_is_removed);
  tcase_add_test (tests, only_the_value_that_was_asked_for_kicks);
  tcase_add_test (tests, kicks_before_and_in_the_standstill_are_there_in_the_next_vm);
  tcase_add_test (tests, after_an_update_that_fails_the_guest_kicks_as_before);
  tcase_add_test (tests, wrong_ioeventfds_are_refused);
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
