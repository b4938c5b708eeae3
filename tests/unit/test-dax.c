/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* RAM on DAX devices in a played kernel: two files pose as character devices, and the tests fill
 * sysfs. */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "registry/ram/dax.h"

#define MIB         ((size_t) 1 << 20)
#define REGION_SIZE (8 * MIB)
#define RAM_SIZE    (4 * MIB)
#define UUID_A      "11111111-2222-3333-4444-555555555555\n"
#define UUID_B      "11111111-2222-3333-4444-666666666666\n"

typedef struct
{
  unsigned major; /* each boot gives other numbers */
  bool is_dax;
  const char *size, *align, *resource, *uuid; /* NULL: sysfs hasn't got it */
} Region;

static const Region usual = { 252, true, "8388608\n", "2097152\n", "0x20000000\n", UUID_A };

static Region regions[2];
static CprSys played;
static Guest guest;
static GError *error;
static char *folder, *uri, *state;

static char *
name_region (unsigned i)
{
  return g_strdup_printf ("%s/region%u", folder, i);
}

static int
open_text (const char *text)
{
  int fd;

  if (text == NULL)
    {
      errno = ENOENT;
      return -1;
    }
  fd = memfd_create ("sysfs", MFD_CLOEXEC);
  ck_assert_int_eq (pwrite (fd, text, strlen (text), 0), (ssize_t) strlen (text));
  return fd;
}

static const Region *
find_region (const char *path, const char **name)
{
  unsigned major, minor;
  int len = 0;

  if (sscanf (path, "/sys/dev/char/%u:%u/%n", &major, &minor, &len) != 2 || len == 0 || minor > 1 ||
      regions[minor].major != major)
    return NULL;
  *name = path + len;
  return &regions[minor];
}

static int
played_open (const char *path, int flags, mode_t mode)
{
  const char *name;
  const Region *region = find_region (path, &name);

  if (region == NULL && g_str_has_prefix (path, "/dev/dax"))
    {
      g_autofree char *file = name_region ((unsigned) (path[8] - '0'));

      return cpr_sys_kernel.open (file, flags & ~O_CREAT, mode);
    }
  if (region == NULL)
    return cpr_sys_kernel.open (path, flags, mode);
  if (strcmp (name, "size") == 0)
    return open_text (region->size);
  if (strcmp (name, "align") == 0)
    return open_text (region->align);
  if (strcmp (name, "resource") == 0)
    return open_text (region->resource);
  ck_assert_str_eq (name, "../uuid");
  return open_text (region->uuid);
}

static ssize_t
played_readlink (const char *path, char *target, size_t size)
{
  const char *name, *subsystem;
  const Region *region = find_region (path, &name);

  if (region == NULL)
    return cpr_sys_kernel.readlink (path, target, size);
  subsystem = region->is_dax ? "../../../../../bus/dax" : "../../../../../class/mem";
  memcpy (target, subsystem, strlen (subsystem));
  return (ssize_t) strlen (subsystem);
}

static int
played_fstat (int fd, struct stat *st)
{
  if (cpr_sys_kernel.fstat (fd, st) < 0)
    return -1;
  for (unsigned i = 0; i < G_N_ELEMENTS (regions); i++)
    {
      g_autofree char *file = name_region (i);
      struct stat region;

      if (stat (file, &region) < 0 || region.st_ino != st->st_ino || region.st_dev != st->st_dev)
        continue;
      st->st_mode = S_IFCHR | 0600;
      st->st_rdev = makedev (regions[i].major, i);
      st->st_size = 0;
      break;
    }
  return 0;
}

static void
make_region (unsigned i)
{
  g_autofree char *file = name_region (i);
  int fd = open (file, O_RDWR | O_CREAT | O_EXCL, 0600);

  ck_assert_int_eq (ftruncate (fd, REGION_SIZE), 0);
  close (fd);
  regions[i] = usual;
}

static void
setup (void)
{
  guest_init (&guest);
  error = NULL;
  folder = g_dir_make_tmp ("libcpr-dax-XXXXXX", NULL);
  ck_assert_ptr_nonnull (folder);
  state = g_build_filename (folder, "state", NULL);
  uri = g_strconcat ("file:", state, NULL);
  make_region (0);
  make_region (1);
  regions[1].resource = "0x30000000\n";
  regions[1].uuid = UUID_B;
  played = cpr_sys_kernel;
  played.open = played_open;
  played.readlink = played_readlink;
  played.fstat = played_fstat;
  cpr_sys = &played;
}

static void
teardown (void)
{
  cpr_sys = &cpr_sys_kernel;
  guest_clear (&guest);
  for (unsigned i = 0; i < G_N_ELEMENTS (regions); i++)
    {
      g_autofree char *file = name_region (i);

      unlink (file);
    }
  ck_assert_int_eq (rmdir (folder), 0);
  g_free (folder);
  g_free (state);
  g_free (uri);
}

