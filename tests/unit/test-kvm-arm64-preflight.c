/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a program on AArch64 finds in a preflight that its KVM lacks, and what blocks an update. */
#include <stdio.h>

#include "kvm-arm64.h"

#ifdef __aarch64__

#  include <errno.h>
#  include <string.h>
#  include <sys/ioctl.h>

static ArmMachine machine, other;
static CprDeviceTable devices, other_devices;
static CprKvmVm *vm, *made; /* the VM of the state, and that of the program that is asked */
static GPtrArray *lacks;
static GError *error;

static void
begin (ArmOptions was, ArmOptions is)
{
  error = NULL;
  arm_machine_init (&machine, was);
  arm_machine_init (&other, is);
  cpr_device_table_init (&devices);
  cpr_device_table_init (&other_devices);
  vm = arm_add (&machine, &devices, 0);
  made = arm_add (&other, &other_devices, 0);
  cpr_kvm_vm_probe (vm, NULL);
  lacks = g_ptr_array_new_with_free_func (g_free);
}

static void
end (void)
{
  cpr_sys = &cpr_sys_kernel;
  g_ptr_array_unref (lacks);
  cpr_kvm_vm_destroy (vm);
  cpr_kvm_vm_destroy (made);
  cpr_device_table_clear (&devices);
  cpr_device_table_clear (&other_devices);
  arm_machine_clear (&machine);
  arm_machine_clear (&other);
}

static void
note (const char *lack, void *user_data G_GNUC_UNUSED)
{
  g_ptr_array_add (lacks, g_strdup (lack));
}

static void
ask (bool with_made)
{
  CprKvmHost *host = cpr_kvm_host_new (machine.kvm, &error);

  ck_assert_msg (host != NULL, "%s", error != NULL ? error->message : "");
  for (guint i = 0; i < vm->vcpus->len; i++)
    cpr_kvm_host_find_lacks_of_vcpu (host, vm->vcpus->pdata[i], i, with_made ? made->vcpus->pdata[i] : NULL, note,
                                     NULL);
  cpr_kvm_host_find_lacks_of_vm (host, vm, with_made ? made : NULL, note, NULL);
  cpr_kvm_host_free (host);
}

static void
assert_lacks (const char *text)
{
  ck_assert_msg (lacks->len > 0, "nothing is missing: %s", text);
  ck_assert_msg (strstr (lacks->pdata[0], text) != NULL, "%s", (char *) lacks->pdata[0]);
}

static ArmOptions
all (void)
{
  ArmOptions options = ARM_OPTIONS;

  options.features = arm_get_features ();
  return options;
}

/* Loop: nothing is made yet; the same is made. */
START_TEST (the_same_kvm_lacks_nothing)
{
  begin (all (), all ());
  ask (_i == 1);
  ck_assert_msg (lacks->len == 0, "%s", (char *) lacks->pdata[0]);
  end ();
}
END_TEST

/* Loop: SVE, the PMU, pointer authentication. */
START_TEST (a_feature_that_kvm_lacks_is_one_lack)
{
  static const struct
  {
    uint32_t feature;
    int capability;
    const char *text;
  } cases[] = {
    { CPR_KVM_SVE, KVM_CAP_ARM_SVE, "it has KVM_ARM_VCPU_SVE, and KVM hasn't here" },
    { CPR_KVM_PMU, KVM_CAP_ARM_PMU_V3, "it has KVM_ARM_VCPU_PMU_V3, and KVM hasn't here" },
    { CPR_KVM_PTRAUTH, KVM_CAP_ARM_PTRAUTH_ADDRESS, "it has KVM_ARM_VCPU_PTRAUTH_ADDRESS and " },
  };

  if ((arm_get_features () & cases[_i].feature) == 0)
    return;
  begin (all (), ARM_OPTIONS);
  arm_kernel_begin ();
  arm_kernel.capability = cases[_i].capability;
  ask (false);
  assert_lacks (cases[_i].text);
  end ();
}
END_TEST

START_TEST (a_feature_that_the_program_forgot_is_a_lack)
{
  static const uint32_t features[] = { CPR_KVM_SVE, CPR_KVM_PMU, CPR_KVM_PTRAUTH };
  ArmOptions with = ARM_OPTIONS;

  if ((arm_get_features () & features[_i % 3]) == 0)
    return;
  with.features = features[_i % 3];
  begin (_i < 3 ? with : ARM_OPTIONS, _i < 3 ? ARM_OPTIONS : with);
  ask (true);
  assert_lacks (_i < 3 ? "and this program's vCPU hasn't (KVM_ARM_VCPU_INIT)"
                       : "and this program's vCPU has (KVM_ARM_VCPU_INIT)");
  end ();
}
END_TEST

