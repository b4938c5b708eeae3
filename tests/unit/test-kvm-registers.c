/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Parts of a vCPU's state that only some guests have, each carried from one VM to the next. */
#include <stdio.h>

#include "kvm-machine.h"

#ifdef __x86_64__

#  include <sys/ioctl.h>

static KvmMachine machine, next;
static CprDeviceTable devices, next_devices;
static CprKvmVm *vm, *next_vm;
static GError *error;

static void
setup (void)
{
  error = NULL;
  kvm_machine_init (&machine, IRQCHIP_FULL);
  cpr_device_table_init (&devices);
  vm = cpr_kvm_vm_create (NULL, &devices, "kvm", machine.kvm, machine.vm, 0, &error);
  for (unsigned i = 0; i < KVM_VCPUS; i++)
    {
      ck_assert (cpr_kvm_vcpu_create (vm, i, machine.vcpus[i], &error) != NULL);
      kvm_set_cpuid (&machine, i);
    }
  next_vm = kvm_make_next (&machine, &next, &next_devices);
}

static void
teardown (void)
{
  cpr_kvm_vm_destroy (next_vm);
  cpr_device_table_clear (&next_devices);
  kvm_machine_clear (&next);
  cpr_kvm_vm_destroy (vm);
  cpr_device_table_clear (&devices);
  kvm_machine_clear (&machine);
}

static bool
has (int capability)
{
  return kvm_do (machine.vm, KVM_CHECK_EXTENSION, capability) > 0;
}

/* The four are registers of their own: they needn't be what is in memory. */
START_TEST (the_page_directories_of_a_guest_with_pae_arrive)
{
  const struct kvm_segment code = { .limit = 0xffffffff, .type = 11, .present = 1, .s = 1, .db = 1, .g = 1 };
  struct kvm_sregs2 sregs, arrived;

  if (!has (KVM_CAP_SREGS2))
    return;
  kvm_do (machine.vcpus[0], KVM_GET_SREGS2, &sregs);
  sregs.cs = code;
  sregs.cr0 |= 0x80000001;
  sregs.cr3 = 0x4000;
  sregs.cr4 |= 0x20;
  sregs.flags = KVM_SREGS2_FLAGS_PDPTRS_VALID;
  for (unsigned i = 0; i < 4; i++)
    sregs.pdptrs[i] = 0x5001 + 0x1000 * i;
  kvm_do (machine.vcpus[0], KVM_SET_SREGS2, &sregs);
  kvm_do (machine.vcpus[0], KVM_GET_SREGS2, &sregs);
  if (sregs.flags == 0) /* this KVM runs no such guest */
    return;
  kvm_carry (vm, next_vm);
  kvm_do (next.vcpus[0], KVM_GET_SREGS2, &arrived);
  ck_assert_uint_eq (arrived.flags, KVM_SREGS2_FLAGS_PDPTRS_VALID);
  ck_assert_mem_eq (arrived.pdptrs, sregs.pdptrs, sizeof sregs.pdptrs);
  kvm_assert_same (&machine, &next);
}
END_TEST

/* In this mode the LAPIC's id has all 32 bits, and the base has to come before the LAPIC. */
START_TEST (a_lapic_in_x2apic_mode_arrives)
{
  struct kvm_lapic_state lapic;
  struct kvm_sregs sregs;

  for (unsigned i = 0; i < KVM_VCPUS; i++)
    {
      kvm_do (machine.vcpus[i], KVM_GET_SREGS, &sregs);
      sregs.apic_base |= 0xc00;
      kvm_do (machine.vcpus[i], KVM_SET_SREGS, &sregs);
      kvm_do (machine.vcpus[i], KVM_GET_LAPIC, &lapic);
      *(uint32_t *) (void *) &lapic.regs[0xf0] = 0x1ff;
      *(uint32_t *) (void *) &lapic.regs[0x230] = 1u << (3 + i); /* IRR: vector 99 + i */
      kvm_do (machine.vcpus[i], KVM_SET_LAPIC, &lapic);
    }
  kvm_carry (vm, next_vm);
  kvm_do (next.vcpus[1], KVM_GET_SREGS, &sregs);
  ck_assert_uint_eq (sregs.apic_base & 0xc00, 0xc00);
  kvm_assert_same (&machine, &next);
}
END_TEST

/* Page faults that KVM completes later, time stolen from the guest, ends of interrupts without an
 * exit, polling: where this KVM has them. */
START_TEST (the_msrs_between_guest_and_kvm_arrive)
{
  static const struct kvm_msr_entry msrs[] = {
    { .index = 0x4b564d06, .data = 0xec },   { .index = 0x4b564d02, .data = 0x8009 },
    { .index = 0x4b564d03, .data = 0x9001 }, { .index = 0x4b564d04, .data = 0xa001 },
    { .index = 0x4b564d05, .data = 0 },      { .index = 0x4b564d01, .data = 0xb001 },
  };
  uint64_t data[KVM_VCPUS];
  unsigned n_written = 0;

  for (size_t i = 0; i < G_N_ELEMENTS (msrs); i++)
    if (kvm_write_msr (machine.vcpus[0], msrs[i].index, msrs[i].data))
      n_written++;
  ck_assert_uint_ge (n_written, 4);
  kvm_carry (vm, next_vm);
  for (size_t i = 0; i < G_N_ELEMENTS (msrs); i++)
    if (kvm_read_msr (machine.vcpus[0], msrs[i].index, &data[0]))
      {
        ck_assert (kvm_read_msr (next.vcpus[0], msrs[i].index, &data[1]));
        ck_assert_msg (data[0] == data[1], "MSR 0x%x", msrs[i].index);
      }
  kvm_assert_same (&machine, &next);
}
END_TEST

