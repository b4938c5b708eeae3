/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What KVM keeps for a VM, carried from one VM of the real KVM to another. */
#include <stdio.h>

#include "kvm-kernel.h"
#include "kvm-machine.h"

#ifdef __x86_64__

#  include <errno.h>
#  include <sys/ioctl.h>
#  include <unistd.h>

#  include "kvm/ioctl.h"

static KvmMachine from, to;
static Programs programs;
static CprKvmVm *saved, *loaded;
static GError *error;

static CprKvmVm *
add (const KvmMachine *machine, CprDeviceTable *table, unsigned flags)
{
  CprKvmVm *vm = cpr_kvm_vm_create (NULL, table, "kvm", machine->kvm, machine->vm, flags, &error);

  assert_no_error (error);
  for (unsigned i = 0; i < KVM_VCPUS; i++)
    ck_assert_msg (cpr_kvm_vcpu_create (vm, i, machine->vcpus[i], &error) != NULL, "%s", error->message);
  return vm;
}

static void
begin (Irqchip was, Irqchip is, unsigned flags)
{
  error = NULL;
  programs_init (&programs);
  kvm_machine_init (&from, was);
  kvm_machine_init (&to, is);
  saved = add (&from, &programs.saved, flags);
  loaded = add (&to, &programs.loaded, flags);
}

static void
end (void)
{
  cpr_sys = &cpr_sys_kernel;
  cpr_kvm_vm_destroy (saved);
  cpr_kvm_vm_destroy (loaded);
  programs_clear (&programs);
  kvm_machine_clear (&from);
  kvm_machine_clear (&to);
}

START_TEST (every_part_arrives_with_and_without_an_irqchip)
{
  begin ((Irqchip) _i, (Irqchip) _i, 0);
  kvm_stir (&from);
  kvm_assert_stirred (&from);
  programs_carry (&programs);
  kvm_assert_same (&from, &to);
  end ();
}
END_TEST

START_TEST (what_was_there_before_is_replaced)
{
  begin (IRQCHIP_FULL, IRQCHIP_FULL, 0);
  for (unsigned i = 0; i < KVM_VCPUS; i++)
    kvm_set_cpuid (&from, i);
  kvm_stir (&to);
  programs_carry (&programs);
  kvm_assert_same (&from, &to);
  end ();
}
END_TEST

/* ---- Each call in turn fails. */

static void
assert_named (const KvmMachine *machine)
{
  ck_assert_ptr_nonnull (error);
  ck_assert_msg (strstr (error->message, kvm_name_of (kvm_kernel.failed)) != NULL, "%s", error->message);
  for (unsigned i = 0; i < KVM_VCPUS; i++)
    {
      g_autofree char *vcpu = g_strdup_printf ("vCPU %u", i);

      ck_assert_msg (kvm_kernel.on != machine->vcpus[i] || strstr (error->message, vcpu) != NULL, "%s", error->message);
    }
  ck_assert_int_eq (cpr_error_get_errno (error), ENOMEM);
  assert_error (&error, CPR_ERROR_SYSTEM, "KVM VM 'kvm'");
}

static void
add_routes (void)
{
  g_autofree struct kvm_irq_routing *routing = g_malloc0 (sizeof *routing + 2 * sizeof routing->entries[0]);

  routing->nr = 2;
  routing->entries[0] =
      (struct kvm_irq_routing_entry){ .gsi = 4, .type = KVM_IRQ_ROUTING_IRQCHIP, .u.irqchip = { 2, 4 } };
  routing->entries[1] = (struct kvm_irq_routing_entry){ .gsi = 30,
                                                        .type = KVM_IRQ_ROUTING_MSI,
                                                        .u.msi = { .address_lo = 0xfee01000, .data = 0x41 } };
  ck_assert (cpr_kvm_vm_route (saved, routing, &error));
}

START_TEST (each_call_that_fails_in_a_save_is_named_and_the_next_save_works)
{
  bool done = false;

  begin (IRQCHIP_FULL, IRQCHIP_FULL, 0);
  kvm_stir (&from);
  kvm_kernel_begin (from.vcpus[1], to.vcpus[1]);
  for (unsigned n = 1; !done; n++)
    {
      kvm_kernel.calls = 0;
      kvm_kernel.fail_at = n;
      for (guint i = 0; i < saved->vcpus->len; i++) /* as in the first save */
        ((CprKvmVcpu *) saved->vcpus->pdata[i])->knows_msrs = false;
      done = programs_save (&programs, &error);
      if (!done)
        assert_named (&from);
    }
  ck_assert_uint_gt (kvm_kernel.calls, KVM_VCPUS * 12);
  kvm_kernel_begin (from.vcpus[1], to.vcpus[1]);
  ck_assert (programs_load (&programs, &error));
  kvm_assert_same (&from, &to);
  end ();
}
END_TEST

