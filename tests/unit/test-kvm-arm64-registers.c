/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A vCPU's state on AArch64, carried from one VM of the real KVM to another. */
#include <stdio.h>

#include "kvm-arm64.h"

#ifdef __aarch64__

#  include <errno.h>
#  include <string.h>
#  include <sys/ioctl.h>
#  include <unistd.h>

static ArmPair pair;
static GError *error;

static void
begin_with (ArmOptions was, ArmOptions is)
{
  error = NULL;
  arm_pair_init (&pair, was, is, 0);
}

static void
begin (void)
{
  ArmOptions options = ARM_OPTIONS;

  options.features = arm_get_features ();
  begin_with (options, options);
}

static void
end (void)
{
  arm_pair_clear (&pair);
}

static void
carry (void)
{
  programs_carry (&pair.programs);
}

/* ---- Every register. */

static bool
is_counter (uint64_t id)
{
  return id == KVM_REG_ARM_TIMER_CNT || id == KVM_REG_ARM_PTIMER_CNT;
}

static bool
is_control (uint64_t id)
{
  return id == KVM_REG_ARM_TIMER_CTL || id == KVM_REG_ARM_PTIMER_CTL;
}

/* Another value than the one that it has, which it can have as well. */
static void
change (uint64_t id, uint8_t *value, uint32_t size, unsigned vcpu)
{
  if ((id & KVM_REG_ARM_COPROC_MASK) == KVM_REG_ARM_FW_FEAT_BMAP)
    memset (value, 0, size);
  else if (id == KVM_REG_ARM_PSCI_VERSION)
    value[0] = 2; /* 0.2 */
  else if (is_control (id))
    value[0] = 3; /* on, and masked */
  else if (id == (KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | KVM_REG_ARM_CORE_REG (regs.pstate)))
    value[3] ^= 0x60;
  else
    for (uint32_t i = 0; i < size; i++)
      value[i] ^= (uint8_t) (0x11 * (i % 7 + 1) + id + vcpu);
}

static bool
is_changeable (uint64_t id)
{
  return !is_counter (id) && id != CPR_KVM_MPIDR && id != KVM_REG_ARM64_SVE_VLS &&
         (!cpr_kvm_register_is_identity (id) || (id & KVM_REG_ARM_COPROC_MASK) == KVM_REG_ARM_FW ||
          (id & KVM_REG_ARM_COPROC_MASK) == KVM_REG_ARM_FW_FEAT_BMAP);
}

/* Counts those that have another value afterwards. */
static unsigned
stir (int fd, unsigned vcpu)
{
  g_autofree struct kvm_reg_list *list = cpr_kvm_register_list (fd);
  unsigned n = 0;

  for (uint64_t i = 0; i < list->n; i++)
    {
      uint32_t size = cpr_kvm_register_get_size (list->reg[i]);
      uint8_t was[CPR_KVM_REGISTER_SIZE_MAX] = { 0 }, is[CPR_KVM_REGISTER_SIZE_MAX] = { 0 };

      ck_assert_int_eq (cpr_kvm_register_read (fd, list->reg[i], was), 0);
      memcpy (is, was, size);
      if (!is_changeable (list->reg[i]))
        continue;
      change (list->reg[i], is, size, vcpu);
      cpr_kvm_register_write (fd, list->reg[i], is);
      ck_assert_int_eq (cpr_kvm_register_read (fd, list->reg[i], is), 0);
      n += memcmp (was, is, size) != 0;
    }
  return n;
}

static void
assert_same (int a, int b, unsigned vcpu)
{
  g_autofree struct kvm_reg_list *list = cpr_kvm_register_list (a), *other = cpr_kvm_register_list (b);

  ck_assert_uint_eq (list->n, other->n);
  for (uint64_t i = 0; i < list->n; i++)
    {
      uint32_t size = cpr_kvm_register_get_size (list->reg[i]);
      uint8_t was[CPR_KVM_REGISTER_SIZE_MAX] = { 0 }, is[CPR_KVM_REGISTER_SIZE_MAX] = { 0 };
      g_autofree char *name = cpr_kvm_register_get_name (list->reg[i]), *left = NULL, *right = NULL;

      ck_assert_int_eq (cpr_kvm_register_read (a, list->reg[i], was), 0);
      ck_assert_int_eq (cpr_kvm_register_read (b, list->reg[i], is), 0);
      if (is_counter (list->reg[i]))
        continue;
      if (is_control (list->reg[i]))
        was[0] = was[0] & 3, is[0] = is[0] & 3; /* whether it has fired depends on the time */
      left = cpr_kvm_register_format (was, size);
      right = cpr_kvm_register_format (is, size);
      ck_assert_msg (memcmp (was, is, size) == 0, "vCPU %u: %s: %s, %s", vcpu, name, left, right);
    }
}

