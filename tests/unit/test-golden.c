/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Golden states: all later releases read what one release wrote. They are never written again. */
#include "helpers.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "../golden/everything.h"
#include "../golden/stored.h"
#include "handoff/reboot/reboot.h"
#include "state/manifest.h"
#include "stream/spool.h"

static GError *error;
static char *data;
static size_t len;

static char *
get_path (const char *name)
{
  return g_build_filename (g_getenv ("top_srcdir"), "tests", "golden", "v1", name, NULL);
}

static void
setup (void)
{
  g_autofree char *path = get_path ("everything.cpr");

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

/* A change of the format that doesn't show in its version would be found by users. With a new
 * minor version this state gets a sister in a new file, and this test moves to that. */
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

/* ---- Reboot mode. */

/* The bytes of a golden state in an fd. A file that is mostly zeros is stored compressed, and is
 * unpacked here. */
static int
open_stored (const char *name)
{
  g_autofree char *path = get_path (name);
  g_autofree char *command = g_strdup_printf ("%s '%s'", g_str_has_suffix (name, ".gz") ? "gzip -dc" : "cat", path);
  FILE *pipe;
  uint8_t buffer[65536];
  size_t got;
  int fd = cpr_memfd_new ("golden", 0);

  pipe = popen (command, "re");
  ck_assert_ptr_nonnull (pipe);
  while ((got = fread (buffer, 1, sizeof buffer, pipe)) > 0)
    ck_assert (cpr_fd_write_all (fd, buffer, got));
  ck_assert_int_eq (pclose (pipe), 0);
  ck_assert_int_eq (lseek (fd, 0, SEEK_SET), 0);
  return fd;
}

typedef struct
{
  int file, state_fd;
  CprReader reader;
  CprManifest manifest;
} Stored;

static void
stored_open (Stored *stored, const char *name)
{
  CprManifest *manifest = &stored->manifest;

  stored->file = open_stored (name);
  stored->state_fd = cpr_memfd_new ("state", 0);
  cpr_manifest_init (manifest);
  ck_assert (cpr_stream_spool (stored->file, stored->state_fd, &error));
  ck_assert (cpr_reader_open_fd (&stored->reader, stored->state_fd, &error));
  ck_assert_msg (cpr_manifest_read (manifest, &stored->reader, &error), "%s", error != NULL ? error->message : "");
  ck_assert_ptr_nonnull (manifest->store);
  ck_assert (cpr_manifest_read_sums (manifest, &stored->reader, &error));
  cpr_fd_table_clear (&manifest->fds); /* they are nobody's any more */
  cpr_fd_table_init (&manifest->fds);
  manifest->store->file = stored->file;
  manifest->store->base = cpr_reboot_get_base (stored->reader.len);
}

static void
stored_close (Stored *stored)
{
  cpr_manifest_clear (&stored->manifest);
  cpr_reader_clear (&stored->reader);
  close (stored->state_fd);
  close (stored->file);
}

static void
check_block (Stored *stored, const char *name, size_t size, CprRamBackend backend)
{
  const CprRamOptions options = { .size = sizeof options, .backend = backend };
  g_autofree uint8_t *expected = g_malloc0 (size);
  CprManifest *manifest = &stored->manifest;
  CprRamBlock *block =
      cpr_ram_table_restore (&manifest->ram, &manifest->fds, manifest->store, name, size, &options, &error);

  ck_assert_msg (block != NULL, "%s", error != NULL ? error->message : "");
  stored_fill (expected, size);
  ck_assert_mem_eq (block->vaddr, expected, size);
}

static void
check_stored (Stored *stored)
{
  const CprManifest *manifest = &stored->manifest;
  const CprRamStored *nvram = manifest->store->blocks->pdata[1];

  ck_assert_uint_eq (manifest->run_state, CPR_RUN_STATE_SUSPENDED);
  ck_assert_uint_eq (manifest->store->blocks->len, 3);
  ck_assert (nvram->in_place);
  ck_assert_uint_eq (nvram->file.inode, 3001);
  ck_assert_uint_eq (nvram->file.size, STORED_NVRAM_SIZE);
  ck_assert_int_eq (nvram->file.stamp_ns, 1700000000123456789);
  check_block (stored, "pc.ram", STORED_RAM_SIZE, CPR_RAM_MEMFD);
  check_block (stored, "rom", STORED_ROM_SIZE, CPR_RAM_PRIVATE);
}

START_TEST (the_first_area_of_version_1_loads)
{
  Stored stored;

  stored_open (&stored, "reboot-area.cpr.gz");
  ck_assert_int_eq (stored.manifest.store->layout, CPR_RAM_LAYOUT_AREA);
  ck_assert_uint_eq (stored.manifest.store->base, STORED_BASE);
  ck_assert_int_eq (lseek (stored.file, 0, SEEK_END), STORED_BASE + stored.manifest.store->area);
  ck_assert_uint_eq (stored.manifest.store->n_sums, 3);
  stored.manifest.store->map = _i == 1;
  check_stored (&stored);
  stored_close (&stored);
}
END_TEST

START_TEST (the_first_stream_of_pages_of_version_1_loads)
{
  Stored stored;
  char byte;

  stored_open (&stored, "reboot-pipe.cpr");
  ck_assert_int_eq (stored.manifest.store->layout, CPR_RAM_LAYOUT_STREAM);
  ck_assert (cpr_ram_store_receive (stored.manifest.store, stored.file, &error));
  ck_assert_int_eq (read (stored.file, &byte, 1), 0);
  check_stored (&stored);
  stored_close (&stored);
}
END_TEST

/* As above. How pages are put together in PAGES chunks is the writer's affair, though: should
 * that change, only the second one needs a sister. */
START_TEST (the_formats_of_reboot_mode_dont_change_without_their_version)
{
  static const struct
  {
    const char *name;
    CprRamLayout layout;
  } states[] = { { "reboot-area.cpr.gz", CPR_RAM_LAYOUT_AREA }, { "reboot-pipe.cpr", CPR_RAM_LAYOUT_STREAM } };
  int golden = open_stored (states[_i].name), written = cpr_memfd_new ("written", 0);
  off_t size = lseek (golden, 0, SEEK_END);
  g_autofree uint8_t *was = g_malloc ((size_t) size), *is = g_malloc ((size_t) size);

  stored_write (states[_i].layout, written);
  ck_assert_int_eq (lseek (written, 0, SEEK_END), size);
  ck_assert (cpr_fd_read_at (golden, was, (size_t) size, 0) && cpr_fd_read_at (written, is, (size_t) size, 0));
  for (off_t i = 0; i < size; i++)
    if (was[i] != is[i])
      ck_abort_msg ("offset %zu", (size_t) i);
  close (golden);
  close (written);
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("golden");

  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, the_first_state_of_version_1_loads);
  tcase_add_test (tests, the_format_doesnt_change_without_its_version);
  tcase_add_loop_test (tests, the_first_area_of_version_1_loads, 0, 2);
  tcase_add_test (tests, the_first_stream_of_pages_of_version_1_loads);
  tcase_add_loop_test (tests, the_formats_of_reboot_mode_dont_change_without_their_version, 0, 2);
  return run_suite (suite);
}
