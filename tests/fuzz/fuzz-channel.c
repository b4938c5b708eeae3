/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Any row of messages, with any fds, to both ends of a transfer: whatever the other program is
 * or says, this one neither crashes nor hangs nor keeps an fd, it says why it refuses, and the
 * guest has one owner.
 *
 * The kernel is scripted: an input is a byte that says which end is tried and then what arrives
 * there, one decision after the other, see script_next(). Made of zeros only it is a good
 * conversation, as the two programs had one when this program began: that has to succeed. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "channel-script.h"
#include "fuzz.h"

#define VM       "vm1"
#define RAM_SIZE 4096
#define MINUTE   60000

static const CprField box_fields[] = { CPR_FIELD (Box, value), CPR_FIELD_END };
const CprDeviceType box_type = {
  .size = sizeof (CprDeviceType),
  .name = "box",
  .version = 1,
  .minimum_version = 1,
  .state = { "Box", sizeof (Box), box_fields },
};

/* ---- The two ends. */

static unsigned n_stops, n_starts;

static bool
stop (void *user_data, GError **error)
{
  n_stops++;
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
  static const CprDeviceType *const types[] = { &box_type, NULL };

  return (CprSessionConfig){ .size = sizeof (CprSessionConfig),
                             .name = VM,
                             .stop = stop,
                             .start = start,
                             .device_types = types,
                             .incoming = incoming };
}

static Box box;

/* Builds everything that a program has, and takes over what arrived. */
static bool
build (CprSession *session, GError **error)
{
  static const CprDeviceType *const type = &box_type;

  return cpr_ram_new (session, "ram", RAM_SIZE, NULL, error) != NULL &&
         cpr_device_add (session, "box", type, &box, error) && cpr_session_load (session, error) &&
         cpr_session_start (session, error);
}

static void
check_reason (bool ok, const GError *error)
{
  g_assert (ok == (error == NULL));
  if (error == NULL)
    return;
  g_assert (error->domain == CPR_ERROR && error->message[0] != '\0');
}

static void
run_old (int socket)
{
  const CprSessionConfig config = make_config (NULL);
  g_autofree char *uri = g_strdup_printf ("unix-fd:%d", socket);
  const CprUpdate update = {
    .size = sizeof update, .mode = CPR_MODE_TRANSFER, .uri = uri, .deadline_ms = MINUTE, .preflight_timeout_ms = MINUTE
  };
  CprSession *session = cpr_session_new (&config, NULL);
  GError *error = NULL;
  bool ok;

  box.value = 4711;
  if (session == NULL || !build (session, NULL))
    g_error ("making a fresh session failed");
  n_stops = n_starts = 0;
  ok = cpr_session_update (session, &update, &error);
  check_reason (ok, error);
  g_assert (ok == script.committed);
  g_assert (cpr_session_get_state (session) == (ok ? CPR_SESSION_STATE_HANDED_OVER : CPR_SESSION_STATE_ACTIVE));
  g_assert (n_stops == n_starts + (ok ? 1 : 0));
  cpr_session_free (session);
  g_clear_error (&error);
}

static bool
run_new (int socket)
{
  g_autofree char *uri = g_strdup_printf ("unix-fd:%d", socket);
  const CprSessionConfig config = make_config (uri);
  GError *error = NULL;
  CprSession *session;
  bool ok = false;

  box.value = 0;
  n_starts = 0;
  session = cpr_session_new (&config, &error);
  if (session != NULL)
    ok = build (session, &error);
  check_reason (ok, error);
  g_assert (n_starts == (ok ? 1 : 0));
  if (ok)
    {
      CprBatonWord word = cpr_baton_get (script.baton.page);

      g_assert (word.state == CPR_BATON_OWNED && word.attempt == 1 && box.value == 4711);
    }
  cpr_session_free (session);
  g_clear_error (&error);
  return ok;
}

static unsigned
count_fds (void)
{
  g_autoptr (GArray) fds = cpr_fd_list (NULL);

  return fds->len;
}

/* True: the new program has the guest. */
static bool
run (const uint8_t *data, size_t size)
{
  unsigned before = count_fds ();
  int ends[2];
  bool ok;

  script = (Script){ .choices = { data, size }, .chunk = SIZE_MAX, .baton.fd = -1, .pidfd = -1 };
  script.is_old = choose_one_in (&script.choices, 2);
  script.peer = script.is_old ? getppid () : getpid ();
  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
    g_error ("making a socket failed");
  cpr_sys = script_kernel ();
  if (script.is_old)
    {
      run_old (ends[1]);
      close (ends[1]);
      ok = script.committed;
    }
  else
    ok = run_new (ends[1]);
  cpr_sys = &cpr_sys_kernel;
  close (ends[0]);
  script_drop_fds ();
  cpr_baton_clear (&script.baton);
  g_assert (recording || count_fds () == before);
  return ok;
}

static void
end (void)
{
  for (unsigned i = 0; i < good[CPR_MESSAGE_FDS].n_fds; i++)
    close (good[CPR_MESSAGE_FDS].fds[i]);
}

static void
begin (void)
{
  static const uint8_t old[1 + 2 * N_TO_OLD] = { 1 }, new[1 + 2 * N_TO_NEW] = { 0 };

  /* No program sends FAILED in a good conversation, so that message is made here. */
  good[CPR_MESSAGE_FAILED].len = 6;
  memcpy (good[CPR_MESSAGE_FAILED].data, "reason", 6);
  recording = true;
  run (old, 1);
  g_assert (run (old, sizeof old));
  recording = false;
  atexit (end);
  g_assert (run (new, sizeof new));
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static bool begun;

  if (!begun)
    begin ();
  begun = true;
  fuzz_begin ();
  run (data, size);
  fuzz_end ((4u << 20) + 64 * size);
  return 0;
}
