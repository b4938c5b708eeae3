/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The loop of a vCPU's thread: in and out of the gate, with registers that are right. */
#include <stdio.h>

#include "guest.h"
#include "kvm-machine.h"

#ifdef __x86_64__

#  include <errno.h>
#  include <pthread.h>
#  include <signal.h>
#  include <stdatomic.h>
#  include <sys/wait.h>
#  include <unistd.h>

#  include "session/core.h"

#  define PORT    0x30
#  define SIGNAL  SIGUSR2
#  define N_STOPS 20

/* Real mode: counts in AX, and writes each number to the port, for ever. */
static const uint8_t counting_code[] = {
  0x31, 0xc0, /* xor ax, ax */
  0x40,       /* again: inc ax */
  0xe7, PORT, /* out PORT, ax */
  0xeb, 0xfb, /* jmp again */
};
#  define AT_OUT (KVM_CODE + 3)

static Guest guest;
static CprGate *gate;
static CprSession *session;
static KvmMachine machine;
static CprKvmVm *vm;
static GError *error;

static pthread_t thread;
static atomic_uint n_exits;
static unsigned last, n_wrong, fail_at; /* 0: never */
static bool fails_silently, result;
static GError *result_error;

static void
begin (bool has_gate)
{
  CprSessionConfig config = guest_config (&guest, "vm");

  config.gate = has_gate ? gate : NULL;
  session = cpr_session_new (&config, &error);
  assert_no_error (error);
  vm = cpr_kvm_vm_new (session, "kvm", machine.kvm, machine.vm, 0, &error);
  for (unsigned i = 0; i < KVM_VCPUS; i++)
    ck_assert (cpr_kvm_vcpu_add (vm, i, machine.vcpus[i], &error));
  kvm_boot (&machine, counting_code, sizeof counting_code, 0);
  ck_assert (cpr_session_load (session, &error));
}

static void
setup (void)
{
  error = result_error = NULL;
  n_exits = last = n_wrong = fail_at = 0;
  fails_silently = result = false;
  signal (SIGNAL, SIG_DFL);
  kvm_machine_init (&machine, IRQCHIP_FULL);
  guest_init (&guest);
  gate = cpr_gate_new (&error);
}

static void
teardown (void)
{
  cpr_sys = &cpr_sys_kernel;
  cpr_session_free (session);
  cpr_gate_free (gate);
  guest_clear (&guest);
  kvm_machine_clear (&machine);
  g_clear_error (&result_error);
}

static bool
handle_exit (struct kvm_run *run, void *user_data, GError **reason)
{
  uint16_t number;

  ck_assert_ptr_eq (user_data, &guest);
  memcpy (&number, (const uint8_t *) run + run->io.data_offset, sizeof number);
  n_wrong += run->exit_reason != KVM_EXIT_IO || run->io.port != PORT || number != (uint16_t) (last + 1);
  last = number;
  if (++n_exits != fail_at)
    return true;
  return !fails_silently && cpr_throw (reason, CPR_ERROR_MISMATCH, "the device is broken");
}

static void *
vcpu_main (void *data)
{
  result = cpr_kvm_vcpu_run (vm, 0, SIGNAL, handle_exit, &guest, &result_error);
  return NULL;
}

static void
start_vcpu (void)
{
  ck_assert_int_eq (pthread_create (&thread, NULL, vcpu_main, NULL), 0);
}

static void
wait_for_exits (unsigned n)
{
  for (unsigned before = n_exits; n_exits - before < n;)
    usleep (100);
}

/* Either the next number was made and not written, or the last one was written. */
static void
assert_registers_are_right (void)
{
  struct kvm_regs regs;

  kvm_do (machine.vcpus[0], KVM_GET_REGS, &regs);
  ck_assert_uint_eq ((uint16_t) regs.rax, regs.rip == AT_OUT ? (uint16_t) (last + 1) : last);
}

START_TEST (a_vcpu_stops_and_goes_on_with_the_guest)
{
  begin (true);
  start_vcpu ();
  ck_assert (cpr_session_start (session, &error));
  for (unsigned i = 0; i < N_STOPS; i++)
    {
      unsigned before;

      wait_for_exits (3);
      ck_assert_msg (cpr_session_pause (session, &error), "%s", error->message);
      before = n_exits;
      assert_registers_are_right ();
      ck_assert_uint_eq (n_exits, before);
      ck_assert (cpr_session_resume (session, &error));
    }
  wait_for_exits (3);
  ck_assert (cpr_gate_dismiss (gate, 30000, &error));
  pthread_join (thread, NULL);
  ck_assert (result && result_error == NULL);
  ck_assert_uint_eq (n_wrong, 0);
  assert_registers_are_right ();
}
END_TEST

START_TEST (before_the_start_nothing_runs)
{
  begin (true);
  start_vcpu ();
  ck_assert (cpr_gate_dismiss (gate, 30000, &error));
  pthread_join (thread, NULL);
  ck_assert (result);
  ck_assert_uint_eq (n_exits, 0);
}
END_TEST

