/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a program finds in a preflight that its KVM lacks, and what is found out for that once. */
#include <stdio.h>

#include "kvm-kernel.h"
#include "kvm-machine.h"
#include "machine.h"

#ifdef __x86_64__

#  include <errno.h>
#  include <sys/ioctl.h>

#  include "ask/compare.h"
#  include "kvm/x86/x86.h"

static KvmMachine kvm;
static Machine machine;
static Guest guest;
static CprKvmVm *vm;
static GError *error;
static CprInventory *made; /* by the program that is asked; NULL: it doesn't say */

/* KVM in the program that is asked. */
static struct
{
  uint32_t function, index; /* a leaf that lacks bits */
  unsigned which;
  uint32_t bits;
  uint32_t msr; /* that isn't listed; 0: none */
  bool has_capability;
  int capability, answer; /* another answer */
  unsigned long fails;    /* an ioctl; 0: none */
  bool has_no_path;       /* nobody can open it */
} less;

static void
hide_bits (struct kvm_cpuid2 *cpuid)
{
  for (uint32_t i = 0; i < cpuid->nent; i++)
    {
      struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];
      uint32_t *registers[] = { &entry->eax, &entry->ebx, &entry->ecx, &entry->edx };

      if (entry->function == less.function && entry->index == less.index)
        *registers[less.which] &= ~less.bits;
    }
}

static void
hide_msr (struct kvm_msr_list *list)
{
  for (uint32_t i = 0; i < list->nmsrs; i++)
    if (list->indices[i] == less.msr)
      list->indices[i] = 0x10; /* is there anyway */
}

static int
answer_less (int fd, unsigned long request, void *argument)
{
  int result;

  if (request == KVM_CHECK_EXTENSION && less.has_capability && (intptr_t) argument == less.capability)
    return less.answer;
  if (request == less.fails)
    {
      errno = ENOMEM;
      return -1;
    }
  result = ioctl (fd, request, argument);
  if (result >= 0 && request == KVM_GET_SUPPORTED_CPUID)
    hide_bits (argument);
  if (result >= 0 && request == KVM_GET_MSR_INDEX_LIST)
    hide_msr (argument);
  return result;
}

static int
open_less (const char *path, int flags, mode_t mode)
{
  if (less.has_no_path && strcmp (path, "/dev/kvm") == 0)
    {
      errno = EACCES;
      return -1;
    }
  return cpr_sys_kernel.open (path, flags, mode);
}

static void
setup (void)
{
  error = NULL;
  memset (&less, 0, sizeof less);
  kvm_machine_init (&kvm, IRQCHIP_FULL);
  guest_init (&guest);
  machine_init (&machine);
  for (unsigned i = 0; i < KVM_VCPUS; i++)
    kvm_set_cpuid (&kvm, i);
  vm = cpr_kvm_vm_create (NULL, &machine.devices, "kvm", kvm.kvm, kvm.vm, 0, &error);
  for (unsigned i = 0; i < KVM_VCPUS; i++)
    ck_assert (cpr_kvm_vcpu_create (vm, i, kvm.vcpus[i], &error) != NULL);
  cpr_kvm_vm_probe (vm, NULL);
}

static void
teardown (void)
{
  cpr_sys = &cpr_sys_kernel;
  cpr_kvm_vm_destroy (vm);
  machine_clear (&machine);
  guest_clear (&guest);
  kvm_machine_clear (&kvm);
}

static void
write_question (CprWriter *writer)
{
  const CprQuestionHead head = { .answer_fd = 4, .pipe_device = 11, .pipe_inode = 12 };
  CprAskedVm asked = { .fds = &machine.fds, .ram = &machine.ram, .vfio = &machine.vfio, .devices = &machine.devices };

  machine_head (&asked.head);
  asked.head.pid = (uint32_t) getppid ();
  cpr_writer_init (writer, -1);
  ck_assert (cpr_question_write (&head, &asked, writer, &error));
}

/* What a program finds that has the same devices, and such a KVM. */
static GPtrArray *
ask (void)
{
  const CprDeviceType *const types[] = { &serial_type, &disk_type, cpr_kvm_vm_get_type (), cpr_kvm_vcpu_get_type (),
                                         NULL };
  CprSessionConfig config = guest_config (&guest, MACHINE_NAME);
  const CprCandidate candidate = { &config, made, getppid () };
  GPtrArray *findings = cpr_findings_new ();
  g_autoptr (GPtrArray) known = NULL;
  CprSys sys = cpr_sys_kernel;
  CprQuestion question;
  CprWriter writer;

  config.device_types = types;
  known = cpr_candidate_collect_types (&candidate, findings);
  write_question (&writer);
  ck_assert_msg (cpr_question_read (&question, g_memdup2 (writer.data, writer.len), writer.len, &error), "%s",
                 error != NULL ? error->message : "");
  sys.ioctl = answer_less;
  sys.open = open_less;
  cpr_sys = &sys;
  cpr_compare (&question, &candidate, known, findings);
  cpr_sys = &cpr_sys_kernel;
  cpr_question_clear (&question);
  cpr_writer_clear (&writer);
  return findings;
}

