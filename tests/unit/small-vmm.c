/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "small-vmm.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- In the VMM. */

static bool
stop (void *user_data G_GNUC_UNUSED, GError **error G_GNUC_UNUSED)
{
  return true;
}

static void
start_guest (void *user_data G_GNUC_UNUSED)
{
}

static const char *
skip (const char *how, const char *prefix)
{
  return g_str_has_prefix (how, prefix) ? how + strlen (prefix) : how;
}

static void
answer (CprSession *session)
{
  CprUpdateStatus status;
  const char *reason;
  int fd = cpr_session_take_reply_fd (session, &status, &reason);

  if (fd < 0)
    return;
  dprintf (fd, "%s%s%s", cpr_update_status_get_name (status), reason != NULL ? ": " : "", reason != NULL ? reason : "");
  close (fd);
}

/* Does without the environment's variables. */
static void
set_command (CprUpdate *update, char **argv, char *by_env[8])
{
  update->mode = CPR_MODE_TRANSFER;
  update->uri = NULL;
  if (!g_str_has_prefix (argv[2], SMALL_VMM_LOST))
    return;
  by_env[0] = (char *) "env";
  by_env[1] = (char *) "-i";
  for (int i = 0; argv[i] != NULL; i++)
    by_env[2 + i] = argv[i];
  update->program = "env";
  update->argv = by_env;
}

static void
make_update (CprSession *session, char **argv)
{
  const char *how = argv[2], *uri = argv[4];
  char *by_env[8] = { NULL };
  CprUpdate update = { .size = sizeof update, .mode = CPR_MODE_EXEC, .flags = CPR_UPDATE_NO_PREFLIGHT };

  if (g_str_has_prefix (how, SMALL_VMM_NO_GUARDIAN))
    update.flags |= CPR_UPDATE_NO_GUARDIAN;
  update.program = strcmp (how, SMALL_VMM_NOWHERE) == 0 ? "/nowhere" : "/proc/self/exe";
  update.reply_fd = atoi (argv[3]);
  update.uri = uri;
  if (g_str_has_prefix (how, SMALL_VMM_START) || g_str_has_prefix (how, SMALL_VMM_LOST))
    set_command (&update, argv, by_env);
  if (strcmp (how, SMALL_VMM_TRANSFER) == 0)
    update.mode = CPR_MODE_TRANSFER;
  if (strcmp (how, SMALL_VMM_REBOOT) == 0)
    update.mode = CPR_MODE_REBOOT;
  cpr_session_update (session, &update, NULL);
}

static bool
is_way_there (const CprSession *session)
{
  CprUpdateInfo info = { .size = sizeof info };

  cpr_session_get_update_info (session, &info);
  return cpr_session_is_incoming (session) && info.status == CPR_UPDATE_COMPLETED;
}

int
small_vmm_main (char **argv, unsigned incoming_flags, SmallVmmStart start)
{
  const char *how = argv[2], *uri = argv[4];
  bool is_successor = g_str_has_prefix (how, SMALL_VMM_SUCCESSOR);
  CprSessionConfig config = {
    .size = sizeof config, .name = "vm", .stop = stop, .start = start_guest, .incoming_flags = incoming_flags
  };
  g_autoptr (CprSession) session = NULL;
  bool is_first;

  config.incoming = is_successor ? uri : NULL;
  session = cpr_session_new (&config, NULL);
  if (session == NULL)
    return 2;
  is_first = !cpr_session_is_incoming (session);
  how = skip (skip (skip (skip (how, SMALL_VMM_SUCCESSOR), SMALL_VMM_NO_GUARDIAN), SMALL_VMM_START), SMALL_VMM_LOST);
  if (is_way_there (session) && start != NULL)
    start (session, how, SMALL_VMM_NEW);
  if (cpr_session_take_reply_fd (session, NULL, NULL) >= 0 || !cpr_session_load (session, NULL))
    return 3;
  if (is_way_there (session) && start != NULL)
    start (session, how, SMALL_VMM_LOADED);
  if (!cpr_session_start (session, NULL))
    return 4;
  if (is_first)
    make_update (session, argv);
  answer (session);
  return 0;
}

/* ---- In the test. */

pid_t
small_vmm_start (const char *how, int fd, const char *uri)
{
  g_autofree char *self = g_file_read_link ("/proc/self/exe", NULL), *number = g_strdup_printf ("%d", fd);
  char *argv[] = { self, (char *) SMALL_VMM_WORD, (char *) how, number, (char *) uri, NULL };
  pid_t pid;

  ck_assert_int_eq (prctl (PR_SET_CHILD_SUBREAPER, 1), 0); /* a guardian becomes ours when the program ends */
  pid = fork ();
  if (pid == 0)
    {
      execv (self, argv);
      _exit (127);
    }
  ck_assert_int_gt (pid, 0);
  return pid;
}

char *
small_vmm_get_answer (const char *how, const char *uri)
{
  GString *text = g_string_new (NULL);
  char buffer[4096];
  int ends[2];
  ssize_t len;

  ck_assert_int_eq (socketpair (AF_UNIX, SOCK_STREAM, 0, ends), 0);
  ck_assert (cpr_fd_set_cloexec (ends[0], true));
  small_vmm_start (how, ends[1], uri);
  close (ends[1]);
  while ((len = read (ends[0], buffer, sizeof buffer)) > 0)
    g_string_append_len (text, buffer, len);
  close (ends[0]);
  while (waitpid (-1, NULL, __WALL) > 0) /* all of them end */
    ;
  return g_string_free (text, FALSE);
}
