/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table state × call against what the public headers print. */
#include "vfio-programs.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "chardev/device.h"
#include "kvm/state.h"

#define N_STATES      7
#define ALL           ((1u << N_STATES) - 1)
#define NOT_FOUND     UINT_MAX
#define IN_A_CALLBACK (UINT_MAX - 1)

static const char *const words[N_STATES] = {
  "FRESH", "INCOMING", "LOADED", "ACTIVE", "UPDATING", "LOST", "HANDED_OVER"
};

/* From a folder of the source tree; make sets the variables. */
static char *
read_headers (void)
{
  static const char *const names[] = { "error",    "session", "run-state", "exit",    "fd",     "ram",
                                       "device",   "update",  "preflight", "event",   "gate",   "vfio",
                                       "vfio-irq", "kvm",     "kvm-irq",   "kvm-run", "chardev" };
  const char *top = g_getenv ("abs_top_srcdir") != NULL ? g_getenv ("abs_top_srcdir") : g_getenv ("top_srcdir");
  GString *all = g_string_new (NULL);

  for (size_t i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *path = g_strdup_printf ("%s/include/libcpr/%s.h", top != NULL ? top : ".", names[i]);
      g_autofree char *text = NULL;

      ck_assert_msg (g_file_get_contents (path, &text, NULL, NULL), "%s: set abs_top_srcdir", path);
      g_string_append (all, text);
    }
  return g_string_free (all, FALSE);
}

/* The doc comment of @function, without the stars at the beginning of its lines; NULL if there
 * is none. */
static char *
find_comment (const char *headers, const char *function)
{
  g_autofree char *head = g_strdup_printf ("/**\n * %s:\n", function);
  const char *start = strstr (headers, head), *end = start != NULL ? strstr (start, "*/") : NULL;
  g_autofree char *comment = NULL;
  g_auto (GStrv) lines = NULL;

  if (end == NULL)
    return NULL;
  comment = g_strndup (start, (gsize) (end - start));
  lines = g_strsplit (comment, "\n * ", -1);
  return g_strjoinv (" ", lines);
}

/* "FRESH, INCOMING (so-and-so). Then LOADED." to bits: what stands before the full stop, without
 * parentheses. "In so-and-so only" is of functions that take what just a callback gets. */
static unsigned
parse_states (const char *comment)
{
  const char *at = strstr (comment, "Permitted states:");
  g_autoptr (GString) list = g_string_new (NULL);
  unsigned states = 0, depth = 0;

  if (at == NULL)
    return NOT_FOUND;
  for (at += strlen ("Permitted states:"); *at != '\0' && (*at != '.' || depth > 0); at++)
    {
      depth += *at == '(';
      if (depth == 0)
        g_string_append_c (list, *at);
      depth -= *at == ')';
    }
  if (strstr (list->str, "needs no session") != NULL)
    return ALL;
  if (g_str_has_prefix (list->str, " in ") && g_str_has_suffix (list->str, " only"))
    return IN_A_CALLBACK;
  for (unsigned i = 0; i < N_STATES; i++)
    if (strstr (list->str, words[i]) != NULL)
      states |= 1u << i;
  if (strstr (list->str, "all but") != NULL)
    return ALL & ~states;
  return strstr (list->str, "all") != NULL ? ALL : states;
}

START_TEST (the_headers_print_the_table)
{
  g_autofree char *headers = read_headers ();

  for (CprCall call = 0; call < CPR_N_CALLS; call++)
    {
      const char *name = cpr_call_get_name (call);
      g_autofree char *comment = find_comment (headers, name);
      unsigned states;

      ck_assert_msg (comment != NULL, "%s isn't documented", name);
      states = parse_states (comment);
      ck_assert_msg (states != NOT_FOUND && states != IN_A_CALLBACK && states != 0,
                     "%s: its permitted states aren't printed", name);
      for (unsigned i = 0; i < N_STATES; i++)
        ck_assert_msg (cpr_call_is_permitted (call, (CprSessionState) i, false) == ((states >> i & 1) != 0), "%s in %s",
                       name, words[i]);
    }
}
END_TEST

static bool
is_in_table (const char *name)
{
  for (CprCall call = 0; call < CPR_N_CALLS; call++)
    if (strcmp (cpr_call_get_name (call), name) == 0)
      return true;
  return false;
}

