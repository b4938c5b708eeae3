/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A guest that runs a VM of its own (SVM) is carried while that VM runs, and goes on in it. */
#include <stdio.h>

#include "kvm-machine.h"

#ifdef __x86_64__

#  include <cpuid.h>
#  include <fcntl.h>
#  include <string.h>
#  include <sys/ioctl.h>
#  include <unistd.h>

#  define INNER 0x2000 /* where things are in the guest's memory */
#  define VMCB  0x5000
#  define HSAVE 0x6000
#  define PAGES 0x7000

#  define INNER_PORT 0x30
#  define OUTER_PORT 0x20

#  define CR0_PE       0x1
#  define CR0_PG       0x80000000
#  define CR4_PSE      0x10
#  define LARGE_PAGE   0x83   /* 4 MiB from 0 on, present and writable */
#  define SVME         0x1000 /* of EFER */
#  define MSR_HSAVE    0xc0010117
#  define EXIT_VMMCALL 0x81

/* The outer guest, in protected mode and with paging, as KVM demands. It runs the inner one, says
 * why that ended, and ends. */
static const uint8_t outer_code[] = {
  0x0f, 0x01,       0xd8,            /* vmrun eax */
  0xa1, 0x70,       VMCB >> 8, 0, 0, /* mov eax, [VMCB + 0x70]: the exit code */
  0xe7, OUTER_PORT,                  /* out OUTER_PORT, eax */
  0xf4,                              /* hlt */
};

/* The inner one, in real mode: counts to 6, says so each time, and calls the outer one. */
static const uint8_t inner_code[] = {
  0x31, 0xdb,             /* xor bx, bx */
  0x43,                   /* again: inc bx */
  0x89, 0xd8,             /* mov ax, bx */
  0xe7, INNER_PORT,       /* out INNER_PORT, ax */
  0x83, 0xfb,       6,    /* cmp bx, 6 */
  0x75, 0xf6,             /* jne again */
  0x0f, 0x01,       0xd9, /* vmmcall */
};

static KvmMachine machine;
static CprDeviceTable devices;
static CprKvmVm *vm;
static GError *error;

static void
put (uint32_t at, uint64_t value, size_t size)
{
  memcpy (machine.ram + VMCB + at, &value, size);
}

static void
put_segment (uint32_t at, uint16_t attributes)
{
  put (0x400 + at + 2, attributes, 2);
  put (0x400 + at + 4, 0xffff, 4);
}

/* The inner guest's state, as the outer one would have written it. */
static void
write_vmcb (void)
{
  put (0x10, 3, 4); /* intercepts VMRUN and VMMCALL */
  put (0x58, 1, 4); /* the address space's id */
  for (uint32_t at = 0; at < 0x60; at += 0x10)
    put_segment (at, at == 0x10 ? 0x9b : 0x93); /* the second one is of code */
  put_segment (0x60, 0);
  put_segment (0x70, 0x82);
  put_segment (0x80, 0);
  put_segment (0x90, 0x8b);
  put (0x400 + 0xd0, SVME, 8);                /* EFER */
  put (0x400 + 0x158, 0x10, 8);               /* CR0 */
  put (0x400 + 0x160, 0x400, 8);              /* DR7 */
  put (0x400 + 0x168, 0xffff0ff0, 8);         /* DR6 */
  put (0x400 + 0x170, 2, 8);                  /* RFLAGS */
  put (0x400 + 0x178, INNER, 8);              /* RIP */
  put (0x400 + 0x268, 0x0007040600070406, 8); /* PAT */
}

static void
boot_outer (void)
{
  struct kvm_segment data = { .limit = 0xffffffff, .selector = 16, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1 };
  struct kvm_regs regs = { .rip = KVM_CODE, .rflags = 2, .rax = VMCB };
  const uint32_t large_page = LARGE_PAGE;
  struct kvm_sregs sregs;

  kvm_boot (&machine, outer_code, sizeof outer_code, 0);
  memcpy (machine.ram + INNER, inner_code, sizeof inner_code);
  memcpy (machine.ram + PAGES, &large_page, sizeof large_page);
  write_vmcb ();
  kvm_do (machine.vcpus[0], KVM_GET_SREGS, &sregs);
  sregs.cs = sregs.ds = sregs.es = sregs.ss = sregs.fs = sregs.gs = data;
  sregs.cs.selector = 8;
  sregs.cs.type = 11;
  sregs.cr0 |= CR0_PE | CR0_PG;
  sregs.cr3 = PAGES;
  sregs.cr4 |= CR4_PSE;
  sregs.efer |= SVME;
  kvm_do (machine.vcpus[0], KVM_SET_SREGS, &sregs);
  kvm_do (machine.vcpus[0], KVM_SET_REGS, &regs);
  ck_assert (kvm_write_msr (machine.vcpus[0], MSR_HSAVE, HSAVE));
}