/* Loop: without any feature, and with all that KVM has. */
START_TEST (every_register_arrives)
{
  ArmOptions options = ARM_OPTIONS;

  options.features = _i == 0 ? 0 : arm_get_features ();
  begin_with (options, options);
  for (unsigned i = 0; i < ARM_VCPUS; i++)
    ck_assert_uint_ge (stir (pair.from.vcpus[i], i), 150);
  carry ();
  for (unsigned i = 0; i < ARM_VCPUS; i++)
    assert_same (pair.from.vcpus[i], pair.to.vcpus[i], i);
  end ();
}
END_TEST

START_TEST (what_was_there_before_is_replaced)
{
  begin ();
  for (unsigned i = 0; i < ARM_VCPUS; i++)
    stir (pair.to.vcpus[i], i + 5);
  for (unsigned i = 0; i < ARM_VCPUS; i++)
    {
      arm_set (pair.to.vcpus[i], KVM_REG_ARM_PSCI_VERSION, arm_get (pair.from.vcpus[i], KVM_REG_ARM_PSCI_VERSION));
      arm_set (pair.to.vcpus[i], KVM_REG_ARM_STD_BMAP, arm_get (pair.from.vcpus[i], KVM_REG_ARM_STD_BMAP));
    }
  carry ();
  for (unsigned i = 0; i < ARM_VCPUS; i++)
    assert_same (pair.from.vcpus[i], pair.to.vcpus[i], i);
  end ();
}
END_TEST

START_TEST (a_learned_vcpu_is_set_only_where_it_differs)
{
  unsigned long all, some;

  begin ();
  for (unsigned i = 0; i < ARM_VCPUS; i++)
    stir (pair.from.vcpus[i], i);
  arm_kernel_begin ();
  arm_kernel.counted = KVM_SET_ONE_REG;
  carry ();
  all = arm_kernel.n_counted;
  end ();

  begin ();
  for (unsigned i = 0; i < ARM_VCPUS; i++)
    arm_set (pair.from.vcpus[i], KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | KVM_REG_ARM_CORE_REG (regs.pc),
             0x40001000 + i);
  cpr_kvm_vm_prepare (pair.loaded);
  arm_kernel_begin ();
  arm_kernel.counted = KVM_SET_ONE_REG;
  carry ();
  some = arm_kernel.n_counted;
  for (unsigned i = 0; i < ARM_VCPUS; i++)
    assert_same (pair.from.vcpus[i], pair.to.vcpus[i], i);
  end ();
  ck_assert_uint_gt (all, 300);
  ck_assert_uint_eq (some, ARM_VCPUS + 1); /* and the counter */
}
END_TEST

START_TEST (a_learned_vcpu_gets_all_that_differs)
{
  begin ();
  for (unsigned i = 0; i < ARM_VCPUS; i++)
    {
      stir (pair.from.vcpus[i], i);
      arm_set (pair.from.vcpus[i], KVM_REG_ARM_TIMER_CVAL, 0x123456789 + i);
    }
  cpr_kvm_vm_prepare (pair.loaded);
  carry ();
  for (unsigned i = 0; i < ARM_VCPUS; i++)
    assert_same (pair.from.vcpus[i], pair.to.vcpus[i], i);
  end ();
}
END_TEST

/* ---- Its power, and its exceptions. */

START_TEST (a_vcpu_that_is_off_stays_off_and_one_that_is_on_is_on)
{
  ArmOptions off = ARM_OPTIONS, on = ARM_OPTIONS;
  struct kvm_mp_state state;

  (_i == 0 ? &off : &on)->second_more = 1u << KVM_ARM_VCPU_POWER_OFF;
  begin_with (off, on);
  if (_i > 1)
    cpr_kvm_vm_prepare (pair.loaded);
  carry ();
  kvm_do (pair.to.vcpus[0], KVM_GET_MP_STATE, &state);
  ck_assert_uint_eq (state.mp_state, KVM_MP_STATE_RUNNABLE);
  kvm_do (pair.to.vcpus[1], KVM_GET_MP_STATE, &state);
  ck_assert_uint_eq (state.mp_state, _i == 0 ? KVM_MP_STATE_STOPPED : KVM_MP_STATE_RUNNABLE);
  end ();
}
END_TEST