START_TEST (each_call_that_fails_in_a_load_is_named)
{
  bool done = false;

  begin (IRQCHIP_FULL, IRQCHIP_FULL, 0);
  kvm_stir (&from);
  add_routes ();
  ck_assert (programs_save (&programs, &error));
  kvm_kernel_begin (from.vcpus[1], to.vcpus[1]);
  for (unsigned n = 1; !done; n++)
    {
      kvm_kernel.calls = 0;
      kvm_kernel.fail_at = n;
      done = programs_load (&programs, &error);
      if (!done)
        assert_named (&to);
    }
  ck_assert_uint_gt (kvm_kernel.calls, KVM_VCPUS * 12);
  kvm_assert_same (&from, &to);
  end ();
}
END_TEST

START_TEST (each_call_that_fails_while_a_vm_is_added_is_named)
{
  CprKvmVm *vm;

  begin (IRQCHIP_FULL, IRQCHIP_FULL, 0);
  kvm_kernel_begin (from.vcpus[1], to.vcpus[1]);
  vm = cpr_kvm_vm_create (NULL, &programs.saved, "kvm2", from.kvm, from.vm, 0, &error);
  for (unsigned n = 2; n < 12; n++)
    {
      kvm_kernel.calls = 1;
      kvm_kernel.fail_at = n;
      if (cpr_kvm_vcpu_create (vm, 0, from.vcpus[0], &error) != NULL)
        break;
      assert_error (&error, CPR_ERROR_SYSTEM, kvm_name_of (kvm_kernel.failed));
    }
  ck_assert_uint_gt (kvm_kernel.fail_at, 10);
  cpr_kvm_vm_destroy (vm);
  end ();
}
END_TEST

/* ---- What not every KVM has. */

static void
forget_abilities (void)
{
  saved->can.is_known = loaded->can.is_known = false;
  g_clear_pointer (&saved->can.msrs, g_array_unref);
  g_clear_pointer (&loaded->can.msrs, g_array_unref);
}

START_TEST (older_kernels_carry_what_they_have)
{
  struct kvm_fpu fpus[2];
  g_autofree KvmSnapshot *shots = g_new0 (KvmSnapshot, 2);

  begin (IRQCHIP_FULL, IRQCHIP_FULL, 0);
  kvm_kernel_begin (from.vcpus[1], to.vcpus[1]);
  kvm_kernel.is_old = true;
  forget_abilities ();
  kvm_stir (&from);
  programs_carry (&programs);
  kvm_snapshot (&from, 1, &shots[0]);
  kvm_snapshot (&to, 1, &shots[1]);
  ck_assert_mem_eq (&shots[0].sregs, &shots[1].sregs, sizeof shots[0].sregs);
  kvm_do (from.vcpus[1], KVM_GET_FPU, &fpus[0]);
  kvm_do (to.vcpus[1], KVM_GET_FPU, &fpus[1]);
  ck_assert_mem_eq (&fpus[0], &fpus[1], sizeof fpus[0]);
  ck_assert_mem_eq (&shots[0].events, &shots[1].events, sizeof shots[0].events);
  ck_assert_mem_eq (&shots[0].msrs, &shots[1].msrs, sizeof shots[0].msrs);
  end ();
}
END_TEST

#  define NO_LAPIC                                                                             \
    "vCPU 0: it has a LAPIC in the kernel in the state, and none here: KVM_CREATE_IRQCHIP or " \
    "KVM_CAP_SPLIT_IRQCHIP comes before KVM_CREATE_VCPU"

START_TEST (another_irqchip_is_a_mismatch)
{
  static const char *const texts[3][3] = {
    { NULL, "has an irqchip with PIC and IOAPIC in the state, and hasn't one here", NO_LAPIC },
    { "hasn't an irqchip with PIC and IOAPIC in the state, and has one here", NULL, NO_LAPIC },
    { "has no LAPIC in the kernel in the state", "has no LAPIC in the kernel in the state", NULL }
  };

  if (_i / 3 == _i % 3)
    return;
  begin ((Irqchip) (_i / 3), (Irqchip) (_i % 3), 0);
  ck_assert (programs_save (&programs, &error));
  ck_assert (!programs_load (&programs, &error));
  ck_assert_msg (strstr (error->message, texts[_i / 3][_i % 3]) != NULL, "%s", error->message);
  g_clear_error (&error);
  end ();
}
END_TEST

