/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A program that is asked runs its own start-up, without effects, and answers with what that would
 * take. This program asks itself; its arguments say how its start-up goes. */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define HUGE_SIZE ((size_t) 1 << 30)

/* A disk whose sectors are counted with fewer bits, and one that forgot whether it is dirty. */
typedef struct
{
  uint8_t sector;
  bool dirty;
} SmallDisk;

static const CprField narrow_fields[] = { CPR_FIELD (SmallDisk, sector), CPR_FIELD (SmallDisk, dirty), CPR_FIELD_END };
static const CprField forgetful_fields[] = { CPR_FIELD (Disk, sector), CPR_FIELD_END };
static const CprField trial_fields[] = { CPR_FIELD (Disk, sector), CPR_FIELD (Disk, dirty), CPR_FIELD_END };

#define TYPE(called, fields, of)                                                        \
  {                                                                                     \
    .size = sizeof (CprDeviceType), .name = called, .version = 1, .minimum_version = 1, \
    .state = { "Disk", sizeof (of), fields }, .trial_save = true                        \
  }

static const CprDeviceType trial_type = TYPE ("trial", trial_fields, Disk);
static const CprDeviceType narrow_type = TYPE ("trial", narrow_fields, SmallDisk);
static const CprDeviceType forgetful_type = TYPE ("trial", forgetful_fields, Disk);
static const CprDeviceType own_type = TYPE ("trial", trial_fields, Disk);
static const CprDeviceType other_type = TYPE ("other", trial_fields, Disk);

static GError *error;

/* ---- The program that is asked. */

static const char *how;
static Disk disks[2];

static bool
is (const char *text)
{
  return strcmp (how, text) == 0;
}

static void
demand (bool ok, const char *what)
{
  if (ok)
    return;
  fprintf (stderr, "%s: %s\n", what, error != NULL ? error->message : g_strerror (errno));
  exit (9);
}

static int
never (const char *name, int index, void *user_data, GError **unused)
{
  fprintf (stderr, "the callback of fd '%s' was called\n", name);
  exit (8);
}

/* The usual things that a start-up does with its fds. */
static void
use_fds (int file, int event, int socket_fd)
{
  struct epoll_event wanted = { .events = EPOLLIN };
  struct pollfd poll_fd = { event, POLLIN, 0 };
  int epoll = epoll_create1 (0), kind = 0;
  socklen_t len = sizeof kind;
  uint64_t count = 1;
  struct stat st;
  char byte;

  demand (fstat (file, &st) == 0 && S_ISREG (st.st_mode) && pread (file, &byte, 1, 0) == 0, "the file");
  demand (epoll_ctl (epoll, EPOLL_CTL_ADD, event, &wanted) == 0, "the eventfd in an epoll");
  demand (poll (&poll_fd, 1, 0) == 0 && read (event, &count, sizeof count) < 0 && errno == EAGAIN, "reading nothing");
  demand (write (event, &count, sizeof count) == sizeof count, "writing to the eventfd");
  demand (getsockopt (socket_fd, SOL_SOCKET, SO_TYPE, &kind, &len) == 0 && kind == SOCK_SEQPACKET, "the socket");
  demand (epoll_ctl (epoll, EPOLL_CTL_ADD, socket_fd, &wanted) == 0, "the socket in an epoll");
  demand ((fcntl (file, F_GETFD) & fcntl (event, F_GETFD) & FD_CLOEXEC) != 0, "close-on-exec");
  close (epoll);
}

static void
build_fds (CprSession *session)
{
  int file = cpr_fd_open (session, "disk", 0, never, NULL, &error);
  int event = cpr_fd_open (session, "event", 0, never, NULL, &error);
  int client = -1;

  demand (file >= 0 && event >= 0, "opening");
  demand (cpr_fd_open (session, "disk", 0, never, NULL, NULL) < 0, "opening twice");
  if (!is ("clientless") && !is ("declaring"))
    client = cpr_fd_take (session, "client", 5, &error);
  if (client >= 0)
    use_fds (file, event, client);
  demand (cpr_fd_take (session, "client", 6, NULL) < 0, "taking what isn't there");
  demand (cpr_fd_get (session, "disk", 0) == file, "getting");
  if (is ("more-fds"))
    demand (cpr_fd_open (session, "tap", 0, never, NULL, &error) >= 0, "opening another");
  if (is ("own-fd"))
    demand (cpr_fd_add (session, "timer", 0, eventfd (0, 0), &error), "adding");
  if (is ("fd-again"))
    demand (!cpr_fd_add (session, "client", 5, eventfd (0, 0), NULL), "adding a second one");
  if (is ("drops-fd"))
    demand (cpr_fd_remove (session, "client", 5, &error) && close (client) == 0, "dropping");
}

