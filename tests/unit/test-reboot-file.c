/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reboot mode on unusual file systems: a file that a take-up would refuse is refused before the
 * guest is stopped. */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#define RAM_SIZE (4 * PAGE)

static Guest guest;
static CprSession *session;
static GError *error;
static char *folder, *path, *uri, *ram;
static CprSys odd;
static dev_t device;

/* ---- A file system that differs from others in one thing. */

static struct
{
  uid_t uid;   /* whom all files belong to; 0: as they do */
  mode_t mode; /* bits that all have */
  int flock_errnum, rename_errnum, sync_folder_errnum, futimens_errnum;
  unsigned n_renames;  /* that work before they fail */
  bool changes_inodes; /* by name */
  bool is_special;
  int64_t granularity_ns; /* of times */
  bool guest_writes;      /* right after a time was set */
} fs;

static int
odd_fstat (int fd, struct stat *st)
{
  int result = cpr_sys_kernel.fstat (fd, st);

  if (result < 0 || st->st_dev != device || !S_ISREG (st->st_mode))
    return result;
  if (fs.uid != 0)
    st->st_uid = fs.uid;
  st->st_mode |= fs.mode;
  if (fs.is_special)
    st->st_mode = S_IFIFO | 0600;
  if (fs.granularity_ns != 0)
    st->st_mtim.tv_nsec -= st->st_mtim.tv_nsec % fs.granularity_ns;
  return 0;
}

static int
odd_stat (const char *name, struct stat *st)
{
  int result = cpr_sys_kernel.stat (name, st);

  st->st_ino += fs.changes_inodes;
  return result;
}

static int
answer (int errnum)
{
  errno = errnum;
  return -1;
}

static int
odd_flock (int fd, int operation)
{
  return fs.flock_errnum != 0 ? answer (fs.flock_errnum) : cpr_sys_kernel.flock (fd, operation);
}

static int
odd_rename_new (const char *from, const char *to)
{
  if (fs.rename_errnum != 0 && (fs.n_renames == 0 || fs.n_renames-- == 0))
    return answer (fs.rename_errnum);
  return cpr_sys_kernel.rename_new (from, to);
}

static int
odd_link (const char *from, const char *to)
{
  return fs.rename_errnum != 0 ? answer (EPERM) : cpr_sys_kernel.link (from, to);
}

static int
odd_fsync (int fd)
{
  struct stat st;

  if (fs.sync_folder_errnum != 0 && fstat (fd, &st) == 0 && S_ISDIR (st.st_mode))
    return answer (fs.sync_folder_errnum);
  return cpr_sys_kernel.fsync (fd);
}

static int
odd_futimens (int fd, const struct timespec times[2])
{
  int result;

  if (fs.futimens_errnum != 0 && times != NULL)
    return answer (fs.futimens_errnum);
  result = cpr_sys_kernel.futimens (fd, times);
  return fs.guest_writes && guest.running ? cpr_sys_kernel.futimens (fd, NULL) : result;
}

static void
setup (void)
{
  struct stat st;

  guest_init (&guest);
  error = NULL;
  memset (&fs, 0, sizeof fs);
  folder = g_dir_make_tmp ("libcpr-reboot-XXXXXX", NULL);
  ck_assert (folder != NULL && stat (folder, &st) == 0);
  device = st.st_dev;
  path = g_build_filename (folder, "state", NULL);
  ram = g_build_filename (folder, "ram", NULL);
  uri = g_strconcat ("file:", path, NULL);
  odd = cpr_sys_kernel;
  odd.fstat = odd_fstat;
  odd.stat = odd_stat;
  odd.flock = odd_flock;
  odd.rename_new = odd_rename_new;
  odd.link = odd_link;
  odd.fsync = odd_fsync;
  odd.futimens = odd_futimens;
}

static void
teardown (void)
{
  cpr_sys = &cpr_sys_kernel;
  cpr_session_free (session);
  guest_clear (&guest);
  unlink (ram);
  ck_assert_int_eq (rmdir (folder), 0); /* nothing else is ever left in it */
  g_free (folder);
  g_free (path);
  g_free (ram);
  g_free (uri);
}

static CprRamOptions
ram_options (bool in_file)
{
  return (CprRamOptions){ .size = sizeof (CprRamOptions),
                          .backend = in_file ? CPR_RAM_FILE : CPR_RAM_MEMFD,
                          .path = in_file ? ram : NULL };
}

