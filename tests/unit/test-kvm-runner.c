/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The runner: a guest runs in it without its program, stops, and goes on in another VM, with no
 * access lost and none done twice, whoever is killed. */
#include <stdio.h>

#include "kvm-machine.h"

#ifdef __x86_64__

#  include <errno.h>
#  include <fcntl.h>
#  include <signal.h>
#  include <sys/eventfd.h>
#  include <sys/ioctl.h>
#  include <sys/mman.h>
#  include <sys/wait.h>
#  include <unistd.h>

#  include "base/memory.h"
#  include "base/signals.h"
#  include "handoff/exec/runner.h"
#  include "kvm/x86/x86.h"

#  define PORT    0x30
#  define COUNTER 0x2000 /* of the second vCPU */
#  define CODE_1  0x3000
#  define WAIT_NS (5 * UINT64_C (1000000000))

/* Real mode: counts in AX, and writes each number to the port, for ever. */
static const uint8_t writing_code[] = {
  0x31, 0xc0, /* xor ax, ax */
  0x40,       /* again: inc ax */
  0xe7, PORT, /* out PORT, ax */
  0xeb, 0xfb, /* jmp again */
};
/* The same into memory that isn't there. */
static const uint8_t storing_code[] = {
  0x31, 0xc0, /* xor ax, ax */
  0x31, 0xdb, /* xor bx, bx */
  0x40,       /* again: inc ax */
  0x89, 0x07, /* mov [bx], ax */
  0xeb, 0xfb, /* jmp again */
};
/* Reads numbers from the port, and counts in BX those that aren't one more than the one before. */
static const uint8_t reading_code[] = {
  0x31, 0xdb, /* xor bx, bx */
  0x31, 0xc9, /* xor cx, cx */
  0xe5, PORT, /* again: in ax, PORT */
  0x41,       /* inc cx */
  0x39, 0xc8, /* cmp ax, cx */
  0x74, 0xf9, /* je again */
  0x43,       /* inc bx */
  0xeb, 0xf6, /* jmp again */
};
static const uint8_t ticking_code[] = {
  0x66, 0xff, 0x06, 0x00, 0x20, /* again: inc dword [COUNTER] */
  0xeb, 0xf9,                   /* jmp again */
};

static GError *error;
static KvmMachine machine, next;
static CprDeviceTable devices, next_devices;
static CprKvmVm *vm, *next_vm;
static CprBaton baton;
static CprRunner *runner;
static CprLateArea *area;
static size_t area_size;
static int release, ask, gone[2];
static unsigned seen, wrong; /* numbers that the guest wrote or read */

static void
boot_second (void)
{
  struct kvm_sregs sregs;
  struct kvm_regs regs = { .rip = CODE_1, .rflags = 2 };
  struct kvm_mp_state runnable = { KVM_MP_STATE_RUNNABLE };

  memcpy (machine.ram + CODE_1, ticking_code, sizeof ticking_code);
  kvm_set_cpuid (&machine, 1);
  kvm_do (machine.vcpus[1], KVM_GET_SREGS, &sregs);
  sregs.cs.base = sregs.cs.selector = 0;
  kvm_do (machine.vcpus[1], KVM_SET_SREGS, &sregs);
  kvm_do (machine.vcpus[1], KVM_SET_REGS, &regs);
  kvm_do (machine.vcpus[1], KVM_SET_MP_STATE, &runnable);
}

