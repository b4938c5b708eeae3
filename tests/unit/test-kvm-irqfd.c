/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Eventfds that raise interrupts of a KVM VM: which of them are on when, and that none is lost. */
#include <stdio.h>

#include "guest.h"
#include "kvm-machine.h"

#ifdef __x86_64__

#  include <errno.h>
#  include <sys/eventfd.h>
#  include <sys/ioctl.h>
#  include <unistd.h>

#  include "session/core.h"

#  define GSI    30
#  define VECTOR 0x41
#  define LEVEL  5 /* a pin of the IOAPIC */

static Guest guest;
static CprSession *session;
static KvmMachine machine;
static CprKvmVm *vm;
static int fds[3];
static GError *error;

static CprKvmVm *
add (CprSession *to)
{
  CprKvmVm *made = cpr_kvm_vm_new (to, "kvm", machine.kvm, machine.vm, 0, &error);

  assert_no_error (error);
  for (unsigned i = 0; i < KVM_VCPUS; i++)
    ck_assert_msg (cpr_kvm_vcpu_add (made, i, machine.vcpus[i], &error), "%s", error->message);
  return made;
}

/* GSIs from GSI on have the vectors from VECTOR on. */
static void
route (void)
{
  g_autofree struct kvm_irq_routing *routing = g_malloc0 (sizeof *routing + 4 * sizeof routing->entries[0]);
  struct kvm_lapic_state lapic;

  routing->nr = 4;
  for (uint32_t i = 0; i < 3; i++)
    routing->entries[i] = (struct kvm_irq_routing_entry){ .gsi = GSI + i,
                                                          .type = KVM_IRQ_ROUTING_MSI,
                                                          .u.msi = { .address_lo = 0xfee00000, .data = VECTOR + i } };
  routing->entries[3] =
      (struct kvm_irq_routing_entry){ .gsi = LEVEL, .type = KVM_IRQ_ROUTING_IRQCHIP, .u.irqchip = { 2, LEVEL } };
  ck_assert (cpr_kvm_vm_set_gsi_routing (vm, routing, &error));
  kvm_do (machine.vcpus[0], KVM_GET_LAPIC, &lapic);
  lapic.regs[0xf1] |= 1; /* enabled */
  kvm_do (machine.vcpus[0], KVM_SET_LAPIC, &lapic);
}

static void
setup (void)
{
  error = NULL;
  kvm_machine_init (&machine, IRQCHIP_FULL);
  guest_init (&guest);
  session = session_new (&guest, "vm");
  for (size_t i = 0; i < G_N_ELEMENTS (fds); i++)
    fds[i] = eventfd (0, EFD_NONBLOCK | EFD_CLOEXEC);
  vm = add (session);
  route ();
}

static void
teardown (void)
{
  cpr_sys = &cpr_sys_kernel;
  cpr_session_free (session);
  guest_clear (&guest);
  kvm_machine_clear (&machine);
  for (size_t i = 0; i < G_N_ELEMENTS (fds); i++)
    close (fds[i]);
}

static void
kick (int fd)
{
  const uint64_t one = 1;

  ck_assert_int_eq (write (fd, &one, sizeof one), sizeof one);
}

/* Whether a count waits in the eventfd. */
static bool
waits (int fd)
{
  uint64_t count;

  return read (fd, &count, sizeof count) == sizeof count;
}

static bool
is_raised (unsigned vector)
{
  struct kvm_lapic_state lapic;

  kvm_do (machine.vcpus[0], KVM_GET_LAPIC, &lapic);
  return (lapic.regs[0x200 + vector / 32 * 16 + vector % 32 / 8] >> vector % 8 & 1) != 0;
}

/* A thread of the kernel may have to do it. */
static void
assert_raised (unsigned vector)
{
  for (unsigned i = 0; i < 5000 && !is_raised (vector); i++)
    g_usleep (1000);
  ck_assert (is_raised (vector));
}

START_TEST (an_irqfd_of_a_fresh_session_works_at_once_until_it_is_removed)
{
  ck_assert_msg (cpr_kvm_irqfd_add (vm, fds[0], GSI, -1, &error), "%s", error->message);
  kick (fds[0]);
  assert_raised (VECTOR);
  ck_assert (cpr_kvm_irqfd_remove (vm, fds[0], GSI, &error));
  kick (fds[0]);
  ck_assert (waits (fds[0]));
}
END_TEST

