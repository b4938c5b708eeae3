/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An inventory that names objects by the beginning of their names: it takes all that is in the
 * state under such names, and what it can't take is found as precisely as before. */
#include "machine.h"

#include <unistd.h>

#include "ask/compare.h"

static Machine machine;
static CprSessionConfig config;
static CprInventory *inventory;
static Guest guest;
static GError *error;

static const CprDeviceType *const both_types[] = { &serial_type, &disk_type, NULL };
static const CprDeviceType *const serial_only[] = { &serial_type, NULL };

/* A disk that lost a field. */
static const CprField smaller_fields[] = { CPR_FIELD (Disk, sector), CPR_FIELD_END };
static const CprDeviceType smaller_disk = { .size = sizeof (CprDeviceType),
                                            .name = "disk",
                                            .version = 1,
                                            .minimum_version = 1,
                                            .state = { "Disk", sizeof (Disk), smaller_fields } };

static void
setup (void)
{
  guest_init (&guest);
  machine_init (&machine);
  config = guest_config (&guest, MACHINE_NAME);
  config.device_types = both_types;
  inventory = cpr_inventory_new ();
}

static void
teardown (void)
{
  cpr_inventory_free (inventory);
  machine_clear (&machine);
  guest_clear (&guest);
}

/* What is found, each with "refusal: " or "loss: " before it and "|" after it. */
static char *
ask (void)
{
  const CprQuestionHead to = { .answer_fd = 4 };
  const CprCandidate candidate = { &config, inventory, getppid () };
  g_autoptr (GPtrArray) findings = cpr_findings_new ();
  g_autoptr (GPtrArray) types = cpr_candidate_collect_types (&candidate, findings);
  GString *text = g_string_new (NULL);
  CprQuestion question;
  CprManifest head;
  CprWriter writer;

  machine_head (&head);
  head.pid = (uint32_t) getppid ();
  cpr_writer_init (&writer, -1);
  ck_assert (cpr_question_write (
      &to, &(CprAskedVm){ head, &machine.fds, &machine.ram, &machine.vfio, &machine.devices }, &writer, &error));
  ck_assert (cpr_question_read (&question, g_memdup2 (writer.data, writer.len), writer.len, &error));
  cpr_compare (&question, &candidate, types, findings);
  for (guint i = 0; i < findings->len; i++)
    {
      const CprFinding *finding = findings->pdata[i];

      g_string_append_printf (text, "%s: %s|", finding->severity == CPR_SEVERITY_LOSS ? "loss" : "refusal",
                              finding->message);
    }
  cpr_question_clear (&question);
  cpr_writer_clear (&writer);
  return g_string_free (text, FALSE);
}

static void
assert_found (const char *expected)
{
  g_autofree char *found = ask ();

  ck_assert_str_eq (found, expected);
}

/* All but the kind of object that a test is about. */
static void
declare_fds (void)
{
  cpr_inventory_add_fd (inventory, "console", -1);
}

static void
declare_ram (void)
{
  cpr_inventory_add_ram (inventory, "pc.ram", 4 * PAGE);
}

static void
declare_devices (void)
{
  cpr_inventory_add_device (inventory, "com1", &serial_type);
  cpr_inventory_add_device (inventory, "sda", &disk_type);
}

START_TEST (the_empty_prefix_takes_everything)
{
  cpr_inventory_add_fd_prefix (inventory, "");
  cpr_inventory_add_ram_prefix (inventory, "");
  cpr_inventory_add_device_prefix (inventory, "", NULL);
  assert_found ("");
}
END_TEST

START_TEST (a_prefix_takes_all_of_its_names_and_no_other)
{
  declare_ram ();
  declare_devices ();
  cpr_inventory_add_fd_prefix (inventory, "con");
  assert_found ("");
  g_array_set_size (inventory->fds, 0);
  cpr_inventory_add_fd_prefix (inventory, "console0");
  assert_found ("refusal: fd 'console' 0: it is in the state, and nobody would take it|"
                "refusal: fd 'console' 1: it is in the state, and nobody would take it|");
  g_array_set_size (inventory->fds, 0);
  declare_fds ();
  g_array_set_size (inventory->ram, 0);
  cpr_inventory_add_ram_prefix (inventory, "pc.");
  assert_found ("");
  g_array_set_size (inventory->ram, 0);
  cpr_inventory_add_ram_prefix (inventory, "vga");
  assert_found ("refusal: RAM block 'pc.ram': it is in the state, and nobody would take it|");
}
END_TEST