static void
make_area (CprKvmScript *scripts)
{
  const CprKvmScript *all[KVM_VCPUS + 1];

  for (unsigned i = 0; i <= KVM_VCPUS; i++)
    all[i] = &scripts[i];
  area_size = cpr_late_area_size (all, KVM_VCPUS + 1);
  area = mmap (NULL, area_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ck_assert_ptr_ne (area, MAP_FAILED);
}

static void
make_runner (void)
{
  g_autoptr (GArray) keep = g_array_new (FALSE, FALSE, sizeof (int));
  CprKvmScript scripts[KVM_VCPUS + 1];
  CprRunnerVcpu vcpus[KVM_VCPUS];
  CprRunnerConfig config = { .keep = keep,
                             .page = baton.page,
                             .release = release,
                             .ask = ask,
                             .gone = gone[0],
                             .kvm_fd = machine.kvm,
                             .vm_fd = machine.vm,
                             .vcpus = vcpus,
                             .n_vcpus = KVM_VCPUS };
  sigset_t old;

  for (unsigned i = 0; i < KVM_VCPUS; i++)
    {
      cpr_kvm_vcpu_write_script (vm->vcpus->pdata[i], &scripts[i]);
      vcpus[i] = (CprRunnerVcpu){ i, machine.vcpus[i], 0, &scripts[i] };
    }
  cpr_kvm_vm_write_script (vm, &scripts[KVM_VCPUS]);
  make_area (scripts);
  config.area = area;
  config.vm_script = &scripts[KVM_VCPUS];
  runner = cpr_runner_new (&config, &error);
  assert_no_error (error);
  for (unsigned i = 0; i <= KVM_VCPUS; i++)
    cpr_kvm_script_clear (&scripts[i]);
  cpr_signals_block_all (&old);
  ck_assert_msg (cpr_runner_launch (runner, &error), "%s", error->message);
  cpr_signals_restore (&old);
}

static void
begin (const uint8_t *code, size_t size)
{
  error = NULL;
  seen = wrong = 0;
  kvm_machine_init (&machine, IRQCHIP_FULL);
  cpr_device_table_init (&devices);
  vm = cpr_kvm_vm_create (NULL, &devices, "kvm", machine.kvm, machine.vm, 0, &error);
  for (unsigned i = 0; i < KVM_VCPUS; i++)
    ck_assert (cpr_kvm_vcpu_create (vm, i, machine.vcpus[i], &error) != NULL);
  kvm_boot (&machine, code, size, 0x100000);
  boot_second ();
  cpr_kvm_vm_probe (vm, NULL);
  next_vm = kvm_make_next (&machine, &next, &next_devices);
  ck_assert (cpr_baton_new (&baton, &error));
  release = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  ask = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  ck_assert_int_eq (pipe2 (gone, O_CLOEXEC), 0);
  make_runner ();
}

static void
move (CprBatonState state, unsigned attempt)
{
  CprBatonWord from = cpr_baton_get (baton.page), to = { state, attempt, getpid () };

  ck_assert (cpr_baton_move (baton.page, from, to));
}

static void
end (void)
{
  cpr_runner_free (runner);
  munmap (area, area_size);
  cpr_baton_clear (&baton);
  close (release);
  close (ask);
  close (gone[0]);
  cpr_kvm_vm_destroy (next_vm);
  cpr_device_table_clear (&next_devices);
  kvm_machine_clear (&next);
  cpr_kvm_vm_destroy (vm);
  cpr_device_table_clear (&devices);
  kvm_machine_clear (&machine);
}

static uint32_t
get_ticks (const KvmMachine *of)
{
  return *(volatile uint32_t *) (void *) (of->ram + COUNTER);
}

static void
assert_it_ticks (void)
{
  uint32_t before = get_ticks (&machine);
  uint64_t end_ns = cpr_now_ns () + WAIT_NS;

  while (get_ticks (&machine) - before < 1000)
    {
      ck_assert_uint_lt (cpr_now_ns (), end_ns);
      usleep (100);
    }
}

static void
assert_it_stands (void)
{
  uint32_t before = get_ticks (&machine);

  usleep (5000);
  ck_assert_uint_eq (get_ticks (&machine), before);
}

static void
await_parked (void)
{
  uint64_t end_ns = cpr_now_ns () + WAIT_NS;

  while (CPR_LATE_PHASE_OF (atomic_load (&area->vcpus[0].word)) != CPR_LATE_PARKED_NOW)
    {
      ck_assert_uint_lt (cpr_now_ns (), end_ns);
      usleep (100);
    }
}

/* The program executes another one, which the offer names. */
static void
go (void)
{
  move (CPR_BATON_OFFERED, 1);
  close (gone[1]);
}

static void
stop_for (unsigned attempt)
{
  ck_assert_msg (cpr_late_ask (area, ask, attempt, cpr_now_ns () + WAIT_NS, &error), "%s", error->message);
}

/* ---- The next VM. */

static void
note (unsigned number)
{
  wrong += (uint16_t) number != (uint16_t) (seen + 1);
  seen = number;
}

/* A device that counts. */
static void
handle (struct kvm_run *run, const uint8_t *pio)
{
  uint16_t number = (uint16_t) (seen + 1);

  if (run->exit_reason == KVM_EXIT_IO && run->io.direction == KVM_EXIT_IO_IN)
    memcpy ((uint8_t *) run + run->io.data_offset, &number, sizeof number);
  else if (run->exit_reason == KVM_EXIT_IO)
    memcpy (&number, pio != NULL ? pio : (uint8_t *) run + run->io.data_offset, sizeof number);
  else
    {
      ck_assert_uint_eq (run->exit_reason, KVM_EXIT_MMIO);
      ck_assert_uint_eq (run->mmio.phys_addr, 0x100000);
      memcpy (&number, run->mmio.data, sizeof number);
    }
  note (number);
}

static void
handle_parked (const CprLateArea *late)
{
  uint32_t word = atomic_load (&late->vcpus[0].word);

  ck_assert_int_ne (CPR_LATE_PHASE_OF (word), CPR_LATE_BROKEN);
  for (uint32_t i = 0; i < CPR_LATE_NUMBER_OF (word); i++)
    {
      struct kvm_run run = { 0 };

      memcpy (&run, &late->vcpus[0].parked[i], sizeof late->vcpus[0].parked[i]);
      handle (&run, late->vcpus[0].pio);
    }
}

static void
load_late (void)
{
  g_autofree CprLateArea *copy = g_memdup2 (area, area_size);
  CprKvmScript script;

  memcpy (next.ram, machine.ram, KVM_RAM);
  for (unsigned i = 0; i < KVM_VCPUS; i++)
    {
      CprKvmVcpu *from = vm->vcpus->pdata[i], *to = next_vm->vcpus->pdata[i];

      to->cpuid = from->cpuid; /* what comes with the state */
      to->msrs = from->msrs;
      to->mcg_cap = from->mcg_cap;
      ck_assert_msg (cpr_late_open_script (copy, area_size, &copy->vcpus[i].object, &script, &error), "%s",
                     error->message);
      ck_assert_msg (cpr_kvm_vcpu_take_late (to, &script, &error), "%s", error->message);
      cpr_late_close_script (&script);
      ck_assert_msg (cpr_kvm_vcpu_set (to, 1, &error), "%s", error->message);
    }
  next_vm->has_irqchip = next_vm->has_pit = true;
  ck_assert (cpr_late_open_script (copy, area_size, &copy->vm, &script, &error));
  ck_assert_msg (cpr_kvm_vm_take_late (next_vm, &script, &error), "%s", error->message);
  cpr_late_close_script (&script);
  ck_assert_msg (cpr_kvm_vm_set (next_vm, 1, &error), "%s", error->message);
  handle_parked (copy);
}

/* The first vCPU makes @n more accesses. */
static void
run_next (unsigned n)
{
  while (n-- > 0)
    {
      ck_assert_int_eq (ioctl (next.vcpus[0], KVM_RUN, 0), 0);
      handle (next.runs[0], NULL);
    }
}

static void
kill_runner (void)
{
  ck_assert_int_eq (kill (atomic_load (&area->runner), SIGKILL), 0);
}

/* ---- The claims. */

START_TEST (the_guest_stands_as_long_as_its_program_is_there)
{
  begin (writing_code, sizeof writing_code);
  assert_it_stands ();
  move (CPR_BATON_OFFERED, 1);
  assert_it_stands ();
  end ();
}
END_TEST

START_TEST (a_program_that_dies_before_the_offer_takes_its_guest_along)
{
  begin (writing_code, sizeof writing_code);
  close (gone[1]);
  assert_it_stands ();
  end ();
}
END_TEST

/* The state that the script tells is the one that KVM has. */
START_TEST (the_guest_runs_and_stops_and_its_state_is_what_kvm_has)
{
  begin (writing_code, sizeof writing_code);
  go ();
  assert_it_ticks ();
  stop_for (1);
  assert_it_stands ();
  load_late ();
  kvm_assert_same (&machine, &next);
  end ();
}
END_TEST

static const struct
{
  const char *name;
  const uint8_t *code;
  size_t size;
} accesses[] = { { "out", writing_code, sizeof writing_code },
                 { "in", reading_code, sizeof reading_code },
                 { "mov", storing_code, sizeof storing_code } };

START_TEST (no_access_is_lost_and_none_is_done_twice)
{
  struct kvm_regs regs;

  begin (accesses[_i].code, accesses[_i].size);
  go ();
  await_parked ();
  assert_it_ticks ();
  stop_for (1);
  load_late ();
  run_next (1000);
  ck_assert_uint_eq (seen, 1000 + (_i != 1));
  ck_assert_uint_eq (wrong, 0);
  kvm_do (next.vcpus[0], KVM_GET_REGS, &regs);
  ck_assert_msg (_i != 1 || regs.rbx == 0, "%s", accesses[_i].name);
  end ();
}
END_TEST

START_TEST (the_guest_goes_on_when_the_runner_is_killed)
{
  begin (accesses[_i].code, accesses[_i].size);
  go ();
  assert_it_ticks ();
  kill_runner ();
  assert_it_ticks ();
  assert_it_ticks ();
  stop_for (1);
  assert_it_stands ();
  load_late ();
  kvm_assert_same (&machine, &next);
  run_next (1000);
  ck_assert_uint_eq (wrong, 0);
  end ();
}
END_TEST

/* At any moment of its life, 0 to 2 ms after the program's end. */
START_TEST (a_runner_may_be_killed_at_any_moment)
{
  begin (accesses[_i % 3].code, accesses[_i % 3].size);
  go ();
  usleep ((useconds_t) g_random_int_range (0, 2000));
  if (atomic_load (&area->runner) != 0)
    kill_runner ();
  if (_i % 2 == 0)
    assert_it_ticks ();
  stop_for (1);
  assert_it_stands ();
  load_late ();
  run_next (100);
  ck_assert_uint_eq (wrong, 0);
  end ();
}
END_TEST

START_TEST (a_runner_that_is_killed_while_the_guest_stands_doesnt_let_it_run)
{
  begin (writing_code, sizeof writing_code);
  go ();
  assert_it_ticks ();
  stop_for (1);
  kill_runner ();
  usleep (20000);
  assert_it_stands ();
  move (CPR_BATON_OFFERED, 2); /* the program that asked has given up */
  assert_it_ticks ();
  end ();
}
END_TEST

START_TEST (the_guest_runs_on_when_the_program_that_asked_fails)
{
  begin (writing_code, sizeof writing_code);
  go ();
  await_parked ();
  stop_for (1);
  assert_it_stands ();
  move (CPR_BATON_FENCED, 1);
  assert_it_ticks ();
  move (CPR_BATON_OFFERED, 2);
  assert_it_ticks ();
  stop_for (2);
  assert_it_stands ();
  load_late ();
  kvm_assert_same (&machine, &next);
  run_next (100);
  ck_assert_uint_eq (wrong, 0);
  end ();
}
END_TEST

START_TEST (the_runners_end_when_they_are_released)
{
  const uint64_t one = 1;

  begin (writing_code, sizeof writing_code);
  go ();
  assert_it_ticks ();
  stop_for (1);
  move (CPR_BATON_OWNED, 1);
  assert_it_stands ();
  ck_assert_int_eq (write (release, &one, sizeof one), sizeof one);
  for (int i = 0; i < CPR_BATON_GUARDIANS; i++)
    if (baton.page->guardians[i] > 0)
      ck_assert_int_eq (waitid (P_PID, (id_t) baton.page->guardians[i], &(siginfo_t){ 0 }, WEXITED | WNOWAIT | __WALL),
                        0);
  end ();
}
END_TEST

START_TEST (a_late_area_is_checked)
{
  CprLateArea *copy;
  CprKvmScript script;

  begin (writing_code, sizeof writing_code);
  go ();
  stop_for (1);
  copy = g_memdup2 (area, area_size);
  copy->vm.calls[0].offset = (uint32_t) area_size;
  ck_assert (!cpr_late_open_script (copy, area_size, &copy->vm, &script, &error));
  assert_error (&error, CPR_ERROR_CORRUPT, "call 0");
  copy->vcpus[0].object.calls[2].size = UINT32_MAX;
  ck_assert (!cpr_late_open_script (copy, area_size, &copy->vcpus[0].object, &script, &error));
  assert_error (&error, CPR_ERROR_CORRUPT, "call 2");
  copy->vcpus[1].object.n_calls = UINT32_MAX;
  ck_assert (cpr_late_open_script (copy, area_size, &copy->vcpus[1].object, &script, &error) || error != NULL);
  g_clear_error (&error);
  g_free (copy);
  end ();
}
END_TEST

START_TEST (how_long_it_stands)
{
  uint64_t asked, loaded;

  begin (writing_code, sizeof writing_code);
  go ();
  assert_it_ticks ();
  asked = cpr_now_ns ();
  stop_for (1);
  load_late ();
  loaded = cpr_now_ns ();
  printf ("# asked to stopped %.3f ms, saved %.3f, loaded %.3f; stopped to loaded %.3f ms\n",
          (double) (area->stopped_ns - asked) / 1e6, (double) (area->saved_ns - area->stopped_ns) / 1e6,
          (double) (loaded - area->saved_ns) / 1e6, (double) (loaded - area->stopped_ns) / 1e6);
  end ();
}
END_TEST

int
main (void)
{
  kvm_need ();
  if (under_valgrind ())
    {
      puts ("1..0 # SKIP valgrind can't follow a clone that shares memory");
      return 0;
    }
  BEGIN_SUITE ("kvm-runner");

  tcase_add_test (tests, the_guest_stands_as_long_as_its_program_is_there);
  tcase_add_test (tests, a_program_that_dies_before_the_offer_takes_its_guest_along);
  tcase_add_test (tests, the_guest_runs_and_stops_and_its_state_is_what_kvm_has);
  tcase_add_loop_test (tests, no_access_is_lost_and_none_is_done_twice, 0, 3);
  tcase_add_loop_test (tests, the_guest_goes_on_when_the_runner_is_killed, 0, 3);
  tcase_add_loop_test (tests, a_runner_may_be_killed_at_any_moment, 0, 60);
  tcase_add_test (tests, a_runner_that_is_killed_while_the_guest_stands_doesnt_let_it_run);
  tcase_add_test (tests, the_guest_runs_on_when_the_program_that_asked_fails);
  tcase_add_test (tests, the_runners_end_when_they_are_released);
  tcase_add_test (tests, a_late_area_is_checked);
  tcase_add_test (tests, how_long_it_stands);
  return run_suite (suite);
}

#else

int
main (void)
{
  puts ("1..0 # SKIP the guest is one of x86-64");
  return 0;
}

#endif