START_TEST (an_msr_that_is_refused_is_named_with_its_bits)
{
  begin (IRQCHIP_FULL, IRQCHIP_FULL, 0);
  kvm_stir (&from);
  ck_assert (programs_save (&programs, &error));
  kvm_kernel_begin (from.vcpus[1], to.vcpus[1]);
  kvm_kernel.refused_msr = 0x174;
  ck_assert (!programs_load (&programs, &error));
  assert_error (&error, CPR_ERROR_MISMATCH,
                "vCPU 0: KVM_SET_MSRS: MSR 0x174: it is 0x10 in the state, 0x0 here, and KVM refuses to change the "
                "bits 0x10");
  end ();
}
END_TEST

START_TEST (an_msr_that_is_refused_and_has_its_value_is_no_matter)
{
  begin (IRQCHIP_FULL, IRQCHIP_FULL, 0);
  kvm_stir (&from);
  ck_assert (programs_save (&programs, &error));
  for (unsigned i = 0; i < KVM_VCPUS; i++)
    ck_assert (kvm_write_msr (to.vcpus[i], 0x174, 0x10));
  kvm_kernel_begin (from.vcpus[1], to.vcpus[1]);
  kvm_kernel.refused_msr = 0x174;
  ck_assert_msg (programs_load (&programs, &error), "%s", error->message);
  kvm_assert_same (&from, &to);
  end ();
}
END_TEST

START_TEST (there_may_be_more_msrs_than_one_call_takes)
{
  CprKvmVcpu *vcpu;

  begin (IRQCHIP_FULL, IRQCHIP_FULL, 0);
  kvm_stir (&from);
  kvm_kernel_begin (from.vcpus[1], to.vcpus[1]);
  kvm_kernel.more_msrs = 300;
  forget_abilities ();
  programs_carry (&programs);
  kvm_assert_same (&from, &to);
  vcpu = loaded->vcpus->pdata[0];
  ck_assert_uint_ge (vcpu->n_skipped, 300); /* nobody tries again */
  kvm_kernel.calls = 0;
  ck_assert (cpr_kvm_vcpu_get (vcpu, &error));
  ck_assert_uint_lt (kvm_kernel.calls, 40);
  end ();
}
END_TEST

static bool
has (int capability)
{
  return kvm_do (from.vm, KVM_CHECK_EXTENSION, capability) > 0;
}

START_TEST (system_management_mode_arrives)
{
  begin (IRQCHIP_FULL, IRQCHIP_FULL, 0);
  kvm_stir (&from);
  if (has (KVM_CAP_X86_SMM))
    {
      struct kvm_vcpu_events events;

      kvm_do (from.vcpus[1], KVM_GET_VCPU_EVENTS, &events);
      events.smi.smm = 1;
      events.smi.smm_inside_nmi = 1;
      events.flags |= KVM_VCPUEVENT_VALID_SMM;
      kvm_do (from.vcpus[1], KVM_SET_VCPU_EVENTS, &events);
      ck_assert (kvm_write_msr (from.vcpus[1], 0x9e, 0xa0000)); /* where its code is */
    }
  programs_carry (&programs);
  kvm_assert_same (&from, &to);
  end ();
}
END_TEST

static struct kvm_nested_state *
get_nested (int vcpu)
{
  struct kvm_nested_state *nested = g_malloc0 (65536);

  nested->size = 65536;
  kvm_do (vcpu, KVM_GET_NESTED_STATE, nested);
  return nested;
}

/* The CPU can run VMs of its own, and takes no interrupts now: GIF is 0. */
START_TEST (nested_state_arrives)
{
  begin (IRQCHIP_FULL, IRQCHIP_FULL, 0);
  kvm_stir (&from);
  if (has (KVM_CAP_NESTED_STATE))
    {
      g_autofree struct kvm_nested_state *nested = get_nested (from.vcpus[0]), *arrived = NULL;
      struct kvm_sregs2 sregs;

      kvm_do (from.vcpus[0], KVM_GET_SREGS2, &sregs);
      if (nested->format == KVM_STATE_NESTED_FORMAT_SVM)
        {
          sregs.efer |= 0x1000;
          kvm_do (from.vcpus[0], KVM_SET_SREGS2, &sregs);
          ck_assert (nested->flags & KVM_STATE_NESTED_GIF_SET);
          nested->flags = 0;
          kvm_do (from.vcpus[0], KVM_SET_NESTED_STATE, nested);
        }
      programs_carry (&programs);
      arrived = get_nested (to.vcpus[0]);
      ck_assert_mem_eq (nested, arrived, nested->size);
    }
  else
    programs_carry (&programs);
  kvm_assert_same (&from, &to);
  end ();
}
END_TEST