START_TEST (a_suspended_vcpu_arrives)
{
  struct kvm_mp_state state = { KVM_MP_STATE_SUSPENDED };

  begin ();
  if (ioctl (pair.from.vcpus[1], KVM_SET_MP_STATE, &state) == 0)
    {
      carry ();
      kvm_do (pair.to.vcpus[1], KVM_GET_MP_STATE, &state);
      ck_assert_uint_eq (state.mp_state, KVM_MP_STATE_SUSPENDED);
    }
  end ();
}
END_TEST

START_TEST (a_pending_serror_arrives)
{
  struct kvm_vcpu_events events = { 0 }, arrived = { 0 };

  begin ();
  kvm_do (pair.from.vcpus[0], KVM_GET_VCPU_EVENTS, &events);
  events.exception.serror_pending = 1;
  if (events.exception.serror_has_esr)
    events.exception.serror_esr = 0x1234;
  kvm_do (pair.from.vcpus[0], KVM_SET_VCPU_EVENTS, &events);
  carry ();
  kvm_do (pair.to.vcpus[0], KVM_GET_VCPU_EVENTS, &arrived);
  ck_assert_mem_eq (&arrived, &events, sizeof events);
  kvm_do (pair.to.vcpus[1], KVM_GET_VCPU_EVENTS, &arrived);
  ck_assert_uint_eq (arrived.exception.serror_pending, 0);
  end ();
}
END_TEST

/* ---- Errors. */

#  define assert_refused(code, ...)                                                                            \
    do                                                                                                         \
      {                                                                                                        \
        const char *const words[] = { __VA_ARGS__ };                                                           \
                                                                                                               \
        ck_assert_msg (error != NULL && g_error_matches (error, CPR_ERROR, code), "%s",                        \
                       error != NULL ? error->message : "no error");                                           \
        for (size_t word = 0; word < G_N_ELEMENTS (words); word++)                                             \
          ck_assert_msg (strstr (error->message, words[word]) != NULL, "%s: %s", error->message, words[word]); \
        g_clear_error (&error);                                                                                \
      }                                                                                                        \
    while (0)

#  define ID_AA64MMFR0 ARM64_SYS_REG (3, 0, 0, 7, 0)
#  define A_REGISTER   ARM64_SYS_REG (3, 0, 13, 0, 4) /* TPIDR_EL1 */

START_TEST (an_identity_that_kvm_refuses_is_an_error_with_its_name_and_both_values)
{
  g_autofree char *here = NULL;
  uint64_t value;

  begin ();
  value = arm_get (pair.to.vcpus[1], ID_AA64MMFR0);
  here = cpr_kvm_register_format (&value, sizeof value);
  arm_kernel_begin ();
  arm_kernel.changed_id = ID_AA64MMFR0;
  arm_kernel.changed_fd = pair.from.vcpus[1];
  arm_kernel.changed_value = value ^ 0xf0000000000000f;
  ck_assert (programs_save (&pair.programs, &error));
  ck_assert (!programs_load (&pair.programs, &error));
  assert_refused (CPR_ERROR_MISMATCH,
                  "KVM VM 'kvm': vCPU 1: KVM_SET_ONE_REG: register ID_AA64MMFR0_EL1 (S3_0_C0_C7_0): ",
                  " in the state, ", " here, and KVM refuses to change it");
  end ();
}
END_TEST

START_TEST (a_register_that_kvm_lacks_is_an_error_unless_it_is_0)
{
  begin ();
  arm_set (pair.from.vcpus[0], A_REGISTER, 0);
  arm_set (pair.from.vcpus[1], A_REGISTER, _i == 0 ? 0 : 0x77);
  ck_assert (programs_save (&pair.programs, &error));
  arm_kernel_begin ();
  arm_kernel.unlisted_id = A_REGISTER;
  ck_assert_msg (programs_load (&pair.programs, &error) == (_i == 0), "%s", error != NULL ? error->message : "");
  if (_i != 0)
    assert_refused (CPR_ERROR_MISMATCH,
                    "vCPU 1: KVM_SET_ONE_REG: register TPIDR_EL1 (S3_0_C13_C0_4): it is 0x77 in the "
                    "state, and KVM doesn't have it here");
  end ();
}
END_TEST

