/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* KVM VMs, and memory of theirs, that no other VM can have. */
#include <stdio.h>

#include "guest.h"
#include "kvm-machine.h"

#ifdef __x86_64__

#  include <errno.h>
#  include <sys/ioctl.h>
#  include <unistd.h>

#  include "base/uapi.h"

/* Linux 6.8; with flags for memory that the VMM maps, too: Linux 6.18. */
struct create_guest_memfd
{
  uint64_t size, flags, reserved[6];
};
#  define CREATE_GUEST_MEMFD    _IOWR (KVMIO, 0xd4, struct create_guest_memfd)
#  define CAP_GUEST_MEMFD_FLAGS 244
#  define FLAGS_FOR_MAPPING     3

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

static int
answer_as_sev (int fd, unsigned long request, void *argument)
{
  return request == KVM_MEMORY_ENCRYPT_OP ? 0 : ioctl (fd, request, argument);
}

static int
answer_as_protected (int fd, unsigned long request, void *argument)
{
  return request == KVM_CHECK_EXTENSION && (uintptr_t) argument == CPR_UAPI_KVM_CAP_MEMORY_ATTRIBUTES
             ? CPR_UAPI_KVM_MEMORY_ATTRIBUTE_PRIVATE
             : ioctl (fd, request, argument);
}

static int
answer_einval (int fd, unsigned long request, void *argument)
{
  errno = EINVAL;
  return request == KVM_MEMORY_ENCRYPT_OP ? -1 : ioctl (fd, request, argument);
}

static int
answer_as_tdx (int fd, unsigned long request, void *argument)
{
  errno = EINVAL;
  return request == KVM_MEMORY_ENCRYPT_OP ? -1 : answer_as_protected (fd, request, argument);
}

static const struct
{
  int (*answer) (int fd, unsigned long request, void *argument);
  const char *text;
} obstacles[] = {
  { answer_as_sev, "KVM VM 'kvm': its memory and vCPUs are encrypted (SEV or TDX), and no other VM can have them" },
  { answer_as_tdx, "KVM VM 'kvm': its memory and vCPUs are encrypted (SEV or TDX), and no other VM can have them" },
  { answer_as_protected, "KVM VM 'kvm': its type has memory of its own (guest_memfd), and no other VM can have that" },
};

START_TEST (vms_that_no_other_can_be_block_every_mode)
{
  g_autofree char *expected = g_strdup_printf ("*%s|", obstacles[_i].text);
  CprSys sys = cpr_sys_kernel;
  CprKvmVm *vm;

  sys.ioctl = obstacles[_i].answer;
  cpr_sys = &sys;
  vm = cpr_kvm_vm_new (session, "kvm", machine.kvm, machine.vm, 0, &error);
  cpr_sys = &cpr_sys_kernel;
  assert_no_error (error);
  for (unsigned modes = CPR_MODES_EXEC; modes <= CPR_MODES_REBOOT; modes <<= 1)
    assert_blockers (session, modes, expected);
  ck_assert (cpr_kvm_vm_remove (vm, &error));
  assert_blockers (session, CPR_MODES_ALL, "");
}
END_TEST

START_TEST (an_ordinary_vm_blocks_nothing)
{
  ck_assert (cpr_kvm_vm_new (session, "kvm", machine.kvm, machine.vm, 0, &error) != NULL);
  assert_blockers (session, CPR_MODES_ALL, "");
}
END_TEST

/* Where the answer is that of TDX, and its memory isn't. */
START_TEST (a_call_that_fails_makes_no_encrypted_vm)
{
  CprSys sys = cpr_sys_kernel;
  CprKvmVm *vm;

  sys.ioctl = answer_einval;
  cpr_sys = &sys;
  vm = cpr_kvm_vm_new (session, "kvm", machine.kvm, machine.vm, 0, &error);
  cpr_sys = &cpr_sys_kernel;
  ck_assert_ptr_nonnull (vm);
  assert_blockers (session, CPR_MODES_ALL, "");
}
END_TEST

START_TEST (a_slot_is_never_a_guest_memfd)
{
  CprKvmVm *vm = cpr_kvm_vm_new (session, "kvm", machine.kvm, machine.vm, 0, &error);
  CprRamBlock *block = cpr_ram_new (session, "ram", 4 * PAGE, NULL, &error);

  ck_assert (!cpr_kvm_slot_add (vm, 1, 0x40000, block, 0, PAGE, CPR_UAPI_KVM_MEM_GUEST_MEMFD, &error));
  assert_error (&error, CPR_ERROR_INVALID,
                "KVM VM 'kvm': slot 1: KVM_MEM_GUEST_MEMFD: a guest_memfd belongs to one VM");
}
END_TEST

/* Where this kernel lets a VMM map one: it would look like a memfd. */
START_TEST (a_ram_block_of_a_guest_memfd_blocks_the_modes_that_hand_memory_over)
{
  struct create_guest_memfd create = { .size = 4 * PAGE, .flags = FLAGS_FOR_MAPPING };
  bool may_map =
      (ioctl (machine.vm, KVM_CHECK_EXTENSION, CAP_GUEST_MEMFD_FLAGS) & FLAGS_FOR_MAPPING) == FLAGS_FOR_MAPPING;
  int fd = may_map ? ioctl (machine.vm, CREATE_GUEST_MEMFD, &create) : -1;
  CprRamOptions options = { .size = sizeof options, .backend = CPR_RAM_FD, .fd = fd };
  CprRamBlock *block;

  if (fd < 0)
    return;
  block = cpr_ram_new (session, "ram", 4 * PAGE, &options, &error);
  close (fd);
  assert_no_error (error);
  for (unsigned modes = CPR_MODES_EXEC; modes <= CPR_MODES_TRANSFER; modes <<= 1)
    assert_blockers (session, modes,
                     "*RAM block 'ram': a guest_memfd belongs to one KVM VM, and no other VM can have it|");
  assert_blockers (session, CPR_MODES_REBOOT, "");
  ck_assert (cpr_ram_remove (session, block, &error));
  assert_blockers (session, CPR_MODES_ALL, "");
}
END_TEST

int
main (void)
{
  kvm_need ();
  BEGIN_SUITE ("kvm-blockers");

  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_loop_test (tests, vms_that_no_other_can_be_block_every_mode, 0, G_N_ELEMENTS (obstacles));
  tcase_add_test (tests, an_ordinary_vm_blocks_nothing);
  tcase_add_test (tests, a_call_that_fails_makes_no_encrypted_vm);
  tcase_add_test (tests, a_slot_is_never_a_guest_memfd);
  tcase_add_test (tests, a_ram_block_of_a_guest_memfd_blocks_the_modes_that_hand_memory_over);
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