START_TEST (an_exit_that_cannot_be_handled_ends_it_outside_of_the_gate)
{
  fail_at = 5;
  fails_silently = _i == 1;
  begin (true);
  start_vcpu ();
  ck_assert (cpr_session_start (session, &error));
  pthread_join (thread, NULL);
  ck_assert (!result);
  ck_assert_uint_eq (n_exits, 5);
  if (fails_silently)
    assert_error (&result_error, CPR_ERROR_CALLBACK, "KVM: vCPU 'kvm/vcpu0': exit 2");
  else
    assert_error (&result_error, CPR_ERROR_MISMATCH, "the device is broken");
  ck_assert (cpr_session_pause (session, &error));
}
END_TEST

static unsigned long failing;

static int
fail_ioctl (int fd, unsigned long request, void *argument)
{
  if (request != failing)
    return cpr_sys_kernel.ioctl (fd, request, argument);
  errno = EFAULT;
  return -1;
}

START_TEST (what_the_kernel_refuses_is_an_error_with_the_vcpus_name)
{
  CprSys sys = cpr_sys_kernel;

  begin (true);
  ck_assert (cpr_session_start (session, &error));
  sys.ioctl = fail_ioctl;
  cpr_sys = &sys;
  failing = KVM_RUN;
  vcpu_main (NULL);
  ck_assert (!result);
  assert_error (&result_error, CPR_ERROR_SYSTEM, "KVM: vCPU 'kvm/vcpu0': KVM_RUN: Bad address");
  failing = KVM_GET_VCPU_MMAP_SIZE;
  vcpu_main (NULL);
  assert_error (&result_error, CPR_ERROR_SYSTEM, "KVM: vCPU 'kvm/vcpu0': its kvm_run: Bad address");
  cpr_sys = &cpr_sys_kernel;
  ck_assert (!cpr_kvm_vcpu_run (vm, 0, 9999, handle_exit, &guest, &error));
  assert_error (&error, CPR_ERROR_SYSTEM, "KVM: vCPU 'kvm/vcpu0': signal 9999");
}
END_TEST

static void
own_handler (int number)
{
}

/* The start-up may have blocked the signal, which the thread inherits. */
START_TEST (the_signal_gets_a_handler_unless_it_has_one)
{
  struct sigaction action;
  sigset_t set, old;

  signal (SIGNAL, _i == 0 ? SIG_DFL : _i == 1 ? SIG_IGN : own_handler);
  sigemptyset (&set);
  sigaddset (&set, SIGNAL);
  pthread_sigmask (SIG_BLOCK, &set, &old);
  begin (true);
  start_vcpu ();
  ck_assert (cpr_session_start (session, &error));
  wait_for_exits (3);
  ck_assert_msg (cpr_session_pause (session, &error), "%s", error->message);
  sigaction (SIGNAL, NULL, &action);
  ck_assert (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN);
  ck_assert ((action.sa_handler == own_handler) == (_i == 2));
  ck_assert (cpr_gate_dismiss (gate, 30000, &error));
  pthread_join (thread, NULL);
  pthread_sigmask (SIG_SETMASK, &old, NULL);
}
END_TEST

START_TEST (wrong_calls_are_refused)
{
  pid_t child;
  int status;

  begin (false);
  ck_assert (!cpr_kvm_vcpu_run (vm, 0, SIGNAL, handle_exit, &guest, &error));
  assert_error (&error, CPR_ERROR_INVALID, "VM 'vm': a vCPU can't run: the session's configuration has no gate");
  ck_assert (!cpr_kvm_vcpu_run (vm, 7, SIGNAL, handle_exit, &guest, &error));
  assert_error (&error, CPR_ERROR_NOT_FOUND, "KVM VM 'kvm': it has no vCPU 7");
  child = fork ();
  if (child == 0)
    _exit (!cpr_kvm_vcpu_run (vm, 0, SIGNAL, handle_exit, &guest, &error) &&
                   g_error_matches (error, CPR_ERROR, CPR_ERROR_STATE)
               ? 0
               : 1);
  ck_assert_int_eq (waitpid (child, &status, 0), child);
  ck_assert_int_eq (status, 0);
}
END_TEST

int
main (void)
{
  kvm_need ();
  BEGIN_SUITE ("kvm-run");

  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, a_vcpu_stops_and_goes_on_with_the_guest);
  tcase_add_test (tests, before_the_start_nothing_runs);
  tcase_add_loop_test (tests, an_exit_that_cannot_be_handled_ends_it_outside_of_the_gate, 0, 2);
  tcase_add_test (tests, what_the_kernel_refuses_is_an_error_with_the_vcpus_name);
  tcase_add_loop_test (tests, the_signal_gets_a_handler_unless_it_has_one, 0, 3);
  tcase_add_test (tests, wrong_calls_are_refused);
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
