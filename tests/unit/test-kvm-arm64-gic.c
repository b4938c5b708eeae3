/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A GICv3 and its ITSs, carried from one VM of the real KVM to another. */
#include <stdio.h>

#include "kvm-arm64.h"

#ifdef __aarch64__

#  include <errno.h>
#  include <string.h>
#  include <sys/ioctl.h>
#  include <unistd.h>

#  define DIST   KVM_DEV_ARM_VGIC_GRP_DIST_REGS
#  define REDIST KVM_DEV_ARM_VGIC_GRP_REDIST_REGS
#  define ICC    KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS
#  define LEVEL  KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO
#  define ITS    KVM_DEV_ARM_VGIC_GRP_ITS_REGS
#  define SGI    0x10000

#  define ICC_REG(crn, crm, op2) (3 << 14 | (crn) << 7 | (crm) << 3 | (op2))

/* Where the guest has its tables, from the beginning of its memory on. */
#  define COMMANDS    0x00000
#  define DEVICES     0x10000
#  define COLLECTIONS 0x20000
#  define PROPERTIES  0x30000
#  define PENDING     0x40000 /* of the first vCPU; that of the second one follows */
#  define EVENTS      0x60000
#  define LPI         8192
#  define DEVICE      5

static ArmPair pair;
static GError *error;