START_TEST (an_identity_that_kvm_can_not_have_is_a_lack)
{
  CprKvmVcpu *vcpu;

  begin (all (), all ());
  vcpu = vm->vcpus->pdata[1];
  for (uint32_t i = 0; i < vcpu->n_registers; i++)
    if (vcpu->registers[i].id == ARM64_SYS_REG (3, 0, 0, 7, 0))
      vcpu->registers[i].value ^= 0xf0000000000000f;
  ask (false);
  assert_lacks ("register ID_AA64MMFR0_EL1 (S3_0_C0_C7_0): it is 0x");
  assert_lacks (" here, and KVM refuses to change it");
  end ();
}
END_TEST

/* Loop: it is 0 in the state, and it isn't. */
START_TEST (a_register_that_kvm_lacks_is_a_lack_unless_it_is_0)
{
  begin (all (), all ());
  arm_set (machine.vcpus[0], ARM64_SYS_REG (3, 0, 13, 0, 4), _i == 0 ? 0 : 0x77);
  arm_set (machine.vcpus[1], ARM64_SYS_REG (3, 0, 13, 0, 4), 0);
  cpr_kvm_vm_probe (vm, NULL);
  arm_kernel_begin ();
  arm_kernel.unlisted_id = ARM64_SYS_REG (3, 0, 13, 0, 4);
  ask (false);
  if (_i == 0)
    ck_assert_uint_eq (lacks->len, 0);
  else
    assert_lacks ("register TPIDR_EL1 (S3_0_C13_C0_4): it is 0x77 in the state, and KVM doesn't have it here");
  end ();
}
END_TEST

START_TEST (vector_lengths_that_kvm_lacks_are_a_lack)
{
  CprKvmVcpu *vcpu;
  uint32_t at = 0;

  if ((arm_get_features () & CPR_KVM_SVE) == 0)
    return;
  begin (all (), all ());
  vcpu = vm->vcpus->pdata[0];
  for (uint32_t i = 0; i < vcpu->n_wide; at += cpr_kvm_register_get_size (vcpu->wide_ids[i++]))
    if (vcpu->wide_ids[i] == KVM_REG_ARM64_SVE_VLS)
      vcpu->wide[at + 7] ^= 0x80; /* the longest that could be */
  ask (false);
  assert_lacks ("the vector lengths of SVE are 0x8");
  end ();
}
END_TEST

/* Loop: GIC, ITS. */
START_TEST (an_interrupt_controller_that_kvm_lacks_is_a_lack)
{
  begin (ARM_OPTIONS, ARM_OPTIONS);
  arm_kernel_begin ();
  arm_kernel.missing_device = _i == 0 ? KVM_DEV_TYPE_ARM_VGIC_V3 : KVM_DEV_TYPE_ARM_VGIC_ITS;
  ask (false);
  assert_lacks (_i == 0 ? "it has a GICv3, and KVM has none here" : "it has an ITS, and KVM has none here");
  end ();
}
END_TEST

START_TEST (another_interrupt_controller_of_the_program_is_a_lack)
{
  static const struct
  {
    ArmOptions was, is;
    const char *text;
  } cases[] = {
    { { .n_interrupts = 96, .gicd = ARM_GICD }, { 0 }, "it has a GIC, and this program hasn't added one" },
    { { 0 }, { .n_interrupts = 96, .gicd = ARM_GICD }, "it hasn't got a GIC, and this program has added one" },
    { { .n_interrupts = 96, .gicd = ARM_GICD, .n_its = 2 },
      { .n_interrupts = 96, .gicd = ARM_GICD, .n_its = 1 },
      "it has 2 ITSs, and this program has added 1" },
    { { .n_interrupts = 96, .gicd = ARM_GICD },
      { .n_interrupts = 64, .gicd = ARM_GICD },
      "GIC: the number of interrupts: it is 0x60 in the state, 0x40 in this program" },
    { { .n_interrupts = 96, .gicd = ARM_GICD },
      { .n_interrupts = 96, .gicd = 0x0a000000 },
      "GIC: the distributor's address: it is 0x8000000 in the state, 0xa000000 in this program" },
  };

  begin (cases[_i].was, cases[_i].is);
  ask (true);
  assert_lacks (cases[_i].text);
  end ();
}
END_TEST

START_TEST (an_index_that_kvm_does_not_take_is_a_lack)
{
  CprKvmHost *host;

  begin (ARM_OPTIONS, ARM_OPTIONS);
  host = cpr_kvm_host_new (machine.kvm, &error);
  cpr_kvm_host_find_lacks_of_vcpu (host, vm->vcpus->pdata[0], 100000, NULL, note, NULL);
  cpr_kvm_host_free (host);
  assert_lacks ("its index is 100000, and KVM takes indices below ");
  end ();
}
END_TEST