static void
build_ram (CprSession *session)
{
  const CprRamOptions options = {
    .size = sizeof options, .backend = CPR_RAM_FILE, .path = "/nonexistent/ram", .flags = CPR_RAM_PREALLOC
  };
  const CprRamOptions growing = { .size = sizeof growing, .max_size = 8 * PAGE },
                      outgrown = { .size = sizeof outgrown, .max_size = 2 * PAGE };
  const CprRamOptions *maximum = is ("growing") ? &growing : is ("outgrown") ? &outgrown : NULL;
  CprRamBlock *block =
      is ("ramless")
          ? NULL
          : cpr_ram_new (session, "pc.ram", is ("small") || maximum != NULL ? PAGE : 4 * PAGE, maximum, &error);
  uint64_t *words = block != NULL ? cpr_ram_block_get_vaddr (block) : NULL;

  if (block == NULL)
    {
      demand (error == NULL, "RAM");
      return;
    }
  demand (!is ("growing") || cpr_ram_block_get_size (block) == 4 * PAGE, "RAM that has grown");
  demand (words[0] == 0 && cpr_ram_block_get_fd (block) >= 0, "RAM that can be read");
  words[0] = 1;
  block = cpr_ram_new (session, "huge", is ("smaller") ? PAGE : HUGE_SIZE, &options, &error);
  demand (block != NULL && access (options.path, F_OK) < 0, "RAM in a file");
}

static void
build_devices (CprSession *session)
{
  const CprDeviceType *type = &trial_type;

  if (is ("own-type"))
    type = &own_type;
  else if (is ("narrow"))
    type = &narrow_type;
  else if (is ("forgetful"))
    type = &forgetful_type;
  else if (is ("other-type"))
    type = &other_type;
  if (!is ("diskless"))
    demand (cpr_device_add (session, "sda", type, &disks[0], &error), "a device");
  if (is ("more-devices"))
    demand (cpr_device_add (session, "sdb", &trial_type, &disks[1], &error), "another device");
  if (!is ("containerless"))
    {
      const CprVfioContainerOptions options = { .size = sizeof options,
                                                .backend = CPR_VFIO_TYPE1,
                                                .path = "/nonexistent" };
      CprVfioContainer *container = cpr_vfio_container_new (session, "group", &options, &error);

      demand (container != NULL && cpr_vfio_container_get_fd (container) < 0, "a container");
    }
}

static void
end_early (CprSession *session)
{
  g_autoptr (GError) reason = g_error_new_literal (CPR_ERROR, CPR_ERROR_SYSTEM, "disk: no such file");

  if (is ("aborts"))
    cpr_session_abort (session, reason, NULL);
  if (is ("frees"))
    cpr_session_free (session);
  if (is ("exits"))
    {
      fprintf (stderr, "no luck\n");
      exit (3);
    }
  if (is ("crashes"))
    {
      signal (SIGABRT, SIG_DFL);
      abort ();
    }
  if (is ("hangs"))
    for (;;)
      pause ();
  if (is ("closes"))
    close_range (3, ~0U, 0);
}

static void *
sleep_for_ever (void *unused)
{
  for (;;)
    pause ();
  return NULL;
}

/* What stays of a start-up must not keep its answer back. */
static void
leave_behind (void)
{
  pthread_t thread;

  if (is ("threads"))
    demand (pthread_create (&thread, NULL, sleep_for_ever, NULL) == 0, "a thread");
  if (is ("forks") && fork () == 0)
    sleep_for_ever (NULL);
}

static void
declare (CprInventory *inventory, void *user_data)
{
  cpr_inventory_add_fd_prefix (inventory, "cli");
  cpr_inventory_add_fd (inventory, "tap", 0); /* the start-up says so, too */
  cpr_inventory_add_device (inventory, "sdb", &trial_type);
}

/* `test-rehearsal HOW` */
static int
be_asked (char **argv)
{
  static const CprDeviceType *const types[] = { &trial_type, NULL };
  CprUpdateInfo info = { .size = sizeof info };
  CprSessionConfig config;
  CprSession *session;
  Guest own;

  how = argv[1];
  guest_init (&own);
  config = guest_config (&own, is ("other-vm") ? "other" : "vm");
  config.incoming_flags = CPR_INCOMING_REHEARSE;
  config.device_types = is ("listing") || is ("own-type") ? types : NULL;
  config.declare = is ("declaring") || is ("more-fds") ? declare : NULL;
  session = cpr_session_new (&config, &error);
  demand (session != NULL, "the session");
  demand (g_getenv (CPR_STATE_VARIABLE) == NULL, "the environment");
  demand (cpr_session_is_rehearsal (session) && cpr_session_is_incoming (session), "a rehearsal");
  demand (cpr_session_get_state (session) == CPR_SESSION_STATE_INCOMING, "its state");
  cpr_session_get_update_info (session, &info);
  demand (info.mode == CPR_MODE_EXEC && info.status == CPR_UPDATE_NONE, "the update");
  demand (cpr_session_get_run_state (session) == CPR_RUN_STATE_RUNNING, "the run state");
  build_fds (session);
  build_ram (session);
  build_devices (session);
  leave_behind ();
  end_early (session);
  demand (!cpr_session_start (session, NULL), "starting");
  cpr_session_load (session, &error);
  fprintf (stderr, "%s\n", error->message);
  demand (!cpr_session_load (session, NULL) && cpr_session_get_state (session) == CPR_SESSION_STATE_LOST, "the end");
  cpr_session_free (session);
  return 4;
}