/* ---- Time. */

#  define PASSED_NS ((uint64_t) 2 * 1000000000)

static uint64_t
read_clock (const KvmMachine *machine)
{
  struct kvm_clock_data clock = { 0 };

  kvm_do (machine->vm, KVM_GET_CLOCK, &clock);
  return clock.clock;
}

START_TEST (the_clock_goes_on)
{
  uint64_t before;

  begin (IRQCHIP_FULL, IRQCHIP_FULL, 0);
  kvm_stir (&from);
  before = read_clock (&from);
  programs_carry (&programs);
  ck_assert_uint_ge (read_clock (&to), before);
  ck_assert_uint_le (read_clock (&to), read_clock (&from) + 1000000); /* 1 ms: they tick apart */
  end ();
}
END_TEST

START_TEST (the_clock_stands_still_where_it_should)
{
  uint64_t before, now;

  begin (IRQCHIP_FULL, IRQCHIP_FULL, CPR_KVM_TIME_STOPS);
  kvm_stir (&from);
  ck_assert (programs_save (&programs, &error));
  before = saved->clock_ns;
  g_usleep (50000);
  ck_assert (programs_load (&programs, &error));
  now = read_clock (&to);
  ck_assert_uint_ge (now, before);
  ck_assert_uint_lt (now, before + 50000000);
  end ();
}
END_TEST

/* The same host: with a TSC whose offset counts. */
START_TEST (the_tsc_keeps_its_offset_on_the_same_host)
{
  begin (IRQCHIP_FULL, IRQCHIP_FULL, 0);
  kvm_kernel_begin (from.vcpus[1], to.vcpus[1]);
  kvm_kernel.has_tsc = true;
  kvm_kernel.tsc = 1000000000;
  kvm_kernel.offsets[0] = 111;
  kvm_kernel.offsets[1] = 222;
  ck_assert (programs_save (&programs, &error));
  kvm_kernel.offsets[0] = kvm_kernel.offsets[1] = 0;
  ck_assert (programs_load (&programs, &error));
  ck_assert_uint_eq (kvm_kernel.offsets[0], 111);
  ck_assert_uint_eq (kvm_kernel.offsets[1], 222);
  end ();
}
END_TEST

/* The host's TSC began anew, and two seconds have passed, or none where time stands still. */
START_TEST (the_tscs_are_shifted_alike_on_another_host)
{
  uint64_t passed, tsc;

  begin (IRQCHIP_FULL, IRQCHIP_FULL, _i == 1 ? CPR_KVM_TIME_STOPS : 0);
  kvm_kernel_begin (from.vcpus[1], to.vcpus[1]);
  kvm_kernel.has_tsc = true;
  kvm_kernel.tsc = 1000000000;
  kvm_kernel.offsets[0] = 111;
  kvm_kernel.offsets[1] = 222;
  ck_assert (programs_save (&programs, &error));
  kvm_kernel.offsets[0] = kvm_kernel.offsets[1] = 0;
  kvm_kernel.tsc = 5000;
  for (guint i = 0; i < KVM_VCPUS; i++)
    {
      CprKvmVcpu *was = saved->vcpus->pdata[i];

      was->tsc_at_ns -= PASSED_NS; /* on the new host's clock */
      was->fd = to.vcpus[i];
      was->vm = loaded;
      ck_assert (cpr_kvm_vcpu_set (was, 1, &error));
      was->fd = from.vcpus[i];
      was->vm = saved;
    }
  passed = _i == 1 ? 0 : ((CprKvmVcpu *) saved->vcpus->pdata[0])->tsc_khz * (PASSED_NS / 1000000);
  tsc = kvm_kernel.tsc + kvm_kernel.offsets[0];
  ck_assert_uint_ge (tsc, 1000000111 + passed);
  ck_assert_uint_lt (tsc, 1000000111 + passed + 10000000000); /* some seconds */
  ck_assert_uint_eq (kvm_kernel.offsets[1] - kvm_kernel.offsets[0], 111);
  end ();
}
END_TEST

/* ---- Beforehand. */