START_TEST (wrong_irqfds_are_refused)
{
  ck_assert (!cpr_kvm_irqfd_remove (vm, fds[0], GSI, &error));
  assert_error (&error, CPR_ERROR_NOT_FOUND, "KVM VM 'kvm'");
  ck_assert (cpr_kvm_irqfd_add (vm, fds[0], GSI, -1, &error));
  ck_assert (!cpr_kvm_irqfd_add (vm, fds[0], GSI, -1, &error));
  assert_error (&error, CPR_ERROR_EXISTS, "is an irqfd of GSI 30 already");
  ck_assert (!cpr_kvm_irqfd_add (vm, machine.kvm, GSI, -1, &error));
  assert_error (&error, CPR_ERROR_SYSTEM, "KVM_IRQFD of fd");
  ck_assert_uint_eq (vm->irqfds->len, 1);
}
END_TEST

/* ---- In an update. */

static bool
kick_when_saved (CprSession *of G_GNUC_UNUSED,
                 CprEvent event,
                 CprMode mode G_GNUC_UNUSED,
                 void *user_data G_GNUC_UNUSED,
                 GError **reason G_GNUC_UNUSED)
{
  if (event == CPR_EVENT_SAVED)
    {
      ck_assert (!vm->irqfds_are_on);
      kick (fds[0]);
      g_usleep (1000);
      ck_assert (!is_raised (VECTOR));
    }
  return true;
}

START_TEST (an_interrupt_in_an_update_that_fails_comes_when_the_guest_runs_again)
{
  ck_assert (cpr_session_load (session, &error) && cpr_session_start (session, &error));
  ck_assert (cpr_kvm_irqfd_add (vm, fds[0], GSI, -1, &error));
  ck_assert (cpr_notifier_add (session, CPR_MODES_ALL, 0, kick_when_saved, NULL, &error) != 0);
  ck_assert (!update_up_to_execve (session, 0, &error));
  g_clear_error (&error);
  ck_assert (vm->irqfds_are_on);
  assert_raised (VECTOR);
}
END_TEST

static void (*start_guest) (void *user_data);
static bool were_on_at_start;

static void
look_and_start (void *user_data)
{
  were_on_at_start = vm->irqfds_are_on;
  start_guest (user_data);
}

/* The end of the update may come much later. */
START_TEST (an_update_that_fails_gives_the_interrupts_back_with_the_guest)
{
  ck_assert (cpr_session_load (session, &error) && cpr_session_start (session, &error));
  ck_assert (cpr_kvm_irqfd_add (vm, fds[0], GSI, -1, &error));
  start_guest = session->config.start;
  session->config.start = look_and_start;
  ck_assert (!update_up_to_execve (session, 0, &error));
  g_clear_error (&error);
  ck_assert (were_on_at_start);
}
END_TEST

/* It is as much part of the update as those that were there. */
static bool
add_vm (CprSession *to,
        CprEvent event,
        CprMode mode G_GNUC_UNUSED,
        void *user_data G_GNUC_UNUSED,
        GError **reason G_GNUC_UNUSED)
{
  if (event == CPR_EVENT_SETUP)
    {
      vm = add (to);
      ck_assert (cpr_kvm_irqfd_add (vm, fds[0], GSI, -1, &error));
    }
  return true;
}

START_TEST (a_vm_that_a_notifier_adds_has_its_interrupts_after_a_failure)
{
  ck_assert (cpr_kvm_vm_remove (vm, &error));
  ck_assert (cpr_session_load (session, &error) && cpr_session_start (session, &error));
  ck_assert (cpr_notifier_add (session, CPR_MODES_ALL, 0, add_vm, NULL, &error) != 0);
  ck_assert (!update_up_to_execve (session, 0, &error));
  assert_error (&error, CPR_ERROR_SYSTEM, "execve");
  ck_assert (vm->irqfds_are_on);
}
END_TEST

/* The new program's are added before it loads, and are its own when the guest is. */
START_TEST (an_irqfd_of_a_program_that_loads_takes_nothing_before_the_commit)
{
  ck_assert (cpr_kvm_vm_put_irqfds_off (vm, &error)); /* as in a new program */
  ck_assert (cpr_kvm_irqfd_add (vm, fds[0], GSI, -1, &error));
  ck_assert (cpr_kvm_irqfd_add (vm, fds[1], GSI + 1, -1, &error));
  ck_assert (cpr_kvm_irqfd_remove (vm, fds[1], GSI + 1, &error));
  kick (fds[0]);
  kick (fds[1]);
  ck_assert_uint_eq (cpr_kvm_vm_put_irqfds_on (vm, &error), 0);
  assert_raised (VECTOR);
  ck_assert (waits (fds[1]));
}
END_TEST

