/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The control socket, for the main loop. It survives an update; a connection is closed with its
 * answer. */
#include "control.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "update.h"

#define CONTROL_LINE_MAX 4096

struct _Control
{
  CprSession *session;
  void (*describe) (GString *text, void *user_data);
  void *user_data;
  int listen_fd;
  int client; /* -1: nobody; others wait in the socket */
  size_t len;
  char line[CONTROL_LINE_MAX];
};

Control *
control_new (CprSession *session,
             const char *path,
             void (*describe) (GString *text, void *user_data),
             void *user_data,
             GError **error)
{
  Control *control = g_new0 (Control, 1);

  *control =
      (Control){ .session = session, .describe = describe, .user_data = user_data, .listen_fd = -1, .client = -1 };
  if (path)
    control->listen_fd = cpr_fd_open_listener (session, "control", 0, path, error);
  return !path || control->listen_fd >= 0 ? control : NULL;
}

void
control_fill_fds (const Control *control, struct pollfd fds[CONTROL_FDS])
{
  fds[0] = (struct pollfd){ control->client < 0 ? control->listen_fd : -1, POLLIN, 0 };
  fds[1] = (struct pollfd){ control->client, POLLIN, 0 };
}

static void
tell_status (const Control *control)
{
  CprUpdateInfo info = { .size = sizeof info };
  g_autoptr (GString) text = g_string_new (NULL);

  cpr_session_get_update_info (control->session, &info);
  g_string_printf (text, "running in process %d after %" PRIu64 " updates", getpid (), info.generation);
  control->describe (text, control->user_data);
  dprintf (control->client, "%s\n", text->str);
}

/* False: the end. */
static bool
execute (Control *control, const char *line)
{
  static const char exec[] = "update ", transfer[] = "transfer ";

  if (strcmp (line, "quit") == 0)
    return false;
  if (strcmp (line, "status") == 0)
    tell_status (control);
  else if (g_str_has_prefix (line, exec))
    update_run (control->session, CPR_MODE_EXEC, line + strlen (exec), control->client);
  else if (g_str_has_prefix (line, transfer))
    return !update_run (control->session, CPR_MODE_TRANSFER, line + strlen (transfer), control->client);
  else
    dprintf (control->client, "unknown command; there are: status, update PROGRAM, transfer PROGRAM, quit\n");
  return true;
}

/* False: there is more to come. */
static bool
read_command (Control *control)
{
  ssize_t n = recv (control->client, control->line + control->len, CONTROL_LINE_MAX - 1 - control->len, MSG_DONTWAIT);

  if (n < 0)
    return errno != EAGAIN && errno != EINTR;
  control->len += (size_t) n;
  control->line[control->len] = '\0';
  return n == 0 || control->len == CONTROL_LINE_MAX - 1 || strchr (control->line, '\n');
}

bool
control_serve (Control *control, const struct pollfd fds[CONTROL_FDS])
{
  bool go_on;

  if (fds[0].revents)
    {
      control->client = accept4 (control->listen_fd, NULL, NULL, SOCK_CLOEXEC);
      control->len = 0;
    }
  if (!fds[1].revents || !read_command (control))
    return true;
  go_on = execute (control, g_strchomp (control->line));
  close (control->client);
  control->client = -1;
  return go_on;
}
