/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* KVM VMs on AArch64 in a session: their devices, eventfds and blockers; and a guest that goes on
 * in another VM. */
#include <stdio.h>

#include "guest.h"
#include "kvm-arm64.h"

#ifdef __aarch64__

#  include <errno.h>
#  include <string.h>
#  include <sys/eventfd.h>
#  include <sys/ioctl.h>
#  include <sys/mman.h>
#  include <unistd.h>

#  include "session/core.h"

#  define DEVICE   0x10000000 /* an address without memory: an exit */
#  define DOORBELL 0x10001000
#  define CODE     0x1000 /* from the beginning of memory on */
#  define SPI      8      /* interrupt 40 */

/* x0 is DEVICE, x1 DOORBELL: sums up what it reads from the device, says the sum, and rings. */
static const uint32_t code[] = {
  0xd2800002, /* mov x2, #0 */
  0xf9400003, /* again: ldr x3, [x0] */
  0x8b030042, /* add x2, x2, x3 */
  0xf9000402, /* str x2, [x0, #8] */
  0xf9000022, /* str x2, [x1] */
  0x17fffffc, /* b again */
};

static Guest guest;
static CprSession *session;
static ArmMachine machine;
static CprKvmVm *vm;
static int eventfds[2];
static GError *error;

static void
setup (void)
{
  error = NULL;
  arm_machine_init (&machine, ARM_OPTIONS);
  guest_init (&guest);
  session = session_new (&guest, "vm");
  for (int i = 0; i < 2; i++)
    eventfds[i] = eventfd (0, EFD_NONBLOCK | EFD_CLOEXEC);
  vm = cpr_kvm_vm_new (session, "kvm", machine.kvm, machine.vm, 0, &error);
  assert_no_error (error);
  for (unsigned i = 0; i < ARM_VCPUS; i++)
    ck_assert_msg (cpr_kvm_vcpu_add (vm, i, machine.vcpus[i], &error), "%s", error->message);
  ck_assert_msg (cpr_kvm_gic_add (vm, machine.gic, &error), "%s", error->message);
  ck_assert_msg (cpr_kvm_its_add (vm, machine.its[0], &error), "%s", error->message);
}

static void
teardown (void)
{
  cpr_sys = &cpr_sys_kernel;
  cpr_session_free (session);
  for (int i = 0; i < 2; i++)
    close (eventfds[i]);
  guest_clear (&guest);
  arm_machine_clear (&machine);
}

static bool
is_held (int fd)
{
  for (guint i = 0; i < session->held->len; i++)
    if (g_array_index (session->held, int, i) == fd)
      return true;
  return false;
}

/* ---- Registering. */

START_TEST (the_guardian_holds_the_gic_and_its_itss)
{
  ck_assert (is_held (machine.gic) && is_held (machine.its[0]));
  ck_assert_uint_eq (session->held->len, 5);
  ck_assert (cpr_kvm_vm_remove (vm, &error));
  ck_assert_uint_eq (session->held->len, 0);
}
END_TEST

START_TEST (a_device_that_is_not_added_is_not_held)
{
  ck_assert (!cpr_kvm_gic_add (vm, machine.kvm, &error));
  assert_error (&error, CPR_ERROR_EXISTS, "it has a GIC already");
  ck_assert (!is_held (machine.kvm));
  ck_assert (!cpr_kvm_its_add (vm, machine.kvm, &error));
  assert_error (&error, CPR_ERROR_INVALID, "is no ITS");
  ck_assert (!is_held (machine.kvm));
  ck_assert (!cpr_kvm_its_add (vm, machine.its[0], &error));
  assert_error (&error, CPR_ERROR_EXISTS, "held");
  ck_assert_uint_eq (session->held->len, 5);
}
END_TEST

START_TEST (a_fresh_session_knows_what_the_vm_needs_when_it_starts)
{
  ck_assert (cpr_session_load (session, &error) && cpr_session_start (session, &error));
  ck_assert_uint_gt (((const CprKvmVcpu *) vm->vcpus->pdata[1])->n_registers, 100);
  ck_assert_uint_eq (cpr_kvm_gic_count_interrupts (vm), ARM_INTERRUPTS);
  ck_assert_uint_eq (cpr_kvm_gic_count_its (vm), 1);
  ck_assert (vm->has_counters);
}
END_TEST

