/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reboot mode within one process: what each failing system call leaves, and times. */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/checksum.h"
#include "session/core.h"

#define RAM_SIZE (3 * (size_t) CPR_RAM_PIECE + 5 * PAGE)
#define VM_NAME  "unit"
#define HOUR_NS  UINT64_C (3600000000000)

static Guest guest;
static GError *error;
static char *folder, *path, *taken, *uri;

static void
setup (void)
{
  guest_init (&guest);
  error = NULL;
  folder = g_strdup ("/dev/shm/libcpr-reboot-XXXXXX"); /* where fsync() takes no time: there are hundreds */
  if (g_mkdtemp (folder) == NULL)
    {
      g_free (folder);
      folder = g_dir_make_tmp ("libcpr-reboot-XXXXXX", NULL);
    }
  ck_assert_ptr_nonnull (folder);
  path = g_build_filename (folder, "state", NULL);
  taken = g_strconcat (path, ".taken", NULL);
  uri = g_strconcat ("file:", path, NULL);
}

static void
teardown (void)
{
  guest_clear (&guest);
  ck_assert_int_eq (rmdir (folder), 0); /* nothing is ever left in it */
  g_free (folder);
  g_free (path);
  g_free (taken);
  g_free (uri);
}

/* ---- A kernel that fails the n-th call; threads call it too. */

static CprSys faulty;
static _Atomic unsigned n_calls;
static unsigned fail_at;
static _Atomic (const char *) failed;

static bool
fails (const char *call, int errnum)
{
  if (atomic_fetch_add (&n_calls, 1) + 1 != fail_at)
    return false;
  failed = call;
  errno = errnum;
  return true;
}

