/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* States that were written once and are never written again: what a release could write, all later ones read. */
#include "helpers.h"

#include "../golden/everything.h"
#include "handoff/manifest.h"

static GError *error;
static char *data;
static size_t len;

static void
setup (void)
{
  g_autofree char *path = g_build_filename (g_getenv ("top_srcdir"), "tests", "golden", "v1", "everything.cpr", NULL);

  error = NULL;
  g_file_get_contents (path, &data, &len, &error);
  assert_no_error (error);
}

static void
teardown (void)
{
  g_clear_pointer (&data, g_free);
}

START_TEST (the_first_state_of_version_1_loads)
{
  Everything loaded = { .fifo_level = 1 }, expected;
  CprManifest manifest;
  CprDeviceTable devices;
  CprDeviceLoad *load;
  CprReader reader;
  CprCodec codec;
  Line bus = { 0, false };

  cpr_manifest_init (&manifest);
  ck_assert_msg (cpr_reader_open (&reader, data, len, &error), "%s", error != NULL ? error->message : "");
  ck_assert_msg (cpr_manifest_read (&manifest, &reader, &error), "%s", error != NULL ? error->message : "");
  ck_assert_str_eq (manifest.vm_name, "golden");
  ck_assert_uint_eq (manifest.generation, 7);
  ck_assert_str_eq (manifest.program.argv[2], "64M");
  ck_assert_uint_eq (manifest.program.n_limits, 2);
  ck_assert_str_eq (manifest.successor.build_id, "0011223344556677");
  ck_assert_uint_eq (manifest.fds.entries->len, 4);
  ck_assert_uint_eq (manifest.ram.blocks->len, 1);

  codec = cpr_fd_table_get_codec (&manifest.fds);
  ck_assert (cpr_sections_verify (&manifest.schema, &reader, &codec, &error));
  cpr_device_table_init (&devices);
  ck_assert (cpr_device_table_add (&devices, "everything0", &everything_type, &loaded, &error));
  ck_assert (cpr_device_table_add (&devices, "bus0", &everything_bus_type, &bus, &error));
  load = cpr_device_load_new (&devices, &manifest.schema, &error);
  ck_assert_msg (load != NULL && cpr_device_load_check (load, &reader, &codec, &error) &&
                     cpr_device_load_apply (load, &error),
                 "%s", error != NULL ? error->message : "");
  everything_fill (&expected);
  ck_assert (everything_equal (&loaded, &expected));
  ck_assert_uint_eq (bus.vector, 5);
  ck_assert (bus.masked);

  everything_clear (&loaded);
  everything_clear (&expected);
  cpr_device_load_free (load);
  cpr_device_table_clear (&devices);
  cpr_manifest_clear (&manifest);
  cpr_reader_clear (&reader);
}
END_TEST

/* A change of the format that doesn't show in its version would be found by users. With a new minor version this state gets a
 * sister in a new file, and this test moves to that. */
START_TEST (the_format_doesnt_change_without_its_version)
{
  CprWriter writer;

  ck_assert_int_eq (CPR_FORMAT_MAJOR, 1);
  ck_assert_int_eq (CPR_FORMAT_MINOR, 0);
  everything_write (&writer);
  ck_assert_uint_eq (writer.len, len);
  for (size_t i = 0; i < len; i++)
    ck_assert_msg (writer.data[i] == (uint8_t) data[i], "offset %zu", i);
  cpr_writer_clear (&writer);
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("golden");

  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, the_first_state_of_version_1_loads);
  tcase_add_test (tests, the_format_doesnt_change_without_its_version);
  return run_suite (suite);
}
