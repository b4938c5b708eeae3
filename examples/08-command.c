/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* 08-command: an update by a command on a socket, answered by whichever program has the guest then.
 *
 * `08-command SOCKET` listens there. "update PROGRAM" updates to that program, with the same
 * arguments; "quit" ends. The start-up fails as in older VMMs: die() prints why, and exits. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
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

/* Called once in the VM's life: the other programs take the socket over. */
static int
listen_at (const char *name, int index, void *path, GError **error)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

  g_strlcpy (address.sun_path, path, sizeof address.sun_path);
  if (bind (fd, (const struct sockaddr *) &address, sizeof address) < 0 || listen (fd, 1) < 0)
    {
      cpr_error_set_errno (error, CPR_ERROR_SYSTEM, errno, "socket %s", address.sun_path);
      return -1;
    }
  return fd;
}

/* After a start, and after an update that came back: nothing to answer, or the end of an update. */
static bool
answer (CprSession *session)
{
  CprUpdateStatus status;
  const char *reason;
  int fd = cpr_session_take_reply_fd (session, &status, &reason);

  if (fd < 0)
    return false;
  dprintf (fd, "%s%s%s\n", cpr_update_status_get_name (status), reason != NULL ? ": " : "",
           reason != NULL ? reason : "");
  close (fd);
  return true;
}

static void
update_to (CprSession *session, const char *program, int client)
{
  CprUpdate update = { .size = sizeof update, .mode = CPR_MODE_EXEC, .program = program, .reply_fd = client };
  g_autoptr (GError) error = NULL;

  cpr_session_update (session, &update, &error); /* returns only on failure */
  if (!answer (session))                         /* nothing had begun yet: the call isn't permitted now */
    dprintf (client, "failed: %s\n", error->message);
}

/* False: the end. */
static bool
serve (CprSession *session, int client)
{
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
  int socket = -1, client;

  signal (SIGPIPE, SIG_IGN); /* a client that hangs up must not take the guest along */
  session = cpr_session_new (&config, &error);
  if (session != NULL && argc > 1)
    socket = cpr_fd_open (session, "command", 0, listen_at, argv[1], &error);
  if (socket < 0 || !cpr_session_load (session, &error) || !cpr_session_start (session, &error))
    die (session, error != NULL ? error->message : "the path of a socket is missing");

  printf ("process %d listens\n", getpid ());
  fflush (stdout);
  answer (session);
  while ((client = accept4 (socket, NULL, NULL, SOCK_CLOEXEC)) >= 0 && serve (session, client))
    ;
  unlink (argv[1]);
  return EXIT_SUCCESS;
}