START_TEST (a_register_that_the_state_lacks_keeps_its_value)
{
  begin ();
  arm_set (pair.to.vcpus[0], A_REGISTER, 0x55);
  arm_kernel_begin ();
  arm_kernel.unlisted_id = A_REGISTER;
  ck_assert (programs_save (&pair.programs, &error));
  cpr_sys = &cpr_sys_kernel;
  ck_assert (programs_load (&pair.programs, &error));
  ck_assert_uint_eq (arm_get (pair.to.vcpus[0], A_REGISTER), 0x55);
  /* And the next program gets it. */
  ck_assert (cpr_kvm_vcpu_get (pair.loaded->vcpus->pdata[0], &error));
  for (uint32_t i = 0; i < ((CprKvmVcpu *) pair.loaded->vcpus->pdata[0])->n_registers; i++)
    if (((CprKvmVcpu *) pair.loaded->vcpus->pdata[0])->registers[i].id == A_REGISTER)
      ck_assert_uint_eq (((CprKvmVcpu *) pair.loaded->vcpus->pdata[0])->registers[i].value, 0x55);
  end ();
}
END_TEST

/* Loop: SVE, the PMU, pointer authentication; missing here, and missing in the state; learned. */
START_TEST (a_vcpu_without_a_feature_is_refused_with_its_name)
{
  static const uint32_t features[] = { CPR_KVM_SVE, CPR_KVM_PMU, CPR_KVM_PTRAUTH };
  static const char *const names[] = { "KVM_ARM_VCPU_SVE", "KVM_ARM_VCPU_PMU_V3",
                                       "KVM_ARM_VCPU_PTRAUTH_ADDRESS and KVM_ARM_VCPU_PTRAUTH_GENERIC" };
  g_autofree char *text =
      g_strdup_printf (_i % 2 == 0 ? "KVM VM 'kvm': vCPU 0: it has %s in the state, and hasn't here"
                                   : "KVM VM 'kvm': vCPU 0: it hasn't got %s in the state, and has here",
                       names[_i / 4]);
  ArmOptions with = ARM_OPTIONS;

  if ((arm_get_features () & features[_i / 4]) == 0)
    return;
  with.features = features[_i / 4];
  begin_with (_i % 2 == 0 ? with : ARM_OPTIONS, _i % 2 == 0 ? ARM_OPTIONS : with);
  if (_i % 4 >= 2)
    cpr_kvm_vm_prepare (pair.loaded);
  ck_assert (programs_save (&pair.programs, &error));
  ck_assert (!programs_load (&pair.programs, &error));
  ck_assert (g_error_matches (error, CPR_ERROR, CPR_ERROR_MISMATCH));
  ck_assert_msg (strstr (error->message, text) != NULL, "%s", error->message);
  g_clear_error (&error);
  end ();
}
END_TEST

/* Loop: KVM_ARM_VCPU_INIT is missing, and KVM_ARM_VCPU_FINALIZE. */
START_TEST (a_vcpu_that_is_not_ready_is_refused)
{
  struct kvm_vcpu_init init;
  ArmOptions without = ARM_OPTIONS;
  int fd;

  if (_i == 1 && (arm_get_features () & CPR_KVM_SVE) == 0)
    return;
  without.n_interrupts = without.n_its = 0;
  without.features = _i == 1 ? CPR_KVM_SVE : 0; /* those of one VM are alike */
  begin_with (without, without);
  fd = kvm_do (pair.to.vm, KVM_CREATE_VCPU, 7);
  kvm_do (pair.to.vm, KVM_ARM_PREFERRED_TARGET, &init);
  init.features[0] = 1u << KVM_ARM_VCPU_PSCI_0_2 | CPR_KVM_SVE;
  if (_i == 1)
    kvm_do (fd, KVM_ARM_VCPU_INIT, &init);
  ck_assert (cpr_kvm_vcpu_create (pair.loaded, 7, fd, &error) == NULL);
  if (_i == 0)
    assert_error (&error, CPR_ERROR_INVALID, "KVM VM 'kvm': vCPU 7: KVM_ARM_VCPU_INIT comes before cpr_kvm_vcpu_add()");
  else
    assert_error (&error, CPR_ERROR_INVALID,
                  "KVM VM 'kvm': vCPU 7: KVM_ARM_VCPU_FINALIZE of KVM_ARM_VCPU_SVE comes before cpr_kvm_vcpu_add()");
  close (fd);
  end ();
}
END_TEST

/* Every so many-th: each is one of a thousand alike. */
START_TEST (every_failing_call_is_an_error_that_names_the_vm)
{
  unsigned n_failed = 0;
  bool done = false;

  begin ();
  for (unsigned at = 1; !done; at += 41)
    {
      arm_kernel_begin ();
      arm_kernel.fail_at = at;
      done = programs_save (&pair.programs, &error) && programs_load (&pair.programs, &error);
      if (!done)
        {
          n_failed++;
          ck_assert_msg (g_error_matches (error, CPR_ERROR, CPR_ERROR_SYSTEM), "%s", error->message);
          ck_assert_msg (g_str_has_prefix (error->message, "KVM VM 'kvm': ") || strstr (error->message, "'kvm") != NULL,
                         "%s", error->message);
          g_clear_error (&error);
          end ();
          begin ();
        }
    }
  ck_assert_uint_ge (n_failed, 10);
  end ();
}
END_TEST

