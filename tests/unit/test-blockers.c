/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Blockers of the VMM and of the library, through the public functions. */
#include "faults.h"
#include "guest.h"

#include <errno.h>
#include <fcntl.h>

static Guest guest;
static CprSession *session;
static GError *error;

static void
setup (void)
{
  guest_init (&guest);
  error = NULL;
  session = session_new_active (&guest, "vm");
}

static void
teardown (void)
{
  cpr_session_free (session);
  guest_clear (&guest);
}

static void
restart_with (unsigned required_modes)
{
  CprSessionConfig config = guest_config (&guest, "vm");

  cpr_session_free (session);
  guest.running = false;
  config.required_modes = required_modes;
  session = cpr_session_new (&config, &error);
  assert_no_error (error);
  ck_assert (cpr_session_load (session, NULL) && cpr_session_start (session, NULL));
}

static bool
update (void)
{
  return update_up_to_execve (session, 0, &error);
}

START_TEST (add_names_what_is_wrong)
{
  ck_assert_uint_eq (cpr_blocker_add (session, 0, "why", &error), 0);
  assert_error (&error, CPR_ERROR_INVALID, "blocker: 0x0 isn't a set of modes");
  ck_assert_uint_eq (cpr_blocker_add (session, 1u << 30, "why", &error), 0);
  assert_error (&error, CPR_ERROR_INVALID, "blocker: 0x40000000");
  ck_assert_uint_eq (cpr_blocker_add (session, CPR_MODES_EXEC, "", &error), 0);
  assert_error (&error, CPR_ERROR_INVALID, "blocker: its reason is empty");
  assert_blockers (session, CPR_MODES_ALL, "");
}
END_TEST

START_TEST (a_reason_is_copied_and_is_one_line)
{
  char reason[] = "gpu: no\nway\tout";

  block_exec (session, reason);
  reason[0] = 'x';
  assert_blockers (session, CPR_MODES_EXEC, "gpu: no way out|");
}
END_TEST

START_TEST (blockers_are_shown_in_the_order_of_adding_by_mode)
{
  block_exec (session, "a");
  ck_assert_uint_ne (cpr_blocker_add (session, CPR_MODES_ALL, "b", NULL), 0);
  block_exec (session, "a");
  assert_blockers (session, CPR_MODES_EXEC, "a|b|a|");
  assert_blockers (session, 1u << 5, "b|");
}
END_TEST

START_TEST (remove_finds_only_what_was_added)
{
  const CprRamOptions options = { .size = sizeof options, .backend = CPR_RAM_PRIVATE };
  uint64_t a = block_exec (session, "a"), b = block_exec (session, "b");

  ck_assert_uint_ne (a, b);
  ck_assert (cpr_blocker_remove (session, a, &error));
  ck_assert (!cpr_blocker_remove (session, a, &error));
  assert_error (&error, CPR_ERROR_NOT_FOUND, "blocker 1: there is none");
  ck_assert_ptr_nonnull (cpr_ram_new (session, "vga", PAGE, &options, NULL));
  for (uint64_t other = 0; other < 10; other++)
    if (other != b)
      ck_assert (!cpr_blocker_remove (session, other, NULL));
  assert_blockers (session, CPR_MODES_EXEC, "b|*RAM block 'vga': private memory isn't handed over to another program|");
}
END_TEST

static void
remove_it (uint64_t blocker, unsigned modes, const char *reason, void *user_data)
{
  ck_assert (cpr_blocker_remove (session, blocker, NULL));
  if (strcmp (reason, "a") == 0)
    block_exec (session, "c");
}

START_TEST (foreach_may_add_and_remove)
{
  block_exec (session, "a");
  block_exec (session, "b");
  cpr_blocker_foreach (session, CPR_MODES_EXEC, remove_it, NULL);
  assert_blockers (session, CPR_MODES_EXEC, "c|");
}
END_TEST