/* ---- The program that asks. */

static char *self;
static Guest guest;
static CprSession *session;
static int fds[4];

static void
setup (void)
{
  static char *argv[] = { NULL, (char *) "willing", NULL };
  const CprRamOptions reserve = { .size = sizeof reserve, .flags = CPR_RAM_DONT_DUMP };
  const CprVfioContainerOptions none = { .size = sizeof none, .backend = CPR_VFIO_NONE };
  CprSessionConfig config;

  guest_init (&guest);
  config = guest_config (&guest, "vm");
  argv[0] = self;
  config.argv = argv;
  config.incoming_flags = CPR_INCOMING_REHEARSE;
  session = cpr_session_new (&config, &error);
  assert_no_error (error);
  ck_assert (!cpr_session_is_rehearsal (session));
  ck_assert (cpr_session_load (session, NULL) && cpr_session_start (session, NULL));
  fds[0] = file_new (PAGE);
  fds[1] = eventfd (7, 0);
  ck_assert_int_eq (socketpair (AF_UNIX, SOCK_SEQPACKET, 0, &fds[2]), 0);
  ck_assert (cpr_fd_add (session, "disk", 0, fds[0], NULL) && cpr_fd_add (session, "event", 0, fds[1], NULL) &&
             cpr_fd_add (session, "client", 5, fds[2], NULL));
  ck_assert_ptr_nonnull (cpr_ram_new (session, "pc.ram", 4 * PAGE, NULL, NULL));
  ck_assert_ptr_nonnull (cpr_ram_new (session, "huge", HUGE_SIZE, &reserve, NULL));
  ck_assert_ptr_nonnull (cpr_vfio_container_new (session, "group", &none, NULL));
  disks[0] = (Disk){ .sector = 1000, .dirty = true };
  ck_assert (cpr_device_add (session, "sda", &trial_type, &disks[0], NULL));
  if (under_valgrind ()) /* it opens /proc/self/exe in its own way, without O_CLOEXEC */
    ck_assert_int_eq (cpr_sys->close_range (3, ~0U, CLOSE_RANGE_CLOEXEC), 0);
}

static void
teardown (void)
{
  ck_assert (guest.running && guest.stops == 0);
  cpr_session_free (session);
  for (size_t i = 0; i < G_N_ELEMENTS (fds); i++)
    close (fds[i]);
  guest_clear (&guest);
}

/* What the new program finds, each followed by "|". */
static char *
ask (const char *way, unsigned timeout_ms)
{
  char *argv[] = { self, (char *) way, NULL };
  const CprUpdate update = {
    .size = sizeof update, .mode = CPR_MODE_EXEC, .argv = argv, .preflight_timeout_ms = timeout_ms
  };
  GString *text = g_string_new (NULL);
  g_autoptr (CprPreflight) result = NULL;
  g_autofree char *before = process_describe ();
  bool ok = cpr_session_preflight (session, &update, &result, &error), refused = false;

  for (size_t i = 0; result != NULL && i < cpr_preflight_get_n_findings (result); i++)
    {
      const CprFinding *finding = cpr_preflight_get_finding (result, i);

      refused |= finding->severity == CPR_SEVERITY_REFUSAL;
      g_string_append_printf (text, "%s%s|", finding->severity == CPR_SEVERITY_LOSS ? "loss: " : "", finding->message);
    }
  ck_assert_msg (ok == !refused && result != NULL, "%s", error != NULL ? error->message : "no error");
  g_clear_error (&error);
  assert_process_is (before);
  return g_string_free (text, FALSE);
}

static void
assert_finds (const char *way, const char *expected)
{
  g_autofree char *found = ask (way, 0);

  ck_assert_str_eq (found, expected);
}

/* @format has the program's path for a "%s". */
static void
assert_no_answer (const char *way, unsigned timeout_ms, const char *how_it_ended)
{
  g_autofree char *found = ask (way, timeout_ms),
                  *expected = g_strdup_printf ("new program '%s': %s|", self, how_it_ended);

  ck_assert_str_eq (found, expected);
}