/* It finds this and nothing else. */
static void
assert_finds (const char *name, const char *text)
{
  g_autoptr (GPtrArray) findings = ask ();
  const CprFinding *finding;

  for (guint i = 0; i < findings->len; i++)
    printf ("# %s\n", ((CprFinding *) findings->pdata[i])->message);
  ck_assert_uint_eq (findings->len, 1);
  finding = findings->pdata[0];
  ck_assert_str_eq (finding->message, text);
  ck_assert_str_eq (finding->name, name);
  ck_assert_int_eq (finding->severity, CPR_SEVERITY_REFUSAL);
  ck_assert_int_eq (finding->subject, CPR_SUBJECT_DEVICE);
}

/* ---- The VM that a rehearsed start-up has made. */

static void
declare_made (const CprDeviceTable *devices)
{
  for (guint i = 0; i < devices->devices->len; i++)
    {
      const CprDevice *device = devices->devices->pdata[i];

      cpr_inventory_add_device (made, device->name, device->type);
      g_array_index (made->devices, CprDeclaredDevice, i).here = device->state;
    }
}

/* The findings about KVM, of a start-up that made a VM with such an irqchip. */
static char *
rehearse (Irqchip irqchip)
{
  GString *all = g_string_new (NULL);
  g_autoptr (GPtrArray) findings = NULL;
  CprDeviceTable devices;
  KvmMachine next;
  CprKvmVm *next_vm;

  made = cpr_inventory_new ();
  kvm.irqchip = irqchip;
  next_vm = kvm_make_next (&kvm, &next, &devices);
  declare_made (&devices);
  findings = ask ();
  for (guint i = 0; i < findings->len; i++)
    if (strstr (((CprFinding *) findings->pdata[i])->message, "kvm") != NULL)
      g_string_append_printf (all, "%s\n", ((CprFinding *) findings->pdata[i])->message);
  cpr_kvm_vm_destroy (next_vm);
  cpr_device_table_clear (&devices);
  kvm_machine_clear (&next);
  g_clear_pointer (&made, cpr_inventory_free);
  return g_string_free (all, FALSE);
}

START_TEST (a_rehearsed_vm_lacks_the_irqchip_that_it_forgot)
{
  g_autofree char *full = rehearse (IRQCHIP_FULL), *split = rehearse (IRQCHIP_SPLIT), *none = rehearse (IRQCHIP_NONE);

  ck_assert_str_eq (full, "");
  ck_assert_str_eq (split, "device 'kvm': it has an irqchip with PIC and IOAPIC, and this program made none "
                           "(KVM_CREATE_IRQCHIP)\n"
                           "device 'kvm': it has a PIT, and this program made none (KVM_CREATE_PIT2)\n");
  ck_assert_ptr_nonnull (strstr (none,
                                 "devices 'kvm/vcpu0', 'kvm/vcpu1': it has a LAPIC in the kernel, and this program "
                                 "made none: KVM_CREATE_IRQCHIP or KVM_CAP_SPLIT_IRQCHIP comes before "
                                 "KVM_CREATE_VCPU\n"));
}
END_TEST

/* It got the fd from a manager, or has dropped the right to open it. */
START_TEST (a_rehearsed_vm_is_asked_by_the_fd_that_it_was_made_with)
{
  g_autofree char *text = NULL;

  less.has_no_path = true;
  text = rehearse (IRQCHIP_FULL);
  ck_assert_str_eq (text, "");
  assert_finds ("", "devices 'kvm/vcpu0', 'kvm/vcpu1', 'kvm': /dev/kvm: Permission denied");
}
END_TEST

/* Some calls fail where there is nothing to read. They must not where there was something. */
START_TEST (what_was_there_at_the_start_has_to_be_there)
{
  kvm_kernel_begin (kvm.vcpus[1], -1);
  kvm_kernel.missing = KVM_GET_LAPIC;
  ck_assert (!cpr_kvm_vcpu_get (vm->vcpus->pdata[0], &error));
  assert_error (&error, CPR_ERROR_SYSTEM, "vCPU 0: KVM_GET_LAPIC: Invalid argument");
  kvm_kernel.missing = 0;
  ck_assert (cpr_kvm_vcpu_get (vm->vcpus->pdata[0], &error));
}
END_TEST