START_TEST (what_is_known_is_not_set_again)
{
  unsigned all, few;

  begin (IRQCHIP_FULL, IRQCHIP_FULL, 0);
  for (unsigned i = 0; i < KVM_VCPUS; i++)
    {
      kvm_set_cpuid (&from, i);
      kvm_set_cpuid (&to, i);
    }
  ck_assert (programs_save (&programs, &error));
  kvm_kernel_begin (from.vcpus[1], to.vcpus[1]);
  ck_assert (programs_load (&programs, &error));
  all = kvm_kernel.calls;
  cpr_kvm_vm_prepare (loaded);
  kvm_kernel.calls = 0;
  ck_assert (programs_load (&programs, &error));
  few = kvm_kernel.calls;
  ck_assert_uint_lt (few, all * 2 / 3);
  kvm_assert_same (&from, &to);
  end ();
}
END_TEST

/* A program that took the guest over knows from the state what doesn't change: its first save makes
 * the calls of all later ones. */
START_TEST (the_first_save_after_a_load_makes_no_more_calls_than_the_next)
{
  unsigned first;

  begin (IRQCHIP_FULL, IRQCHIP_FULL, 0);
  programs_carry (&programs);
  kvm_kernel_begin (from.vcpus[1], to.vcpus[1]);
  for (guint i = 0; i < KVM_VCPUS; i++)
    ck_assert (cpr_kvm_vcpu_get (loaded->vcpus->pdata[i], &error));
  first = kvm_kernel.calls;
  for (guint i = 0; i < KVM_VCPUS; i++)
    ck_assert (cpr_kvm_vcpu_get (loaded->vcpus->pdata[i], &error));
  ck_assert_uint_eq (kvm_kernel.calls, 2 * first);
  end ();
}
END_TEST

START_TEST (what_differs_from_what_is_known_is_set)
{
  begin (IRQCHIP_FULL, IRQCHIP_FULL, 0);
  for (unsigned i = 0; i < KVM_VCPUS && _i == 0; i++)
    kvm_set_cpuid (&to, i);
  kvm_stir (&from);
  ck_assert (programs_save (&programs, &error));
  cpr_kvm_vm_prepare (loaded);
  ck_assert_msg (programs_load (&programs, &error), "%s", error->message);
  kvm_assert_same (&from, &to);
  end ();
}
END_TEST

START_TEST (failure_to_ask_beforehand_costs_nothing_but_time)
{
  begin (IRQCHIP_FULL, IRQCHIP_FULL, 0);
  kvm_stir (&from);
  ck_assert (programs_save (&programs, &error));
  kvm_kernel_begin (from.vcpus[1], to.vcpus[1]);
  for (unsigned n = 1; n < 60; n++)
    {
      kvm_kernel.calls = 0;
      kvm_kernel.fail_at = n;
      cpr_kvm_vm_prepare (loaded);
      kvm_kernel.fail_at = 0;
      ck_assert_msg (programs_load (&programs, &error), "%s", error->message);
    }
  kvm_assert_same (&from, &to);
  end ();
}
END_TEST

static void
add_tests (TCase *tests)
{
  tcase_add_loop_test (tests, every_part_arrives_with_and_without_an_irqchip, IRQCHIP_FULL, IRQCHIP_NONE + 1);
  tcase_add_test (tests, what_was_there_before_is_replaced);
  tcase_add_test (tests, each_call_that_fails_in_a_save_is_named_and_the_next_save_works);
  tcase_add_test (tests, each_call_that_fails_in_a_load_is_named);
  tcase_add_test (tests, each_call_that_fails_while_a_vm_is_added_is_named);
  tcase_add_test (tests, older_kernels_carry_what_they_have);
  tcase_add_loop_test (tests, another_irqchip_is_a_mismatch, 0, 9);
  tcase_add_test (tests, an_msr_that_is_refused_is_named_with_its_bits);
  tcase_add_test (tests, an_msr_that_is_refused_and_has_its_value_is_no_matter);
  tcase_add_test (tests, there_may_be_more_msrs_than_one_call_takes);
  tcase_add_test (tests, system_management_mode_arrives);
  tcase_add_test (tests, nested_state_arrives);
  tcase_add_test (tests, the_clock_goes_on);
  tcase_add_test (tests, the_clock_stands_still_where_it_should);
  tcase_add_test (tests, the_tsc_keeps_its_offset_on_the_same_host);
  tcase_add_loop_test (tests, the_tscs_are_shifted_alike_on_another_host, 0, 2);
  tcase_add_test (tests, what_is_known_is_not_set_again);
  tcase_add_test (tests, the_first_save_after_a_load_makes_no_more_calls_than_the_next);
  tcase_add_loop_test (tests, what_differs_from_what_is_known_is_set, 0, 2);
  tcase_add_test (tests, failure_to_ask_beforehand_costs_nothing_but_time);
}

int
main (void)
{
  kvm_need ();
  BEGIN_SUITE ("kvm");

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
