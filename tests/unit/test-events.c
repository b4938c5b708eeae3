/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Blockers and notifiers, through the public functions. No execve here succeeds: the kernel's answer is played. */
#include "helpers.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static Guest guest;
static CprSession *session;
static GError *error;

/* What the notifiers were told, as in "b:setup a:setup ", and what the one named `special` does about one event. */
static GString *told;
static struct
{
  char name;
  CprEvent event;
  void (*act) (GError **);
} special;

static const char *const event_names[] = { NULL, "setup", "stopped", "saved", "failed", "done" };

static void
setup (void)
{
  guest_init (&guest);
  error = NULL;
  session = session_new_active (&guest, "vm");
  told = g_string_new (NULL);
  special.act = NULL;
}

static void
teardown (void)
{
  cpr_session_free (session);
  guest_clear (&guest);
  g_string_free (told, TRUE);
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
call_update (void)
{
  static char *argv[] = { (char *) "/bin/true", NULL };
  const CprUpdate to = {
    .size = sizeof to, .mode = CPR_MODE_EXEC, .flags = update_flags () | CPR_UPDATE_NO_PREFLIGHT, .argv = argv
  };

  return cpr_session_update (session, &to, &error);
}

static bool
update (void)
{
  bool ok;

  faults_begin (0, 0, ENOEXEC);
  ok = call_update ();
  faults_end ();
  return ok;
}

/* ---- Blockers. */

static void
collect (uint64_t blocker, unsigned modes, const char *reason, void *user_data)
{
  g_string_append_printf (user_data, "%s%s", blocker == 0 ? "*" : "", reason);
  g_string_append_c (user_data, '|');
}

static void
assert_blockers (unsigned modes, const char *expected)
{
  g_autoptr (GString) found = g_string_new (NULL);

  cpr_blocker_foreach (session, modes, collect, found);
  ck_assert_str_eq (found->str, expected);
}

static uint64_t
block (const char *reason)
{
  uint64_t blocker = cpr_blocker_add (session, CPR_MODES_EXEC, reason, &error);

  assert_no_error (error);
  ck_assert_uint_ne (blocker, 0);
  return blocker;
}

START_TEST (add_names_what_is_wrong)
{
  ck_assert_uint_eq (cpr_blocker_add (session, 0, "why", &error), 0);
  assert_error (&error, CPR_ERROR_INVALID, "blocker: 0x0 isn't a set of modes");
  ck_assert_uint_eq (cpr_blocker_add (session, 1u << 30, "why", &error), 0);
  assert_error (&error, CPR_ERROR_INVALID, "blocker: 0x40000000");
  ck_assert_uint_eq (cpr_blocker_add (session, CPR_MODES_EXEC, "", &error), 0);
  assert_error (&error, CPR_ERROR_INVALID, "blocker: its reason is empty");
  ck_assert_uint_eq (cpr_notifier_add (session, 1u << 30, 0, (CprNotifierFunc) abort, NULL, &error), 0);
  assert_error (&error, CPR_ERROR_INVALID, "notifier: 0x40000000");
  assert_blockers (CPR_MODES_ALL, "");
}
END_TEST

START_TEST (a_reason_is_copied_and_is_one_line)
{
  char reason[] = "gpu: no\nway\tout";

  block (reason);
  reason[0] = 'x';
  assert_blockers (CPR_MODES_EXEC, "gpu: no way out|");
}
END_TEST

START_TEST (blockers_are_shown_in_the_order_of_adding_by_mode)
{
  block ("a");
  ck_assert_uint_ne (cpr_blocker_add (session, CPR_MODES_ALL, "b", NULL), 0);
  block ("a");
  assert_blockers (CPR_MODES_EXEC, "a|b|a|");
  assert_blockers (1u << 5, "b|");
}
END_TEST

START_TEST (remove_finds_only_what_was_added)
{
  const CprRamOptions options = { .size = sizeof options, .backend = CPR_RAM_PRIVATE };
  uint64_t a = block ("a"), b = block ("b");

  ck_assert_uint_ne (a, b);
  ck_assert (cpr_blocker_remove (session, a, &error));
  ck_assert (!cpr_blocker_remove (session, a, &error));
  assert_error (&error, CPR_ERROR_NOT_FOUND, "blocker 1: there is none");
  ck_assert_ptr_nonnull (cpr_ram_new (session, "vga", PAGE, &options, NULL));
  for (uint64_t other = 0; other < 10; other++)
    if (other != b)
      ck_assert (!cpr_blocker_remove (session, other, NULL));
  assert_blockers (CPR_MODES_EXEC, "b|*RAM block 'vga': private memory doesn't survive in exec mode|");
}
END_TEST

static void
remove_it (uint64_t blocker, unsigned modes, const char *reason, void *user_data)
{
  ck_assert (cpr_blocker_remove (session, blocker, NULL));
  if (strcmp (reason, "a") == 0)
    block ("c");
}

START_TEST (foreach_may_add_and_remove)
{
  block ("a");
  block ("b");
  cpr_blocker_foreach (session, CPR_MODES_EXEC, remove_it, NULL);
  assert_blockers (CPR_MODES_EXEC, "c|");
}
END_TEST

START_TEST (a_blocked_update_names_all_reasons_in_one_line_and_stops_nothing)
{
  g_autofree char *before = process_describe ();
  uint64_t gpu = block ("vGPU 'gpu0': its state can't be saved"), plug = block ("slot 3: hot-plug is under way");

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
  assert_blockers (CPR_MODES_ALL, "");
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
  assert_blockers (CPR_MODES_EXEC, "*RAM block 'rom': private memory doesn't survive in exec mode|");
  ck_assert (cpr_ram_remove (session, other, NULL));
  assert_blockers (CPR_MODES_EXEC, "");
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
  assert_blockers (CPR_MODES_EXEC, "");
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

/* ---- Notifiers. */

static bool
listen (CprSession *of, CprEvent event, CprMode mode, void *user_data, GError **veto)
{
  char name = *(const char *) user_data;
  bool acts = special.act != NULL && special.name == name && special.event == event;

  ck_assert_ptr_eq (of, session);
  ck_assert_int_eq (mode, CPR_MODE_EXEC);
  g_string_append_printf (told, "%c:%s ", name, event_names[event]);
  if (acts)
    special.act (veto);
  return !acts || event != CPR_EVENT_SETUP || special.act == NULL;
}

static uint64_t
notify (const char *name, int priority)
{
  uint64_t notifier = cpr_notifier_add (session, CPR_MODES_ALL, priority, listen, (void *) name, &error);

  assert_no_error (error);
  ck_assert_uint_ne (notifier, 0);
  return notifier;
}

static void
assert_told (const char *expected)
{
  ck_assert_str_eq (told->str, expected);
  g_string_truncate (told, 0);
}

/* Lets `name` do something at an event. */
static void
when (char name, CprEvent event, void (*act) (GError **))
{
  special.name = name;
  special.event = event;
  special.act = act;
}

START_TEST (lower_priorities_are_told_first_and_failure_the_other_way_round)
{
  notify ("b", 0);
  notify ("c", 7);
  notify ("d", 0);
  notify ("a", -1);
  ck_assert (!update ());
  assert_error (&error, CPR_ERROR_SYSTEM, "execve");
  assert_told ("a:setup b:setup d:setup c:setup a:stopped b:stopped d:stopped c:stopped "
               "a:saved b:saved d:saved c:saved c:failed d:failed b:failed a:failed ");
  ck_assert (guest.running);
}
END_TEST

static void
refuse (GError **veto)
{
  g_set_error (veto, CPR_ERROR, 77, "dirty pages");
}

static void
refuse_silently (GError **veto)
{
}

START_TEST (a_veto_leaves_nothing_and_only_those_told_of_the_beginning_hear_of_the_end)
{
  g_autofree char *before = process_describe ();
  CprUpdateInfo info = { .size = sizeof info };

  notify ("a", 1);
  notify ("b", 2);
  notify ("c", 3);
  when ('b', CPR_EVENT_SETUP, refuse);
  ck_assert (!update ());
  assert_told ("a:setup b:setup b:failed a:failed ");
  assert_error (&error, 77, "dirty pages");
  when ('a', CPR_EVENT_SETUP, refuse_silently);
  ck_assert (!update ());
  assert_told ("a:setup a:failed ");
  assert_error (&error, CPR_ERROR_CALLBACK, "notifier 1: it vetoed without a reason");
  ck_assert (!faults.executed);
  ck_assert_int_eq (guest.stops, 0);
  ck_assert_int_eq (cpr_session_get_state (session), CPR_SESSION_STATE_ACTIVE);
  assert_process_is (before);
  cpr_session_get_update_info (session, &info);
  ck_assert_int_eq (info.status, CPR_UPDATE_FAILED);
}
END_TEST

START_TEST (a_veto_counts_after_setup_only)
{
  notify ("a", 0);
  when ('a', CPR_EVENT_STOPPED, refuse);
  ck_assert (!update ());
  assert_told ("a:setup a:stopped a:saved a:failed ");
  assert_error (&error, CPR_ERROR_SYSTEM, "execve");
}
END_TEST

START_TEST (who_was_not_told_of_a_beginning_is_told_nothing)
{
  uint64_t blocker = block ("not now");

  notify ("a", 0);
  ck_assert (!update ());
  assert_error (&error, CPR_ERROR_BLOCKED, "not now");
  assert_told ("");
  ck_assert (cpr_blocker_remove (session, blocker, NULL));
  guest.stop = STOP_FAILS;
  ck_assert (!update ());
  g_clear_error (&error);
  assert_told ("a:setup a:failed ");
}
END_TEST

START_TEST (an_update_with_arguments_that_cannot_be_right_is_not_told_of)
{
  const CprUpdate wrong = { .size = sizeof wrong, .mode = (CprMode) 1000 };

  notify ("a", 0);
  ck_assert (!cpr_session_update (session, &wrong, &error));
  assert_error (&error, CPR_ERROR_INVALID, "mode");
  assert_told ("");
}
END_TEST

/* What it is like at each event. */
static void
look_around (GError **veto)
{
  bool stands_still = special.event == CPR_EVENT_STOPPED || special.event == CPR_EVENT_SAVED;
  CprUpdateInfo info = { .size = sizeof info };
  GError *refused = NULL;

  ck_assert (guest.running == !stands_still);
  ck_assert_int_eq (cpr_session_get_state (session),
                    stands_still ? CPR_SESSION_STATE_UPDATING : CPR_SESSION_STATE_ACTIVE);
  ck_assert (!call_update ());
  assert_error (&error, CPR_ERROR_STATE, "cpr_session_update");
  ck_assert (cpr_blocker_add (session, CPR_MODES_EXEC, "late", &refused) != 0 ||
             g_error_matches (refused, CPR_ERROR, CPR_ERROR_STATE));
  ck_assert ((refused != NULL) == stands_still);
  ck_assert ((cpr_notifier_add (session, CPR_MODES_EXEC, 0, listen, (void *) "z", NULL) == 0) == stands_still);
  g_clear_error (&refused);
  cpr_session_get_update_info (session, &info);
  if (special.event == CPR_EVENT_FAILED)
    ck_assert_ptr_nonnull (strstr (info.error, "execve"));
}

START_TEST (the_guest_and_the_session_are_as_documented_at_each_event)
{
  notify ("a", 0);
  when ('a', CPR_EVENT_STOPPED, look_around);
  ck_assert (!update ());
  g_clear_error (&error);
  when ('a', CPR_EVENT_SAVED, look_around);
  ck_assert (!update ());
  g_clear_error (&error);
  when ('a', CPR_EVENT_FAILED, look_around);
  ck_assert (!update ());
  assert_error (&error, CPR_ERROR_SYSTEM, "execve");
  assert_blockers (CPR_MODES_EXEC, "late|");
}
END_TEST

static void
block_now (GError **veto)
{
  block ("slot 3: hot-plug is under way");
  special.act = NULL; /* no veto */
}

START_TEST (a_blocker_added_in_setup_counts)
{
  notify ("a", 0);
  when ('a', CPR_EVENT_SETUP, block_now);
  ck_assert (!update ());
  assert_told ("a:setup a:failed ");
  assert_error (&error, CPR_ERROR_BLOCKED, "hot-plug");
  ck_assert_int_eq (guest.stops, 0);
}
END_TEST

static void
add_private_ram (GError **veto)
{
  const CprRamOptions options = { .size = sizeof options, .backend = CPR_RAM_PRIVATE };

  ck_assert_ptr_nonnull (cpr_ram_new (session, "late", PAGE, &options, NULL));
  special.act = NULL;
}

START_TEST (what_is_registered_in_setup_counts)
{
  notify ("a", 0);
  when ('a', CPR_EVENT_SETUP, add_private_ram);
  ck_assert (!update ());
  assert_error (&error, CPR_ERROR_BLOCKED, "RAM block 'late'");
}
END_TEST

static void
show_blockers (GError **veto)
{
  assert_blockers (CPR_MODES_EXEC, "*update: one is under way|");
}

START_TEST (an_update_under_way_is_a_blocker)
{
  notify ("a", 0);
  when ('a', CPR_EVENT_SAVED, show_blockers);
  ck_assert (!update ());
  g_clear_error (&error);
  assert_blockers (CPR_MODES_ALL, "");
}
END_TEST

static uint64_t victim;

static void
remove_victim (GError **veto)
{
  ck_assert (cpr_notifier_remove (session, victim, NULL));
  special.act = NULL;
}

static void
add_another (GError **veto)
{
  victim = notify ("x", -5);
  special.act = NULL;
}

START_TEST (a_notifier_that_is_removed_in_a_callback_is_told_nothing_more)
{
  notify ("a", 0);
  victim = notify ("b", 1);
  notify ("c", 2);
  when ('a', CPR_EVENT_SETUP, remove_victim);
  ck_assert (!update ());
  g_clear_error (&error);
  assert_told ("a:setup c:setup a:stopped c:stopped a:saved c:saved c:failed a:failed ");
  victim = notify ("d", 0);
  when ('d', CPR_EVENT_FAILED, remove_victim); /* itself */
  ck_assert (!update ());
  g_clear_error (&error);
  assert_told (
      "a:setup d:setup c:setup a:stopped d:stopped c:stopped a:saved d:saved c:saved c:failed d:failed a:failed ");
  ck_assert (!cpr_notifier_remove (session, victim, &error));
  assert_error (&error, CPR_ERROR_NOT_FOUND, "notifier 4: there is none");
}
END_TEST

START_TEST (a_notifier_that_is_added_in_a_callback_is_told_of_the_next_update)
{
  notify ("a", 0);
  when ('a', CPR_EVENT_SETUP, add_another);
  ck_assert (!update ());
  g_clear_error (&error);
  assert_told ("a:setup a:stopped a:saved a:failed ");
  ck_assert (!update ());
  g_clear_error (&error);
  assert_told ("x:setup a:setup x:stopped a:stopped x:saved a:saved a:failed x:failed ");
}
END_TEST

START_TEST (a_fresh_start_is_not_told_of)
{
  CprSessionConfig config = guest_config (&guest, "vm");

  cpr_session_free (session);
  guest.running = false;
  session = cpr_session_new (&config, &error);
  notify ("a", 0);
  ck_assert (cpr_session_load (session, NULL) && cpr_session_start (session, NULL));
  assert_told ("");
}
END_TEST

/* ---- The program that comes out of an update. */

static void
try_update (GError **veto)
{
  ck_assert (guest.running);
  ck_assert_int_eq (cpr_session_get_state (session), CPR_SESSION_STATE_ACTIVE);
  ck_assert (!call_update ());
  assert_error (&error, CPR_ERROR_STATE, "cpr_session_update: not permitted in a notifier's callback");
}

/* The session becomes one that took up a state, with the notifiers a and b. @attempt: 1: on the way there. */
static void
take_up (Offer *offer, Machine *machine, unsigned attempt)
{
  CprBatonWord first = { CPR_BATON_OFFERED, 1, getpid () }, second = { CPR_BATON_OFFERED, 2, getpid () };
  CprSessionConfig config = guest_config (&guest, MACHINE_NAME);
  g_autofree char *number = NULL;
  CprManifest head;

  cpr_session_free (session);
  guest.running = false;
  machine_init (machine);
  machine_head (&head);
  offer_make (offer, machine, &head);
  if (attempt == 2)
    ck_assert (cpr_baton_move (offer->exec.baton.page, first, second));
  strcpy (offer->exec.baton.page->reason, "device 'sda': no");
  number = g_strdup_printf ("%d", offer->state_fd);
  g_setenv (CPR_STATE_VARIABLE, number, TRUE);
  machine->block->owned = false;
  session = cpr_session_new (&config, &error);
  assert_no_error (error);
  notify ("b", 2);
  notify ("a", 1);
}

static void
start (Serial *serial, Disk *disk)
{
  ck_assert_ptr_nonnull (cpr_ram_new (session, "pc.ram", 4 * PAGE, NULL, &error));
  ck_assert_int_ge (cpr_fd_take (session, "console", 0, &error), 0);
  ck_assert_int_ge (cpr_fd_take (session, "console", 1, &error), 0);
  ck_assert (cpr_device_add (session, "com1", &serial_type, serial, &error));
  ck_assert (cpr_device_add (session, "sda", &disk_type, disk, &error));
  ck_assert (cpr_session_load (session, &error) && cpr_session_start (session, &error));
}

static void
end (Offer *offer, Machine *machine)
{
  cpr_session_free (session);
  session = NULL;
  offer_clear (offer, machine);
}

START_TEST (the_new_program_is_told_done)
{
  Serial serial = { .ier = 0 };
  Disk disk = { .sector = 0 };
  Machine machine;
  Offer offer;

  take_up (&offer, &machine, 1);
  when ('b', CPR_EVENT_DONE, try_update);
  assert_told ("");
  start (&serial, &disk);
  assert_told ("a:done b:done ");
  end (&offer, &machine);
}
END_TEST

START_TEST (the_old_program_executed_again_is_told_failed)
{
  Serial serial = { .ier = 0 };
  Disk disk = { .sector = 0 };
  Machine machine;
  Offer offer;

  take_up (&offer, &machine, 2);
  when ('b', CPR_EVENT_FAILED, try_update);
  start (&serial, &disk);
  assert_told ("b:failed a:failed ");
  end (&offer, &machine);
}
END_TEST

START_TEST (a_new_program_that_fails_tells_nobody)
{
  Machine machine;
  Offer offer;

  take_up (&offer, &machine, 1);
  faults_begin (0, 0, EPERM);
  ck_assert (!cpr_session_load (session, &error));
  faults_end ();
  g_clear_error (&error);
  assert_told ("");
  end (&offer, &machine);
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

/* In between the update goes as far as the execve, now and then. */
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
  assert_blockers (CPR_MODES_ALL, "");
}
END_TEST

static void
add_blockers (TCase *tests)
{
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
}

int
main (void)
{
  BEGIN_SUITE ("events");

  tcase_add_checked_fixture (tests, setup, teardown);
  add_blockers (tests);
  tcase_add_test (tests, lower_priorities_are_told_first_and_failure_the_other_way_round);
  tcase_add_test (tests, a_veto_leaves_nothing_and_only_those_told_of_the_beginning_hear_of_the_end);
  tcase_add_test (tests, a_veto_counts_after_setup_only);
  tcase_add_test (tests, who_was_not_told_of_a_beginning_is_told_nothing);
  tcase_add_test (tests, an_update_with_arguments_that_cannot_be_right_is_not_told_of);
  tcase_add_test (tests, the_guest_and_the_session_are_as_documented_at_each_event);
  tcase_add_test (tests, a_blocker_added_in_setup_counts);
  tcase_add_test (tests, what_is_registered_in_setup_counts);
  tcase_add_test (tests, an_update_under_way_is_a_blocker);
  tcase_add_test (tests, a_notifier_that_is_removed_in_a_callback_is_told_nothing_more);
  tcase_add_test (tests, a_notifier_that_is_added_in_a_callback_is_told_of_the_next_update);
  tcase_add_test (tests, a_fresh_start_is_not_told_of);
  tcase_add_test (tests, the_new_program_is_told_done);
  tcase_add_test (tests, the_old_program_executed_again_is_told_failed);
  tcase_add_test (tests, a_new_program_that_fails_tells_nobody);
  return run_suite (suite);
}