START_TEST (a_prefix_that_fits_nothing_finds_nothing)
{
  declare_fds ();
  declare_ram ();
  declare_devices ();
  cpr_inventory_add_fd_prefix (inventory, "tap");
  cpr_inventory_add_ram_prefix (inventory, "dimm");
  cpr_inventory_add_device_prefix (inventory, "nic", &disk_type);
  cpr_inventory_add_vfio_prefix (inventory, "c", "gpu");
  assert_found ("");
}
END_TEST

START_TEST (a_device_of_a_prefix_has_its_type)
{
  declare_fds ();
  declare_ram ();
  cpr_inventory_add_device_prefix (inventory, "com", &serial_type);
  assert_found ("refusal: device 'sda' of type 'disk' is in the state and not here|");
  cpr_inventory_add_device_prefix (inventory, "sd", &serial_type);
  assert_found ("refusal: device 'sda': type is 'disk' in the state, 'serial' here|");
  cpr_inventory_add_device_prefix (inventory, "s", &disk_type); /* one of the two fits */
  assert_found ("");
}
END_TEST

START_TEST (a_prefix_of_any_type_takes_the_types_that_are_known)
{
  declare_fds ();
  declare_ram ();
  cpr_inventory_add_device_prefix (inventory, "", NULL);
  assert_found ("");
  config.device_types = serial_only;
  assert_found ("refusal: device 'sda': its type 'disk' is unknown here|");
  cpr_inventory_add_device_prefix (inventory, "hd", &disk_type); /* that one is known, too */
  assert_found ("");
}
END_TEST

START_TEST (the_fields_of_a_prefix_are_compared)
{
  declare_fds ();
  declare_ram ();
  cpr_inventory_add_device (inventory, "com1", &serial_type);
  cpr_inventory_add_device_prefix (inventory, "sd", &smaller_disk);
  config.device_types = serial_only;
  assert_found ("refusal: device 'sda': field 'dirty' is in the state and not known here|");
}
END_TEST

START_TEST (a_name_counts_before_a_prefix)
{
  declare_fds ();
  cpr_inventory_add_device_prefix (inventory, "", NULL);
  cpr_inventory_add_device (inventory, "sda", &serial_type);
  cpr_inventory_add_ram_prefix (inventory, "pc");
  cpr_inventory_add_ram (inventory, "pc.ram", PAGE);
  assert_found ("refusal: device 'sda': type is 'disk' in the state, 'serial' here|"
                "refusal: RAM block 'pc.ram': size is 16384 in the state, 4096 here|");
}
END_TEST

START_TEST (a_prefix_takes_the_assigned_devices_of_one_container)
{
  CprVfioContainer *container = cpr_vfio_table_add (&machine.vfio, "c", CPR_VFIO_NONE),
                   *other = cpr_vfio_table_add (&machine.vfio, "d", CPR_VFIO_NONE);

  declare_fds ();
  declare_ram ();
  declare_devices ();
  cpr_vfio_container_add_device (container, "nic0", "0000:00:04.0");
  cpr_vfio_container_add_device (container, "nic1", "0000:00:05.0");
  cpr_vfio_container_add_device (other, "nic2", "0000:00:06.0");
  cpr_inventory_add_vfio_prefix (inventory, "c", "nic");
  cpr_inventory_add_vfio (inventory, "d", NULL);
  assert_found ("refusal: VFIO device 'nic2' in container 'd': it is in the state, and nobody would take it|");
  cpr_inventory_add_vfio_prefix (inventory, "d", "");
  assert_found ("");
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("prefix");

  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, the_empty_prefix_takes_everything);
  tcase_add_test (tests, a_prefix_takes_all_of_its_names_and_no_other);
  tcase_add_test (tests, a_prefix_that_fits_nothing_finds_nothing);
  tcase_add_test (tests, a_device_of_a_prefix_has_its_type);
  tcase_add_test (tests, a_prefix_of_any_type_takes_the_types_that_are_known);
  tcase_add_test (tests, the_fields_of_a_prefix_are_compared);
  tcase_add_test (tests, a_name_counts_before_a_prefix);
  tcase_add_test (tests, a_prefix_takes_the_assigned_devices_of_one_container);
  return run_suite (suite);
}
