/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Transfer mode through the public API: this process is the old program, a child of it the new
 * one. */
#include "helpers.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define VM        "vm1"
#define N_PIPES   600 /* more than go into one message */
#define GOOD_EXIT 7

typedef struct
{
  uint32_t value;
} Box;

static const CprField box_fields[] = { CPR_FIELD (Box, value), CPR_FIELD_END };
static const CprDeviceType box_type = {
  .size = sizeof (CprDeviceType),
  .name = "box",
  .version = 1,
  .minimum_version = 1,
  .state = { "Box", sizeof (Box), box_fields },
};
static const CprDeviceType *const types[] = { &box_type, NULL };

static CprSession *session;
static unsigned n_stops, n_starts;
static int spare_fd = -1;

/* What is wrong with the new program's config. */
static enum
{
  NOTHING,
  NO_START,
  FOR_A_LATER_LIBRARY
} fault;

/* Nothing can be registered now that the new program has built everything. */
static bool
stop (void *user_data, GError **error)
{
  GError *refused = NULL;

  n_stops++;
  ck_assert (!cpr_fd_add (session, "late", 0, spare_fd, &refused));
  ck_assert_int_eq (refused->code, CPR_ERROR_STATE);
  g_clear_error (&refused);
  ck_assert (!cpr_fd_remove (session, "pipe", 0, NULL));
  ck_assert_ptr_null (cpr_ram_new (session, "late", PAGE, NULL, NULL));
  return true;
}

static void
start (void *user_data)
{
  n_starts++;
}

static CprSessionConfig
make_config (const char *incoming)
{
  return (CprSessionConfig){ .size = sizeof (CprSessionConfig),
                             .name = VM,
                             .stop = stop,
                             .start = start,
                             .device_types = types,
                             .incoming = incoming };
}

static CprSession *
make_new (const char *uri)
{
  struct
  {
    CprSessionConfig known;
    uint64_t more;
  } config = { .known = make_config (uri), .more = 1 };

  if (fault == NO_START)
    config.known.start = NULL;
  if (fault == FOR_A_LATER_LIBRARY)
    config.known.size = sizeof config;
  return cpr_session_new (&config.known, NULL);
}

/* The new program; its exit status says how far it came. */
static int
run_new (const char *uri, bool commits)
{
  CprSession *new = make_new (uri);
  Box box = { 0 };
  CprRamBlock *ram;

  if (new == NULL)
    return 1;
  ram = cpr_ram_new (new, "ram", PAGE, NULL, NULL);
  if (ram == NULL || strcmp (cpr_ram_block_get_vaddr (ram), "in RAM") != 0)
    return 2;
  for (int i = 0; i < N_PIPES; i++)
    {
      int fd = cpr_fd_take (new, "pipe", i, NULL);
      uint32_t number;

      if (fd < 0 || (i % 2 == 0 && (read (fd, &number, sizeof number) != sizeof number || number != (uint32_t) i)))
        return 3;
    }
  if (!cpr_device_add (new, "box", &box_type, &box, NULL) || !cpr_session_load (new, NULL) || box.value != 4711)
    return 4;
  if (!commits)
    {
      cpr_session_free (new); /* before the commit: going back */
      return 5;
    }
  if (!cpr_session_start (new, NULL) || n_starts != 1)
    return 6;
  cpr_session_free (new);
  return GOOD_EXIT;
}

typedef struct
{
  int ends[2];
  pid_t pid;
  char uri[32];
} Successor;

/* Comes before the session and its threads, because the child would inherit them. */
static void
successor_start (Successor *successor, bool commits)
{
  ck_assert_int_eq (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, successor->ends), 0);
  n_stops = n_starts = 0;
  successor->pid = fork ();
  if (successor->pid == 0)
    {
      close (successor->ends[0]);
      g_snprintf (successor->uri, sizeof successor->uri, "unix-fd:%d", successor->ends[1]);
      _exit (run_new (successor->uri, commits));
    }
  close (successor->ends[1]);
  g_snprintf (successor->uri, sizeof successor->uri, "unix-fd:%d", successor->ends[0]);
}

static int
successor_end (Successor *successor)
{
  int status;

  close (successor->ends[0]);
  ck_assert_int_eq (waitpid (successor->pid, &status, 0), successor->pid);
  return WIFEXITED (status) ? WEXITSTATUS (status) : -1;
}

static int pipes[N_PIPES / 2][2];
static Box box = { 4711 };

static void
session_make (void)
{
  const CprSessionConfig config = make_config (NULL);
  GError *error = NULL;
  CprRamBlock *ram;

  session = cpr_session_new (&config, &error);
  assert_no_error (error);
  ram = cpr_ram_new (session, "ram", PAGE, NULL, NULL);
  strcpy (cpr_ram_block_get_vaddr (ram), "in RAM");
  for (int i = 0; i < N_PIPES / 2; i++)
    {
      uint32_t number = (uint32_t) (2 * i);

      ck_assert_int_eq (pipe2 (pipes[i], O_CLOEXEC), 0);
      ck_assert_int_eq (write (pipes[i][1], &number, sizeof number), sizeof number);
      ck_assert (cpr_fd_add (session, "pipe", 2 * i, pipes[i][0], NULL));
      ck_assert (cpr_fd_add (session, "pipe", 2 * i + 1, pipes[i][1], NULL));
    }
  spare_fd = open ("/dev/null", O_RDWR | O_CLOEXEC);
  ck_assert (cpr_device_add (session, "box", &box_type, &box, NULL));
  ck_assert (cpr_session_load (session, NULL) && cpr_session_start (session, NULL));
}

