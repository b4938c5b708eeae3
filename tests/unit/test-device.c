/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guest.h"
#include "programs.h"

static Programs programs;
static GError *error;
static GString *calls;

static void
setup (void)
{
  programs_init (&programs);
  error = NULL;
  calls = g_string_new (NULL);
}

static void
teardown (void)
{
  programs_clear (&programs);
  g_string_free (calls, TRUE);
}

static bool
save (void)
{
  return programs_save (&programs, &error);
}

static bool
load (void)
{
  return programs_load (&programs, &error);
}

static void
add (CprDeviceTable *table, const char *name, const CprDeviceType *type, void *state)
{
  ck_assert (cpr_device_table_add (table, name, type, state, &error));
  assert_no_error (error);
}

/* Devices that tell when they are called, and fail when they are told to. */
typedef struct
{
  uint32_t number;
  enum
  {
    WORKS,
    FAILS,
    FAILS_SILENTLY
  } pre_save, pre_load, post_load;
} Probe;

static bool
answer (int how, const char *text)
{
  if (how == FAILS)
    g_set_error (&error, g_quark_from_static_string ("probe"), 5, "%s", text);
  return how == WORKS;
}

static bool
probe_pre_save (void *device, GError **to)
{
  Probe *probe = device;

  ck_assert_ptr_eq (to, &error);
  g_string_append_printf (calls, "save %u\n", probe->number);
  return answer (probe->pre_save, "KVM_GET_REGS");
}

static bool
probe_post_load (void *device, uint32_t version, GError **to)
{
  Probe *probe = device;

  ck_assert_ptr_eq (to, &error);
  g_string_append_printf (calls, "load %u of version %u\n", probe->number, version);
  return answer (probe->post_load, "KVM_SET_REGS");
}

static bool
probe_pre_load (void *device, uint32_t version, GError **to)
{
  Probe *probe = device;

  ck_assert_ptr_eq (to, &error);
  g_string_append_printf (calls, "prepare for version %u, with %u\n", version, probe->number);
  probe->number = 77;
  return answer (probe->pre_load, "no room");
}

static const CprField probe_fields[] = { CPR_FIELD (Probe, number), CPR_FIELD_END };
static const CprDeviceType probe_type = {
  .size = sizeof (CprDeviceType),
  .name = "probe",
  .version = 4,
  .minimum_version = 2,
  .state = { "Probe", sizeof (Probe), probe_fields },
  .pre_save = probe_pre_save,
  .post_load = probe_post_load,
};

START_TEST (add_refuses_names_of_no_and_of_256_bytes)
{
  g_autofree char *longest = name_of (255), *too_long = name_of (256);
  Disk disk;

  ck_assert (!cpr_device_table_add (&programs.saved, "", &disk_type, &disk, &error));
  assert_error (&error, CPR_ERROR_INVALID, "device '': a name has 1 to 255 bytes, not 0");
  ck_assert (!cpr_device_table_add (&programs.saved, too_long, &disk_type, &disk, &error));
  assert_error (&error, CPR_ERROR_INVALID, "not 256");
  add (&programs.saved, longest, &disk_type, &disk);
  ck_assert_uint_eq (programs.saved.devices->len, 1);
}
END_TEST

START_TEST (add_refuses_a_duplicate_name)
{
  Serial serial;
  Disk disk;

  add (&programs.saved, "com1", &serial_type, &serial);
  ck_assert (!cpr_device_table_add (&programs.saved, "com1", &disk_type, &disk, &error));
  assert_error (&error, CPR_ERROR_EXISTS, "device 'com1'");
}
END_TEST

START_TEST (add_refuses_two_types_of_one_name)
{
  const CprDeviceType copy = serial_type;
  Serial serial;

  add (&programs.saved, "com1", &serial_type, &serial);
  ck_assert (!cpr_device_table_add (&programs.saved, "com2", &copy, &serial, &error));
  assert_error (&error, CPR_ERROR_EXISTS, "device 'com2': there is another type named 'serial'");
}
END_TEST