static void
assert_says (const KvmMachine *on, uint16_t port, uint32_t value)
{
  struct kvm_run *run = on->runs[0];
  uint32_t said = 0;

  run->immediate_exit = 0;
  kvm_do (on->vcpus[0], KVM_RUN, 0);
  ck_assert_msg (run->exit_reason == KVM_EXIT_IO, "exit reason %u", run->exit_reason);
  memcpy (&said, (uint8_t *) run + run->io.data_offset, run->io.size);
  ck_assert_uint_eq (run->io.port, port);
  ck_assert_uint_eq (said, value);
}

/* Asked by main(), where no check can be made yet. On Intel's processors there are VMs of another
 * kind. */
static bool
can_nest (void)
{
  uint32_t vendor[3], most;
  int fd = open ("/dev/kvm", O_RDWR | O_CLOEXEC), size = ioctl (fd, KVM_CHECK_EXTENSION, KVM_CAP_NESTED_STATE);

  close (fd);
  return size > 0 && __get_cpuid (0, &most, &vendor[0], &vendor[2], &vendor[1]) && vendor[0] == signature_AMD_ebx;
}

static bool
is_in_inner (int vcpu)
{
  g_autofree struct kvm_nested_state *nested = g_malloc0 (65536);

  nested->size = 65536;
  kvm_do (vcpu, KVM_GET_NESTED_STATE, nested);
  return (nested->flags & KVM_STATE_NESTED_GUEST_MODE) != 0;
}

static void
setup (void)
{
  error = NULL;
  kvm_machine_init (&machine, IRQCHIP_FULL);
  cpr_device_table_init (&devices);
  vm = cpr_kvm_vm_create (NULL, &devices, "kvm", machine.kvm, machine.vm, 0, &error);
  for (unsigned i = 0; i < KVM_VCPUS; i++)
    ck_assert (cpr_kvm_vcpu_create (vm, i, machine.vcpus[i], &error) != NULL);
}

static void
teardown (void)
{
  cpr_kvm_vm_destroy (vm);
  cpr_device_table_clear (&devices);
  kvm_machine_clear (&machine);
}

/* To the next VM and to the one after that, each time in the middle of the inner guest's loop. */
START_TEST (an_inner_guest_goes_on_where_it_was_and_returns_to_its_own_host)
{
  CprDeviceTable tables[2];
  CprKvmVm *vms[2], *last = vm;
  KvmMachine machines[2];
  const KvmMachine *on = &machine;
  uint32_t count = 0;
  bool more;

  boot_outer ();
  for (int i = 0; i < 2; i++)
    {
      assert_says (on, INNER_PORT, ++count);
      assert_says (on, INNER_PORT, ++count);
      ck_assert (is_in_inner (on->vcpus[0]));
      ck_assert (cpr_kvm_complete (on->vcpus[0], on->runs[0], &more, &error) && !more);
      vms[i] = kvm_make_next (on, &machines[i], &tables[i]);
      kvm_carry (last, vms[i]);
      on = &machines[i];
      last = vms[i];
      ck_assert (is_in_inner (on->vcpus[0]));
    }
  assert_says (on, INNER_PORT, 5);
  assert_says (on, INNER_PORT, 6);
  assert_says (on, OUTER_PORT, EXIT_VMMCALL);
  ck_assert (!is_in_inner (on->vcpus[0]));
  for (int i = 0; i < 2; i++)
    {
      cpr_kvm_vm_destroy (vms[i]);
      cpr_device_table_clear (&tables[i]);
      kvm_machine_clear (&machines[i]);
    }
}
END_TEST

/* A program that was prepared, as in transfer mode, sets only what differs. */
START_TEST (an_inner_guest_arrives_in_a_vm_whose_state_is_known)
{
  CprDeviceTable table;
  KvmMachine next;
  CprKvmVm *next_vm;
  bool more;

  boot_outer ();
  assert_says (&machine, INNER_PORT, 1);
  ck_assert (cpr_kvm_complete (machine.vcpus[0], machine.runs[0], &more, &error) && !more);
  next_vm = kvm_make_next (&machine, &next, &table);
  for (unsigned i = 0; i < KVM_VCPUS; i++)
    kvm_set_cpuid (&next, i);
  cpr_kvm_vm_prepare (next_vm);
  kvm_carry (vm, next_vm);
  ck_assert (is_in_inner (next.vcpus[0]));
  assert_says (&next, INNER_PORT, 2);
  cpr_kvm_vm_destroy (next_vm);
  cpr_device_table_clear (&table);
  kvm_machine_clear (&next);
}
END_TEST

int
main (void)
{
  kvm_need ();
  if (!can_nest ())
    {
      puts ("1..0 # SKIP KVM gives guests no VMs of their own here (SVM)");
      return 0;
    }
  BEGIN_SUITE ("kvm-nested");

  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, an_inner_guest_goes_on_where_it_was_and_returns_to_its_own_host);
  tcase_add_test (tests, an_inner_guest_arrives_in_a_vm_whose_state_is_known);
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