static void
session_clear (void)
{
  cpr_session_free (session);
  session = NULL;
}

static bool
update (const Successor *successor, GError **error)
{
  const CprUpdate update = { .size = sizeof update,
                             .mode = CPR_MODE_TRANSFER,
                             .uri = successor->uri,
                             .deadline_ms = 60000,
                             .preflight_timeout_ms = 60000 };

  return cpr_session_update (session, &update, error);
}

START_TEST (everything_arrives_and_the_old_session_is_handed_over)
{
  CprUpdateInfo info = { .size = sizeof info };
  Successor successor, other = { .uri = "unix:/x" };
  GError *error = NULL;

  successor_start (&successor, true);
  session_make ();
  ck_assert (update (&successor, &error));
  assert_no_error (error);
  ck_assert_int_eq (successor_end (&successor), GOOD_EXIT);
  ck_assert_int_eq (cpr_session_get_state (session), CPR_SESSION_STATE_HANDED_OVER);
  ck_assert_uint_eq (n_stops, 1);
  ck_assert_uint_eq (n_starts, 1); /* its own, at the beginning */
  cpr_session_get_update_info (session, &info);
  ck_assert_int_eq (info.status, CPR_UPDATE_COMPLETED);
  ck_assert_int_eq (info.mode, CPR_MODE_TRANSFER);

  ck_assert (!cpr_session_resume (session, &error));
  assert_error (&error, CPR_ERROR_STATE, "cpr_session_resume: not permitted in a session that is handed over");
  ck_assert (!update (&other, &error));
  ck_assert_int_eq (error->code, CPR_ERROR_STATE);
  g_clear_error (&error);
  session_clear ();
}
END_TEST

START_TEST (a_new_program_that_ends_in_order_gives_the_guest_back)
{
  Successor first, second;
  GError *error = NULL;

  successor_start (&first, false);
  successor_start (&second, true);
  session_make ();
  ck_assert (!update (&first, &error));
  assert_error (&error, CPR_ERROR_ROLLED_BACK, "new program: the new program ended before it started the guest");
  ck_assert_int_eq (successor_end (&first), 5);
  ck_assert_int_eq (cpr_session_get_state (session), CPR_SESSION_STATE_ACTIVE);
  ck_assert_uint_eq (n_starts, 2); /* it goes on here */
  /* The pipes have been read by the first one. */
  for (int i = 0; i < N_PIPES / 2; i++)
    {
      uint32_t number = (uint32_t) (2 * i);

      ck_assert_int_eq (write (pipes[i][1], &number, sizeof number), sizeof number);
    }
  ck_assert (update (&second, &error));
  assert_no_error (error);
  ck_assert_int_eq (successor_end (&second), GOOD_EXIT);
  session_clear ();
}
END_TEST

/* The guest isn't stopped for it. */
START_TEST (a_faulty_config_of_the_new_program_is_a_refusal)
{
  static const char *const messages[] = { [NO_START] = "VM 'vm1': the stop and start callbacks are needed",
                                          [FOR_A_LATER_LIBRARY] = "CprSessionConfig: this version of libcpr knows " };
  g_autofree char *self = g_file_read_link ("/proc/self/exe", NULL),
                  *message = g_strdup_printf ("new program '%s': %s", self, messages[_i]);
  Successor successor;
  GError *error = NULL;

  fault = (unsigned) _i;
  successor_start (&successor, true);
  fault = NOTHING;
  session_make ();
  ck_assert (!update (&successor, &error));
  ck_assert_msg (g_str_has_prefix (error->message, message), "%s", error->message);
  assert_error (&error, CPR_ERROR_REFUSED, "");
  ck_assert_int_eq (successor_end (&successor), 1);
  ck_assert_int_eq (cpr_session_get_state (session), CPR_SESSION_STATE_ACTIVE);
  ck_assert_uint_eq (n_stops, 0);
  session_clear ();
}
END_TEST

START_TEST (a_preflight_alone_is_not_there_in_this_mode)
{
  const CprUpdate update = { .size = sizeof update, .mode = CPR_MODE_TRANSFER, .uri = "unix:/x" };
  GError *error = NULL;

  session_make ();
  ck_assert (!cpr_session_preflight (session, &update, NULL, &error));
  assert_error (&error, CPR_ERROR_INVALID, "preflight: in mode transfer the update itself asks");
  cpr_session_cancel (session); /* nothing is under way */
  session_clear ();
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("transfer");

  if (under_valgrind ()) /* it knows no pidfds, without which there is no transfer */
    return run_suite (suite);

  tcase_add_test (tests, everything_arrives_and_the_old_session_is_handed_over);
  tcase_add_test (tests, a_new_program_that_ends_in_order_gives_the_guest_back);
  tcase_add_loop_test (tests, a_faulty_config_of_the_new_program_is_a_refusal, NO_START, FOR_A_LATER_LIBRARY + 1);
  tcase_add_test (tests, a_preflight_alone_is_not_there_in_this_mode);
  return run_suite (suite);
}