START_TEST (add_refuses_a_type_that_cannot_be_right)
{
  g_autofree char *too_long = name_of (256);
  CprDeviceType type = serial_type;
  Serial serial;

  type.name = NULL;
  ck_assert (!cpr_device_table_add (&programs.saved, "com1", &type, &serial, &error));
  assert_error (&error, CPR_ERROR_INVALID, "device 'com1': ");
  type.name = too_long;
  ck_assert (!cpr_device_table_add (&programs.saved, "com1", &type, &serial, &error));
  assert_error (&error, CPR_ERROR_INVALID, "device 'com1': ");
  type = serial_type;
  type.minimum_version = type.version + 1;
  ck_assert (!cpr_device_table_add (&programs.saved, "com1", &type, &serial, &error));
  assert_error (&error, CPR_ERROR_INVALID, "device 'com1': type 'serial': minimum version 4 is above version 3");
  type = serial_type;
  type.state.size = 3;
  ck_assert (!cpr_device_table_add (&programs.saved, "com1", &type, &serial, &error));
  assert_error (&error, CPR_ERROR_INVALID,
                "device 'com1': type 'serial': struct 'Serial': field 'skew' doesn't lie in its 3 bytes");
  ck_assert_uint_eq (programs.saved.devices->len, 0);
}
END_TEST

START_TEST (remove_knows_names_only_once)
{
  Disk disk;

  add (&programs.saved, "sda", &disk_type, &disk);
  ck_assert (cpr_device_table_remove (&programs.saved, "sda", &error));
  ck_assert (!cpr_device_table_remove (&programs.saved, "sda", &error));
  assert_error (&error, CPR_ERROR_NOT_FOUND, "device 'sda'");
  add (&programs.saved, "sda", &disk_type, &disk);
}
END_TEST

START_TEST (devices_are_matched_by_name_in_any_order)
{
  Serial com1 = serial_example, com2 = serial_example, to1 = { .ier = 0 }, to2 = { .ier = 0 };
  Disk sda = disk_example, to = { .sector = 0 };

  com2.ier = 2;
  add (&programs.saved, "com1", &serial_type, &com1);
  add (&programs.saved, "sda", &disk_type, &sda);
  add (&programs.saved, "com2", &serial_type, &com2);
  add (&programs.loaded, "sda", &disk_type, &to);
  add (&programs.loaded, "com2", &serial_type, &to2);
  add (&programs.loaded, "com1", &serial_type, &to1);
  ck_assert (save ());
  ck_assert (load ());
  assert_serial_eq (&to1, &com1);
  assert_serial_eq (&to2, &com2);
  ck_assert_uint_eq (to.sector, sda.sector);
}
END_TEST

START_TEST (a_state_without_devices_loads_where_there_are_none)
{
  ck_assert (save ());
  ck_assert (load ());
}
END_TEST

START_TEST (a_device_that_the_state_lacks_is_named_and_nothing_applied)
{
  Disk sda = disk_example, to = { .sector = 9 }, extra = { .sector = 9 };

  add (&programs.saved, "sda", &disk_type, &sda);
  add (&programs.loaded, "sda", &disk_type, &to);
  add (&programs.loaded, "sdb", &disk_type, &extra);
  ck_assert (save ());
  ck_assert (!load ());
  assert_error (&error, CPR_ERROR_MISMATCH, "device 'sdb': it isn't in the state");
  ck_assert_uint_eq (to.sector, 9);
}
END_TEST

START_TEST (a_device_that_is_only_in_the_state_is_named_and_nothing_applied)
{
  Disk sda = disk_example, sdb = disk_example, to = { .sector = 9 };

  add (&programs.saved, "sda", &disk_type, &sda);
  add (&programs.saved, "sdb", &disk_type, &sdb);
  add (&programs.loaded, "sda", &disk_type, &to);
  ck_assert (save ());
  ck_assert (!load ());
  assert_error (&error, CPR_ERROR_MISMATCH, "device 'sdb' of type 'disk' is in the state and not here");
  ck_assert_uint_eq (to.sector, 9);
}
END_TEST

