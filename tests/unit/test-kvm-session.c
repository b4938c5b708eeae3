/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* KVM VMs in a session, and guests that go on in another VM. */
#include <stdio.h>

#include "guest.h"
#include "kvm-kernel.h"
#include "kvm-machine.h"

#ifdef __x86_64__

#  include <errno.h>
#  include <fcntl.h>
#  include <sys/ioctl.h>
#  include <unistd.h>

#  include "session/core.h"
#  include "state/inventory.h"

static Guest guest;
static CprSession *session;
static KvmMachine machine;
static GError *error;

static void
setup (void)
{
  error = NULL;
  kvm_machine_init (&machine, IRQCHIP_FULL);
  guest_init (&guest);
  session = session_new (&guest, "vm");
}

static void
teardown (void)
{
  cpr_session_free (session);
  guest_clear (&guest);
  kvm_machine_clear (&machine);
  cpr_sys = &cpr_sys_kernel;
}

static CprKvmVm *
add (CprSession *to, const KvmMachine *of)
{
  CprKvmVm *vm = cpr_kvm_vm_new (to, "kvm", of->kvm, of->vm, 0, &error);

  assert_no_error (error);
  for (unsigned i = 0; i < KVM_VCPUS; i++)
    ck_assert_msg (cpr_kvm_vcpu_add (vm, i, of->vcpus[i], &error), "%s", error->message);
  return vm;
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

START_TEST (the_guardian_holds_the_vm_and_its_vcpus)
{
  CprKvmVm *vm = add (session, &machine);

  ck_assert (is_held (machine.vm) && is_held (machine.vcpus[0]) && is_held (machine.vcpus[1]));
  ck_assert (cpr_kvm_vm_remove (vm, &error));
  ck_assert_uint_eq (session->held->len, 0);
  ck_assert_uint_eq (session->devices.devices->len, 0);
  add (session, &machine); /* again */
  ck_assert_uint_eq (session->held->len, 3);
}
END_TEST

/* It was unplugged, and is plugged in again. */
START_TEST (a_vcpu_that_is_removed_is_no_device_any_more)
{
  CprKvmVm *vm = add (session, &machine);

  ck_assert (cpr_session_load (session, &error) && cpr_session_start (session, &error));
  ck_assert (!cpr_kvm_vcpu_remove (vm, 7, &error));
  assert_error (&error, CPR_ERROR_NOT_FOUND, "KVM VM 'kvm': it has no vCPU 7");
  ck_assert (cpr_kvm_vcpu_remove (vm, 0, &error));
  ck_assert (!is_held (machine.vcpus[0]) && is_held (machine.vcpus[1]));
  ck_assert_uint_eq (session->devices.devices->len, 2);
  ck_assert (!cpr_kvm_vcpu_remove (vm, 0, &error));
  assert_error (&error, CPR_ERROR_NOT_FOUND, "no vCPU 0");
  ck_assert (cpr_kvm_vcpu_get (vm->vcpus->pdata[0], &error)); /* the other one */
  ck_assert_uint_eq (((const CprKvmVcpu *) vm->vcpus->pdata[0])->index, 1);
  ck_assert (cpr_kvm_vcpu_add (vm, 0, machine.vcpus[0], &error));
  ck_assert_uint_eq (session->held->len, 3);
}
END_TEST

START_TEST (what_cannot_be_added_leaves_nothing)
{
  CprKvmVm *vm;

  ck_assert (cpr_kvm_vm_new (session, "kvm", machine.kvm, machine.vm, 1u << 7, &error) == NULL);
  assert_error (&error, CPR_ERROR_INVALID, "unknown flags 0x80");
  ck_assert (cpr_kvm_vm_new (session, "kvm", -1, machine.vm, 0, &error) == NULL);
  assert_error (&error, CPR_ERROR_SYSTEM, "KVM VM 'kvm': KVM_GET_API_VERSION");
  ck_assert (cpr_kvm_vm_new (session, "", machine.kvm, machine.vm, 0, &error) == NULL);
  assert_error (&error, CPR_ERROR_INVALID, "device");
  ck_assert_uint_eq (session->held->len, 0);
  ck_assert_uint_eq (session->devices.devices->len, 0);

  vm = add (session, &machine);
  ck_assert (cpr_kvm_vm_new (session, "other", machine.kvm, machine.vm, 0, &error) == NULL);
  assert_error (&error, CPR_ERROR_EXISTS, "held");
  ck_assert (!cpr_kvm_vcpu_add (vm, 0, machine.kvm, &error));
  assert_error (&error, CPR_ERROR_EXISTS, "device 'kvm/vcpu0'");
  ck_assert (!cpr_kvm_vcpu_add (vm, 7, machine.vcpus[0], &error));
  assert_error (&error, CPR_ERROR_EXISTS, "held");
  ck_assert_uint_eq (session->held->len, 3);
  ck_assert_uint_eq (session->devices.devices->len, 3);
}
END_TEST

START_TEST (no_fd_of_kvm_is_refused_with_its_ioctl)
{
  int fd = open ("/dev/null", O_RDWR | O_CLOEXEC);
  CprKvmVm *vm;

  ck_assert (cpr_kvm_vm_new (session, "kvm", fd, machine.vm, 0, &error) == NULL);
  assert_error (&error, CPR_ERROR_SYSTEM, "KVM_GET_API_VERSION");
  vm = cpr_kvm_vm_new (session, "kvm", machine.kvm, fd, 0, &error);
  ck_assert (!cpr_kvm_vcpu_add (vm, 0, machine.vcpus[0], &error));
  assert_error (&error, CPR_ERROR_SYSTEM, "KVM_CHECK_EXTENSION of KVM_CAP_XSAVE");
  ck_assert (cpr_kvm_vm_remove (vm, &error));
  close (fd);
}
END_TEST

/* A preflight tells the VM's needs, and the first update needn't find out which MSRs there are. */
START_TEST (a_fresh_session_knows_what_the_vm_needs_when_it_starts)
{
  const CprKvmVcpu *first, *second;
  CprKvmVm *vm;

  for (unsigned i = 0; i < KVM_VCPUS; i++)
    kvm_set_cpuid (&machine, i);
  vm = add (session, &machine);
  ck_assert (cpr_session_load (session, &error) && cpr_session_start (session, &error));
  first = vm->vcpus->pdata[0];
  second = vm->vcpus->pdata[1];
  ck_assert (first->knows_msrs);
  ck_assert_uint_gt (second->msrs.count, 10);
  ck_assert_uint_gt (second->backed.count, 1);
  ck_assert_uint_ge (first->xsave_size, CPR_KVM_XSAVE_MIN);
  ck_assert (first->has_lapic && vm->has_irqchip && vm->has_pit);
}
END_TEST

/* It is plugged in while the guest runs. */
START_TEST (a_new_vcpu_of_a_running_guest_is_known_at_once)
{
  CprKvmVm *vm = cpr_kvm_vm_new (session, "kvm", machine.kvm, machine.vm, 0, &error);

  ck_assert (cpr_kvm_vcpu_add (vm, 0, machine.vcpus[0], &error));
  ck_assert (cpr_session_load (session, &error) && cpr_session_start (session, &error));
  kvm_set_cpuid (&machine, 1);
  ck_assert (cpr_kvm_vcpu_add (vm, 1, machine.vcpus[1], &error));
  ck_assert_uint_gt (((const CprKvmVcpu *) vm->vcpus->pdata[1])->backed.count, 1);
}
END_TEST

/* ---- A VM of which nobody registered the vCPUs: its next program would run an empty one. */

#  define NO_VCPU "KVM VM 'kvm': it has no vCPU, and the next program wouldn't have their state"

START_TEST (a_vm_without_a_vcpu_is_not_loaded)
{
  CprKvmVm *vm = cpr_kvm_vm_new (session, "kvm", machine.kvm, machine.vm, 0, &error);

  ck_assert (!cpr_session_load (session, &error));
  assert_error (&error, CPR_ERROR_INVALID, NO_VCPU);
  ck_assert_int_eq (cpr_session_get_state (session), CPR_SESSION_STATE_FRESH);
  ck_assert (cpr_kvm_vcpu_add (vm, 0, machine.vcpus[0], &error));
  ck_assert (cpr_session_load (session, &error) && cpr_session_start (session, &error));
}
END_TEST

START_TEST (a_vm_without_a_vcpu_is_not_updated)
{
  const CprUpdate update = { .size = sizeof update, .mode = CPR_MODE_EXEC, .program = "/proc/self/exe" };
  CprKvmVm *vm = add (session, &machine);

  ck_assert (cpr_session_load (session, &error) && cpr_session_start (session, &error));
  for (unsigned i = 0; i < KVM_VCPUS; i++)
    ck_assert (cpr_kvm_vcpu_remove (vm, i, &error));
  ck_assert (!cpr_session_update (session, &update, &error));
  assert_error (&error, CPR_ERROR_INVALID, NO_VCPU);
  ck_assert (!cpr_session_preflight (session, &update, NULL, &error));
  assert_error (&error, CPR_ERROR_INVALID, NO_VCPU);
  ck_assert_int_eq (guest.stops, 0);
  ck_assert_int_eq (cpr_session_get_state (session), CPR_SESSION_STATE_ACTIVE);
}
END_TEST

/* ---- Declaring. */

START_TEST (the_inventory_has_the_vm_and_its_vcpus)
{
  g_autoptr (CprInventory) inventory = cpr_inventory_new ();

  cpr_inventory_add_kvm (inventory, "kvm", 2);
  ck_assert_uint_eq (inventory->refusals->len, 0);
  ck_assert_uint_eq (inventory->devices->len, 3);
  ck_assert_str_eq (g_array_index (inventory->devices, CprDeclaredDevice, 0).name, "kvm");
  ck_assert_str_eq (g_array_index (inventory->devices, CprDeclaredDevice, 2).name, "kvm/vcpu1");
  ck_assert_ptr_eq (g_array_index (inventory->devices, CprDeclaredDevice, 2).type, cpr_kvm_vcpu_get_type ());
}
END_TEST

START_TEST (more_vcpus_than_kvm_takes_are_a_refusal)
{
  g_autoptr (CprInventory) inventory = cpr_inventory_new ();

  cpr_inventory_add_kvm (inventory, "kvm", 100000);
  ck_assert_uint_eq (inventory->refusals->len, 1);
  ck_assert_ptr_nonnull (strstr (inventory->refusals->pdata[0], "it has 100000 vCPUs, and KVM takes "));
}
END_TEST

static int
open_nothing (const char *path, int flags, mode_t mode)
{
  errno = ENOENT;
  return -1;
}

START_TEST (no_kvm_is_a_refusal)
{
  g_autoptr (CprInventory) inventory = cpr_inventory_new ();
  CprSys sys = cpr_sys_kernel;

  sys.open = open_nothing;
  cpr_sys = &sys;
  cpr_inventory_add_kvm (inventory, "kvm", 1);
  cpr_sys = &cpr_sys_kernel;
  ck_assert_uint_eq (inventory->refusals->len, 1);
  ck_assert_ptr_nonnull (strstr (inventory->refusals->pdata[0], "/dev/kvm: No such file"));
}
END_TEST

/* ---- Guests. */

#  define PORT 0x10

/* Real mode: counts what it reads from the port in SI, and says the sum, for ever. */
static const uint8_t summing_code[] = {
  0x31, 0xf6,     /* xor si, si */
  0xe5, PORT,     /* again: in ax, PORT */
  0x01, 0xc6,     /* add si, ax */
  0x89, 0xf0,     /* mov ax, si */
  0xe7, PORT + 2, /* out PORT + 2, ax */
  0xeb, 0xf6,     /* jmp again */
};

/* Real mode: writes across the end of a page. */
static const uint8_t writing_code[] = {
  0x66, 0xc7, 0x06, 0xfe, 0x0f, 0x44, 0x33, 0x22, 0x11, /* mov dword [0xffe], 0x11223344 */
  0xf4,                                                 /* hlt */
};

static uint16_t *
get_data (const KvmMachine *on)
{
  return (uint16_t *) (void *) ((uint8_t *) on->runs[0] + on->runs[0]->io.data_offset);
}

static void
run_to (const KvmMachine *on, uint8_t direction)
{
  on->runs[0]->immediate_exit = 0;
  kvm_do (on->vcpus[0], KVM_RUN, 0);
  ck_assert_uint_eq (on->runs[0]->exit_reason, KVM_EXIT_IO);
  ck_assert_uint_eq (on->runs[0]->io.direction, direction);
}

START_TEST (a_guest_stopped_in_a_read_goes_on_with_what_it_read)
{
  CprKvmVm *vm = add (session, &machine), *next_vm;
  CprDeviceTable devices;
  KvmMachine next;
  bool more = true;

  kvm_boot (&machine, summing_code, sizeof summing_code, 0);
  run_to (&machine, KVM_EXIT_IO_IN);
  *get_data (&machine) = 1000;
  run_to (&machine, KVM_EXIT_IO_OUT);
  ck_assert_uint_eq (*get_data (&machine), 1000);
  run_to (&machine, KVM_EXIT_IO_IN);
  *get_data (&machine) = 234;
  ck_assert_msg (cpr_kvm_complete (machine.vcpus[0], machine.runs[0], &more, &error), "%s", error->message);
  ck_assert (!more);
  ck_assert_uint_eq (machine.runs[0]->immediate_exit, 1);

  next_vm = kvm_make_next (&machine, &next, &devices);
  kvm_carry (vm, next_vm);
  run_to (&next, KVM_EXIT_IO_OUT);
  ck_assert_uint_eq (*get_data (&next), 1234);
  cpr_kvm_vm_destroy (next_vm);
  cpr_device_table_clear (&devices);
  kvm_machine_clear (&next);
}
END_TEST

/* Where nothing is unfinished. */
START_TEST (completing_twice_does_no_harm)
{
  bool more = true;

  add (session, &machine);
  kvm_boot (&machine, summing_code, sizeof summing_code, 0);
  run_to (&machine, KVM_EXIT_IO_IN);
  *get_data (&machine) = 7;
  for (int i = 0; i < 3; i++)
    ck_assert (cpr_kvm_complete (machine.vcpus[0], machine.runs[0], &more, &error) && !more);
  run_to (&machine, KVM_EXIT_IO_OUT);
  ck_assert_uint_eq (*get_data (&machine), 7);
}
END_TEST

/* Where there is no RAM, each page is an access of its own. */
START_TEST (an_access_in_pieces_asks_for_more)
{
  struct kvm_run *run = machine.runs[0];
  struct kvm_regs regs;
  unsigned pieces = 1;
  bool more;

  kvm_boot (&machine, writing_code, sizeof writing_code, 0xff000);
  run->immediate_exit = 0;
  kvm_do (machine.vcpus[0], KVM_RUN, 0);
  ck_assert_uint_eq (run->exit_reason, KVM_EXIT_MMIO);
  do
    {
      ck_assert (cpr_kvm_complete (machine.vcpus[0], run, &more, &error));
      pieces += more;
      if (more)
        ck_assert_uint_eq (run->exit_reason, KVM_EXIT_MMIO);
    }
  while (more);
  ck_assert_uint_eq (pieces, 2); /* it crosses a page */
  kvm_do (machine.vcpus[0], KVM_GET_REGS, &regs);
  ck_assert_uint_eq (regs.rip, KVM_CODE + sizeof writing_code - 1);
}
END_TEST

START_TEST (a_run_that_fails_is_an_error_with_its_errno)
{
  bool more;

  ck_assert (!cpr_kvm_complete (machine.kvm, machine.runs[0], &more, &error));
  ck_assert_int_ne (cpr_error_get_errno (error), 0);
  assert_error (&error, CPR_ERROR_SYSTEM, "KVM_RUN");
}
END_TEST

/* ---- Memory. */

/* The guest's code is in the block, at another place than the first. */
START_TEST (a_slot_is_a_piece_of_a_ram_block)
{
  CprRamBlock *block = cpr_ram_new (session, "code", 16 * PAGE, NULL, &error);
  CprKvmVm *vm = add (session, &machine);
  struct kvm_regs regs = { .rip = 0, .rflags = 2 };
  struct kvm_sregs sregs;

  assert_no_error (error);
  memcpy ((uint8_t *) cpr_ram_block_get_vaddr (block) + 3 * PAGE, summing_code, sizeof summing_code);
  ck_assert_msg (cpr_kvm_slot_add (vm, 1, 0x40000, block, 3 * PAGE, 2 * PAGE, 0, &error), "%s", error->message);
  kvm_boot (&machine, summing_code, sizeof summing_code, 0);
  kvm_do (machine.vcpus[0], KVM_GET_SREGS, &sregs);
  sregs.cs.base = 0x40000;
  sregs.cs.selector = 0x4000;
  kvm_do (machine.vcpus[0], KVM_SET_SREGS, &sregs);
  kvm_do (machine.vcpus[0], KVM_SET_REGS, &regs);
  run_to (&machine, KVM_EXIT_IO_IN);
  ck_assert (cpr_kvm_slot_remove (vm, 1, &error));
  ck_assert (!cpr_kvm_slot_remove (vm, 1, &error));
  assert_error (&error, CPR_ERROR_SYSTEM, "KVM VM 'kvm': KVM_SET_USER_MEMORY_REGION: slot 1, to be removed");
}
END_TEST

/* The guest's code is in the part that was added. */
START_TEST (a_part_that_a_block_got_later_is_a_slot_of_its_own)
{
  const CprRamOptions options = { .size = sizeof options, .max_size = 16 * PAGE };
  CprRamBlock *block = cpr_ram_new (session, "code", 4 * PAGE, &options, &error);
  CprKvmVm *vm = add (session, &machine);
  struct kvm_regs regs = { .rip = 0, .rflags = 2 };
  struct kvm_sregs sregs;

  ck_assert_msg (cpr_kvm_slot_add (vm, 1, 0x40000, block, 0, 4 * PAGE, 0, &error), "%s", error->message);
  ck_assert (!cpr_kvm_slot_add (vm, 2, 0x44000, block, 4 * PAGE, 2 * PAGE, 0, &error));
  assert_error (&error, CPR_ERROR_INVALID, "slot 2: RAM block 'code' has 16384 bytes, and not 8192 from 16384 on");
  ck_assert_msg (cpr_ram_grow (session, block, 6 * PAGE, &error), "%s", error->message);
  ck_assert_msg (cpr_kvm_slot_add (vm, 2, 0x44000, block, 4 * PAGE, 2 * PAGE, 0, &error), "%s", error->message);
  kvm_boot (&machine, summing_code, sizeof summing_code, 0);
  memcpy ((uint8_t *) cpr_ram_block_get_vaddr (block) + 4 * PAGE, summing_code, sizeof summing_code);
  kvm_do (machine.vcpus[0], KVM_GET_SREGS, &sregs);
  sregs.cs.base = 0x44000;
  sregs.cs.selector = 0x4400;
  kvm_do (machine.vcpus[0], KVM_SET_SREGS, &sregs);
  kvm_do (machine.vcpus[0], KVM_SET_REGS, &regs);
  run_to (&machine, KVM_EXIT_IO_IN);
}
END_TEST

START_TEST (a_slot_that_cannot_be_is_refused_with_its_block)
{
  static const struct
  {
    uint64_t offset, size;
  } wrong[] = { { 0, 0 }, { 0, 5 * PAGE }, { 4 * PAGE, PAGE }, { PAGE, UINT64_MAX }, { UINT64_MAX, PAGE } };
  CprRamBlock *block = cpr_ram_new (session, "small", 4 * PAGE, NULL, &error);
  CprKvmVm *vm = add (session, &machine);

  for (size_t i = 0; i < G_N_ELEMENTS (wrong); i++)
    {
      ck_assert (!cpr_kvm_slot_add (vm, 1, 0x40000, block, wrong[i].offset, wrong[i].size, 0, &error));
      assert_error (&error, CPR_ERROR_INVALID, "KVM VM 'kvm': slot 1: RAM block 'small' has 16384 bytes");
    }
  ck_assert (!cpr_kvm_slot_add (vm, 1, 0x40001, block, 0, PAGE, 0, &error));
  assert_error (&error, CPR_ERROR_SYSTEM, "slot 1, RAM block 'small' at 0x40001");
}
END_TEST

/* ---- Routes. */

static struct kvm_irq_routing *
make_routing (uint32_t data)
{
  struct kvm_irq_routing *routing = g_malloc0 (sizeof *routing + sizeof routing->entries[0]);

  routing->nr = 1;
  routing->entries[0] = (struct kvm_irq_routing_entry){ .gsi = 30,
                                                        .type = KVM_IRQ_ROUTING_MSI,
                                                        .u.msi = { .address_lo = 0xfee00000, .data = data } };
  return routing;
}

/* Whether vector @vector waits in vCPU 0's LAPIC. */
static bool
has_request (const KvmMachine *on, unsigned vector)
{
  struct kvm_lapic_state lapic;

  kvm_do (on->vcpus[0], KVM_GET_LAPIC, &lapic);
  return (lapic.regs[0x200 + vector / 32 * 16 + vector % 32 / 8] >> vector % 8 & 1) != 0;
}

START_TEST (routes_are_there_in_the_next_vm)
{
  g_autofree struct kvm_irq_routing *routing = make_routing (0x41);
  CprKvmVm *vm = add (session, &machine), *next_vm;
  struct kvm_irq_level level = { .irq = 30, .level = 1 };
  struct kvm_lapic_state lapic;
  CprDeviceTable devices;
  KvmMachine next;

  kvm_do (machine.vcpus[0], KVM_GET_LAPIC, &lapic);
  lapic.regs[0xf1] |= 1; /* enabled */
  kvm_do (machine.vcpus[0], KVM_SET_LAPIC, &lapic);
  ck_assert_msg (cpr_kvm_vm_set_gsi_routing (vm, routing, &error), "%s", error->message);
  next_vm = kvm_make_next (&machine, &next, &devices);
  kvm_carry (vm, next_vm);
  ck_assert (!has_request (&next, 0x41));
  kvm_do (next.vm, KVM_IRQ_LINE, &level);
  ck_assert (has_request (&next, 0x41));
  cpr_kvm_vm_destroy (next_vm);
  cpr_device_table_clear (&devices);
  kvm_machine_clear (&next);
}
END_TEST

START_TEST (routes_that_kvm_refuses_are_not_kept)
{
  g_autofree struct kvm_irq_routing *routing = make_routing (0x41);
  CprKvmVm *vm = add (session, &machine);

  routing->flags = 1;
  ck_assert (!cpr_kvm_vm_set_gsi_routing (vm, routing, &error));
  assert_error (&error, CPR_ERROR_INVALID, "its routing has 1 entries and flags 0x1");
  routing->flags = 0;
  routing->entries[0].type = 77;
  ck_assert (!cpr_kvm_vm_set_gsi_routing (vm, routing, &error));
  assert_error (&error, CPR_ERROR_SYSTEM, "KVM VM 'kvm': KVM_SET_GSI_ROUTING");
  ck_assert_uint_eq (vm->routes_size, 0);
}
END_TEST

static void
add_tests (TCase *tests)
{
  tcase_add_test (tests, the_guardian_holds_the_vm_and_its_vcpus);
  tcase_add_test (tests, a_vcpu_that_is_removed_is_no_device_any_more);
  tcase_add_test (tests, what_cannot_be_added_leaves_nothing);
  tcase_add_test (tests, no_fd_of_kvm_is_refused_with_its_ioctl);
  tcase_add_test (tests, a_fresh_session_knows_what_the_vm_needs_when_it_starts);
  tcase_add_test (tests, a_new_vcpu_of_a_running_guest_is_known_at_once);
  tcase_add_test (tests, a_vm_without_a_vcpu_is_not_loaded);
  tcase_add_test (tests, a_vm_without_a_vcpu_is_not_updated);
  tcase_add_test (tests, the_inventory_has_the_vm_and_its_vcpus);
  tcase_add_test (tests, more_vcpus_than_kvm_takes_are_a_refusal);
  tcase_add_test (tests, no_kvm_is_a_refusal);
  tcase_add_test (tests, a_guest_stopped_in_a_read_goes_on_with_what_it_read);
  tcase_add_test (tests, completing_twice_does_no_harm);
  tcase_add_test (tests, an_access_in_pieces_asks_for_more);
  tcase_add_test (tests, a_run_that_fails_is_an_error_with_its_errno);
  tcase_add_test (tests, a_slot_is_a_piece_of_a_ram_block);
  tcase_add_test (tests, a_part_that_a_block_got_later_is_a_slot_of_its_own);
  tcase_add_test (tests, a_slot_that_cannot_be_is_refused_with_its_block);
  tcase_add_test (tests, routes_are_there_in_the_next_vm);
  tcase_add_test (tests, routes_that_kvm_refuses_are_not_kept);
}

int
main (void)
{
  kvm_need ();
  BEGIN_SUITE ("kvm-session");

  tcase_add_checked_fixture (tests, setup, teardown);
  add_tests (tests);
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