START_TEST (a_function_that_is_not_in_the_table_is_permitted_always_or_in_a_callback)
{
  g_autofree char *headers = read_headers ();
  g_autoptr (GRegex) regex = g_regex_new ("^CPR_API [^(]*?(cpr_[a-z0-9_]+) \\(", G_REGEX_MULTILINE, 0, NULL);
  GMatchInfo *match;
  unsigned found = 0;

  for (g_regex_match (regex, headers, 0, &match); g_match_info_matches (match); g_match_info_next (match, NULL))
    {
      g_autofree char *name = g_match_info_fetch (match, 1);
      g_autofree char *comment = find_comment (headers, name);
      unsigned states = comment != NULL ? parse_states (comment) : NOT_FOUND;

      found++;
      ck_assert_msg (states != NOT_FOUND, "%s: its permitted states aren't printed", name);
      ck_assert_msg (is_in_table (name) || states == ALL || states == IN_A_CALLBACK,
                     "%s has states but isn't in the table", name);
    }
  g_match_info_free (match);
  ck_assert_uint_gt (found, CPR_N_CALLS);
}
END_TEST

/* "(in reboot mode INCOMING and LOADED, too)". */
START_TEST (the_headers_print_what_reboot_mode_adds)
{
  g_autofree char *headers = read_headers ();
  unsigned n = 0;

  for (CprCall call = 0; call < CPR_N_CALLS; call++)
    {
      g_autofree char *comment = find_comment (headers, cpr_call_get_name (call));
      bool printed = strstr (comment, "(in reboot mode INCOMING and LOADED, too)") != NULL;

      n += printed;
      for (CprSessionState state = CPR_SESSION_STATE_FRESH; state <= CPR_SESSION_STATE_HANDED_OVER; state++)
        {
          bool early = state == CPR_SESSION_STATE_INCOMING || state == CPR_SESSION_STATE_LOADED;

          ck_assert_msg (cpr_call_is_permitted (call, state, true) ==
                             (cpr_call_is_permitted (call, state, false) || (printed && early)),
                         "%s in %s", cpr_call_get_name (call), words[state]);
        }
    }
  ck_assert_uint_gt (n, 0);
}
END_TEST

START_TEST (a_refused_call_names_itself_and_the_state)
{
  CprSession session = { .pid = getpid (), .notifiers = cpr_notifiers_new () };

  for (CprCall call = 0; call < CPR_N_CALLS; call++)
    for (CprSessionState state = CPR_SESSION_STATE_FRESH; state <= CPR_SESSION_STATE_HANDED_OVER; state++)
      {
        GError *error = NULL;

        session.state = state;
        ck_assert (cpr_session_check_call (&session, call, &error) == cpr_call_is_permitted (call, state, false));
        ck_assert ((error == NULL) == cpr_call_is_permitted (call, state, false));
        if (error == NULL)
          continue;
        ck_assert_ptr_nonnull (strstr (error->message, cpr_session_state_get_name (state)));
        assert_error (&error, CPR_ERROR_STATE, cpr_call_get_name (call));
      }
  cpr_notifiers_free (session.notifiers);
}
END_TEST

START_TEST (a_call_that_comes_too_early_names_the_missing_one)
{
  static const struct
  {
    CprCall call;
    CprSessionState state;
    const char *end;
  } refused[] = {
    { CPR_CALL_START, CPR_SESSION_STATE_FRESH,
      "start: not permitted in a session that is fresh: call cpr_session_load() first" },
    { CPR_CALL_START, CPR_SESSION_STATE_INCOMING, "that is incoming: call cpr_session_load() first" },
    { CPR_CALL_START, CPR_SESSION_STATE_ACTIVE, "that is active" },
    { CPR_CALL_UPDATE, CPR_SESSION_STATE_FRESH, "that is fresh: call cpr_session_start() first" },
    { CPR_CALL_PAUSE, CPR_SESSION_STATE_LOADED, "that is loaded: call cpr_session_start() first" },
    { CPR_CALL_UPDATE, CPR_SESSION_STATE_LOST, "that is lost" },
    { CPR_CALL_ABORT, CPR_SESSION_STATE_FRESH, "that is fresh" },
    { CPR_CALL_FD_TAKE, CPR_SESSION_STATE_LOADED, "that is loaded" },
  };

  for (size_t i = 0; i < G_N_ELEMENTS (refused); i++)
    {
      CprSession session = { .pid = getpid (), .state = refused[i].state, .notifiers = cpr_notifiers_new () };
      g_autoptr (GError) error = NULL;

      ck_assert (!cpr_session_check_call (&session, refused[i].call, &error));
      ck_assert_msg (g_str_has_suffix (error->message, refused[i].end), "%s", error->message);
      cpr_notifiers_free (session.notifiers);
    }
}
END_TEST