START_TEST (a_blocked_update_names_all_reasons_in_one_line_and_stops_nothing)
{
  g_autofree char *before = process_describe ();
  uint64_t gpu = block_exec (session, "vGPU 'gpu0': its state can't be saved"),
           plug = block_exec (session, "slot 3: hot-plug is under way");

  ck_assert (!update ());
  ck_assert_str_eq (error->message, "mode exec: it is blocked: vGPU 'gpu0': its state can't be saved; slot 3: hot-plug "
                                    "is under way");
  assert_error (&error, CPR_ERROR_BLOCKED, "");
  ck_assert (!faults.executed);
  ck_assert_int_eq (guest.stops, 0);
  assert_process_is (before);
  ck_assert (cpr_blocker_remove (session, gpu, NULL) && cpr_blocker_remove (session, plug, NULL));
  ck_assert (!update ());
  assert_error (&error, CPR_ERROR_SYSTEM, "execve");
  ck_assert (faults.executed);
}
END_TEST

START_TEST (a_blocker_of_a_required_mode_is_refused_with_both_names)
{
  restart_with (CPR_MODES_EXEC);
  ck_assert_uint_eq (cpr_blocker_add (session, CPR_MODES_ALL, "gpu: no state", &error), 0);
  ck_assert_str_eq (error->message, "mode exec: it is required here, and this would block it: gpu: no state");
  assert_error (&error, CPR_ERROR_BLOCKED, "");
  assert_blockers (session, CPR_MODES_ALL, "");
  restart_with (CPR_MODES_ALL);
  ck_assert_uint_eq (cpr_blocker_add (session, CPR_MODES_EXEC, "gpu: no state", &error), 0);
  assert_error (&error, CPR_ERROR_BLOCKED, "mode exec: ");
}
END_TEST

START_TEST (new_refuses_required_modes_that_there_are_not)
{
  CprSessionConfig config = guest_config (&guest, "vm");

  config.required_modes = 1;
  ck_assert_ptr_null (cpr_session_new (&config, &error));
  assert_error (&error, CPR_ERROR_INVALID, "required_modes: 0x1");
}
END_TEST

START_TEST (private_ram_blocks_as_long_as_it_is_there)
{
  const CprRamOptions options = { .size = sizeof options, .backend = CPR_RAM_PRIVATE };
  CprRamBlock *ram = cpr_ram_new (session, "vga", PAGE, &options, NULL), *other;

  other = cpr_ram_new (session, "rom", PAGE, &options, NULL);
  ck_assert (!update ());
  assert_error (&error, CPR_ERROR_BLOCKED, "RAM block 'vga': private memory");
  ck_assert (cpr_ram_remove (session, ram, NULL));
  assert_blockers (session, CPR_MODES_EXEC, "*RAM block 'rom': private memory isn't handed over to another program|");
  ck_assert (cpr_ram_remove (session, other, NULL));
  assert_blockers (session, CPR_MODES_EXEC, "");
}
END_TEST

static void
assert_ram_refused (const CprRamOptions *options, const char *text)
{
  g_autofree char *before = process_describe ();

  ck_assert_ptr_null (cpr_ram_new (session, "vga", PAGE, options, &error));
  ck_assert_ptr_nonnull (strstr (error->message, "mode exec: it is required here"));
  assert_error (&error, CPR_ERROR_BLOCKED, text);
  assert_process_is (before);
  assert_blockers (session, CPR_MODES_EXEC, "");
}

START_TEST (ram_that_cannot_survive_is_refused_where_it_must)
{
  int zero = open ("/dev/zero", O_RDWR | O_CLOEXEC);
  CprRamOptions options = { .size = sizeof options, .backend = CPR_RAM_PRIVATE, .fd = zero, .path = "/dev/zero" };

  restart_with (CPR_MODES_EXEC);
  assert_ram_refused (&options, "RAM block 'vga': private memory");
  options.backend = CPR_RAM_FD;
  assert_ram_refused (&options, "RAM block 'vga': /dev/zero");
  options.backend = CPR_RAM_FILE;
  assert_ram_refused (&options, "RAM block 'vga': /dev/zero");
  ck_assert_ptr_nonnull (cpr_ram_new (session, "vga", PAGE, NULL, NULL));
  restart_with (0);
  options.backend = CPR_RAM_FD;
  ck_assert_ptr_nonnull (cpr_ram_new (session, "vga", PAGE, &options, NULL));
  ck_assert (!update ());
  assert_error (&error, CPR_ERROR_BLOCKED, "RAM block 'vga': /dev/zero is other memory each time it is mapped");
  close (zero);
}
END_TEST