/* ---- Blockers. */

static int
answer_tagged (int fd, unsigned long request, void *argument)
{
  return request == KVM_ARM_MTE_COPY_TAGS ? 0 : ioctl (fd, request, argument);
}

START_TEST (memory_with_tags_blocks_reboot_mode)
{
  CprSys sys = cpr_sys_kernel;

  ck_assert (cpr_kvm_vm_remove (vm, &error));
  sys.ioctl = answer_tagged;
  cpr_sys = &sys;
  vm = cpr_kvm_vm_new (session, "kvm", machine.kvm, machine.vm, 0, &error);
  for (unsigned i = 0; i < ARM_VCPUS; i++)
    ck_assert (cpr_kvm_vcpu_add (vm, i, machine.vcpus[i], &error));
  assert_blockers (session, CPR_MODES_REBOOT, "*KVM VM 'kvm': its memory has tags (MTE), and a file can't hold them|");
  assert_blockers (session, CPR_MODES_EXEC, "");
  ck_assert (cpr_kvm_vm_remove (vm, &error));
  assert_blockers (session, CPR_MODES_REBOOT, "");
}
END_TEST

/* ---- Eventfds. */

static bool
is_pending (unsigned spi)
{
  return (arm_gic_get (&machine, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0x204) >> spi & 1) != 0;
}

static void
signal_eventfd (int fd)
{
  const uint64_t one = 1;

  ck_assert_int_eq (write (fd, &one, sizeof one), sizeof one);
}

/* KVM may take the eventfd in another thread; the test's own timer ends a wait for ever. */
START_TEST (an_eventfd_raises_an_interrupt_and_is_off_while_state_is_read)
{
  uint64_t count = 0;

  arm_gic_set (&machine, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0xc08, 0xaaaaaaaa); /* edges */
  arm_gic_set (&machine, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0x104, 0xffffffff); /* enabled */
  ck_assert (cpr_session_load (session, &error) && cpr_session_start (session, &error));
  ck_assert_msg (cpr_kvm_irqfd_add (vm, eventfds[0], SPI, -1, &error), "%s", error->message);
  ck_assert (!cpr_kvm_irqfd_add (vm, eventfds[0], SPI, -1, &error));
  assert_error (&error, CPR_ERROR_EXISTS, "is an irqfd of GSI 8 already");
  signal_eventfd (eventfds[0]);
  while (!is_pending (SPI))
    continue;
  arm_gic_set (&machine, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0x204, 0);
  ck_assert (cpr_kvm_vm_get (vm, &error));
  signal_eventfd (eventfds[0]);
  ck_assert_int_eq (read (eventfds[0], &count, sizeof count), sizeof count);
  ck_assert_uint_eq (count, 1); /* it waited */
  ck_assert (!is_pending (SPI));
  signal_eventfd (eventfds[0]);
  ck_assert_uint_eq (cpr_kvm_vm_put_irqfds_on (vm, &error), 0);
  while (!is_pending (SPI)) /* at once */
    continue;
  ck_assert (cpr_kvm_irqfd_remove (vm, eventfds[0], SPI, &error));
}
END_TEST

/* ---- A guest. */

static struct kvm_run *
boot (const ArmMachine *on)
{
  size_t size = (size_t) kvm_do (on->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
  struct kvm_run *run = mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, on->vcpus[0], 0);

  ck_assert_ptr_ne (run, MAP_FAILED);
  return run;
}

#  define CORE(name) (KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | KVM_REG_ARM_CORE_REG (name))

static void
load_code (const ArmMachine *on)
{
  memcpy (on->ram + CODE, code, sizeof code);
  __builtin___clear_cache ((char *) on->ram + CODE, (char *) on->ram + CODE + sizeof code);
  arm_set (on->vcpus[0], CORE (regs.pc), ARM_RAM + CODE);
  arm_set (on->vcpus[0], CORE (regs.regs[0]), DEVICE);
  arm_set (on->vcpus[0], CORE (regs.regs[1]), DOORBELL);
}