START_TEST (what_stays_as_it_is_is_read_once)
{
  const unsigned long requests[] = { KVM_GET_CPUID2, KVM_GET_TSC_KHZ };

  kvm_kernel_begin (kvm.vcpus[1], -1);
  kvm_kernel.missing = requests[_i];
  ck_assert (cpr_kvm_vcpu_get (vm->vcpus->pdata[0], &error));
}
END_TEST

START_TEST (the_same_kvm_lacks_nothing)
{
  g_autoptr (GPtrArray) findings = ask (), stirred = NULL;

  ck_assert_uint_eq (findings->len, 0);
  kvm_stir (&kvm);
  for (unsigned i = 0; i < KVM_VCPUS; i++)
    ck_assert (cpr_kvm_vcpu_get (vm->vcpus->pdata[i], &error));
  ck_assert (cpr_kvm_vm_get (vm, &error));
  stirred = ask ();
  ck_assert_uint_eq (stirred->len, 0);
}
END_TEST

START_TEST (cpuid_bits_are_named_with_their_leaf_and_register)
{
  less.function = 1;
  less.which = 3;
  less.bits = 1u << 25 | 1u << 26;
  assert_finds ("", "devices 'kvm/vcpu0', 'kvm/vcpu1': CPUID leaf 0x1, index 0, edx: the guest has bits 25, 26, and "
                    "KVM doesn't offer that here");
  less.function = 0x80000001;
  less.bits = 1u << 29;
  assert_finds ("", "devices 'kvm/vcpu0', 'kvm/vcpu1': CPUID leaf 0x80000001, index 0, edx: the guest has bit 29, and "
                    "KVM doesn't offer that here");
}
END_TEST

/* The same as after a KVM_SET_CPUID2, which some KVMs don't take as it is. */
static void
set_bits (unsigned i, uint32_t function, unsigned which, uint32_t bits, bool on)
{
  g_autofree CprKvmCpuid *offered = g_new0 (CprKvmCpuid, 1);
  CprKvmVcpu *vcpu = vm->vcpus->pdata[i];

  for (uint32_t k = 0; k < vcpu->cpuid.count; k++)
    {
      struct kvm_cpuid_entry2 *entry = &vcpu->cpuid.entries[k];
      uint32_t *registers[] = { &entry->eax, &entry->ebx, &entry->ecx, &entry->edx };

      if (entry->function == function && entry->index == 0)
        *registers[which] = on ? *registers[which] | bits : *registers[which] & ~bits;
    }
  ck_assert (cpr_kvm_cpuid_get_offered (kvm.kvm, offered, &error));
  cpr_kvm_cpuid_note_backed (vcpu, offered);
}

/* What no KVM offers is the VMM's own business; and what the guest hasn't got isn't missed. */
START_TEST (only_what_kvm_offered_and_the_guest_has_is_missed)
{
  g_autoptr (GPtrArray) findings = NULL;

  set_bits (0, 1, 2, 1u << 3, true);   /* MWAIT */
  set_bits (0, 1, 3, 1u << 26, false); /* SSE2 */
  set_bits (1, 1, 3, 1u << 26, false);
  less.function = 1;
  less.which = 3;
  less.bits = 1u << 26;
  findings = ask ();
  ck_assert_uint_eq (findings->len, 0);
  set_bits (1, 1, 3, 1u << 26, true);
  assert_finds ("kvm/vcpu1", "device 'kvm/vcpu1': CPUID leaf 0x1, index 0, edx: the guest has bit 26, and KVM doesn't "
                             "offer that here");
}
END_TEST

START_TEST (msrs_are_named)
{
  less.msr = 0x174;
  assert_finds ("", "devices 'kvm/vcpu0', 'kvm/vcpu1': MSR 0x174: it is in the state, and KVM doesn't have it here");
}
END_TEST

START_TEST (capabilities_are_named)
{
  static const struct
  {
    int capability;
    const char *text;
  } lacks[] = {
    { KVM_CAP_IRQCHIP, "device 'kvm': it has an irqchip with PIC and IOAPIC, and KVM has none here (KVM_CAP_IRQCHIP)" },
    { KVM_CAP_PIT_STATE2, "device 'kvm': it has a PIT, and KVM has none here (KVM_CAP_PIT_STATE2)" },
  };

  less.has_capability = true;
  less.capability = lacks[_i].capability;
  assert_finds ("kvm", lacks[_i].text);
}
END_TEST