static CprRamOptions
on_dax (const char *path)
{
  return (CprRamOptions){ .size = sizeof (CprRamOptions), .backend = CPR_RAM_FILE, .path = path };
}

static uint8_t
get_byte (size_t at)
{
  return (uint8_t) (at / PAGE * 7 + 1);
}

/* A guest whose RAM is on the first region. */
static CprSession *
start_vm (void)
{
  const CprRamOptions options = on_dax ("/dev/dax0.0");
  CprSession *session = session_new (&guest, "unit");
  CprRamBlock *block = cpr_ram_new (session, "ram", RAM_SIZE, &options, &error);
  uint8_t *ram;

  assert_no_error (error);
  ram = cpr_ram_block_get_vaddr (block);
  for (size_t at = 0; at < RAM_SIZE; at += PAGE)
    ram[at] = get_byte (at);
  ck_assert (cpr_session_load (session, NULL) && cpr_session_start (session, NULL));
  return session;
}

static bool
save (CprSession *session)
{
  const CprUpdate update = {
    .size = sizeof update, .mode = CPR_MODE_REBOOT, .flags = CPR_UPDATE_RAM_IN_PLACE, .uri = uri
  };

  return cpr_session_update (session, &update, &error);
}

static void
save_vm (void)
{
  CprSession *session = start_vm ();

  ck_assert_msg (save (session), "%s", error != NULL ? error->message : "");
  cpr_session_free (session);
}

static bool
take_up (const char *path)
{
  const CprRamOptions options = on_dax (path);
  CprSessionConfig config = guest_config (&guest, "unit");
  CprSession *session;
  CprRamBlock *block;
  bool ok;

  config.incoming = uri;
  session = cpr_session_new (&config, &error);
  assert_no_error (error);
  block = cpr_ram_new (session, "ram", RAM_SIZE, &options, &error);
  ok = block != NULL;
  if (ok)
    {
      const uint8_t *ram = cpr_ram_block_get_vaddr (block);

      for (size_t at = 0; at < RAM_SIZE; at += PAGE)
        ck_assert_uint_eq (ram[at], get_byte (at));
      ck_assert (cpr_session_load (session, &error) && cpr_session_start (session, &error));
    }
  cpr_session_free (session);
  guest.running = false;
  return ok;
}

/* A refusal leaves the state for another try. */
static void
assert_refused (const char *path, const char *text)
{
  ck_assert (!take_up (path));
  assert_error (&error, CPR_ERROR_MISMATCH, text);
  ck_assert_int_eq (access (state, F_OK), 0);
}

static void
assert_taken_up (const char *path)
{
  ck_assert_msg (take_up (path), "%s", error->message);
  ck_assert_int_ne (access (state, F_OK), 0);
}

START_TEST (sysfs_says_what_a_dax_device_is)
{
  static const uint8_t uuid[] = { 0x11, 0x11, 0x11, 0x11, 0x22, 0x22, 0x33, 0x33,
                                  0x44, 0x44, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55 };
  static const uint8_t none[CPR_DAX_UUID_SIZE];
  CprDax dax;

  ck_assert (cpr_dax_describe (makedev (252, 0), &dax));
  ck_assert_uint_eq (dax.size, REGION_SIZE);
  ck_assert_uint_eq (dax.align, 2 * MIB);
  ck_assert_uint_eq (dax.address, 0x20000000);
  ck_assert_mem_eq (dax.uuid, uuid, sizeof uuid);

  regions[0].resource = regions[0].align = NULL;
  regions[0].uuid = "11111111-2222-3333-4444-5555555555\n"; /* not one */
  ck_assert (cpr_dax_describe (makedev (252, 0), &dax));
  ck_assert_uint_eq (dax.address, 0);
  ck_assert_uint_eq (dax.align, 0);
  ck_assert_mem_eq (dax.uuid, none, sizeof none);

  regions[0].size = NULL;
  ck_assert (!cpr_dax_describe (makedev (252, 0), &dax));
  regions[1].is_dax = false;
  ck_assert (!cpr_dax_describe (makedev (252, 1), &dax));
  ck_assert (!cpr_dax_describe (makedev (1, 5), &dax));
}
END_TEST

START_TEST (a_block_that_a_region_cant_hold_is_refused)
{
  const CprRamOptions options = on_dax ("/dev/dax0.0");
  CprSession *session = session_new (&guest, "unit");
  g_autofree char *before = process_describe ();

  ck_assert_ptr_null (cpr_ram_new (session, "ram", REGION_SIZE + 2 * MIB, &options, &error));
  assert_error (&error, CPR_ERROR_INVALID, "RAM block 'ram': its DAX region has 8388608 bytes, 10485760 needed");
  ck_assert_ptr_null (cpr_ram_new (session, "ram", 3 * MIB, &options, &error));
  assert_error (&error, CPR_ERROR_INVALID, "RAM block 'ram': size is 3145728, not a multiple of 2097152");
  assert_process_is (before);
  ck_assert_ptr_nonnull (cpr_ram_new (session, "ram", REGION_SIZE, &options, &error));
  cpr_session_free (session);
}
END_TEST