static void
run_to (const ArmMachine *on, struct kvm_run *run, bool is_write, uint64_t address)
{
  run->immediate_exit = 0;
  while (ioctl (on->vcpus[0], KVM_RUN, 0) < 0)
    ck_assert_int_eq (errno, EINTR);
  ck_assert_uint_eq (run->exit_reason, KVM_EXIT_MMIO);
  ck_assert_uint_eq (run->mmio.is_write, is_write);
  ck_assert_uint_eq (run->mmio.phys_addr, address);
}

static uint64_t
get_data (const struct kvm_run *run)
{
  uint64_t data;

  memcpy (&data, run->mmio.data, sizeof data);
  return data;
}

static void
give_data (struct kvm_run *run, uint64_t data)
{
  memcpy (run->mmio.data, &data, sizeof data);
}

/* It is stopped in a read, which is completed; the next VM's guest adds what it read. Its doorbell
 * rings here and there. */
START_TEST (a_guest_stopped_in_a_read_goes_on_with_what_it_read)
{
  ArmOptions options = ARM_OPTIONS;
  Programs programs;
  ArmMachine next;
  CprKvmVm *next_vm;
  struct kvm_run *run = boot (&machine), *next_run;
  uint64_t count = 0;
  bool more = true;

  load_code (&machine);
  ck_assert_msg (cpr_kvm_ioeventfd_add (vm, eventfds[1], DOORBELL, 8, 0, 0, &error), "%s", error->message);
  run_to (&machine, run, false, DEVICE);
  give_data (run, 1000);
  run_to (&machine, run, true, DEVICE + 8);
  ck_assert_uint_eq (get_data (run), 1000);
  run_to (&machine, run, false, DEVICE);
  ck_assert_int_eq (read (eventfds[1], &count, sizeof count), sizeof count);
  give_data (run, 234);
  ck_assert_msg (cpr_kvm_complete (machine.vcpus[0], run, &more, &error), "%s", error->message);
  ck_assert (!more);
  ck_assert_uint_eq (arm_get (machine.vcpus[0], CORE (regs.regs[3])), 234);

  options.ram = machine.ram;
  arm_machine_init (&next, options);
  next_run = boot (&next);
  programs_init (&programs);
  next_vm = arm_add (&next, &programs.loaded, 0);
  ck_assert (cpr_kvm_ioeventfd_add (next_vm, eventfds[1], DOORBELL, 8, 0, 0, &error));
  for (guint i = 0; i < vm->vcpus->len; i++)
    ck_assert (cpr_device_table_add (&programs.saved, ((CprKvmVcpu *) vm->vcpus->pdata[i])->name,
                                     cpr_kvm_vcpu_get_type (), vm->vcpus->pdata[i], &error));
  ck_assert (cpr_device_table_add (&programs.saved, "kvm", cpr_kvm_vm_get_type (), vm, &error));
  programs_carry (&programs);
  run_to (&next, next_run, true, DEVICE + 8);
  ck_assert_uint_eq (get_data (next_run), 1234);
  run_to (&next, next_run, false, DEVICE);
  ck_assert_int_eq (read (eventfds[1], &count, sizeof count), sizeof count);
  ck_assert_uint_eq (count, 1);
  cpr_kvm_vm_destroy (next_vm);
  programs_clear (&programs);
  arm_machine_clear (&next);
}
END_TEST

static void
add_tests (TCase *tests)
{
  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, the_guardian_holds_the_gic_and_its_itss);
  tcase_add_test (tests, a_device_that_is_not_added_is_not_held);
  tcase_add_test (tests, a_fresh_session_knows_what_the_vm_needs_when_it_starts);
  tcase_add_test (tests, memory_with_tags_blocks_reboot_mode);
  tcase_add_test (tests, an_eventfd_raises_an_interrupt_and_is_off_while_state_is_read);
  tcase_add_test (tests, a_guest_stopped_in_a_read_goes_on_with_what_it_read);
}

int
main (void)
{
  kvm_need ();
  BEGIN_SUITE ("kvm-arm64-session");

  add_tests (tests);
  return run_suite (suite);
}

#else

int
main (void)
{
  puts ("1..0 # SKIP these guests are those of AArch64");
  return 0;
}

#endif