START_TEST (a_device_of_another_type_is_named)
{
  Disk sda = disk_example;
  Serial to = { .ier = 9 };

  add (&programs.saved, "sda", &disk_type, &sda);
  add (&programs.loaded, "sda", &serial_type, &to);
  ck_assert (save ());
  ck_assert (!load ());
  assert_error (&error, CPR_ERROR_MISMATCH, "device 'sda': type is 'disk' in the state, 'serial' here");
  ck_assert_uint_eq (to.ier, 9);
}
END_TEST

START_TEST (versions_outside_the_loadable_range_are_refused)
{
  for (uint32_t version = 1; version <= 6; version++)
    {
      CprDeviceType type = probe_type;
      Probe from = { .number = 7 }, to = { .number = 9 };

      type.version = version;
      type.minimum_version = 0;
      add (&programs.saved, "cpu0", &type, &from);
      add (&programs.loaded, "cpu0", &probe_type, &to);
      ck_assert (save ());
      ck_assert (load () == (version >= 2 && version <= 4));
      ck_assert_uint_eq (to.number, version >= 2 && version <= 4 ? 7 : 9);
      if (error != NULL)
        assert_error (&error, CPR_ERROR_VERSION, "device 'cpu0': type 'probe': version is ");
      ck_assert (cpr_device_table_remove (&programs.saved, "cpu0", NULL) &&
                 cpr_device_table_remove (&programs.loaded, "cpu0", NULL));
    }
  ck_assert_ptr_nonnull (strstr (calls->str, "load 7 of version 3"));
}
END_TEST

START_TEST (pre_save_is_called_of_all_devices_before_any_is_read)
{
  Probe a = { .number = 1 }, b = { .number = 2, .pre_save = FAILS };

  add (&programs.saved, "cpu0", &probe_type, &a);
  add (&programs.saved, "cpu1", &probe_type, &b);
  ck_assert (!save ());
  ck_assert_str_eq (calls->str, "save 1\nsave 2\n");
  ck_assert_str_eq (error->message, "device 'cpu1': KVM_GET_REGS");
  ck_assert (g_error_matches (error, g_quark_from_static_string ("probe"), 5));
  g_clear_error (&error);

  b.pre_save = FAILS_SILENTLY;
  ck_assert (!save ());
  assert_error (&error, CPR_ERROR_CALLBACK, "device 'cpu1': pre_save failed without a reason");
}
END_TEST

START_TEST (post_load_is_called_in_the_order_of_adding_after_the_fields_are_set)
{
  Probe from[3] = { { .number = 1 }, { .number = 2 }, { .number = 3 } }, to[3] = { { .number = 0 } };
  static const char *const names[] = { "cpu0", "cpu1", "bus" };
  static const int order[] = { 2, 0, 1 };

  for (int i = 0; i < 3; i++)
    add (&programs.saved, names[i], &probe_type, &from[i]);
  for (int i = 0; i < 3; i++)
    add (&programs.loaded, names[order[i]], &probe_type, &to[order[i]]);
  ck_assert (save ());
  g_string_truncate (calls, 0);
  ck_assert (load ());
  ck_assert_str_eq (calls->str, "load 3 of version 4\nload 1 of version 4\nload 2 of version 4\n");
}
END_TEST

/* Of a type with a pre_load. */
static void
add_preparing (const CprDeviceType *type, Probe *from, Probe *to)
{
  static const char *const names[] = { "cpu0", "cpu1" };

  for (int i = 0; i < 2; i++)
    {
      add (&programs.saved, names[i], type, &from[i]);
      add (&programs.loaded, names[i], type, &to[i]);
    }
}

START_TEST (pre_load_is_called_before_the_fields_are_set_and_after_the_devices_before_it)
{
  CprDeviceType type = probe_type;
  Probe from[2] = { { .number = 1 }, { .number = 2 } }, to[2] = { { .number = 8 }, { .number = 9 } };

  type.pre_load = probe_pre_load;
  add_preparing (&type, from, to);
  ck_assert (save ());
  g_string_truncate (calls, 0);
  ck_assert (load ());
  ck_assert_str_eq (calls->str, "prepare for version 4, with 8\nload 1 of version 4\n"
                                "prepare for version 4, with 9\nload 2 of version 4\n");
}
END_TEST