#define FAULTY(name, type, parameters, arguments, errnum)              \
  static type faulty_##name parameters                                 \
  {                                                                    \
    return fails (#name, errnum) ? -1 : cpr_sys_kernel.name arguments; \
  }

FAULTY (memfd_create, int, (const char *label, unsigned flags), (label, flags), ENOMEM)
FAULTY (ftruncate, int, (int fd, off_t size), (fd, size), ENOSPC)
FAULTY (open, int, (const char *name, int flags, mode_t mode), (name, flags, mode), EMFILE)
FAULTY (read, ssize_t, (int fd, void *data, size_t len), (fd, data, len), EIO)
FAULTY (write, ssize_t, (int fd, const void *data, size_t len), (fd, data, len), ENOSPC)
FAULTY (pread, ssize_t, (int fd, void *data, size_t len, off_t offset), (fd, data, len, offset), EIO)
FAULTY (pwrite, ssize_t, (int fd, const void *data, size_t len, off_t offset), (fd, data, len, offset), ENOSPC)
FAULTY (lseek, off_t, (int fd, off_t offset, int whence), (fd, offset, whence), EINVAL)
FAULTY (fsync, int, (int fd), (fd), EIO)
FAULTY (sync_file_range, int, (int fd, off_t offset, off_t len, unsigned flags), (fd, offset, len, flags), EIO)
FAULTY (rename_new, int, (const char *from, const char *to), (from, to), EIO)
FAULTY (flock, int, (int fd, int operation), (fd, operation), ENOLCK)
FAULTY (futimens, int, (int fd, const struct timespec times[2]), (fd, times), EPERM)
FAULTY (stat, int, (const char *name, struct stat *st), (name, st), EACCES)
FAULTY (fstat, int, (int fd, struct stat *st), (fd, st), EIO)
FAULTY (madvise, int, (void *address, size_t size, int advice), (address, size, advice), ENOMEM)

static int
faulty_fcntl (int fd, int command, long argument)
{
  return fails ("fcntl", EMFILE) ? -1 : cpr_sys_kernel.fcntl (fd, command, argument);
}

static void *
faulty_mmap (void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
  return fails ("mmap", ENOMEM) ? MAP_FAILED : cpr_sys_kernel.mmap (address, size, protection, flags, fd, offset);
}

static void
begin_faults (unsigned at)
{
  faulty = cpr_sys_kernel;
  faulty.memfd_create = faulty_memfd_create;
  faulty.ftruncate = faulty_ftruncate;
  faulty.open = faulty_open;
  faulty.read = faulty_read;
  faulty.write = faulty_write;
  faulty.pread = faulty_pread;
  faulty.pwrite = faulty_pwrite;
  faulty.lseek = faulty_lseek;
  faulty.fsync = faulty_fsync;
  faulty.sync_file_range = faulty_sync_file_range;
  faulty.rename_new = faulty_rename_new;
  faulty.flock = faulty_flock;
  faulty.futimens = faulty_futimens;
  faulty.stat = faulty_stat;
  faulty.fstat = faulty_fstat;
  faulty.madvise = faulty_madvise;
  faulty.fcntl = faulty_fcntl;
  faulty.mmap = faulty_mmap;
  n_calls = 0;
  fail_at = at;
  failed = NULL;
  cpr_sys = &faulty;
}

static void
end_faults (void)
{
  cpr_sys = &cpr_sys_kernel;
}

/* ---- A VM: RAM, and a device with a time. */

typedef struct
{
  uint64_t deadline;
} Alarm;

static const CprField alarm_fields[] = { CPR_FIELD_TIME (Alarm, deadline), CPR_FIELD_END };
static const CprDeviceType alarm_type = { .size = sizeof (CprDeviceType),
                                          .name = "alarm",
                                          .version = 1,
                                          .minimum_version = 1,
                                          .state = { "Alarm", sizeof (Alarm), alarm_fields } };

static Alarm alarm_device;

/* With holes: every run of pages is a call that may fail, and there are many tries of all calls. */
#define FILL_STEP (64 * PAGE)

static void
fill (uint8_t *ram)
{
  for (size_t i = 0; i < RAM_SIZE; i += FILL_STEP)
    memset (ram + i, (int) (i / PAGE % 255) + 1, 3 * PAGE);
}

static bool
is_filled (const uint8_t *ram)
{
  g_autofree uint8_t *expected = g_malloc0 (RAM_SIZE + PAGE);

  fill (expected); /* the last one may go beyond */
  return memcmp (ram, expected, RAM_SIZE) == 0;
}

G_STATIC_ASSERT (RAM_SIZE % FILL_STEP >= 3 * PAGE);

static CprSession *
start_vm (const CprRamOptions *options)
{
  CprSession *session = session_new (&guest, VM_NAME);
  CprRamBlock *block = cpr_ram_new (session, "ram", RAM_SIZE, options, &error);

  assert_no_error (error);
  fill (cpr_ram_block_get_vaddr (block));
  alarm_device.deadline = 123456789;
  ck_assert (cpr_device_add (session, "alarm", &alarm_type, &alarm_device, NULL));
  ck_assert (cpr_session_load (session, NULL) && cpr_session_start (session, NULL));
  return session;
}

static bool
save (CprSession *session, unsigned flags)
{
  const CprUpdate update = { .size = sizeof update, .mode = CPR_MODE_REBOOT, .flags = flags, .uri = uri };

  return cpr_session_update (session, &update, &error);
}

/* Does all of a start-up. Returns NULL with an error, and then leaves nothing behind. */
static CprSession *
take_up (unsigned flags, const CprRamOptions *options)
{
  CprSessionConfig config = guest_config (&guest, VM_NAME);
  CprSession *session;
  CprRamBlock *block;

  config.incoming = uri;
  config.incoming_flags = flags;
  session = cpr_session_new (&config, &error);
  if (session == NULL)
    return NULL;
  block = cpr_ram_new (session, "ram", RAM_SIZE, options, &error);
  if (block != NULL && cpr_device_add (session, "alarm", &alarm_type, &alarm_device, &error) &&
      cpr_session_load (session, &error) && cpr_session_start (session, &error))
    {
      ck_assert (is_filled (cpr_ram_block_get_vaddr (block)));
      return session;
    }
  cpr_session_free (session);
  return NULL;
}

static bool
is_there (const char *name)
{
  return access (name, F_OK) == 0;
}

/* Each call of saving fails in turn. */
static unsigned
fail_each_call_of_saving (const CprRamOptions *options, unsigned flags)
{
  CprSession *session = start_vm (options);
  unsigned failures = 0;

  for (unsigned at = 1;; at++)
    {
      g_autofree char *before = process_describe ();
      bool ok;

      begin_faults (at);
      ok = save (session, flags);
      end_faults ();
      if (ok && failed == NULL)
        break;
      if (ok) /* who looks for holes, or hurries the disk, can do without */
        {
          cpr_session_free (session);
          session = take_up (0, options);
          assert_no_error (error);
          ck_assert_ptr_nonnull (session);
          cpr_finish_suspend (session->finish, NULL); /* or its fds would be gone in a moment */
          continue;
        }
      failures++;
      ck_assert_msg (guest.running, "%s", (const char *) failed);
      ck_assert_int_eq (cpr_session_get_state (session), CPR_SESSION_STATE_ACTIVE);
      ck_assert_msg (!is_there (path), "%s", (const char *) failed);
      g_clear_error (&error);
      assert_process_is (before);
    }
  cpr_session_free (session);
  session = take_up (0, options);
  assert_no_error (error);
  cpr_session_free (session);
  guest.running = false;
  return failures;
}

START_TEST (each_failing_call_of_saving_leaves_no_file_and_a_running_guest)
{
  ck_assert_uint_gt (fail_each_call_of_saving (NULL, 0), 20);
}
END_TEST

START_TEST (each_failing_call_of_saving_in_place_leaves_no_file_and_a_running_guest)
{
  g_autofree char *ram = g_build_filename (folder, "ram", NULL);
  const CprRamOptions options = { .size = sizeof options, .backend = CPR_RAM_FILE, .path = ram };

  ck_assert_uint_gt (fail_each_call_of_saving (&options, CPR_UPDATE_RAM_IN_PLACE), 10);
  unlink (ram);
}
END_TEST

/* Each call of taking up fails in turn. Then the guest runs, or the state is there for the next
 * try. */
static void
fail_each_call_of_taking_up (unsigned flags)
{
  CprSession *session = start_vm (NULL);
  unsigned failures = 0;

  for (unsigned at = 1;; at++)
    {
      bool all_went_well;

      if (session != NULL)
        {
          ck_assert_msg (save (session, 0), "%s", error != NULL ? error->message : "");
          cpr_session_free (session);
        }
      begin_faults (at);
      session = take_up (flags, NULL);
      if (session != NULL)
        cpr_finish_suspend (session->finish, NULL); /* it is faulty as well */
      end_faults ();
      all_went_well = failed == NULL;
      if (session == NULL)
        {
          failures++;
          ck_assert_msg (!guest.running, "%s", (const char *) failed);
          ck_assert_msg (is_there (path) || is_there (taken), "%s", (const char *) failed);
          g_clear_error (&error);
        }
      else
        ck_assert_msg (!is_there (path) && !is_there (taken), "%s", (const char *) failed);
      if (all_went_well)
        break;
    }
  ck_assert_uint_gt (failures, 20);
  cpr_session_free (session);
}

START_TEST (each_failing_call_of_reading_ram_leaves_the_state)
{
  fail_each_call_of_taking_up (0);
}
END_TEST

START_TEST (each_failing_call_of_mapping_ram_leaves_the_state)
{
  fail_each_call_of_taking_up (CPR_INCOMING_MAP_RAM);
}
END_TEST

START_TEST (a_saved_guest_never_runs_here_again)
{
  CprSession *session = start_vm (NULL);

  ck_assert (save (session, 0));
  ck_assert (!guest.running);
  ck_assert_int_eq (cpr_session_get_state (session), CPR_SESSION_STATE_HANDED_OVER);
  ck_assert (!cpr_session_resume (session, &error));
  assert_error (&error, CPR_ERROR_STATE, "handed over");
  ck_assert (!save (session, 0));
  assert_error (&error, CPR_ERROR_STATE, "handed over");
  cpr_session_free (session);
  unlink (path);
}
END_TEST

/* Makes the state, whose first chunk is VM, one of another boot, whose clock was ahead by an
 * hour. */
static void
move_to_another_boot (void)
{
  g_autofree char *data = NULL;
  size_t len, at;
  uint64_t length, saved, checksum;
  char *boot_id;
  int fd;

  ck_assert (g_file_get_contents (path, &data, &len, NULL));
  memcpy (&length, data + 40, sizeof length);
  at = 48 + 2 + strlen (VM_NAME) + 1 + 2;
  boot_id = data + at;
  memset (boot_id, boot_id[0] == '0' ? '1' : '0', CPR_BOOT_ID_SIZE);
  at += CPR_BOOT_ID_SIZE + 1 + 4 + 4 + 8 + 4;
  memcpy (&saved, data + at, sizeof saved);
  saved += HOUR_NS;
  memcpy (data + at, &saved, sizeof saved);
  at = 48 + (length + 7) / 8 * 8;
  checksum = cpr_checksum (data + 32, at - 32);
  memcpy (data + at, &checksum, sizeof checksum);
  fd = open (path, O_WRONLY);
  ck_assert_int_eq (pwrite (fd, data, at + 8, 0), (ssize_t) at + 8);
  close (fd);
}

START_TEST (times_are_moved_to_another_boots_clock)
{
  CprSession *session = start_vm (NULL);
  uint64_t deadline = alarm_device.deadline = cpr_now_ns () + 2 * HOUR_NS;

  ck_assert (save (session, 0));
  cpr_session_free (session);
  move_to_another_boot ();
  alarm_device.deadline = 0;
  session = take_up (0, NULL);
  assert_no_error (error);
  ck_assert_uint_lt (alarm_device.deadline,
                     deadline - HOUR_NS + HOUR_NS / 60); /* a slow machine, a clock that is set */
  ck_assert_uint_gt (alarm_device.deadline, deadline - HOUR_NS - HOUR_NS / 60);
  cpr_session_free (session);
}
END_TEST

START_TEST (a_required_mode_refuses_mapped_ram)
{
  CprSession *session = start_vm (NULL);
  CprSessionConfig config = guest_config (&guest, VM_NAME);

  ck_assert (save (session, 0));
  cpr_session_free (session);
  config.incoming = uri;
  config.incoming_flags = CPR_INCOMING_MAP_RAM;
  config.required_modes = CPR_MODES_EXEC;
  session = cpr_session_new (&config, &error);
  assert_no_error (error);
  ck_assert_ptr_null (cpr_ram_new (session, "ram", RAM_SIZE, NULL, &error));
  assert_error (&error, CPR_ERROR_BLOCKED, "RAM block 'ram': it is mapped copy-on-write");
  cpr_session_free (session);
  session = take_up (0, NULL);
  assert_no_error (error);
  cpr_session_free (session);
}
END_TEST

START_TEST (a_device_that_needs_a_suspended_guest_says_so)
{
  CprSession *session = start_vm (NULL);

  cpr_blockers_add_unless_suspended (session->blockers, &alarm_device, CPR_MODES_REBOOT,
                                     "device 'vfio0': its guest must be suspended");
  ck_assert (!save (session, 0));
  assert_error (&error, CPR_ERROR_BLOCKED, "device 'vfio0': its guest must be suspended");
  ck_assert (cpr_session_pause (session, NULL));
  ck_assert (!save (session, 0));
  assert_error (&error, CPR_ERROR_BLOCKED, "device 'vfio0'");
  ck_assert (cpr_session_suspend (session, NULL));
  ck_assert (save (session, 0));
  cpr_session_free (session);
  session = take_up (0, NULL);
  assert_no_error (error);
  ck_assert_int_eq (cpr_session_get_run_state (session), CPR_RUN_STATE_PAUSED_SUSPENDED);
  ck_assert (!guest.running);
  cpr_session_free (session);
}
END_TEST

START_TEST (a_pipe_without_a_reader_is_an_error_and_no_signal)
{
  CprSession *session = start_vm (NULL);
  g_autofree char *fd_uri = NULL;
  CprUpdate update = { .size = sizeof update, .mode = CPR_MODE_REBOOT };
  int ends[2];

  ck_assert_int_eq (pipe (ends), 0);
  close (ends[0]);
  fd_uri = g_strdup_printf ("fd:%d", ends[1]);
  update.uri = fd_uri;
  ck_assert (!cpr_session_update (session, &update, &error));
  ck_assert_int_eq (cpr_error_get_errno (error), EPIPE);
  assert_error (&error, CPR_ERROR_SYSTEM, "");
  ck_assert (guest.running);
  close (ends[1]);
  cpr_session_free (session);
}
END_TEST

/* How the reader of a pipe or a socket reads, in a process of its own. */
typedef enum
{
  READ_NOTHING,
  READ_A_BIT, /* now and then */
  READ_ALL,
  N_READINGS
} Reading;

static pid_t
start_reader (int fd, int other, Reading how)
{
  char data[65536];
  pid_t pid = fork ();

  if (pid != 0)
    return pid;
  close (other);
  while (how == READ_NOTHING)
    pause ();
  while (read (fd, data, how == READ_ALL ? sizeof data : 1) > 0)
    if (how == READ_A_BIT)
      g_usleep (10000);
  _exit (0);
}

/* @blocks: the end that is written to. */
static void
save_to_reader (Reading how, bool is_pipe, bool blocks, unsigned deadline_ms)
{
  CprSession *session = start_vm (NULL);
  g_autofree char *fd_uri = NULL;
  CprUpdate update = { .size = sizeof update, .mode = CPR_MODE_REBOOT, .deadline_ms = deadline_ms };
  int ends[2], status;
  pid_t pid;
  bool ok;

  ck_assert_int_eq (is_pipe ? pipe (ends) : socketpair (AF_UNIX, SOCK_STREAM, 0, ends), 0);
  ck_assert_int_eq (fcntl (ends[1], F_SETFL, blocks ? 0 : O_NONBLOCK), 0);
  pid = start_reader (ends[0], ends[1], how);
  close (ends[0]);
  fd_uri = g_strdup_printf ("fd:%d", ends[1]);
  update.uri = fd_uri;
  ok = cpr_session_update (session, &update, &error);
  ck_assert_int_eq (fcntl (ends[1], F_GETFL) & O_NONBLOCK, blocks ? 0 : O_NONBLOCK); /* it is the caller's */
  close (ends[1]);
  if (how != READ_ALL)
    {
      ck_assert (!ok);
      ck_assert_int_eq (cpr_error_get_errno (error), ETIMEDOUT);
      assert_error (&error, CPR_ERROR_SYSTEM, "");
      kill (pid, SIGKILL);
    }
  else
    assert_no_error (error);
  ck_assert (ok == !guest.running);
  ck_assert_int_eq (waitpid (pid, &status, 0), pid);
  cpr_session_free (session);
  guest.running = false; /* as nobody runs it any more */
}

START_TEST (a_reader_doesnt_hold_the_guest_for_longer_than_the_deadline)
{
  for (Reading how = READ_NOTHING; how < READ_ALL; how++)
    for (int is_pipe = 0; is_pipe <= 1; is_pipe++)
      for (int blocks = 0; blocks <= 1; blocks++)
        save_to_reader (how, is_pipe, blocks, 200);
}
END_TEST

static int
open_no_link (const char *name, int flags, mode_t mode)
{
  if (g_str_has_prefix (name, "/proc/self/fd/"))
    {
      errno = EACCES;
      return -1;
    }
  return cpr_sys_kernel.open (name, flags, mode);
}

START_TEST (a_pipe_of_another_user_that_cant_be_opened_anew_has_an_end_too)
{
  CprSys without_links = cpr_sys_kernel;

  without_links.open = open_no_link;
  cpr_sys = &without_links;
  for (Reading how = READ_NOTHING; how < N_READINGS; how++)
    save_to_reader (how, true, true, how == READ_ALL ? 60000 : 200);
  cpr_sys = &cpr_sys_kernel;
}
END_TEST

START_TEST (a_reader_that_reads_gets_all_of_it)
{
  for (int is_pipe = 0; is_pipe <= 1; is_pipe++)
    for (int blocks = 0; blocks <= 1; blocks++)
      save_to_reader (READ_ALL, is_pipe, blocks, 0);
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("reboot");
  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, each_failing_call_of_saving_leaves_no_file_and_a_running_guest);
  tcase_add_test (tests, each_failing_call_of_saving_in_place_leaves_no_file_and_a_running_guest);
  tcase_add_test (tests, each_failing_call_of_reading_ram_leaves_the_state);
  tcase_add_test (tests, each_failing_call_of_mapping_ram_leaves_the_state);
  tcase_add_test (tests, a_saved_guest_never_runs_here_again);
  tcase_add_test (tests, times_are_moved_to_another_boots_clock);
  tcase_add_test (tests, a_required_mode_refuses_mapped_ram);
  tcase_add_test (tests, a_device_that_needs_a_suspended_guest_says_so);
  tcase_add_test (tests, a_pipe_without_a_reader_is_an_error_and_no_signal);
  tcase_add_test (tests, a_reader_doesnt_hold_the_guest_for_longer_than_the_deadline);
  tcase_add_test (tests, a_pipe_of_another_user_that_cant_be_opened_anew_has_an_end_too);
  tcase_add_test (tests, a_reader_that_reads_gets_all_of_it);
  return run_suite (suite);
}