START_TEST (states_have_the_names_of_their_constants)
{
  for (unsigned i = 0; i < N_STATES; i++)
    {
      g_autofree char *name = g_strdelimit (g_strdup (words[i]), "_", ' ');

      ck_assert_int_eq (g_ascii_strcasecmp (cpr_session_state_get_name ((CprSessionState) i), name), 0);
    }
}
END_TEST

START_TEST (who_lost_the_guest_may_only_clean_up)
{
  for (CprCall call = 0; call < CPR_N_CALLS; call++)
    {
      bool cleans_up = call == CPR_CALL_FREE || strstr (cpr_call_get_name (call), "_remove") != NULL ||
                       strstr (cpr_call_get_name (call), "_release_fd") != NULL;

      ck_assert (cleans_up || !cpr_call_is_permitted (call, CPR_SESSION_STATE_LOST, false));
      ck_assert (cleans_up || !cpr_call_is_permitted (call, CPR_SESSION_STATE_HANDED_OVER, false));
      ck_assert (!cpr_call_is_permitted (call, CPR_SESSION_STATE_UPDATING, false));
    }
  ck_assert (cpr_call_is_permitted (CPR_CALL_FREE, CPR_SESSION_STATE_LOST, false));
  ck_assert (cpr_call_is_permitted (CPR_CALL_FREE, CPR_SESSION_STATE_HANDED_OVER, false));
}
END_TEST

/* ---- A forked child: it has all that the session has, and may free it. */

static bool
notify (CprSession *session G_GNUC_UNUSED,
        CprEvent event G_GNUC_UNUSED,
        CprMode mode G_GNUC_UNUSED,
        void *user_data G_GNUC_UNUSED,
        GError **error G_GNUC_UNUSED)
{
  return true;
}

static int
open_nothing (const char *name G_GNUC_UNUSED,
              int index G_GNUC_UNUSED,
              void *user_data G_GNUC_UNUSED,
              GError **error G_GNUC_UNUSED)
{
  ck_abort_msg ("the callback was called");
  return -1;
}

static bool
take_nothing (const char *name G_GNUC_UNUSED,
              int index G_GNUC_UNUSED,
              int fd G_GNUC_UNUSED,
              void *user_data G_GNUC_UNUSED,
              GError **error G_GNUC_UNUSED)
{
  ck_abort_msg ("the callback was called");
  return false;
}

/* Makes the call with arguments that are good enough for the session's own process. */
static void
make_session_call (VfioProgram *program, CprCall call, GError **error)
{
  static char name[] = "vmm", *const argv[] = { name, NULL };
  static const CprUpdate update = { .size = sizeof update, .mode = CPR_MODE_EXEC, .argv = argv };
  static char text[] = "reason";
  const GError reason = { CPR_ERROR, CPR_ERROR_CALLBACK, text };
  CprSession *session = program->session;

  switch (call)
    {
    case CPR_CALL_LOAD:
      cpr_session_load (session, error);
      break;
    case CPR_CALL_START:
      cpr_session_start (session, error);
      break;
    case CPR_CALL_ABORT:
      cpr_session_abort (session, &reason, error);
      break;
    case CPR_CALL_SET_ARGV:
      cpr_session_set_argv (session, argv, error);
      break;
    case CPR_CALL_DEFER:
      cpr_session_defer (session, true, error);
      break;
    case CPR_CALL_PAUSE:
      cpr_session_pause (session, error);
      break;
    case CPR_CALL_RESUME:
      cpr_session_resume (session, error);
      break;
    case CPR_CALL_SUSPEND:
      cpr_session_suspend (session, error);
      break;
    case CPR_CALL_WAKEUP:
      cpr_session_wakeup (session, error);
      break;
    case CPR_CALL_PREFLIGHT:
      cpr_session_preflight (session, &update, NULL, error);
      break;
    case CPR_CALL_UPDATE:
      cpr_session_update (session, &update, error);
      break;
    default:
      ck_abort_msg ("%s: there is no test that makes the call", cpr_call_get_name (call));
    }
}