START_TEST (machine_checks_are_counted)
{
  CprKvmVcpu *vcpu = vm->vcpus->pdata[1];
  g_autofree char *text =
      g_strdup_printf ("device 'kvm/vcpu1': machine checks: the guest has %u banks, and KVM takes 4 here",
                       (unsigned) vcpu->mcg_cap & 255);

  ((CprKvmVcpu *) vm->vcpus->pdata[0])->mcg_cap = 4;
  less.has_capability = true;
  less.capability = KVM_CAP_MCE;
  less.answer = 4;
  vcpu->msrs.count = ((CprKvmVcpu *) vm->vcpus->pdata[0])->msrs.count = 0;
  assert_finds ("kvm/vcpu1", text);
  less.has_capability = false;
  vcpu->mcg_cap |= UINT64_C (1) << 40;
  assert_finds ("kvm/vcpu1", "device 'kvm/vcpu1': machine checks: the guest has the abilities 0x10000000000 (MCG_CAP), "
                             "and KVM hasn't here");
}
END_TEST

/* KVM takes any number of them. */
START_TEST (the_number_of_registers_for_machine_checks_is_no_lack)
{
  CprKvmVcpu *vcpu = vm->vcpus->pdata[0];
  g_autoptr (GPtrArray) findings = NULL;

  vcpu->mcg_cap |= 0x50000;
  ck_assert_int_ge (ioctl (vcpu->fd, KVM_X86_SETUP_MCE, &vcpu->mcg_cap), 0);
  findings = ask ();
  ck_assert_uint_eq (findings->len, 0);
}
END_TEST

/* A guest with AMX: 8 KiB of tiles from 2816 on. */
START_TEST (an_xsave_area_that_is_too_large_is_found_before_the_stop)
{
  CprKvmVcpu *vcpu = vm->vcpus->pdata[0];
  struct kvm_cpuid_entry2 *entries = vcpu->cpuid.entries;
  g_autoptr (GPtrArray) findings = NULL;

  vcpu->cpuid.count = vcpu->backed.count = 2;
  entries[0] = (struct kvm_cpuid_entry2){ .function = 0xd, .index = 0, .flags = 1, .eax = 0x20003 };
  entries[1] = (struct kvm_cpuid_entry2){ .function = 0xd, .index = 18, .flags = 1, .eax = 8192, .ebx = 2816 };
  vcpu->backed.count = 0;
  vcpu->xsave = g_realloc (vcpu->xsave, 11008);
  memset (vcpu->xsave, 0, 11008);
  vcpu->xsave_size = 11008;
  findings = ask ();
  ck_assert_uint_eq (findings->len, 0); /* the guest can't use it */
  entries[0].eax |= 1u << 18;
  vcpu->backed = (CprKvmCpuid){ .count = 1, .entries = { entries[0] } };
  vcpu->backed.entries[0].eax = 1u << 18;
  g_clear_pointer (&findings, g_ptr_array_unref);
  findings = ask ();
  ck_assert_uint_eq (findings->len, 2);
  ck_assert_str_eq (((CprFinding *) findings->pdata[0])->message,
                    "device 'kvm/vcpu0': CPUID leaf 0xd, index 0, eax: the guest has bit 18, and KVM doesn't offer "
                    "that here (AMX: has the program asked for ARCH_REQ_XCOMP_GUEST_PERM?)");
  ck_assert_str_eq (((CprFinding *) findings->pdata[1])->message,
                    "device 'kvm/vcpu0': XSAVE: the guest's FPU has up to 11008 bytes, and KVM takes 4096 here "
                    "(KVM_CAP_XSAVE2)");
}
END_TEST

START_TEST (nested_state_needs_a_kvm_that_takes_it)
{
  CprKvmVcpu *vcpu = vm->vcpus->pdata[0];
  g_autoptr (GPtrArray) findings = NULL;

  g_free (vcpu->nested);
  vcpu->nested_size = sizeof (struct kvm_nested_state);
  vcpu->nested = g_malloc0 (vcpu->nested_size);
  vcpu->backed.count = vcpu->cpuid.count = 1;
  vcpu->cpuid.entries[0] = (struct kvm_cpuid_entry2){ .function = 1 };
  vcpu->backed.count = 0;
  less.has_capability = true;
  less.capability = KVM_CAP_NESTED_STATE;
  findings = ask ();
  for (guint i = 0; i < findings->len; i++) /* the other one may have it from KVM */
    ck_assert_ptr_null (strstr (((CprFinding *) findings->pdata[i])->message, "vcpu0"));
  vcpu->cpuid.entries[0].ecx = 1u << 5;
  ((CprKvmVcpu *) vm->vcpus->pdata[1])->nested_size = 0;
  assert_finds ("kvm/vcpu0", "device 'kvm/vcpu0': nested state: the guest can have VMs of its own, and KVM can't take "
                             "them here (KVM_CAP_NESTED_STATE)");
}
END_TEST