START_TEST (ram_stays_in_its_region_whatever_number_that_gets)
{
  save_vm ();
  regions[0].major = 251;
  regions[0].resource = "0x40000000\n"; /* a module was put into another slot */
  assert_taken_up ("/dev/dax0.0");
}
END_TEST

START_TEST (another_region_is_refused)
{
  g_autofree char *file = g_build_filename (folder, "file", NULL);

  save_vm ();
  ck_assert (g_file_set_contents (file, "", 0, NULL));
  assert_refused ("/dev/dax1.0", "RAM block 'ram': /dev/dax1.0 is another DAX region than the one its contents are in");
  regions[1].uuid = NULL;
  assert_refused ("/dev/dax1.0", "is another DAX region");
  assert_refused (file, "is another file than the one its contents are in");
  unlink (file);
  assert_taken_up ("/dev/dax0.0");
}
END_TEST

START_TEST (a_region_without_a_uuid_is_known_by_its_place)
{
  regions[0].uuid = regions[1].uuid = NULL;
  save_vm ();
  assert_refused ("/dev/dax1.0", "is another DAX region");
  assert_taken_up ("/dev/dax0.0");
}
END_TEST

START_TEST (a_region_of_which_nothing_is_known_is_known_by_its_contents)
{
  regions[0].uuid = regions[1].uuid = regions[0].resource = regions[1].resource = NULL;
  save_vm ();
  assert_refused ("/dev/dax1.0", "RAM block 'ram': its contents were changed after the state was saved");
  assert_taken_up ("/dev/dax0.0");
}
END_TEST

START_TEST (a_uuid_that_could_not_be_read_is_no_other_one)
{
  regions[0].uuid = NULL;
  save_vm ();
  regions[0].uuid = UUID_A;
  assert_taken_up ("/dev/dax0.0");
  save_vm ();
  regions[0].uuid = regions[0].resource = NULL;
  assert_taken_up ("/dev/dax0.0");
}
END_TEST

START_TEST (a_region_of_another_size_is_refused)
{
  save_vm ();
  regions[0].size = "6291456\n";
  assert_refused ("/dev/dax0.0", "/dev/dax0.0 had 8388608 bytes when the state was saved, has 6291456");
  regions[0].size = usual.size;
  assert_taken_up ("/dev/dax0.0");
}
END_TEST

START_TEST (a_region_that_went_on_living_is_refused)
{
  g_autofree char *file = name_region (0);
  uint8_t byte = get_byte (PAGE) ^ 1;
  int fd;

  save_vm ();
  fd = open (file, O_RDWR);
  ck_assert_int_eq (pwrite (fd, &byte, 1, PAGE), 1);
  assert_refused ("/dev/dax0.0", "RAM block 'ram': its contents were changed after the state was saved");
  byte ^= 1;
  ck_assert_int_eq (pwrite (fd, &byte, 1, PAGE), 1);
  close (fd);
  assert_taken_up ("/dev/dax0.0");
}
END_TEST

START_TEST (what_isnt_known_to_be_memory_isnt_left_in_place)
{
  CprSession *session = start_vm ();
  g_autofree char *before = process_describe ();

  regions[0].is_dax = false;
  ck_assert (!save (session));
  assert_error (&error, CPR_ERROR_INVALID, "RAM block 'ram': its backing is neither a file nor a DAX device");
  ck_assert (guest.running);
  ck_assert_int_ne (access (state, F_OK), 0);
  assert_process_is (before);
  cpr_session_free (session);
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("dax");
  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, sysfs_says_what_a_dax_device_is);
  tcase_add_test (tests, a_block_that_a_region_cant_hold_is_refused);
  tcase_add_test (tests, ram_stays_in_its_region_whatever_number_that_gets);
  tcase_add_test (tests, another_region_is_refused);
  tcase_add_test (tests, a_region_without_a_uuid_is_known_by_its_place);
  tcase_add_test (tests, a_region_of_which_nothing_is_known_is_known_by_its_contents);
  tcase_add_test (tests, a_uuid_that_could_not_be_read_is_no_other_one);
  tcase_add_test (tests, a_region_of_another_size_is_refused);
  tcase_add_test (tests, a_region_that_went_on_living_is_refused);
  tcase_add_test (tests, what_isnt_known_to_be_memory_isnt_left_in_place);
  return run_suite (suite);
}