START_TEST (what_can_not_be_asked_is_an_error)
{
  begin (all (), all ());
  for (unsigned at = 1; at <= 9; at++)
    {
      CprKvmHost *host;

      arm_kernel_begin ();
      arm_kernel.fail_at = at;
      host = cpr_kvm_host_new (machine.kvm, &error);
      if (host != NULL) /* a device that can't be made is a lack */
        cpr_kvm_host_free (host);
      else
        ck_assert (g_error_matches (error, CPR_ERROR, CPR_ERROR_SYSTEM));
      g_clear_error (&error);
    }
  end ();
}
END_TEST

/* ---- Blockers. */

/* Such a VM has fewer abilities than /dev/kvm. */
static int
answer_protected (int fd, unsigned long request, void *argument)
{
  if (request == KVM_CHECK_EXTENSION && fd == machine.vm && (intptr_t) argument == KVM_CAP_VCPU_EVENTS)
    return 0;
  return ioctl (fd, request, argument);
}

START_TEST (a_protected_vm_is_an_obstacle)
{
  CprSys sys = cpr_sys_kernel;
  g_autofree char *none = NULL, *obstacle = NULL;

  begin (ARM_OPTIONS, ARM_OPTIONS);
  none = cpr_kvm_vm_describe_obstacle (vm);
  ck_assert_ptr_null (none);
  sys.ioctl = answer_protected;
  cpr_sys = &sys;
  obstacle = cpr_kvm_vm_describe_obstacle (vm);
  ck_assert_str_eq (obstacle, "KVM VM 'kvm': it is protected: no other VM can have its memory and vCPUs");
  end ();
}
END_TEST

static int
answer_tagged (int fd, unsigned long request, void *argument)
{
  return request == KVM_ARM_MTE_COPY_TAGS ? 0 : ioctl (fd, request, argument);
}

START_TEST (memory_with_tags_is_an_obstacle_to_a_reboot)
{
  CprSys sys = cpr_sys_kernel;
  g_autofree char *none = NULL, *obstacle = NULL;
  unsigned modes = 0;

  begin (ARM_OPTIONS, ARM_OPTIONS);
  none = cpr_kvm_vcpu_describe_obstacle (vm->vcpus->pdata[0], &modes);
  ck_assert_ptr_null (none);
  sys.ioctl = answer_tagged;
  cpr_sys = &sys;
  obstacle = cpr_kvm_vcpu_describe_obstacle (vm->vcpus->pdata[0], &modes);
  ck_assert_str_eq (obstacle, "KVM VM 'kvm': its memory has tags (MTE), and a file can't hold them");
  ck_assert_uint_eq (modes, CPR_MODES_REBOOT);
  end ();
}
END_TEST

START_TEST (a_guest_with_vms_of_its_own_is_an_obstacle)
{
  g_autofree char *obstacle = NULL;
  unsigned modes = 0;

  begin (ARM_OPTIONS, ARM_OPTIONS);
  arm_kernel_begin ();
  arm_kernel.changed_id = CPR_KVM_HCR_EL2;
  obstacle = cpr_kvm_vcpu_describe_obstacle (vm->vcpus->pdata[0], &modes);
  ck_assert_ptr_nonnull (strstr (obstacle, "KVM VM 'kvm': its guest can have VMs of its own (KVM_ARM_VCPU_HAS_EL2)"));
  ck_assert_uint_eq (modes, CPR_MODES_ALL);
  end ();
}
END_TEST

static void
add_tests (TCase *tests)
{
  tcase_add_loop_test (tests, the_same_kvm_lacks_nothing, 0, 2);
  tcase_add_loop_test (tests, a_feature_that_kvm_lacks_is_one_lack, 0, 3);
  tcase_add_loop_test (tests, a_feature_that_the_program_forgot_is_a_lack, 0, 6);
  tcase_add_test (tests, an_identity_that_kvm_can_not_have_is_a_lack);
  tcase_add_loop_test (tests, a_register_that_kvm_lacks_is_a_lack_unless_it_is_0, 0, 2);
  tcase_add_test (tests, vector_lengths_that_kvm_lacks_are_a_lack);
  tcase_add_loop_test (tests, an_interrupt_controller_that_kvm_lacks_is_a_lack, 0, 2);
  tcase_add_loop_test (tests, another_interrupt_controller_of_the_program_is_a_lack, 0, 5);
  tcase_add_test (tests, an_index_that_kvm_does_not_take_is_a_lack);
  tcase_add_test (tests, what_can_not_be_asked_is_an_error);
  tcase_add_test (tests, a_protected_vm_is_an_obstacle);
  tcase_add_test (tests, memory_with_tags_is_an_obstacle_to_a_reboot);
  tcase_add_test (tests, a_guest_with_vms_of_its_own_is_an_obstacle);
}

int
main (void)
{
  kvm_need ();
  BEGIN_SUITE ("kvm-arm64-preflight");

  add_tests (tests);
  return run_suite (suite);
}

#else

int
main (void)
{
  puts ("1..0 # SKIP KVM of AArch64 is asked here");
  return 0;
}

#endif
