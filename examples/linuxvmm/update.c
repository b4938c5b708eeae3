/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The update, for the control socket: the only file that starts one. */
#include "update.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "options.h"
#include "support/error.h"

/* Of programs on a slow or busy machine; the guest waits for them only where something hangs. */
#define PREFLIGHT_TIMEOUT_MS 60000
#define DEADLINE_MS          30000

#define INCOMING_FD 3 /* in the program that is started for a transfer */
#define TEXT_(x)    #x
#define TEXT(x)     TEXT_ (x)

extern char **environ;

/* True: the guest has left. */
static bool
run (CprSession *session, CprUpdate *update, int client)
{
  g_autoptr (GError) error = NULL;

  update->size = sizeof *update;
  update->preflight_timeout_ms = PREFLIGHT_TIMEOUT_MS;
  update->deadline_ms = DEADLINE_MS;
  update->reply_fd = client;
  if (cpr_session_update (session, update, &error))
    return true;
  if (!cpr_session_reply (session)) /* nothing had begun yet: the call isn't permitted now */
    dprintf (client, "failed: %s\n", error->message);
  return false;
}

void
update_exec (CprSession *session, const char *program, int client)
{
  CprUpdate update = { .mode = CPR_MODE_EXEC, .program = program };

  run (session, &update, client);
}

/* The arguments of this program, and where the guest comes from. */
static char **
make_argv (CprSession *session, const char *program)
{
  g_autofree char **same = options_without_incoming (cpr_session_get_argv (session));
  g_autoptr (GStrvBuilder) argv = g_strv_builder_new ();

  g_strv_builder_add (argv, program);
  for (size_t i = 1; same[i]; i++)
    g_strv_builder_add (argv, same[i]);
  g_strv_builder_add (argv, "--incoming");
  g_strv_builder_add (argv, "unix-fd:" TEXT (INCOMING_FD));
  return g_strv_builder_end (argv);
}

static bool
spawn (CprSession *session, const char *program, int fd, pid_t *pid, GError **error)
{
  g_auto (GStrv) argv = make_argv (session, program);
  posix_spawn_file_actions_t actions;

  posix_spawn_file_actions_init (&actions);
  posix_spawn_file_actions_adddup2 (&actions, fd, INCOMING_FD);
  errno = posix_spawn (pid, program, &actions, NULL, argv, environ);
  posix_spawn_file_actions_destroy (&actions);
  return errno == 0 || throw_errno (error, "%s", program);
}

bool
update_transfer (CprSession *session, const char *program, int client)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *uri = NULL;
  int ends[2];
  pid_t pid = 0;

  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
    {
      dprintf (client, "failed: errno %d\n", errno);
      return false;
    }
  bool ok = spawn (session, program, ends[1], &pid, &error), left = false;
  close (ends[1]);
  uri = g_strdup_printf ("unix-fd:%d", ends[0]);
  if (ok)
    left = run (session, &(CprUpdate){ .mode = CPR_MODE_TRANSFER, .uri = uri }, client);
  else
    dprintf (client, "failed: %s\n", error->message);
  close (ends[0]);
  if (ok && !left) /* a program that may still wait for a guest */
    {
      kill (pid, SIGKILL);
      waitpid (pid, NULL, 0);
    }
  return left;
}
