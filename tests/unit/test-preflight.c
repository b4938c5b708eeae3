/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The findings of a program that is asked. */
#include "machine.h"

#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/capability.h>

#include "ask/compare.h"

static GError *error;

/* What the machine is asked about, and who is asked. */
typedef struct
{
  Machine machine;
  CprManifest head;
  CprSessionConfig config;
  CprInventory *inventory;
  Guest guest;
} Case;

static const CprDeviceType *const both_types[] = { &serial_type, &disk_type, NULL };

/* One that would take all of it. */
static void
case_init (Case *test)
{
  guest_init (&test->guest);
  machine_init (&test->machine);
  machine_head (&test->head);
  test->head.pid = (uint32_t) getppid ();
  test->config = guest_config (&test->guest, MACHINE_NAME);
  test->config.device_types = both_types;
  test->inventory = cpr_inventory_new ();
  cpr_inventory_add_fd (test->inventory, "console", 0);
  cpr_inventory_add_fd (test->inventory, "console", 1);
  cpr_inventory_add_ram (test->inventory, "pc.ram", 4 * PAGE);
  cpr_inventory_add_device (test->inventory, "com1", &serial_type);
  cpr_inventory_add_device (test->inventory, "sda", &disk_type);
}

static void
case_clear (Case *test)
{
  cpr_inventory_free (test->inventory);
  machine_clear (&test->machine);
  guest_clear (&test->guest);
}

static void
forget (GArray **list, size_t size)
{
  g_array_set_size (*list, 0);
  ck_assert_uint_eq (g_array_get_element_size (*list), size);
}

static void
write_question (Case *test, CprWriter *writer)
{
  const CprQuestionHead head = { .answer_fd = 4, .pipe_device = 11, .pipe_inode = 12 };
  const CprAskedVm vm = { test->head, &test->machine.fds, &test->machine.ram, &test->machine.vfio,
                          &test->machine.devices };

  cpr_writer_init (writer, -1);
  ck_assert (cpr_question_write (&head, &vm, writer, &error));
}

/* What the candidate finds. @inventory: NULL: it declares nothing. */
static GPtrArray *
ask_candidate (Case *test, const CprInventory *inventory)
{
  const CprCandidate candidate = { &test->config, inventory, getppid () };
  GPtrArray *findings = cpr_findings_new ();
  g_autoptr (GPtrArray) types = cpr_candidate_collect_types (&candidate, findings);
  CprQuestion question;
  CprWriter writer;

  write_question (test, &writer);
  ck_assert (cpr_question_read (&question, g_memdup2 (writer.data, writer.len), writer.len, &error));
  cpr_compare (&question, &candidate, types, findings);
  cpr_compare_limits (&question, findings);
  cpr_question_clear (&question);
  cpr_writer_clear (&writer);
  return findings;
}

static void
assert_finding (const CprFinding *finding, CprSeverity severity, CprSubject subject, const char *name, const char *text)
{
  ck_assert_msg (strcmp (finding->message, text) == 0, "'%s', not '%s'", finding->message, text);
  ck_assert_str_eq (finding->name, name);
  ck_assert_int_eq (finding->severity, severity);
  ck_assert_int_eq (finding->subject, subject);
}

/* It finds this and nothing else. */
static void
assert_finds (Case *test,
              const CprInventory *inventory,
              CprSeverity severity,
              CprSubject subject,
              const char *name,
              const char *text)
{
  g_autoptr (GPtrArray) findings = ask_candidate (test, inventory);

  for (guint i = 1; i < findings->len; i++)
    printf ("# also: %s\n", ((CprFinding *) findings->pdata[i])->message);
  ck_assert_uint_eq (findings->len, 1);
  assert_finding (findings->pdata[0], severity, subject, name, text);
}

