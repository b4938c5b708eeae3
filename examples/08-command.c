/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* 08-command: an update by a command on a socket, answered by whichever program has the guest then.
 *
 * `08-command SOCKET` listens there. "update PROGRAM" updates to that program, with the same
 * arguments; "quit" ends. The start-up fails as in older VMMs: die() prints why, and exits. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <libcpr/libcpr.h>

/* There is no guest here: nothing to stop. */
static bool
stop (void *user_data, GError **error)
{
  return true;
}

static void
start (void *user_data)
{
}

/* In a program that takes a guest over, exit() gives the guest back, and the reason is told to
 * whoever asked for the update. */
static void
die (CprSession *session, const char *reason)
{
  cpr_session_set_reason (session, reason);
  fprintf (stderr, "08-command: %s\n", reason);
  exit (EXIT_FAILURE);
}

static void
update_to (CprSession *session, const char *program, int client)
{
  CprUpdate update = { .size = sizeof update, .mode = CPR_MODE_EXEC, .program = program, .reply_fd = client };

  cpr_session_update (session, &update, NULL); /* returns only on failure */
  cpr_session_reply (session);
}

/* False: the end. */
static bool
serve (CprSession *session, int listener)
{
  int client = accept4 (listener, NULL, NULL, SOCK_CLOEXEC);
  char line[256] = "";
  bool go_on = true;

  if (read (client, line, sizeof line - 1) > 0 && g_str_has_prefix (g_strchomp (line), "update "))
    update_to (session, line + strlen ("update "), client);
  else
    go_on = strcmp (line, "quit") != 0;
  close (client);
  return go_on;
}

int
main (int argc, char **argv)
{
  CprSessionConfig config = {
    .size = sizeof config,
    .name = "example",
    .stop = stop,
    .start = start,
    .argv = argv,
    .incoming_flags = CPR_INCOMING_EXIT_GOES_BACK | CPR_INCOMING_REHEARSE,
  };
  g_autoptr (CprSession) session = NULL;
  g_autoptr (GError) error = NULL;
  struct pollfd listener = { -1, POLLIN, 0 };

  session = cpr_session_new (&config, &error);
  if (session != NULL && argc > 1)
    listener.fd = cpr_fd_open_listener (session, "command", 0, argv[1], &error);
  if (listener.fd < 0 || !cpr_session_load (session, &error) || !cpr_session_start (session, &error))
    die (session, error != NULL ? error->message : "the path of a socket is missing");

  printf ("process %d listens\n", getpid ());
  fflush (stdout);
  cpr_session_reply (session);
  while (poll (&listener, 1, -1) > 0 && serve (session, listener.fd))
    ;
  unlink (argv[1]);
  return EXIT_SUCCESS;
}