static void
start_vm (bool in_file)
{
  const CprRamOptions options = ram_options (in_file);

  session = session_new (&guest, "unit");
  ck_assert_ptr_nonnull (cpr_ram_new (session, "ram", RAM_SIZE, &options, &error));
  ck_assert (cpr_session_load (session, NULL) && cpr_session_start (session, NULL));
}

static bool
save (bool in_place)
{
  const CprUpdate update = {
    .size = sizeof update, .mode = CPR_MODE_REBOOT, .flags = in_place ? CPR_UPDATE_RAM_IN_PLACE : 0, .uri = uri
  };
  bool ok;

  cpr_sys = &odd;
  ok = cpr_session_update (session, &update, &error);
  cpr_sys = &cpr_sys_kernel;
  return ok;
}

static void
take_up (bool in_file)
{
  CprSessionConfig config = guest_config (&guest, "unit");
  const CprRamOptions options = ram_options (in_file);

  g_clear_pointer (&session, cpr_session_free);
  config.incoming = uri;
  cpr_sys = &odd;
  session = cpr_session_new (&config, &error);
  assert_no_error (error);
  ck_assert_ptr_nonnull (cpr_ram_new (session, "ram", RAM_SIZE, &options, &error));
  ck_assert (cpr_session_load (session, NULL) && cpr_session_start (session, NULL));
  cpr_session_free (g_steal_pointer (&session)); /* waits for the end of what goes on in the background */
  cpr_sys = &cpr_sys_kernel;
  guest.running = false; /* it ended with its program */
}

/* The guest runs all the time, and no file is left. */
static void
assert_not_saved (bool in_place, CprError code, const char *text)
{
  ck_assert_msg (!save (in_place), "a state was saved; expected: %s", text);
  ck_assert_msg (strstr (error->message, text) != NULL, "%s", error->message);
  assert_error (&error, code, "");
  ck_assert_int_eq (guest.stops, 0);
  ck_assert (guest.running);
  ck_assert_int_eq (access (path, F_OK), -1);
}

START_TEST (a_state_that_would_belong_to_another_user_is_not_saved)
{
  g_autofree char *text =
      g_strdup_printf ("a state that is saved there couldn't be taken up: state '%s': it belongs to user "
                       "%u, this is user %u",
                       path, geteuid () + 7, geteuid ());

  start_vm (false);
  fs.uid = geteuid () + 7;
  assert_not_saved (false, CPR_ERROR_MISMATCH, text);
}
END_TEST

START_TEST (a_state_that_others_could_write_is_not_saved)
{
  start_vm (false);
  fs.mode = 0777;
  assert_not_saved (false, CPR_ERROR_MISMATCH, "others may write it (mode 0777)");
}
END_TEST

START_TEST (a_state_that_would_be_no_file_is_not_saved)
{
  start_vm (false);
  fs.is_special = true;
  assert_not_saved (false, CPR_ERROR_MISMATCH, "it isn't a file");
}
END_TEST

START_TEST (a_state_that_could_not_be_locked_is_not_saved)
{
  start_vm (false);
  fs.flock_errnum = ENOLCK;
  assert_not_saved (false, CPR_ERROR_SYSTEM, "flock: No locks available");
}
END_TEST

START_TEST (a_state_that_could_not_be_known_by_its_name_is_not_saved)
{
  start_vm (false);
  fs.changes_inodes = true;
  assert_not_saved (false, CPR_ERROR_MISMATCH, "its file system shows another file under the new file's name");
}
END_TEST

START_TEST (a_state_that_could_not_be_renamed_is_not_saved)
{
  start_vm (false);
  fs.rename_errnum = EINVAL; /* and there are no hard links */
  assert_not_saved (false, CPR_ERROR_SYSTEM, "renaming it: Operation not permitted");
}
END_TEST

START_TEST (a_state_in_a_folder_that_can_not_be_synced_is_not_saved)
{
  start_vm (false);
  fs.sync_folder_errnum = EIO;
  assert_not_saved (false, CPR_ERROR_SYSTEM, "fsync of its folder: Input/output error");
}
END_TEST

START_TEST (a_name_that_is_a_link_to_nowhere_is_in_use)
{
  start_vm (false);
  ck_assert_int_eq (symlink ("nowhere", path), 0);
  ck_assert (!save (false));
  assert_error (&error, CPR_ERROR_EXISTS, "to 'nowhere'");
  ck_assert_int_eq (guest.stops, 0);
  unlink (path);
}
END_TEST