/* None of them gets as far as the VM. */
static void
make_kvm_call (VfioProgram *program, CprCall call, GError **error)
{
  CprKvmVm vm = { .session = program->session };
  CprChardev chardev = { .session = program->session };

  switch (call)
    {
    case CPR_CALL_CHARDEV_NEW:
      cpr_chardev_new (program->session, "new", "null", error);
      break;
    case CPR_CALL_CHARDEV_NEW_SERVER:
      cpr_chardev_new_server (program->session, "new", "unix:/nowhere/x,server=on,wait=off", 1, error);
      break;
    case CPR_CALL_CHARDEV_REMOVE:
      cpr_chardev_remove (&chardev, error);
      break;
    case CPR_CALL_KVM_VM_NEW:
      cpr_kvm_vm_new (program->session, "new", -1, -1, 0, error);
      break;
    case CPR_CALL_KVM_VM_REMOVE:
      cpr_kvm_vm_remove (&vm, error);
      break;
    case CPR_CALL_KVM_VCPU_ADD:
      cpr_kvm_vcpu_add (&vm, 0, -1, error);
      break;
    case CPR_CALL_KVM_VCPU_REMOVE:
      cpr_kvm_vcpu_remove (&vm, 0, error);
      break;
    case CPR_CALL_KVM_GIC_ADD:
      cpr_kvm_gic_add (&vm, -1, error);
      break;
    case CPR_CALL_KVM_ITS_ADD:
      cpr_kvm_its_add (&vm, -1, error);
      break;
    default:
      make_session_call (program, call, error);
    }
}

static void
make_vfio_call (VfioProgram *program, CprCall call, GError **error)
{
  static uint8_t config[256];
  const CprVfioPciOptions pci = { sizeof pci, config, sizeof config, config, NULL };

  switch (call)
    {
    case CPR_CALL_VFIO_CONTAINER_NEW:
      cpr_vfio_container_new (program->session, "new", NULL, error);
      break;
    case CPR_CALL_VFIO_CONTAINER_REMOVE:
      cpr_vfio_container_remove (program->container, error);
      break;
    case CPR_CALL_VFIO_DEVICE_NEW:
      cpr_vfio_device_new (program->container, "new", sim_path ("0000:00:05.0"), NULL, error);
      break;
    case CPR_CALL_VFIO_DEVICE_REMOVE:
      cpr_vfio_device_remove (program->device, error);
      break;
    case CPR_CALL_VFIO_IRQ_OPEN:
      cpr_vfio_irq_open (program->device, 1, 0, CPR_VFIO_IRQ_TRIGGER, error);
      break;
    case CPR_CALL_VFIO_IRQ_ENABLE:
      cpr_vfio_irq_enable (program->device, 1, 0, 1, CPR_VFIO_IRQ_TRIGGER, error);
      break;
    case CPR_CALL_VFIO_IRQ_DISABLE:
      cpr_vfio_irq_disable (program->device, 1, error);
      break;
    case CPR_CALL_VFIO_IRQ_CLOSE:
      cpr_vfio_irq_close (program->device, 1, 0, CPR_VFIO_IRQ_TRIGGER, error);
      break;
    case CPR_CALL_VFIO_PCI_ADD:
      cpr_vfio_pci_add (program->device, "new", &pci, error);
      break;
    case CPR_CALL_DMA_MAP:
      cpr_dma_map (program->container, 0, program->ram, 0, PAGE, MAP_RW, error);
      break;
    case CPR_CALL_DMA_UNMAP:
      cpr_dma_unmap (program->container, 0, PAGE, error);
      break;
    default:
      make_kvm_call (program, call, error);
    }
}

static void
make_fd_call (VfioProgram *program, CprCall call, GError **error)
{
  CprSession *session = program->session;

  switch (call)
    {
    case CPR_CALL_FD_ADD:
      cpr_fd_add (session, "new", 0, STDERR_FILENO, error);
      break;
    case CPR_CALL_FD_TAKE:
      cpr_fd_take (session, "new", 0, error);
      break;
    case CPR_CALL_FD_TAKE_ALL:
      cpr_fd_take_all (session, "", take_nothing, NULL, error);
      break;
    case CPR_CALL_FD_OPEN:
      cpr_fd_open (session, "new", 0, open_nothing, NULL, error);
      break;
    case CPR_CALL_FD_OPEN_LISTENER:
      cpr_fd_open_listener (session, "new", 0, "", error);
      break;
    case CPR_CALL_FD_OPEN_EVENTFD:
      cpr_fd_open_eventfd (session, "new", 0, error);
      break;
    case CPR_CALL_FD_REMOVE:
      cpr_fd_remove (session, "new", 0, error);
      break;
    case CPR_CALL_HOLD_FD:
      cpr_session_hold_fd (session, 3, error);
      break;
    case CPR_CALL_RELEASE_FD:
      cpr_session_release_fd (session, 3, error);
      break;
    default:
      make_vfio_call (program, call, error);
    }
}