static int
no_close_range (unsigned first, unsigned last, int flags)
{
  errno = ENOSYS;
  return -1;
}

START_TEST (a_kernel_without_close_range_blocks)
{
  CprSessionConfig config = guest_config (&guest, "vm");
  CprSys old_kernel = cpr_sys_kernel;

  cpr_session_free (session);
  old_kernel.close_range = no_close_range;
  cpr_sys = &old_kernel;
  session = cpr_session_new (&config, &error);
  assert_no_error (error);
  config.required_modes = CPR_MODES_EXEC;
  ck_assert_ptr_null (cpr_session_new (&config, &error));
  cpr_sys = &cpr_sys_kernel;
  assert_error (&error, CPR_ERROR_BLOCKED,
                "mode exec: it is required here, and this would block it: kernel: close_range()");
  guest.running = false;
  ck_assert (cpr_session_load (session, NULL) && cpr_session_start (session, NULL));
  ck_assert (!update ());
  assert_error (&error, CPR_ERROR_BLOCKED, "kernel: close_range()");
}
END_TEST

/* ---- Threads. */

#define N_THREADS 6
#define N_ROUNDS  400

static void
count (uint64_t blocker, unsigned modes, const char *reason, void *user_data)
{
  ck_assert (g_str_has_prefix (reason, "thread") || strcmp (reason, "update: one is under way") == 0);
  ++*(unsigned *) user_data;
}

static void *
add_and_remove (void *data)
{
  GArray *ids = g_array_new (FALSE, FALSE, sizeof (uint64_t));

  for (int i = 0; i < N_ROUNDS; i++)
    {
      g_autoptr (GError) refused = NULL;
      unsigned n = 0;
      uint64_t id = cpr_blocker_add (session, CPR_MODES_ALL, "thread: busy", &refused);

      cpr_blocker_foreach (session, CPR_MODES_EXEC, count, &n);
      if (id == 0)
        {
          ck_assert_int_eq (refused->code, CPR_ERROR_STATE);
          continue;
        }
      ck_assert_uint_ge (n, 1);
      g_array_append_val (ids, id);
      ck_assert (cpr_blocker_remove (session, id, NULL));
    }
  return ids;
}

/* Some of the updates in between go as far as the execve. */
START_TEST (threads_add_and_remove_while_updates_are_tried)
{
  g_autoptr (GHashTable) seen = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
  GThread *threads[N_THREADS];

  for (int i = 0; i < N_THREADS; i++)
    threads[i] = g_thread_new ("blocker", add_and_remove, NULL);
  for (int i = 0; i < 20; i++)
    {
      ck_assert (!update ());
      ck_assert (error->code == CPR_ERROR_SYSTEM || error->code == CPR_ERROR_BLOCKED);
      g_clear_error (&error);
    }
  for (int i = 0; i < N_THREADS; i++)
    {
      g_autoptr (GArray) ids = g_thread_join (threads[i]);

      for (guint j = 0; j < ids->len; j++)
        ck_assert_msg (g_hash_table_add (seen, g_memdup2 (&g_array_index (ids, uint64_t, j), sizeof (uint64_t))),
                       "a number was used twice");
    }
  assert_blockers (session, CPR_MODES_ALL, "");
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("blockers");

  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, add_names_what_is_wrong);
  tcase_add_test (tests, a_reason_is_copied_and_is_one_line);
  tcase_add_test (tests, blockers_are_shown_in_the_order_of_adding_by_mode);
  tcase_add_test (tests, remove_finds_only_what_was_added);
  tcase_add_test (tests, foreach_may_add_and_remove);
  tcase_add_test (tests, a_blocked_update_names_all_reasons_in_one_line_and_stops_nothing);
  tcase_add_test (tests, a_blocker_of_a_required_mode_is_refused_with_both_names);
  tcase_add_test (tests, new_refuses_required_modes_that_there_are_not);
  tcase_add_test (tests, private_ram_blocks_as_long_as_it_is_there);
  tcase_add_test (tests, ram_that_cannot_survive_is_refused_where_it_must);
  tcase_add_test (tests, a_kernel_without_close_range_blocks);
  tcase_add_test (tests, threads_add_and_remove_while_updates_are_tried);
  return run_suite (suite);
}