START_TEST (pre_load_that_fails_ends_the_loading_before_its_fields_are_set)
{
  CprDeviceType type = probe_type;
  Probe from[2] = { { .number = 1 }, { .number = 2 } }, to[2] = { { .pre_load = FAILS }, { .number = 9 } };

  type.pre_load = probe_pre_load;
  add_preparing (&type, from, to);
  ck_assert (save ());
  g_string_truncate (calls, 0);
  ck_assert (!load ());
  ck_assert_str_eq (calls->str, "prepare for version 4, with 0\n");
  ck_assert_str_eq (error->message, "device 'cpu0': no room");
  g_clear_error (&error);
  ck_assert_uint_eq (to[0].number, 77);
  to[0].pre_load = FAILS_SILENTLY;
  ck_assert (!load ());
  assert_error (&error, CPR_ERROR_CALLBACK, "device 'cpu0': pre_load failed without a reason");
}
END_TEST

START_TEST (pre_load_is_not_called_where_a_later_device_cannot_be_loaded)
{
  CprDeviceType type = probe_type;
  Probe from[2] = { { .number = 1 } }, to[2] = { { .number = 8 } };
  Disk disk;

  type.pre_load = probe_pre_load;
  add_preparing (&type, from, to);
  add (&programs.loaded, "sda", &disk_type, &disk);
  ck_assert (save () && !load ());
  assert_error (&error, CPR_ERROR_MISMATCH, "device 'sda': it isn't in the state");
  ck_assert_ptr_null (strstr (calls->str, "prepare"));
  ck_assert_uint_eq (to[0].number, 8);
}
END_TEST

START_TEST (post_load_that_fails_ends_the_loading)
{
  Probe from[3] = { { .number = 1 }, { .number = 2 }, { .number = 3 } },
        to[3] = { { .number = 0 }, { .post_load = FAILS }, { .number = 0 } };
  static const char *const names[] = { "cpu0", "cpu1", "cpu2" };

  for (int i = 0; i < 3; i++)
    {
      add (&programs.saved, names[i], &probe_type, &from[i]);
      add (&programs.loaded, names[i], &probe_type, &to[i]);
    }
  ck_assert (save ());
  g_string_truncate (calls, 0);
  ck_assert (!load ());
  ck_assert_str_eq (calls->str, "load 1 of version 4\nload 2 of version 4\n");
  ck_assert_str_eq (error->message, "device 'cpu1': KVM_SET_REGS");
  g_clear_error (&error);
  to[1].post_load = FAILS_SILENTLY;
  ck_assert (!load ());
  assert_error (&error, CPR_ERROR_CALLBACK, "device 'cpu1': post_load failed without a reason");
}
END_TEST

/* A program whose disk knows 32 bits of the sector only. */
typedef struct
{
  uint32_t sector;
  bool dirty;
} SmallDisk;

static const CprField small_disk_fields[] = { CPR_FIELD (SmallDisk, sector), CPR_FIELD (SmallDisk, dirty),
                                              CPR_FIELD_END };
static const CprDeviceType small_disk_type = {
  .size = sizeof (CprDeviceType),
  .name = "disk",
  .version = 1,
  .minimum_version = 1,
  .state = { "Disk", sizeof (SmallDisk), small_disk_fields },
};

START_TEST (a_value_that_does_not_fit_one_device_is_applied_to_none)
{
  Probe cpu = { .number = 1 }, cpu_to = { .number = 9 };
  Disk sda = { .sector = 5 }, sdb = disk_example;
  SmallDisk sda_to = { .sector = 9 }, sdb_to = { .sector = 9 };

  add (&programs.saved, "cpu0", &probe_type, &cpu);
  add (&programs.saved, "sda", &disk_type, &sda);
  add (&programs.saved, "sdb", &disk_type, &sdb);
  add (&programs.loaded, "cpu0", &probe_type, &cpu_to);
  add (&programs.loaded, "sda", &small_disk_type, &sda_to);
  add (&programs.loaded, "sdb", &small_disk_type, &sdb_to);
  ck_assert (save ());
  g_string_truncate (calls, 0);
  ck_assert (!load ());
  assert_error (&error, CPR_ERROR_MISMATCH,
                "device 'sdb': field 'sector': 18364758544493064720 doesn't fit into uint of 4 bytes");
  ck_assert_str_eq (calls->str, "");
  ck_assert_uint_eq (cpu_to.number, 9);
  ck_assert_uint_eq (sda_to.sector, 9);
  ck_assert_uint_eq (sdb_to.sector, 9);
  sdb.sector = 6;
  ck_assert (save ());
  ck_assert (load ());
  ck_assert_uint_eq (sdb_to.sector, 6);
}
END_TEST