START_TEST (a_program_that_starts_the_guest_takes_its_interrupts)
{
  ck_assert (cpr_kvm_vm_put_irqfds_off (vm, &error));
  ck_assert (cpr_kvm_irqfd_add (vm, fds[0], GSI, -1, &error));
  kick (fds[0]);
  ck_assert (cpr_session_load (session, &error));
  ck_assert (!vm->irqfds_are_on);
  ck_assert (cpr_session_start (session, &error));
  ck_assert (vm->irqfds_are_on);
  assert_raised (VECTOR);
}
END_TEST

START_TEST (a_level_is_asked_for_again)
{
  ck_assert_msg (cpr_kvm_irqfd_add (vm, fds[0], LEVEL, fds[1], &error), "%s", error->message);
  ck_assert (!waits (fds[1]));
  ck_assert (cpr_kvm_vm_put_irqfds_off (vm, &error));
  waits (fds[1]); /* where KVM signals it with the end of the irqfd */
  ck_assert_uint_eq (cpr_kvm_vm_put_irqfds_on (vm, &error), 0);
  ck_assert (waits (fds[1]));
}
END_TEST

/* ---- The kernel with faults. */

static unsigned n_irqfds, fail_at;

static int
fail_irqfd (int fd, unsigned long request, void *argument)
{
  if (request == KVM_IRQFD && ++n_irqfds == fail_at)
    {
      errno = ENOMEM;
      return -1;
    }
  return ioctl (fd, request, argument);
}

static void
break_at (unsigned at)
{
  static CprSys sys;

  sys = cpr_sys_kernel;
  sys.ioctl = fail_irqfd;
  cpr_sys = &sys;
  n_irqfds = 0;
  fail_at = at;
}

static void
add_three (void)
{
  for (uint32_t i = 0; i < G_N_ELEMENTS (fds); i++)
    ck_assert (cpr_kvm_irqfd_add (vm, fds[i], GSI + i, -1, &error));
}

START_TEST (where_one_stays_on_all_stay_on_and_the_save_fails)
{
  add_three ();
  for (unsigned at = 1; at <= 3; at++)
    {
      break_at (at);
      ck_assert (!cpr_kvm_vcpu_get (vm->vcpus->pdata[1], &error));
      assert_error (&error, CPR_ERROR_SYSTEM, "KVM VM 'kvm': KVM_IRQFD of fd");
      ck_assert (vm->irqfds_are_on);
    }
  for (unsigned i = 0; i < 3; i++)
    {
      kick (fds[i]);
      assert_raised (VECTOR + i);
    }
  break_at (0);
  ck_assert (cpr_kvm_vcpu_get (vm->vcpus->pdata[1], &error));
  ck_assert_uint_eq (n_irqfds, 3);
}
END_TEST

START_TEST (where_one_cannot_be_put_on_the_others_are)
{
  add_three ();
  ck_assert (cpr_kvm_vm_put_irqfds_off (vm, &error));
  break_at (2);
  ck_assert_uint_eq (cpr_kvm_vm_put_irqfds_on (vm, &error), 1);
  assert_error (&error, CPR_ERROR_SYSTEM, "KVM_IRQFD of fd");
  kick (fds[0]);
  kick (fds[2]);
  assert_raised (VECTOR);
  assert_raised (VECTOR + 2);
}
END_TEST

int
main (void)
{
  kvm_need ();
  BEGIN_SUITE ("kvm-irqfd");

  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, an_irqfd_of_a_fresh_session_works_at_once_until_it_is_removed);
  tcase_add_test (tests, wrong_irqfds_are_refused);
  tcase_add_test (tests, an_interrupt_in_an_update_that_fails_comes_when_the_guest_runs_again);
  tcase_add_test (tests, an_update_that_fails_gives_the_interrupts_back_with_the_guest);
  tcase_add_test (tests, a_vm_that_a_notifier_adds_has_its_interrupts_after_a_failure);
  tcase_add_test (tests, an_irqfd_of_a_program_that_loads_takes_nothing_before_the_commit);
  tcase_add_test (tests, a_program_that_starts_the_guest_takes_its_interrupts);
  tcase_add_test (tests, a_level_is_asked_for_again);
  tcase_add_test (tests, where_one_stays_on_all_stay_on_and_the_save_fails);
  tcase_add_test (tests, where_one_cannot_be_put_on_the_others_are);
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