START_TEST (what_is_saved_is_taken_up)
{
  start_vm (false);
  ck_assert (save (false));
  take_up (false);
}
END_TEST

/* The operator has to know where the guest is. */
START_TEST (a_commit_that_fails_says_where_the_state_is)
{
  static const char *const ends[] = { "taken", "spent" };
  g_autofree char *left = g_strconcat (path, ".", ends[_i], NULL),
                  *text = g_strdup_printf ("it stays '%s', Input/output error; because of: %s", left,
                                           _i == 0 ? "renaming it" : "fsync of its folder: No space");
  CprSessionConfig config = guest_config (&guest, "unit");
  const CprRamOptions options = ram_options (false);

  start_vm (false);
  ck_assert (save (false));
  g_clear_pointer (&session, cpr_session_free);
  config.incoming = uri;
  session = cpr_session_new (&config, &error);
  assert_no_error (error);
  ck_assert_ptr_nonnull (cpr_ram_new (session, "ram", RAM_SIZE, &options, &error));
  ck_assert (cpr_session_load (session, NULL));
  fs.sync_folder_errnum = ENOSPC;
  fs.rename_errnum = EIO;
  fs.n_renames = (unsigned) _i;
  cpr_sys = &odd;
  ck_assert (!cpr_session_start (session, &error));
  cpr_sys = &cpr_sys_kernel;
  assert_error (&error, CPR_ERROR_SYSTEM, text);
  ck_assert_int_eq (guest.starts, 1);
  ck_assert_int_eq (unlink (left), 0);
}
END_TEST

/* ---- RAM in place. */

START_TEST (ram_whose_file_was_deleted_is_not_left_in_place)
{
  start_vm (true);
  unlink (ram);
  assert_not_saved (true, CPR_ERROR_INVALID, "RAM block 'ram': its file was deleted");
}
END_TEST

START_TEST (ram_on_a_file_system_with_coarse_times_is_not_left_in_place)
{
  const int64_t granularities_ns[] = { 100, 1000, 1000000000 };

  fs.granularity_ns = granularities_ns[_i];
  start_vm (true);
  for (int tries = 0; tries < 20; tries++)
    if (!save (true))
      break;
    else
      take_up (true), start_vm (true); /* by chance the time was one that can be kept */
  assert_error (&error, CPR_ERROR_SYSTEM, "doesn't keep times to the nanosecond");
  ck_assert (guest.running);
}
END_TEST

START_TEST (ram_whose_file_can_not_be_stamped_is_not_left_in_place)
{
  start_vm (true);
  fs.futimens_errnum = EPERM; /* it belongs to somebody else */
  assert_not_saved (true, CPR_ERROR_SYSTEM, "RAM block 'ram': futimens of its file: Operation not permitted");
}
END_TEST

START_TEST (a_guest_that_writes_is_no_coarse_time)
{
  start_vm (true);
  fs.guest_writes = true;
  ck_assert_msg (save (true), "%s", error->message);
  take_up (true);
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("reboot-file");
  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, a_state_that_would_belong_to_another_user_is_not_saved);
  tcase_add_test (tests, a_state_that_others_could_write_is_not_saved);
  tcase_add_test (tests, a_state_that_would_be_no_file_is_not_saved);
  tcase_add_test (tests, a_state_that_could_not_be_locked_is_not_saved);
  tcase_add_test (tests, a_state_that_could_not_be_known_by_its_name_is_not_saved);
  tcase_add_test (tests, a_state_that_could_not_be_renamed_is_not_saved);
  tcase_add_test (tests, a_state_in_a_folder_that_can_not_be_synced_is_not_saved);
  tcase_add_test (tests, a_name_that_is_a_link_to_nowhere_is_in_use);
  tcase_add_test (tests, what_is_saved_is_taken_up);
  tcase_add_loop_test (tests, a_commit_that_fails_says_where_the_state_is, 0, 2);
  tcase_add_test (tests, ram_whose_file_was_deleted_is_not_left_in_place);
  tcase_add_loop_test (tests, ram_on_a_file_system_with_coarse_times_is_not_left_in_place, 0, 3);
  tcase_add_test (tests, ram_whose_file_can_not_be_stamped_is_not_left_in_place);
  tcase_add_test (tests, a_guest_that_writes_is_no_coarse_time);
  return run_suite (suite);
}