START_TEST (an_error_names_the_versions_where_they_differ)
{
  CprDeviceType newer = small_disk_type;
  Disk sda = { .sector = UINT64_MAX };
  SmallDisk sda_to = { .sector = 9 };

  newer.version = 2;
  add (&programs.saved, "sda", &disk_type, &sda);
  add (&programs.loaded, "sda", &newer, &sda_to);
  ck_assert (save ());
  ck_assert (!load ());
  assert_error (
      &error, CPR_ERROR_MISMATCH,
      "device 'sda': type 'disk', version 1 in the state, 2 here: field 'sector': 18446744073709551615 doesn't");
}
END_TEST

START_TEST (a_count_that_cannot_be_saved_names_device_and_field)
{
  Serial com1 = serial_example;

  com1.n_queue = SERIAL_QUEUE + 1;
  add (&programs.saved, "com1", &serial_type, &com1);
  ck_assert (!save ());
  assert_error (&error, CPR_ERROR_INVALID, "device 'com1': field 'queue': 4 elements are counted, 3 is the most");
}
END_TEST

/* These sections come from no writer. */
static void
assert_section_refused (const char *first, const char *second, uint32_t type, uint32_t reserved, const char *text)
{
  const char *const names[] = { first, second };
  Disk to = { .sector = 9 };

  programs_begin (&programs);
  for (int i = 0; i < 2; i++)
    {
      programs_begin_section (&programs, names[i], i == 0 ? 0 : type, i == 0 ? 0 : reserved);
      cpr_writer_put (&programs.writer, "12345678\1", 9);
      cpr_writer_end_chunk (&programs.writer);
    }
  programs_end (&programs);
  add (&programs.loaded, "sda", &disk_type, &to);
  ck_assert (!load ());
  ck_assert_ptr_nonnull (strstr (programs.verify_error, text));
  assert_error (&error, CPR_ERROR_CORRUPT, text);
  ck_assert_uint_eq (to.sector, 9);
  cpr_device_table_remove (&programs.loaded, "sda", NULL);
}

START_TEST (sections_that_cannot_be_right_are_refused)
{
  Disk sda = disk_example;

  add (&programs.saved, "sda", &disk_type, &sda);
  assert_section_refused ("sda", "sda", 0, 0, "device 'sda' has two sections, the second one at offset");
  assert_section_refused ("sda", "", 0, 0, "section at offset");
  assert_section_refused ("sda", "sdb", 1, 0, "section at offset");
  assert_section_refused ("sda", "sdb", UINT32_MAX, 0, "section at offset");
  assert_section_refused ("sda", "sdb", 0, 1, "section at offset");
}
END_TEST

START_TEST (bytes_after_or_missing_from_the_last_field_are_refused)
{
  static const char data[] = "12345678\1\0";
  Disk sda = disk_example, to = { .sector = 9 };

  add (&programs.saved, "sda", &disk_type, &sda);
  add (&programs.loaded, "sda", &disk_type, &to);
  for (size_t len = 0; len <= 10; len++)
    {
      programs_begin (&programs);
      programs_begin_section (&programs, "sda", 0, 0);
      cpr_writer_put (&programs.writer, data, len);
      cpr_writer_end_chunk (&programs.writer);
      programs_end (&programs);
      ck_assert (load () == (len == 9));
      ck_assert ((programs.verify_error == NULL) == (len == 9));
      if (len != 9)
        {
          ck_assert (g_str_has_prefix (programs.verify_error, "device 'sda': "));
          assert_error (&error, CPR_ERROR_CORRUPT, "device 'sda': ");
        }
      if (len < 9)
        ck_assert_uint_eq (to.sector, 9);
    }
}
END_TEST