static void
make_call (VfioProgram *program, CprCall call, GError **error)
{
  static Disk disk;
  CprSession *session = program->session;

  switch (call)
    {
    case CPR_CALL_RAM_NEW:
      cpr_ram_new (session, "new", PAGE, NULL, error);
      break;
    case CPR_CALL_RAM_GROW:
      cpr_ram_grow (session, program->ram, PAGE, error);
      break;
    case CPR_CALL_RAM_REMOVE:
      cpr_ram_remove (session, program->ram, error);
      break;
    case CPR_CALL_DEVICE_ADD:
      cpr_device_add (session, "new", &disk_type, &disk, error);
      break;
    case CPR_CALL_DEVICE_REMOVE:
      cpr_device_remove (session, "new", error);
      break;
    case CPR_CALL_NOTIFIER_ADD:
      cpr_notifier_add (session, CPR_MODES_ALL, 0, notify, NULL, error);
      break;
    case CPR_CALL_NOTIFIER_REMOVE:
      cpr_notifier_remove (session, 1, error);
      break;
    default:
      make_fd_call (program, call, error);
    }
}

static void
assert_not_mine (GError **error, const char *name)
{
  ck_assert_msg (*error != NULL, "%s did something in a forked child", name);
  ck_assert_msg (g_str_has_prefix ((*error)->message, name), "%s said: %s", name, (*error)->message);
  assert_error (error, CPR_ERROR_STATE, ": the session belongs to process ");
}

static void
show_nothing (uint64_t blocker G_GNUC_UNUSED,
              unsigned modes G_GNUC_UNUSED,
              const char *reason G_GNUC_UNUSED,
              void *user_data G_GNUC_UNUSED)
{
  ck_abort_msg ("a forked child was shown a blocker");
}

/* Calls that are permitted in all states; those that only look aren't here. */
static void
make_calls_without_states (CprSession *session)
{
  GError *error = NULL;

  cpr_blocker_add (session, CPR_MODES_EXEC, "new", &error);
  assert_not_mine (&error, "cpr_blocker_add");
  cpr_blocker_remove (session, 1, &error);
  assert_not_mine (&error, "cpr_blocker_remove");
  cpr_blocker_foreach (session, CPR_MODES_ALL, show_nothing, NULL);
  cpr_session_cancel (session);
}

static int
be_a_child (VfioProgram *program)
{
  CprSession *session = program->session;
  GError *error = NULL;

  for (CprSessionState state = CPR_SESSION_STATE_FRESH; state <= CPR_SESSION_STATE_HANDED_OVER; state++)
    {
      session->state = state;
      for (CprCall call = 0; call < CPR_N_CALLS; call++)
        if (call != CPR_CALL_FREE)
          {
            make_call (program, call, &error);
            assert_not_mine (&error, cpr_call_get_name (call));
          }
      make_calls_without_states (session);
      ck_assert_int_eq (cpr_session_get_state (session), state);
    }
  session->state = CPR_SESSION_STATE_ACTIVE;
  cpr_session_free (session);
  return 0;
}

/* A failed assertion ends the child like a program of its own. */
START_TEST (a_forked_child_may_only_free_the_session)
{
  VfioProgram program;
  GError *error = NULL;
  uint64_t blocker, count;
  int status, cancel_fd;
  pid_t child;

  sim_begin ();
  vfio_program_start (&program, CPR_VFIO_TYPE1);
  blocker = cpr_blocker_add (program.session, CPR_MODES_EXEC, "reason", &error);
  cancel_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  program.session->cancel_fd = cancel_fd; /* as after an update that can be cancelled */
  child = fork ();
  if (child == 0)
    {
      sim_forked ();
      setpgid (0, 0); /* Check kills the group of what fails */
      _exit (be_a_child (&program));
    }
  ck_assert_int_eq (waitpid (child, &status, 0), child);
  ck_assert_int_eq (status, 0);
  ck_assert_msg (read (cancel_fd, &count, sizeof count) < 0, "the child cancelled its parent's update");
  ck_assert (cpr_blocker_remove (program.session, blocker, &error));
  ck_assert (vfio_map (&program, 0, 0, 1, &error));
  ck_assert (cpr_dma_unmap (program.container, 0, PAGE, &error));
  vfio_program_clear (&program);
  sim_end ();
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("states");

  tcase_add_test (tests, the_headers_print_the_table);
  tcase_add_test (tests, a_function_that_is_not_in_the_table_is_permitted_always_or_in_a_callback);
  tcase_add_test (tests, the_headers_print_what_reboot_mode_adds);
  tcase_add_test (tests, a_refused_call_names_itself_and_the_state);
  tcase_add_test (tests, a_call_that_comes_too_early_names_the_missing_one);
  tcase_add_test (tests, states_have_the_names_of_their_constants);
  tcase_add_test (tests, who_lost_the_guest_may_only_clean_up);
  tcase_add_test (tests, a_forked_child_may_only_free_the_session);
  return run_suite (suite);
}