/* A VMM enables what it wants to see of events, in each program. */
static bool
enable (uint32_t capability, uint64_t argument)
{
  struct kvm_enable_cap enable = { .cap = capability, .args = { argument } };

  return has ((int) capability) && ioctl (machine.vm, KVM_ENABLE_CAP, &enable) >= 0 &&
         ioctl (next.vm, KVM_ENABLE_CAP, &enable) >= 0;
}

START_TEST (an_exception_that_is_not_yet_delivered_arrives_with_its_address)
{
  struct kvm_vcpu_events events, arrived;

  if (!enable (KVM_CAP_EXCEPTION_PAYLOAD, 1))
    return;
  kvm_do (machine.vcpus[1], KVM_GET_VCPU_EVENTS, &events);
  events.flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
  events.exception.pending = 1;
  events.exception.nr = 14;
  events.exception.has_error_code = 1;
  events.exception.error_code = 2;
  events.exception_has_payload = 1;
  events.exception_payload = 0xdeadb000; /* for CR2 */
  kvm_do (machine.vcpus[1], KVM_SET_VCPU_EVENTS, &events);
  kvm_carry (vm, next_vm);
  kvm_do (next.vcpus[1], KVM_GET_VCPU_EVENTS, &arrived);
  ck_assert_uint_eq (arrived.exception.pending, 1);
  ck_assert_uint_eq (arrived.exception_payload, 0xdeadb000);
  kvm_assert_same (&machine, &next);
}
END_TEST

START_TEST (a_triple_fault_arrives)
{
  struct kvm_vcpu_events events, arrived;

  if (!enable (KVM_CAP_X86_TRIPLE_FAULT_EVENT, 1))
    return;
  kvm_do (machine.vcpus[0], KVM_GET_VCPU_EVENTS, &events);
  events.flags |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
  events.triple_fault.pending = 1;
  kvm_do (machine.vcpus[0], KVM_SET_VCPU_EVENTS, &events);
  kvm_carry (vm, next_vm);
  kvm_do (next.vcpus[0], KVM_GET_VCPU_EVENTS, &arrived);
  ck_assert_uint_eq (arrived.triple_fault.pending, 1);
}
END_TEST

START_TEST (a_pending_smi_arrives)
{
  struct kvm_vcpu_events events;

  if (!has (KVM_CAP_X86_SMM))
    return;
  kvm_do (machine.vcpus[0], KVM_GET_VCPU_EVENTS, &events);
  events.flags |= KVM_VCPUEVENT_VALID_SMM;
  events.smi.pending = 1;
  kvm_do (machine.vcpus[0], KVM_SET_VCPU_EVENTS, &events);
  kvm_carry (vm, next_vm);
  kvm_assert_same (&machine, &next);
}
END_TEST

START_TEST (nested_state_that_says_it_is_longer_than_it_is_is_refused)
{
  CprKvmVcpu *vcpu = vm->vcpus->pdata[0];
  struct kvm_nested_state *nested;

  ck_assert (cpr_kvm_vcpu_get (vcpu, &error));
  g_free (vcpu->nested);
  vcpu->nested_size = sizeof *nested;
  vcpu->nested = g_malloc0 (vcpu->nested_size);
  nested = (struct kvm_nested_state *) (void *) vcpu->nested;
  nested->size = 8192;
  ck_assert (!cpr_kvm_vcpu_set (vcpu, 1, &error));
  assert_error (&error, CPR_ERROR_CORRUPT, "vCPU 0: its nested state has 128 bytes");
  nested->size = vcpu->nested_size;
  nested->format = KVM_STATE_NESTED_FORMAT_VMX;
  nested->hdr.vmx.vmxon_pa = 0x1000;
  vcpu->vm->can.nested_size = 0;
  ck_assert (!cpr_kvm_vcpu_set (vcpu, 1, &error));
  assert_error (&error, CPR_ERROR_MISMATCH, "it has VMs of its own");
  nested->hdr.vmx.vmxon_pa = UINT64_MAX;
  ck_assert (cpr_kvm_vcpu_set (vcpu, 1, &error));
}
END_TEST

START_TEST (an_xsave_area_is_refused_where_what_is_in_it_has_no_place)
{
  CprKvmVcpu *vcpu = vm->vcpus->pdata[0];

  ck_assert (cpr_kvm_vcpu_get (vcpu, &error));
  vcpu->xsave = g_realloc (vcpu->xsave, 11008);
  memset (vcpu->xsave + vcpu->xsave_size, 0, 11008 - vcpu->xsave_size);
  vcpu->xsave_size = 11008;
  ck_assert_msg (cpr_kvm_vcpu_set (vcpu, 1, &error), "%s", error->message); /* nothing is in it */
  vcpu->xsave[11007] = 1;
  ck_assert (!cpr_kvm_vcpu_set (vcpu, 1, &error));
  assert_error (&error, CPR_ERROR_SYSTEM, "KVM_SET_XSAVE: 11008 bytes with the components 0x");
}
END_TEST

int
main (void)
{
  kvm_need ();
  BEGIN_SUITE ("kvm-registers");

  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, the_page_directories_of_a_guest_with_pae_arrive);
  tcase_add_test (tests, a_lapic_in_x2apic_mode_arrives);
  tcase_add_test (tests, the_msrs_between_guest_and_kvm_arrive);
  tcase_add_test (tests, an_exception_that_is_not_yet_delivered_arrives_with_its_address);
  tcase_add_test (tests, a_triple_fault_arrives);
  tcase_add_test (tests, a_pending_smi_arrives);
  tcase_add_test (tests, nested_state_that_says_it_is_longer_than_it_is_is_refused);
  tcase_add_test (tests, an_xsave_area_is_refused_where_what_is_in_it_has_no_place);
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