START_TEST (indices_have_to_be_below_what_kvm_takes)
{
  less.has_capability = true;
  less.capability = KVM_CAP_MAX_VCPU_ID;
  less.answer = 1;
  assert_finds ("kvm/vcpu1", "device 'kvm/vcpu1': its index is 1, and KVM takes indices below 1 here");
}
END_TEST

START_TEST (a_kvm_that_does_not_answer_is_a_finding)
{
  static const struct
  {
    unsigned long request;
    const char *text;
  } fails[] = {
    { KVM_GET_SUPPORTED_CPUID, "KVM_GET_SUPPORTED_CPUID: Cannot allocate memory" },
    { KVM_GET_MSR_INDEX_LIST, "KVM_GET_MSR_INDEX_LIST: Cannot allocate memory" },
    { KVM_CHECK_EXTENSION, "KVM_CHECK_EXTENSION of KVM_CAP_XSAVE2: Cannot allocate memory" },
    { KVM_X86_GET_MCE_CAP_SUPPORTED, "KVM_X86_GET_MCE_CAP_SUPPORTED: Cannot allocate memory" },
  };
  g_autofree char *text = g_strconcat ("devices 'kvm/vcpu0', 'kvm/vcpu1', 'kvm': ", fails[_i].text, NULL);

  less.fails = fails[_i].request;
  assert_finds ("", text);
}
END_TEST

/* A state of another boot may come to another kernel, and nobody was asked. */
START_TEST (a_load_on_another_host_checks_the_cpuid)
{
  CprKvmVcpu *vcpu = vm->vcpus->pdata[1];
  CprSys sys = cpr_sys_kernel;

  ck_assert (cpr_kvm_vcpu_get (vcpu, &error));
  vcpu->tsc_at_ns -= 1000;
  ck_assert_msg (cpr_kvm_vcpu_set (vcpu, 1, &error), "%s", error->message);
  vcpu->tsc_taken_ns += 1000;
  sys.ioctl = answer_less;
  cpr_sys = &sys;
  less.function = 1;
  less.which = 3;
  less.bits = 1u << 26;
  ck_assert (!cpr_kvm_vcpu_set (vcpu, 1, &error));
  assert_error (&error, CPR_ERROR_MISMATCH,
                "KVM VM 'kvm': vCPU 1: CPUID leaf 0x1, index 0, edx: the guest has bit 26, and KVM doesn't offer that");
  less.fails = KVM_GET_SUPPORTED_CPUID;
  ck_assert (!cpr_kvm_vcpu_set (vcpu, 1, &error));
  assert_error (&error, CPR_ERROR_SYSTEM, "KVM VM 'kvm': vCPU 1: KVM_GET_SUPPORTED_CPUID");
}
END_TEST

int
main (void)
{
  kvm_need ();
  BEGIN_SUITE ("kvm-preflight");

  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, what_was_there_at_the_start_has_to_be_there);
  tcase_add_test (tests, a_rehearsed_vm_lacks_the_irqchip_that_it_forgot);
  tcase_add_test (tests, a_rehearsed_vm_is_asked_by_the_fd_that_it_was_made_with);
  tcase_add_loop_test (tests, what_stays_as_it_is_is_read_once, 0, 2);
  tcase_add_test (tests, the_same_kvm_lacks_nothing);
  tcase_add_test (tests, cpuid_bits_are_named_with_their_leaf_and_register);
  tcase_add_test (tests, only_what_kvm_offered_and_the_guest_has_is_missed);
  tcase_add_test (tests, msrs_are_named);
  tcase_add_loop_test (tests, capabilities_are_named, 0, 2);
  tcase_add_test (tests, machine_checks_are_counted);
  tcase_add_test (tests, the_number_of_registers_for_machine_checks_is_no_lack);
  tcase_add_test (tests, an_xsave_area_that_is_too_large_is_found_before_the_stop);
  tcase_add_test (tests, nested_state_needs_a_kvm_that_takes_it);
  tcase_add_test (tests, indices_have_to_be_below_what_kvm_takes);
  tcase_add_loop_test (tests, a_kvm_that_does_not_answer_is_a_finding, 0, 4);
  tcase_add_test (tests, a_load_on_another_host_checks_the_cpuid);
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