#define REFUSES(subject, name, text)                                                             \
  assert_finds (&test, test.inventory, CPR_SEVERITY_REFUSAL, CPR_SUBJECT_##subject, name, text); \
  case_clear (&test)
#define LOSES(subject, name, text)                                                            \
  assert_finds (&test, test.inventory, CPR_SEVERITY_LOSS, CPR_SUBJECT_##subject, name, text); \
  case_clear (&test)

START_TEST (one_that_is_the_same_finds_nothing)
{
  Case test;
  g_autoptr (GPtrArray) declared = NULL, types_only = NULL;

  case_init (&test);
  declared = ask_candidate (&test, test.inventory);
  types_only = ask_candidate (&test, NULL);
  ck_assert_uint_eq (declared->len, 0);
  ck_assert_uint_eq (types_only->len, 0);
  case_clear (&test);
}
END_TEST

START_TEST (another_vm_user_or_process_is_refused)
{
  g_autofree char *user = NULL, *process = NULL;
  Case test;

  case_init (&test);
  test.config.name = "other";
  REFUSES (VM, "unit", "VM 'unit': this program is for VM 'other'");
  case_init (&test);
  test.head.uid++;
  user = g_strdup_printf ("VM 'unit': it is user %u's, this program runs as user %u", test.head.uid, geteuid ());
  REFUSES (VM, "unit", user);
  case_init (&test);
  test.head.pid++;
  process = g_strdup_printf ("process %d: it isn't the one that was started but a child of it, and would never get the "
                             "guest: a wrapper must exec, not fork",
                             getpid ());
  REFUSES (PROGRAM, "", process);
}
END_TEST

START_TEST (fds_are_compared_with_what_is_declared)
{
  Case test;

  case_init (&test);
  forget (&test.inventory->fds, sizeof (CprDeclaredFd));
  cpr_inventory_add_fd (test.inventory, "console", 0);
  REFUSES (FD, "console", "fd 'console' 1: it is in the state, and nobody would take it");
  case_init (&test);
  forget (&test.inventory->fds, sizeof (CprDeclaredFd));
  cpr_inventory_add_fd (test.inventory, "console", 0);
  test.config.unclaimed_fds = CPR_UNCLAIMED_CLOSE;
  LOSES (FD, "console", "fd 'console' 1: it is in the state, this program would close it");
  case_init (&test);
  cpr_inventory_add_fd (test.inventory, "tap", 3);
  LOSES (FD, "tap", "fd 'tap' 3: it isn't in the state, this program would open a new one");
}
END_TEST

START_TEST (any_index_stands_for_all_of_a_name_and_for_none)
{
  g_autoptr (GPtrArray) findings = NULL;
  Case test;

  case_init (&test);
  forget (&test.inventory->fds, sizeof (CprDeclaredFd));
  cpr_inventory_add_fd (test.inventory, "console", -1);
  cpr_inventory_add_fd (test.inventory, "client", -1);
  findings = ask_candidate (&test, test.inventory);
  ck_assert_uint_eq (findings->len, 0);
  case_clear (&test);
}
END_TEST

START_TEST (ram_blocks_are_compared_with_what_is_declared)
{
  Case test;

  case_init (&test);
  forget (&test.inventory->ram, sizeof (CprDeclaredRam));
  cpr_inventory_add_ram (test.inventory, "pc.ram", 8 * PAGE);
  REFUSES (RAM, "pc.ram", "RAM block 'pc.ram': size is 16384 in the state, 32768 here");
  case_init (&test);
  forget (&test.inventory->ram, sizeof (CprDeclaredRam));
  cpr_inventory_add_ram_up_to (test.inventory, "pc.ram", 3 * PAGE);
  REFUSES (RAM, "pc.ram", "RAM block 'pc.ram': size is 16384 in the state, at most 12288 here");
  case_init (&test);
  forget (&test.inventory->ram, sizeof (CprDeclaredRam));
  cpr_inventory_add_ram_up_to (test.inventory, "pc.ram", 4 * PAGE);
  cpr_inventory_add_ram (test.inventory, "vga", PAGE); /* the only finding */
  REFUSES (RAM, "vga", "RAM block 'vga': it isn't in the state");
  case_init (&test);
  forget (&test.inventory->ram, sizeof (CprDeclaredRam));
  REFUSES (RAM, "pc.ram", "RAM block 'pc.ram': it is in the state, and nobody would take it");
  case_init (&test);
  cpr_inventory_add_ram (test.inventory, "vga", PAGE);
  REFUSES (RAM, "vga", "RAM block 'vga': it isn't in the state");
}
END_TEST

START_TEST (devices_are_compared_with_what_is_declared)
{
  Case test;

  case_init (&test);
  forget (&test.inventory->devices, sizeof (CprDeclaredDevice));
  cpr_inventory_add_device (test.inventory, "com1", &serial_type);
  REFUSES (DEVICE, "sda", "device 'sda' of type 'disk' is in the state and not here");
  case_init (&test);
  cpr_inventory_add_device (test.inventory, "sdb", &disk_type);
  REFUSES (DEVICE, "sdb", "device 'sdb': it isn't in the state");
  case_init (&test);
  forget (&test.inventory->devices, sizeof (CprDeclaredDevice));
  cpr_inventory_add_device (test.inventory, "com1", &serial_type);
  cpr_inventory_add_device (test.inventory, "sda", &serial_type);
  REFUSES (DEVICE, "sda", "device 'sda': type is 'disk' in the state, 'serial' here");
}
END_TEST

START_TEST (a_program_that_declares_nothing_is_asked_for_its_types_only)
{
  static const CprDeviceType *const serial_only[] = { &serial_type, NULL };
  Case test;

  case_init (&test);
  test.config.device_types = serial_only;
  assert_finds (&test, NULL, CPR_SEVERITY_REFUSAL, CPR_SUBJECT_DEVICE, "sda",
                "device 'sda': its type 'disk' is unknown here");
  test.config.device_types = NULL;
  assert_finds (&test, NULL, CPR_SEVERITY_LOSS, CPR_SUBJECT_PROGRAM, "",
                "this program doesn't say which device types it has: devices weren't checked");
  case_clear (&test);
}
END_TEST

/* The candidate's disk, and what it finds. */
static void
assert_disk_finds (const CprDeviceType *type, CprSeverity severity, const char *text)
{
  const CprDeviceType *const types[] = { &serial_type, type, NULL };
  Case test;

  case_init (&test);
  test.config.device_types = types;
  assert_finds (&test, NULL, severity, CPR_SUBJECT_DEVICE, "sda", text);
  case_clear (&test);
}

START_TEST (versions_are_compared)
{
  CprDeviceType type = disk_type;

  type.minimum_version = type.version = 2;
  assert_disk_finds (&type, CPR_SEVERITY_REFUSAL,
                     "device 'sda': type 'disk': version is 1 in the state, this program loads 2 to 2");
  type.minimum_version = type.version = 0;
  assert_disk_finds (&type, CPR_SEVERITY_REFUSAL,
                     "device 'sda': type 'disk': version is 1 in the state, this program loads 0 to 0");
}
END_TEST

START_TEST (fields_that_cannot_be_converted_are_named)
{
  static const CprField without_dirty[] = { CPR_FIELD (Disk, sector), CPR_FIELD_END };
  g_autoptr (GPtrArray) findings = NULL;
  CprDeviceType type = disk_type;
  const CprDeviceType *const types[] = { &serial_type, &type, NULL };
  const CprFinding *finding;
  Case test;

  type.state.fields = without_dirty;
  case_init (&test);
  test.config.device_types = types;
  findings = ask_candidate (&test, NULL);
  ck_assert_uint_eq (findings->len, 1);
  finding = findings->pdata[0];
  ck_assert_int_eq (finding->severity, CPR_SEVERITY_REFUSAL);
  ck_assert (g_str_has_prefix (finding->message, "device 'sda': field 'dirty' "));
  ck_assert_ptr_nonnull (strstr (finding->message, "'dirty'"));
  case_clear (&test);
}
END_TEST

typedef struct
{
  uint8_t sector;
  bool dirty;
} SmallDisk;

START_TEST (values_are_checked_where_they_may_be_read)
{
  static const CprField fields[] = { CPR_FIELD (SmallDisk, sector), CPR_FIELD (SmallDisk, dirty), CPR_FIELD_END };
  CprDeviceType trial = disk_type, small = disk_type;
  const CprDeviceType *const types[] = { &serial_type, &small, NULL };
  g_autoptr (GPtrArray) fits = NULL, unread = NULL;
  Case test;

  trial.trial_save = true;
  small.state = (CprStruct){ "Disk", sizeof (SmallDisk), fields };
  case_init (&test);
  test.config.device_types = types;
  unread = ask_candidate (&test, NULL);
  ck_assert_uint_eq (unread->len, 0); /* no value was seen */
  ck_assert (cpr_device_table_remove (&test.machine.devices, "sda", NULL));
  cpr_device_table_clear (&test.machine.devices);
  cpr_device_table_init (&test.machine.devices);
  ck_assert (cpr_device_table_add (&test.machine.devices, "sda", &trial, &test.machine.disk, NULL));
  test.machine.disk.sector = 300;
  assert_finds (&test, NULL, CPR_SEVERITY_REFUSAL, CPR_SUBJECT_DEVICE, "sda",
                "device 'sda': field 'sector': 300 doesn't fit into uint of 1 byte");
  test.machine.disk.sector = 255;
  fits = ask_candidate (&test, NULL);
  ck_assert_uint_eq (fits->len, 0);
  case_clear (&test);
}
END_TEST

typedef struct
{
  uint64_t sector;
  bool dirty;
  uint32_t seeks;
} CountingDisk;

START_TEST (an_ignorable_field_that_is_unknown_here_is_a_loss)
{
  static const CprField fields[] = { CPR_FIELD (CountingDisk, sector), CPR_FIELD (CountingDisk, dirty),
                                     CPR_FIELD_IGNORABLE (CountingDisk, seeks, 0), CPR_FIELD_END };
  CprDeviceType counting = disk_type;
  CountingDisk disk = { .seeks = 4 };
  Case test;

  counting.state = (CprStruct){ "Disk", sizeof (CountingDisk), fields };
  case_init (&test);
  cpr_device_table_clear (&test.machine.devices);
  cpr_device_table_init (&test.machine.devices);
  ck_assert (cpr_device_table_add (&test.machine.devices, "com1", &serial_type, &test.machine.serial, NULL));
  ck_assert (cpr_device_table_add (&test.machine.devices, "sda", &counting, &disk, NULL));
  LOSES (DEVICE, "sda", "device 'sda': field 'seeks' is unknown here, its value would be dropped");
}
END_TEST

START_TEST (faulty_types_are_findings)
{
  CprDeviceType twin = disk_type, bad = disk_type;
  const CprDeviceType *const twins[] = { &serial_type, &disk_type, &twin, NULL };
  const CprDeviceType *const bads[] = { &serial_type, &disk_type, &bad, NULL };
  Case test;

  case_init (&test);
  test.config.device_types = twins;
  assert_finds (&test, NULL, CPR_SEVERITY_REFUSAL, CPR_SUBJECT_PROGRAM, "",
                "type 'disk': this program has two of that name");
  bad.name = "bad";
  bad.minimum_version = 9;
  test.config.device_types = bads;
  assert_finds (&test, NULL, CPR_SEVERITY_REFUSAL, CPR_SUBJECT_PROGRAM, "",
                "type 'bad': minimum version 9 is above version 1");
  case_clear (&test);
}
END_TEST

START_TEST (the_vmm_may_refuse_for_reasons_of_its_own)
{
  Case test;

  case_init (&test);
  cpr_inventory_refuse (test.inventory, "/dev/kvm: it can't be opened");
  REFUSES (PROGRAM, "", "/dev/kvm: it can't be opened");
}
END_TEST

START_TEST (all_findings_are_collected)
{
  g_autoptr (GPtrArray) findings = NULL;
  Case test;

  case_init (&test);
  test.config.name = "other";
  cpr_inventory_add_ram (test.inventory, "vga", PAGE);
  cpr_inventory_add_fd (test.inventory, "tap", 0);
  cpr_inventory_add_device (test.inventory, "sdb", &disk_type);
  findings = ask_candidate (&test, test.inventory);
  ck_assert_uint_eq (findings->len, 4);
  ck_assert_uint_eq (cpr_findings_count_refusals (findings), 3);
  cpr_findings_sort (findings);
  ck_assert_int_eq (((CprFinding *) findings->pdata[3])->severity, CPR_SEVERITY_LOSS);
  case_clear (&test);
}
END_TEST

START_TEST (too_low_a_limit_on_files_is_found)
{
  struct rlimit old, low;
  GPtrArray *findings;
  Case test;

  case_init (&test);
  getrlimit (RLIMIT_NOFILE, &old);
  low = old;
  low.rlim_cur = (rlim_t) ((CprFdEntry *) test.machine.fds.entries->pdata[0])->fd;
  setrlimit (RLIMIT_NOFILE, &low);
  findings = ask_candidate (&test, test.inventory);
  setrlimit (RLIMIT_NOFILE, &old);
  ck_assert_uint_eq (findings->len, 1);
  ck_assert_ptr_nonnull (strstr (((CprFinding *) findings->pdata[0])->message, "limit on open files: it is "));
  ck_assert_int_eq (((CprFinding *) findings->pdata[0])->subject, CPR_SUBJECT_LIMIT);
  g_ptr_array_unref (findings);

  low.rlim_cur = 19; /* three carried, sixteen to spare */
  setrlimit (RLIMIT_NOFILE, &low);
  findings = ask_candidate (&test, test.inventory);
  setrlimit (RLIMIT_NOFILE, &old);
  ck_assert_uint_eq (findings->len, 0);
  g_ptr_array_unref (findings);
  case_clear (&test);
}
END_TEST

static bool
set_capabilities (const struct __user_cap_data_struct *data)
{
  struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };

  return syscall (SYS_capset, &header, data) == 0;
}

static CprVfioContainer *
add_container (Machine *machine, CprVfioBackend backend)
{
  CprVfioContainer *container = cpr_vfio_table_add (&machine->vfio, "c", backend);

  if (backend != CPR_VFIO_NONE)
    {
      container->fd = file_new (0);
      ck_assert (cpr_vfio_table_add_fd (&machine->vfio, CPR_VFIO_CONTAINER_FD, "c", 0, container->fd, NULL));
    }
  return container;
}

/* More than once in a test. */
#define FINDS_REFUSAL(subject, name, text) \
  assert_finds (&test, test.inventory, CPR_SEVERITY_REFUSAL, CPR_SUBJECT_##subject, name, text)

START_TEST (assigned_devices_that_nobody_would_take_are_found)
{
  CprVfioContainer *container;
  Case test;

  case_init (&test);
  container = add_container (&test.machine, CPR_VFIO_NONE);
  FINDS_REFUSAL (DEVICE, "c", "VFIO container 'c': it is in the state, and nobody would take it");
  cpr_inventory_add_vfio (test.inventory, "c", NULL);
  cpr_vfio_container_add_device (container, "nic", "0000:00:04.0");
  FINDS_REFUSAL (DEVICE, "nic", "VFIO device 'nic' in container 'c': it is in the state, and nobody would take it");
  cpr_inventory_add_vfio (test.inventory, "c", "nic");
  cpr_inventory_add_vfio (test.inventory, "c", "gpu");
  FINDS_REFUSAL (DEVICE, "gpu", "VFIO device 'gpu' in container 'c': it isn't in the state");
  g_array_set_size (test.inventory->vfio, 2);
  cpr_inventory_add_vfio (test.inventory, "other", "nic");
  FINDS_REFUSAL (DEVICE, "other", "VFIO container 'other': it isn't in the state");
  case_clear (&test);
}
END_TEST

/* Mappings for DMA count with locked RAM, in an iommufd those of the old program and the new
 * one's; so the limit is looked at before the guest stops. */
START_TEST (too_low_a_limit_for_mappings_is_found)
{
  static const struct
  {
    CprVfioBackend backend;
    unsigned n_programs;
    const char *message;
  } cases[] = {
    { CPR_VFIO_TYPE1, 1,
      "limit on locked memory: it is 12288 bytes here, locked RAM blocks have 0, mappings for DMA 16384" },
    { CPR_VFIO_IOMMUFD, 2,
      "limit on locked memory: it is 28672 bytes here, locked RAM blocks have 0, mappings for DMA in an iommufd 16384, "
      "which counts "
      "for either program" },
  };
  CprDmaMapping mapping = { .size = 2 * PAGE, .flags = CPR_DMA_READ };
  struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
  struct __user_cap_data_struct old_data[2], data[2];
  CprVfioContainer *container;
  struct rlimit old, low;
  Case test;

  case_init (&test);
  container = add_container (&test.machine, cases[_i].backend);
  mapping.block = test.machine.block;
  cpr_dma_mappings_insert (&container->dma, &mapping);
  mapping.iova = 100 * PAGE;
  cpr_dma_mappings_insert (&container->dma, &mapping);
  cpr_inventory_add_vfio (test.inventory, "c", NULL);
  getrlimit (RLIMIT_MEMLOCK, &old);
  low = (struct rlimit){ (4 * cases[_i].n_programs - 1) * PAGE, old.rlim_max };
  setrlimit (RLIMIT_MEMLOCK, &low);
  ck_assert_int_eq (syscall (SYS_capget, &header, old_data), 0);
  memcpy (data, old_data, sizeof data);
  data[0].effective &= ~(1u << CAP_IPC_LOCK);
  ck_assert (set_capabilities (data));
  FINDS_REFUSAL (LIMIT, "RLIMIT_MEMLOCK", cases[_i].message);
  low.rlim_cur += PAGE;
  setrlimit (RLIMIT_MEMLOCK, &low);
  {
    g_autoptr (GPtrArray) findings = ask_candidate (&test, test.inventory);

    ck_assert_uint_eq (findings->len, 0);
  }
  setrlimit (RLIMIT_MEMLOCK, &old);
  ck_assert (set_capabilities (old_data));
  case_clear (&test);
}
END_TEST

START_TEST (too_low_a_limit_on_locked_memory_is_found)
{
  struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
  struct __user_cap_data_struct old_data[2], data[2];
  struct rlimit old, low;
  GPtrArray *findings;
  Case test;

  case_init (&test);
  test.machine.block->flags |= CPR_RAM_LOCKED;
  getrlimit (RLIMIT_MEMLOCK, &old);
  low = old;
  low.rlim_cur = PAGE;
  ck_assert_int_eq (syscall (SYS_capget, &header, old_data), 0);
  memcpy (data, old_data, sizeof data);
  data[0].effective &= ~(1u << CAP_IPC_LOCK);
  ck_assert (set_capabilities (data));
  setrlimit (RLIMIT_MEMLOCK, &low);
  findings = ask_candidate (&test, test.inventory);
  ck_assert_uint_eq (findings->len, 1);
  assert_finding (findings->pdata[0], CPR_SEVERITY_REFUSAL, CPR_SUBJECT_LIMIT, "RLIMIT_MEMLOCK",
                  "limit on locked memory: it is 4096 bytes here, locked RAM blocks have 16384");
  g_ptr_array_unref (findings);
  low.rlim_cur = MIN (low.rlim_max, 4 * PAGE);
  setrlimit (RLIMIT_MEMLOCK, &low);
  findings = ask_candidate (&test, test.inventory);
  ck_assert_uint_eq (findings->len, 0);
  g_ptr_array_unref (findings);
  setrlimit (RLIMIT_MEMLOCK, &old);
  ck_assert (set_capabilities (old_data));
  case_clear (&test);
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("preflight");
  tcase_add_test (tests, one_that_is_the_same_finds_nothing);
  tcase_add_test (tests, another_vm_user_or_process_is_refused);
  tcase_add_test (tests, fds_are_compared_with_what_is_declared);
  tcase_add_test (tests, any_index_stands_for_all_of_a_name_and_for_none);
  tcase_add_test (tests, ram_blocks_are_compared_with_what_is_declared);
  tcase_add_test (tests, devices_are_compared_with_what_is_declared);
  tcase_add_test (tests, a_program_that_declares_nothing_is_asked_for_its_types_only);
  tcase_add_test (tests, versions_are_compared);
  tcase_add_test (tests, fields_that_cannot_be_converted_are_named);
  tcase_add_test (tests, values_are_checked_where_they_may_be_read);
  tcase_add_test (tests, an_ignorable_field_that_is_unknown_here_is_a_loss);
  tcase_add_test (tests, faulty_types_are_findings);
  tcase_add_test (tests, the_vmm_may_refuse_for_reasons_of_its_own);
  tcase_add_test (tests, all_findings_are_collected);
  tcase_add_test (tests, too_low_a_limit_on_files_is_found);
  tcase_add_test (tests, assigned_devices_that_nobody_would_take_are_found);
  tcase_add_loop_test (tests, too_low_a_limit_for_mappings_is_found, 0, 2);
  tcase_add_test (tests, too_low_a_limit_on_locked_memory_is_found);
  return run_suite (suite);
}