START_TEST (a_start_up_that_takes_everything_passes)
{
  assert_finds ("willing", "");
  assert_finds ("listing", "");
}
END_TEST

START_TEST (fds_are_compared_with_what_was_taken)
{
  assert_finds ("clientless", "fd 'client' 5: it is in the state, and nobody would take it|");
  assert_finds ("fd-again", "");
  assert_finds ("own-fd", "loss: fd 'timer' 0: it isn't in the state, this program would open a new one|");
  assert_finds ("drops-fd", "");
}
END_TEST

START_TEST (ram_is_compared_with_what_was_made)
{
  assert_finds ("small", "RAM block 'pc.ram': size is 16384 in the state, 4096 here|");
  assert_finds ("growing", "");
  assert_finds ("outgrown", "RAM block 'pc.ram': size is 16384 in the state, at most 8192 here|");
  assert_finds ("smaller", "RAM block 'huge': size is 1073741824 in the state, 4096 here|");
  assert_finds ("ramless", "RAM block 'pc.ram': it is in the state, and nobody would take it|"
                           "RAM block 'huge': it is in the state, and nobody would take it|");
}
END_TEST

START_TEST (devices_and_their_values_are_compared_with_what_was_added)
{
  assert_finds ("diskless", "device 'sda' of type 'trial' is in the state and not here|");
  assert_finds ("more-devices", "device 'sdb': it isn't in the state|");
  assert_finds ("other-type", "device 'sda': type is 'trial' in the state, 'other' here|");
  assert_finds ("own-type", ""); /* another one than the list has, of the same name */
  assert_finds ("narrow", "device 'sda': field 'sector': 1000 doesn't fit into uint of 1 byte|");
  assert_finds ("forgetful", "device 'sda': field 'dirty' is in the state and not known here|");
  assert_finds ("containerless", "VFIO container 'group': it is in the state, and nobody would take it|");
}
END_TEST

START_TEST (a_declaration_adds_to_it)
{
  assert_finds ("declaring", "device 'sdb': it isn't in the state|"
                             "loss: fd 'tap' 0: it isn't in the state, this program would open a new one|");
  assert_finds ("more-fds", "device 'sdb': it isn't in the state|"
                            "loss: fd 'tap' 0: it isn't in the state, this program would open a new one|");
}
END_TEST

START_TEST (the_vm_is_compared)
{
  assert_finds ("other-vm", "VM 'vm': this program is for VM 'other'|");
}
END_TEST

START_TEST (a_start_up_that_gives_up_says_why)
{
  assert_finds ("aborts", "start-up: it failed in its rehearsal: disk: no such file|");
  assert_finds ("frees", "start-up: it failed in its rehearsal: the session was freed before cpr_session_load()|");
}
END_TEST

START_TEST (a_start_up_that_ends_otherwise_is_refused)
{
  assert_no_answer ("exits", 0, "it exited with status 3 without an answer: no luck");
  assert_no_answer ("crashes", 0, "it was killed by signal 6 (Aborted)");
  assert_no_answer ("hangs", 2000, "it gave no answer within 2000 ms, killed");
}
END_TEST

START_TEST (a_start_up_that_closes_the_pipe_fails_in_its_load)
{
  assert_no_answer ("closes", 0,
                    "it exited with status 4 without an answer: question: fd 4 should be the pipe for the answer, and "
                    "is another file");
}
END_TEST

START_TEST (what_a_start_up_leaves_behind_is_ended)
{
  assert_finds ("threads", "");
  assert_finds ("forks", "");
}
END_TEST

int
main (int argc, char **argv)
{
  BEGIN_SUITE ("rehearsal");

  if (g_getenv (CPR_STATE_VARIABLE) != NULL)
    return be_asked (argv);
  self = g_file_read_link ("/proc/self/exe", NULL);
  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, a_start_up_that_takes_everything_passes);
  tcase_add_test (tests, fds_are_compared_with_what_was_taken);
  tcase_add_test (tests, ram_is_compared_with_what_was_made);
  tcase_add_test (tests, devices_and_their_values_are_compared_with_what_was_added);
  tcase_add_test (tests, a_declaration_adds_to_it);
  tcase_add_test (tests, the_vm_is_compared);
  tcase_add_test (tests, a_start_up_that_gives_up_says_why);
  tcase_add_test (tests, a_start_up_that_ends_otherwise_is_refused);
  tcase_add_test (tests, a_start_up_that_closes_the_pipe_fails_in_its_load);
  tcase_add_test (tests, what_a_start_up_leaves_behind_is_ended);
  return run_suite (suite);
}