static void
begin (ArmOptions was, ArmOptions is)
{
  error = NULL;
  arm_pair_init (&pair, was, is, 0);
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

/* ---- Everything that a guest can do to it. */

static void
stir_distributor (const ArmMachine *machine)
{
  arm_gic_set (machine, DIST, 0x0000, 0x12);       /* CTLR: on */
  arm_gic_set (machine, DIST, 0x0084, 0xffff00ff); /* IGROUPR1 */
  arm_gic_set (machine, DIST, 0x0104, 0x0000f00f); /* ISENABLER1 */
  arm_gic_set (machine, DIST, 0x0108, 0x80000001); /* ISENABLER2 */
  arm_gic_set (machine, DIST, 0x0204, 0x00000f00); /* ISPENDR1 */
  arm_gic_set (machine, DIST, 0x0304, 0x00a00000); /* ISACTIVER1 */
  arm_gic_set (machine, DIST, 0x0c08, 0xaaaa0002); /* ICFGR2: edges */
  for (uint32_t i = 32; i < ARM_INTERRUPTS; i += 4)
    arm_gic_set (machine, DIST, 0x400 + i, 0x10203040 ^ i << 3);
  for (uint32_t i = 40; i < 50; i++)
    arm_gic_set (machine, DIST, 0x6000 + 8 * i, arm_get_affinity (machine, 1) >> 32);
  arm_gic_set (machine, LEVEL, 64, 0x00ff0010);
}

static void
stir_redistributor (const ArmMachine *machine, unsigned vcpu)
{
  uint64_t cpu = arm_get_affinity (machine, vcpu);

  arm_gic_set (machine, REDIST, cpu | (SGI + 0x080), 0xfffffff7 - vcpu);
  arm_gic_set (machine, REDIST, cpu | (SGI + 0x180), 0x000000f0);         /* ICENABLER0: SGIs begin enabled */
  arm_gic_set (machine, REDIST, cpu | (SGI + 0x100), 0x08000000);         /* ISENABLER0: the timer's */
  arm_gic_set (machine, REDIST, cpu | (SGI + 0x200), 0x00000009 << vcpu); /* ISPENDR0 */
  arm_gic_set (machine, REDIST, cpu | (SGI + 0x300), 0x00000600);         /* ISACTIVER0 */
  for (uint32_t i = 0; i < 32; i += 4)
    arm_gic_set (machine, REDIST, cpu | (SGI + 0x400 + i), 0x50607080 ^ i << 3);
  arm_gic_set (machine, LEVEL, cpu | 0, 0x00800000);
}

static void
stir_cpu (const ArmMachine *machine, unsigned vcpu)
{
  uint64_t cpu = arm_get_affinity (machine, vcpu);
  uint64_t ctlr = arm_gic_get (machine, ICC, cpu | ICC_REG (12, 12, 4));

  arm_gic_set (machine, ICC, cpu | ICC_REG (12, 12, 4), ctlr | 2); /* EOImode */
  arm_gic_set (machine, ICC, cpu | ICC_REG (4, 6, 0), 0xf0 - 0x10 * vcpu);
  arm_gic_set (machine, ICC, cpu | ICC_REG (12, 8, 3), 3);
  arm_gic_set (machine, ICC, cpu | ICC_REG (12, 12, 3), 4);
  arm_gic_set (machine, ICC, cpu | ICC_REG (12, 9, 0), 0x40);
  arm_gic_set (machine, ICC, cpu | ICC_REG (12, 12, 7), 1);
}

static void
stir (const ArmMachine *machine)
{
  stir_distributor (machine);
  for (unsigned i = 0; i < ARM_VCPUS; i++)
    {
      stir_redistributor (machine, i);
      stir_cpu (machine, i);
    }
}

static GArray *
read_all (CprKvmVm *vm)
{
  ck_assert_msg (cpr_kvm_gic_get (vm, false, &error), "%s", error->message);
  return vm->gic;
}

/* The number of entries that differ; the error of the first one. */
static unsigned
compare (GArray *a, GArray *b, char **first)
{
  unsigned n = 0;

  ck_assert_uint_eq (a->len, b->len);
  for (guint i = 0; i < a->len; i++)
    {
      const CprKvmGicEntry *was = &g_array_index (a, CprKvmGicEntry, i), *is = &g_array_index (b, CprKvmGicEntry, i);
      g_autofree char *name = cpr_kvm_gic_entry_get_name (was);

      ck_assert_uint_eq (was->offset, is->offset);
      if (was->value != is->value && n++ == 0)
        *first =
            g_strdup_printf ("%s: 0x%" G_GINT64_MODIFIER "x, 0x%" G_GINT64_MODIFIER "x", name, was->value, is->value);
    }
  return n;
}

static void
assert_same (void)
{
  g_autofree char *first = NULL;
  unsigned n = compare (read_all (pair.saved), read_all (pair.loaded), &first);

  ck_assert_msg (n == 0, "%u differ: %s", n, first);
}

/* Loop: without and with what is learned before. */
START_TEST (every_register_of_the_gic_arrives)
{
  g_autofree char *first = NULL;

  begin (ARM_OPTIONS, ARM_OPTIONS);
  stir (&pair.from);
  ck_assert_uint_ge (compare (read_all (pair.saved), read_all (pair.loaded), &first), 50);
  if (_i == 1)
    cpr_kvm_vm_prepare (pair.loaded);
  carry ();
  assert_same ();
  end ();
}
END_TEST

START_TEST (what_was_there_before_is_replaced)
{
  begin (ARM_OPTIONS, ARM_OPTIONS);
  stir (&pair.to);
  if (_i == 1)
    cpr_kvm_vm_prepare (pair.loaded);
  carry ();
  assert_same ();
  end ();
}
END_TEST

START_TEST (a_learned_gic_is_set_only_where_it_differs)
{
  begin (ARM_OPTIONS, ARM_OPTIONS);
  arm_gic_set (&pair.from, DIST, 0x0104, 0x00000400);
  cpr_kvm_vm_prepare (pair.loaded);
  arm_kernel_begin ();
  ck_assert (programs_save (&pair.programs, &error));
  arm_kernel.counted = KVM_SET_DEVICE_ATTR;
  ck_assert_msg (programs_load (&pair.programs, &error), "%s", error->message);
  ck_assert_uint_le (arm_kernel.n_counted, 20); /* most of them are the ITS's */
  cpr_sys = &cpr_sys_kernel;
  assert_same ();
  end ();
}
END_TEST

START_TEST (the_largest_gic_arrives)
{
  ArmOptions large = ARM_OPTIONS;

  large.n_interrupts = 992;
  begin (large, large);
  stir (&pair.from);
  arm_gic_set (&pair.from, DIST, 0x6000 + 8 * 991, arm_get_affinity (&pair.from, 1) >> 32);
  arm_gic_set (&pair.from, DIST, 0x0200 + 4 * 30, 0x80000000);
  carry ();
  assert_same ();
  end ();
}
END_TEST

/* ---- LPIs. */

static void
command (const ArmMachine *machine, uint64_t a, uint64_t b, uint64_t c)
{
  uint64_t at = arm_gic_get (machine, ITS, 0x88), words[4] = { a, b, c, 0 };

  memcpy (machine->ram + COMMANDS + at, words, sizeof words);
  arm_gic_set (machine, ITS, 0x88, at + sizeof words);
}

/* As a guest does it: tables for devices and collections, one device with LPIs on both vCPUs. */
static void
map_lpis (const ArmMachine *machine)
{
  const uint64_t valid = (uint64_t) 1 << 63;

  memset (machine->ram + PROPERTIES, 0xa1, 0x1000); /* all enabled */
  for (unsigned i = 0; i < ARM_VCPUS; i++)
    {
      uint64_t cpu = arm_get_affinity (machine, i);

      arm_gic_set (machine, REDIST, cpu | 0x70, (ARM_RAM + PROPERTIES) | 13);
      arm_gic_set (machine, REDIST, cpu | 0x78, ARM_RAM + PENDING + 0x10000 * i);
      arm_gic_set (machine, REDIST, cpu | 0x00, 1);
    }
  arm_gic_set (machine, ITS, 0x100, valid | (ARM_RAM + DEVICES));
  arm_gic_set (machine, ITS, 0x108, valid | (ARM_RAM + COLLECTIONS));
  arm_gic_set (machine, ITS, 0x80, valid | (ARM_RAM + COMMANDS));
  arm_gic_set (machine, ITS, 0x00, 1);
  for (unsigned i = 0; i < ARM_VCPUS; i++)
    command (machine, 0x09, 0, valid | (uint64_t) i << 16 | i);                     /* MAPC */
  command (machine, 0x08 | (uint64_t) DEVICE << 32, 4, valid | (ARM_RAM + EVENTS)); /* MAPD: 5 bits of events */
  for (unsigned i = 0; i < 8; i++)
    command (machine, 0x0a | (uint64_t) DEVICE << 32, (uint64_t) (LPI + i) << 32 | i, i % 2); /* MAPTI */
}

static void
signal_msi (const ArmMachine *machine, uint32_t event)
{
  struct kvm_msi msi = {
    .address_lo = ARM_ITS + 0x10040, .data = event, .flags = KVM_MSI_VALID_DEVID, .devid = DEVICE
  };

  ck_assert_int_eq (kvm_do (machine->vm, KVM_SIGNAL_MSI, &msi), 1);
}

/* Those that KVM itself has as pending. */
static uint8_t
get_pending (const ArmMachine *machine, unsigned vcpu)
{
  uint8_t *byte = machine->ram + PENDING + 0x10000 * vcpu + LPI / 8;

  *byte = 0;
  arm_gic_set (machine, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES, 0);
  return *byte;
}

START_TEST (lpis_arrive_with_their_tables)
{
  begin (ARM_OPTIONS, ARM_OPTIONS);
  map_lpis (&pair.from);
  signal_msi (&pair.from, 1);
  signal_msi (&pair.from, 2);
  if (_i == 1)
    cpr_kvm_vm_prepare (pair.loaded);
  carry ();
  assert_same ();
  ck_assert_uint_eq (get_pending (&pair.to, 0), 1 << 2);
  ck_assert_uint_eq (get_pending (&pair.to, 1), 1 << 1);
  signal_msi (&pair.to, 5); /* the mapping is there */
  ck_assert_uint_eq (get_pending (&pair.to, 1), 1 << 1 | 1 << 5);
  end ();
}
END_TEST

/* The new program dies after its load; another one takes the same state up. */
START_TEST (lpis_that_are_pending_can_be_loaded_twice)
{
  begin (ARM_OPTIONS, ARM_OPTIONS);
  map_lpis (&pair.from);
  signal_msi (&pair.from, 3);
  carry ();
  cpr_kvm_vm_destroy (pair.loaded);
  arm_machine_clear (&pair.to);
  arm_machine_init (&pair.to,
                    (ArmOptions){ .n_its = 1, .n_interrupts = ARM_INTERRUPTS, .gicd = ARM_GICD, .ram = pair.from.ram });
  cpr_device_table_clear (&pair.programs.loaded);
  cpr_device_table_init (&pair.programs.loaded);
  pair.loaded = arm_add (&pair.to, &pair.programs.loaded, 0);
  ck_assert_msg (programs_load (&pair.programs, &error), "%s", error->message);
  ck_assert_uint_eq (get_pending (&pair.to, 1), 1 << 3);
  end ();
}
END_TEST

START_TEST (several_itss_arrive_in_their_order)
{
  ArmOptions two = ARM_OPTIONS;

  two.n_its = 2;
  begin (two, two);
  map_lpis (&pair.from);
  signal_msi (&pair.from, 4);
  carry ();
  assert_same ();
  ck_assert_uint_eq (get_pending (&pair.to, 0), 1 << 4);
  end ();
}
END_TEST

/* ---- Errors. */

static void
assert_refused (const char *text)
{
  stir (&pair.from);
  ck_assert_msg (programs_save (&pair.programs, &error), "%s", error->message);
  ck_assert (!programs_load (&pair.programs, &error));
  ck_assert_msg (g_error_matches (error, CPR_ERROR, CPR_ERROR_MISMATCH), "%s", error->message);
  ck_assert_msg (strstr (error->message, text) != NULL, "%s", error->message);
  g_clear_error (&error);
}

START_TEST (another_gic_is_refused_with_its_name)
{
  static const struct
  {
    ArmOptions was, is;
    const char *text;
  } cases[] = {
    { { .n_interrupts = 96, .gicd = ARM_GICD },
      { .n_interrupts = 128, .gicd = ARM_GICD },
      "KVM VM 'kvm': GIC: the number of interrupts: it is 0x60 in the state, 0x80 here" },
    { { .n_interrupts = 96, .gicd = ARM_GICD },
      { .n_interrupts = 96, .gicd = 0x0a000000 },
      "KVM VM 'kvm': GIC: the distributor's address: it is 0x8000000 in the state, 0xa000000 here" },
    { { .n_interrupts = 96, .gicd = ARM_GICD },
      { .n_interrupts = 96, .gicd = ARM_GICD, .n_its = 1 },
      "KVM VM 'kvm': it has 0 ITSs in the state, and 1 here: cpr_kvm_its_add()" },
    { { .n_interrupts = 96, .gicd = ARM_GICD, .n_its = 2 },
      { .n_interrupts = 96, .gicd = ARM_GICD, .n_its = 1 },
      "KVM VM 'kvm': it has 2 ITSs in the state, and 1 here: cpr_kvm_its_add()" },
    { { .n_interrupts = 96, .gicd = ARM_GICD },
      { .gicd = ARM_GICD },
      "KVM VM 'kvm': it has a GIC in the state, and hasn't one here: cpr_kvm_gic_add()" },
  };

  begin (cases[_i].was, cases[_i].is);
  assert_refused (cases[_i].text);
  end ();
}
END_TEST

START_TEST (a_gic_that_the_state_lacks_is_refused)
{
  begin ((ArmOptions){ 0 }, ARM_OPTIONS);
  ck_assert (programs_save (&pair.programs, &error));
  ck_assert (!programs_load (&pair.programs, &error));
  assert_error (&error, CPR_ERROR_MISMATCH,
                "KVM VM 'kvm': it hasn't a GIC in the state, and has one here: cpr_kvm_gic_add()");
  end ();
}
END_TEST

START_TEST (an_entry_that_no_program_writes_is_refused)
{
  static const CprKvmGicEntry cases[] = {
    { KVM_DEV_ARM_VGIC_GRP_ITS_REGS, 1000000, 0, 0 },
    { KVM_DEV_ARM_VGIC_GRP_CTRL, 0, KVM_DEV_ARM_VGIC_CTRL_INIT, 0 },
  };

  begin (ARM_OPTIONS, ARM_OPTIONS);
  g_array_append_val (read_all (pair.loaded), cases[_i]);
  ck_assert (!cpr_kvm_gic_set (pair.loaded, &error));
  assert_error (&error, CPR_ERROR_CORRUPT, "KVM VM 'kvm': GIC: entry");
  end ();
}
END_TEST

START_TEST (without_a_gic_nothing_is_missing)
{
  begin ((ArmOptions){ 0 }, (ArmOptions){ 0 });
  carry ();
  end ();
}
END_TEST

static int
create_device (uint32_t type)
{
  struct kvm_create_device device = { .type = type };

  kvm_do (pair.from.vm, KVM_CREATE_DEVICE, &device);
  return (int) device.fd;
}

START_TEST (only_a_gic_that_is_ready_is_added)
{
  int vfio, gic, its;

  begin ((ArmOptions){ 0 }, ARM_OPTIONS);
  vfio = ioctl (pair.from.vm, KVM_CHECK_EXTENSION, KVM_CAP_DEVICE_CTRL) > 0 ? pair.from.vm : -1;
  ck_assert (!cpr_kvm_vm_add_its (pair.saved, vfio, &error));
  ck_assert_msg (strstr (error->message, "there is no GIC yet: cpr_kvm_gic_add() comes first") != NULL, "%s",
                 error->message);
  g_clear_error (&error);
  ck_assert (!cpr_kvm_vm_add_gic (pair.saved, pair.from.kvm, &error));
  ck_assert_msg (g_error_matches (error, CPR_ERROR, CPR_ERROR_INVALID), "%s", error->message);
  ck_assert_msg (strstr (error->message, " is no GICv3") != NULL, "%s", error->message);
  g_clear_error (&error);
  gic = create_device (KVM_DEV_TYPE_ARM_VGIC_V3);
  ck_assert (!cpr_kvm_vm_add_gic (pair.saved, gic, &error));
  ck_assert_msg (strstr (error->message, "KVM_DEV_ARM_VGIC_CTRL_INIT comes first") != NULL, "%s", error->message);
  g_clear_error (&error);
  ck_assert (!cpr_kvm_vm_add_gic (pair.loaded, pair.to.gic, &error));
  ck_assert (g_error_matches (error, CPR_ERROR, CPR_ERROR_EXISTS));
  g_clear_error (&error);
  its = create_device (KVM_DEV_TYPE_ARM_VGIC_ITS);
  ck_assert (!cpr_kvm_vm_add_its (pair.loaded, pair.to.gic, &error));
  ck_assert_msg (strstr (error->message, " is no ITS") != NULL, "%s", error->message);
  g_clear_error (&error);
  ck_assert (!cpr_kvm_vm_add_its (pair.loaded, its, &error));
  ck_assert_msg (strstr (error->message, "an ITS without an address") != NULL, "%s", error->message);
  g_clear_error (&error);
  close (its);
  close (gic);
  end ();
}
END_TEST

static void
add_tests (TCase *tests)
{
  tcase_add_loop_test (tests, every_register_of_the_gic_arrives, 0, 2);
  tcase_add_loop_test (tests, what_was_there_before_is_replaced, 0, 2);
  tcase_add_test (tests, a_learned_gic_is_set_only_where_it_differs);
  tcase_add_test (tests, the_largest_gic_arrives);
  tcase_add_loop_test (tests, lpis_arrive_with_their_tables, 0, 2);
  tcase_add_test (tests, lpis_that_are_pending_can_be_loaded_twice);
  tcase_add_test (tests, several_itss_arrive_in_their_order);
  tcase_add_loop_test (tests, another_gic_is_refused_with_its_name, 0, 5);
  tcase_add_test (tests, a_gic_that_the_state_lacks_is_refused);
  tcase_add_loop_test (tests, an_entry_that_no_program_writes_is_refused, 0, 2);
  tcase_add_test (tests, without_a_gic_nothing_is_missing);
  tcase_add_test (tests, only_a_gic_that_is_ready_is_added);
}

int
main (void)
{
  kvm_need ();
  BEGIN_SUITE ("kvm-arm64-gic");

  add_tests (tests);
  return run_suite (suite);
}

#else

int
main (void)
{
  puts ("1..0 # SKIP a GIC is a part of AArch64 machines");
  return 0;
}

#endif