START_TEST (registers_have_names)
{
  static const struct
  {
    uint64_t id;
    const char *name;
  } names[] = {
    { ARM64_SYS_REG (3, 0, 1, 0, 0), "SCTLR_EL1 (S3_0_C1_C0_0)" },
    { ARM64_SYS_REG (3, 0, 15, 1, 2), "S3_0_C15_C1_2" },
    { ARM64_SYS_REG (2, 0, 0, 3, 5), "DBGBCR3_EL1 (S2_0_C0_C3_5)" },
    { ARM64_SYS_REG (3, 3, 14, 9, 2), "PMEVCNTR10_EL0 (S3_3_C14_C9_2)" },
    { KVM_REG_ARM_TIMER_CVAL, "CNTV_CVAL_EL0 (S3_3_C14_C0_2)" },
    { KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | KVM_REG_ARM_CORE_REG (regs.regs[17]), "x17" },
    { KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | KVM_REG_ARM_CORE_REG (regs.sp), "sp" },
    { KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | KVM_REG_ARM_CORE_REG (elr_el1), "elr_el1" },
    { KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | KVM_REG_ARM_CORE_REG (spsr[2]), "spsr_und" },
    { KVM_REG_ARM64 | KVM_REG_SIZE_U128 | KVM_REG_ARM_CORE | KVM_REG_ARM_CORE_REG (fp_regs.vregs[31]), "v31" },
    { KVM_REG_ARM64 | KVM_REG_SIZE_U32 | KVM_REG_ARM_CORE | KVM_REG_ARM_CORE_REG (fp_regs.fpsr), "fpsr" },
    { KVM_REG_ARM64 | KVM_REG_SIZE_U32 | KVM_REG_ARM_CORE | KVM_REG_ARM_CORE_REG (fp_regs.fpcr), "fpcr" },
    { KVM_REG_ARM64_SVE_ZREG (9, 0), "z9" },
    { KVM_REG_ARM64_SVE_PREG (15, 0), "p15" },
    { KVM_REG_ARM64_SVE_FFR (0), "ffr" },
    { KVM_REG_ARM_PSCI_VERSION, "KVM_REG_ARM_PSCI_VERSION" },
    { KVM_REG_ARM_VENDOR_HYP_BMAP, "KVM_REG_ARM_VENDOR_HYP_BMAP" },
  };

  for (size_t i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *name = cpr_kvm_register_get_name (names[i].id);

      ck_assert_str_eq (name, names[i].name);
    }
}
END_TEST

static void
add_tests (TCase *tests)
{
  tcase_add_loop_test (tests, every_register_arrives, 0, 2);
  tcase_add_test (tests, what_was_there_before_is_replaced);
  tcase_add_test (tests, a_learned_vcpu_is_set_only_where_it_differs);
  tcase_add_test (tests, a_learned_vcpu_gets_all_that_differs);
  tcase_add_loop_test (tests, a_vcpu_that_is_off_stays_off_and_one_that_is_on_is_on, 0, 3);
  tcase_add_test (tests, a_suspended_vcpu_arrives);
  tcase_add_test (tests, a_pending_serror_arrives);
  tcase_add_test (tests, an_identity_that_kvm_refuses_is_an_error_with_its_name_and_both_values);
  tcase_add_loop_test (tests, a_register_that_kvm_lacks_is_an_error_unless_it_is_0, 0, 2);
  tcase_add_test (tests, a_register_that_the_state_lacks_keeps_its_value);
  tcase_add_loop_test (tests, a_vcpu_without_a_feature_is_refused_with_its_name, 0, 12);
  tcase_add_loop_test (tests, a_vcpu_that_is_not_ready_is_refused, 0, 2);
  tcase_add_test (tests, every_failing_call_is_an_error_that_names_the_vm);
  tcase_add_test (tests, registers_have_names);
}

int
main (void)
{
  kvm_need ();
  BEGIN_SUITE ("kvm-arm64-registers");

  add_tests (tests);
  return run_suite (suite);
}

#else

int
main (void)
{
  puts ("1..0 # SKIP these registers are those of AArch64");
  return 0;
}

#endif