START_TEST (a_bool_that_is_neither_0_nor_1_is_refused)
{
  Disk sda = disk_example, to = { .sector = 9 };

  add (&programs.saved, "sda", &disk_type, &sda);
  add (&programs.loaded, "sda", &disk_type, &to);
  programs_begin (&programs);
  programs_begin_section (&programs, "sda", 0, 0);
  cpr_writer_put (&programs.writer, "12345678\2", 9);
  cpr_writer_end_chunk (&programs.writer);
  programs_end (&programs);
  ck_assert (!load ());
  assert_error (&error, CPR_ERROR_CORRUPT, "device 'sda': field 'dirty': a bool is neither 0 nor 1");
  ck_assert_uint_eq (to.sector, 9);
}
END_TEST

/* The section belongs to a device that this program has with another type, or not at all. */
START_TEST (values_that_no_program_could_load_are_found_without_its_tables)
{
  Disk sda = disk_example;
  Probe to = { .number = 9 };

  add (&programs.saved, "sda", &disk_type, &sda);
  add (&programs.loaded, "sda", &probe_type, &to);
  ck_assert (save ());
  ck_assert (!load ());
  ck_assert_ptr_null (programs.verify_error);
  g_clear_error (&error);
  programs_begin (&programs);
  programs_begin_section (&programs, "sda", 0, 0);
  cpr_writer_put (&programs.writer, "12345678\2", 9);
  cpr_writer_end_chunk (&programs.writer);
  programs_end (&programs);
  ck_assert (!load ());
  ck_assert_str_eq (programs.verify_error, "device 'sda': field 'dirty': a bool is neither 0 nor 1");
  g_clear_error (&error);
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("device");

  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, add_refuses_names_of_no_and_of_256_bytes);
  tcase_add_test (tests, add_refuses_a_duplicate_name);
  tcase_add_test (tests, add_refuses_two_types_of_one_name);
  tcase_add_test (tests, add_refuses_a_type_that_cannot_be_right);
  tcase_add_test (tests, remove_knows_names_only_once);
  tcase_add_test (tests, devices_are_matched_by_name_in_any_order);
  tcase_add_test (tests, a_state_without_devices_loads_where_there_are_none);
  tcase_add_test (tests, a_device_that_the_state_lacks_is_named_and_nothing_applied);
  tcase_add_test (tests, a_device_that_is_only_in_the_state_is_named_and_nothing_applied);
  tcase_add_test (tests, a_device_of_another_type_is_named);
  tcase_add_test (tests, versions_outside_the_loadable_range_are_refused);
  tcase_add_test (tests, pre_save_is_called_of_all_devices_before_any_is_read);
  tcase_add_test (tests, post_load_is_called_in_the_order_of_adding_after_the_fields_are_set);
  tcase_add_test (tests, pre_load_is_called_before_the_fields_are_set_and_after_the_devices_before_it);
  tcase_add_test (tests, pre_load_that_fails_ends_the_loading_before_its_fields_are_set);
  tcase_add_test (tests, pre_load_is_not_called_where_a_later_device_cannot_be_loaded);
  tcase_add_test (tests, post_load_that_fails_ends_the_loading);
  tcase_add_test (tests, a_value_that_does_not_fit_one_device_is_applied_to_none);
  tcase_add_test (tests, an_error_names_the_versions_where_they_differ);
  tcase_add_test (tests, a_count_that_cannot_be_saved_names_device_and_field);
  tcase_add_test (tests, sections_that_cannot_be_right_are_refused);
  tcase_add_test (tests, bytes_after_or_missing_from_the_last_field_are_refused);
  tcase_add_test (tests, a_bool_that_is_neither_0_nor_1_is_refused);
  tcase_add_test (tests, values_that_no_program_could_load_are_found_without_its_tables);
  return run_suite (suite);
}
