/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The monitor: its socket, its clients, whose commands commands.c executes, and the main loop. */
#include "monitor/monitor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "monitor/client.h"
#include "monitor/supervisor.h"
#include "release.h"
#include "support/error.h"
#include "support/listen.h"
#include "support/log.h"

#define CLIENTS_MAX 16
#define WATCHES_MAX 4
#define NOBODY      (-1)

#define FD_LISTEN "monitor-listen"
#define FD_CLIENT "monitor-client" /* its index is the client's place in the table */

typedef struct
{
  int fd; /* -1: a free place */
  void (*ready) (void *user_data);
  void *user_data;
} Watch;

struct _Monitor
{
  Machine *machine;
  char *path;
  int listen_fd;
  int signal_fd;
  Watch watches[WATCHES_MAX];

  int32_t asker; /* whose command is being executed */
  Client clients[CLIENTS_MAX];
};

static const CprStruct client_struct = { "Client", sizeof (Client), client_fields };

static const CprField monitor_fields[] = {
  CPR_FIELD (Monitor, asker),
  CPR_FIELD_STRUCT_ARRAY (Monitor, clients, Client, client_struct),
  CPR_FIELD_END,
};

static bool
monitor_post_load (void *device, uint32_t version, GError **error)
{
  Monitor *monitor = device;
  if (monitor->asker < NOBODY || monitor->asker >= CLIENTS_MAX)
    return throw_error (error, "monitor: there is no client %d", monitor->asker);
  for (int i = 0; i < CLIENTS_MAX; i++) /* their connections may have ended with the old program */
    if (monitor->clients[i].fd < 0)
      monitor->clients[i].input_len = monitor->clients[i].output_len = 0;
  return true;
}

const CprDeviceType monitor_type = {
  .size = sizeof (CprDeviceType),
  .name = "monitor",
  .version = 1,
  .minimum_version = 1,
  .state = { "Monitor", sizeof (Monitor), monitor_fields },
  .post_load = monitor_post_load,
};

static int
get_place (const Monitor *monitor, const Client *client)
{
  return (int) (client - monitor->clients);
}

static void
execute_lines (Monitor *monitor, Client *client)
{
  while (client->fd >= 0 && !client->drop && !monitor->machine->quit)
    {
      g_autofree char *line = client_take_line (client);
      if (!line)
        return;
      g_autoptr (GString) text = g_string_new (NULL);
      monitor->asker = get_place (monitor, client);
      command_execute (monitor->machine, line, text);
      monitor->asker = NOBODY;
      if (client->fd >= 0)
        client_answer (client, text->str);
    }
}

static void
receive (Monitor *monitor, Client *client)
{
  if (!client_receive (client))
    {
      client->drop = true;
      return;
    }
  execute_lines (monitor, client);
  if (client->input_len == CLIENT_INPUT_MAX)
    {
      client_say (client, "Error: the line is too long\n");
      client->drop = true;
    }
}

static void
close_client (Monitor *monitor, Client *client)
{
  cpr_fd_remove (monitor->machine->session, FD_CLIENT, get_place (monitor, client), NULL);
  close (client->fd);
  client->fd = -1;
  client->drop = false;
  client->input_len = client->output_len = 0;
}

static void
drop_clients (Monitor *monitor)
{
  for (int i = 0; i < CLIENTS_MAX; i++)
    if (monitor->clients[i].fd >= 0 && monitor->clients[i].drop)
      close_client (monitor, &monitor->clients[i]);
}

static void
accept_client (Monitor *monitor)
{
  g_autoptr (GError) error = NULL;
  int fd = accept4 (monitor->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0)
    return;

  int place = 0;
  while (place < CLIENTS_MAX && monitor->clients[place].fd >= 0)
    place++;
  if (place == CLIENTS_MAX ||
      (!update_has_left (monitor->machine) && !cpr_fd_add (monitor->machine->session, FD_CLIENT, place, fd, &error)))
    {
      log_line ("monitor: %s", error ? error->message : "too many clients");
      close (fd);
      return;
    }
  monitor->clients[place].fd = fd;

  g_autofree char *banner = g_strdup_printf ("minivmm build %u\n", release.number);
  client_answer (&monitor->clients[place], banner);
}

static int
open_listen_fd (const char *name, int index, void *path, GError **error)
{
  return listen_at ("monitor", path, CLIENTS_MAX, error);
}

/* The signals are blocked, so a signal that comes in the middle of an update waits for the new
 * program's main loop. */
static bool
open_signal_fd (Monitor *monitor, GError **error)
{
  sigset_t signals;
  sigemptyset (&signals);
  sigaddset (&signals, SIGINT);
  sigaddset (&signals, SIGTERM);
  pthread_sigmask (SIG_BLOCK, &signals, NULL);
  monitor->signal_fd = signalfd (-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
  return monitor->signal_fd >= 0 || throw_errno (error, "signalfd");
}

Monitor *
monitor_new (Machine *machine, const char *path, GError **error)
{
  g_autoptr (Monitor) monitor = g_new0 (Monitor, 1);
  monitor->machine = machine;
  monitor->listen_fd = monitor->signal_fd = -1;
  monitor->asker = NOBODY;
  for (int i = 0; i < CLIENTS_MAX; i++)
    monitor->clients[i].fd = -1;
  for (int i = 0; i < WATCHES_MAX; i++)
    monitor->watches[i].fd = -1;

  if (path)
    {
      monitor->listen_fd = cpr_fd_open (machine->session, FD_LISTEN, 0, open_listen_fd, (void *) path, error);
      if (monitor->listen_fd < 0)
        return NULL;
      for (int i = 0; i < CLIENTS_MAX; i++) /* -1 where there is none */
        monitor->clients[i].fd = cpr_fd_take (machine->session, FD_CLIENT, i, NULL);
      monitor->path = g_strdup (path);
    }
  if (!open_signal_fd (monitor, error) || !cpr_device_add (machine->session, "monitor", &monitor_type, monitor, error))
    return NULL;
  return g_steal_pointer (&monitor);
}

static bool
serve_line (Monitor *monitor, Client *client, const char *line)
{
  g_autoptr (GString) text = g_string_new (NULL);
  bool cancel = !strcmp (line, "migrate_cancel");
  if (!strcmp (line, "info migrate"))
    update_describe (monitor->machine, text);
  else if (!cancel)
    g_string_append (text, "Error: the guest is being saved; try info migrate or migrate_cancel\n");
  client_answer (client, text->str);
  return !cancel;
}

/* While an update takes its time: whoever didn't ask for it may ask how far it is. */
bool
monitor_serve (Monitor *monitor)
{
  bool go_on = true;
  for (int i = 0; i < CLIENTS_MAX; i++)
    {
      Client *client = &monitor->clients[i];
      if (client->fd < 0 || client->drop || i == monitor->asker || client->input_len == CLIENT_INPUT_MAX)
        continue;
      client_receive (client);
      g_autofree char *line = client_take_line (client);
      if (line)
        go_on = serve_line (monitor, client, g_strstrip (line)) && go_on;
    }
  return go_on;
}

static Watch *
find_watch (Monitor *monitor, int fd)
{
  for (int i = 0; i < WATCHES_MAX; i++)
    if (monitor->watches[i].fd == fd)
      return &monitor->watches[i];
  return NULL;
}

void
monitor_watch (Monitor *monitor, int fd, void (*ready) (void *user_data), void *user_data)
{
  Watch *watch = find_watch (monitor, -1);
  g_assert (watch != NULL);
  *watch = (Watch){ fd, ready, user_data };
}

void
monitor_unwatch (Monitor *monitor, int fd)
{
  Watch *watch = find_watch (monitor, fd);
  if (watch)
    watch->fd = -1;
}

/* ---- The main loop. */

enum
{
  SIGNALS,
  LISTEN,
  WATCHES,
  CLIENTS = WATCHES + WATCHES_MAX,
  N_FDS = CLIENTS + CLIENTS_MAX
};

/* How many of @fds there are: not more than needed, as poll() refuses more than RLIMIT_NOFILE,
 * open or not. */
static nfds_t
list_fds (const Monitor *monitor, struct pollfd *fds)
{
  nfds_t n = CLIENTS;
  fds[SIGNALS] = (struct pollfd){ monitor->signal_fd, POLLIN, 0 };
  fds[LISTEN] = (struct pollfd){ monitor->listen_fd, POLLIN, 0 };
  for (int i = 0; i < WATCHES_MAX; i++)
    fds[WATCHES + i] = (struct pollfd){ monitor->watches[i].fd, POLLIN, 0 };
  for (int i = 0; i < CLIENTS_MAX; i++)
    {
      const Client *client = &monitor->clients[i];
      if (client->fd >= 0)
        n = (nfds_t) (CLIENTS + i + 1);
      fds[CLIENTS + i] = (struct pollfd){ client->fd, client->output_len ? POLLIN | POLLOUT : POLLIN, 0 };
    }
  return n;
}

static void
handle_fds (Monitor *monitor, const struct pollfd *fds)
{
  if (fds[SIGNALS].revents)
    monitor->machine->quit = true;
  for (int i = 0; i < WATCHES_MAX; i++)
    if (fds[WATCHES + i].revents)
      monitor->watches[i].ready (monitor->watches[i].user_data);
  for (int i = 0; i < CLIENTS_MAX; i++)
    if (fds[CLIENTS + i].revents)
      {
        client_flush (&monitor->clients[i]);
        receive (monitor, &monitor->clients[i]);
      }
  if (fds[LISTEN].revents)
    accept_client (monitor);
}

/* The guest runs here now. Tells whoever asked for an update how it ended, and executes the
 * commands that have come since. */
static void
begin (Monitor *monitor)
{
  if (monitor->asker != NOBODY && monitor->clients[monitor->asker].fd >= 0)
    {
      g_autoptr (GString) text = g_string_new (NULL);
      update_describe_end (monitor->machine, text);
      client_answer (&monitor->clients[monitor->asker], text->str);
    }
  monitor->asker = NOBODY;
  for (int i = 0; i < CLIENTS_MAX; i++)
    execute_lines (monitor, &monitor->clients[i]);
}

bool
monitor_run (Monitor *monitor, GError **error)
{
  struct pollfd fds[N_FDS];
  int64_t next_ns = 0;

  begin (monitor);
  while (!monitor->machine->quit)
    {
      drop_clients (monitor);
      nfds_t n_fds = list_fds (monitor, fds);
      if (poll (fds, n_fds, supervisor_tell (&next_ns)) < 0)
        {
          if (errno != EINTR)
            return throw_errno (error, "monitor: poll");
          continue;
        }
      handle_fds (monitor, fds);
    }
  return true;
}

bool
monitor_leave (Monitor *monitor, GError **error)
{
  const char *stay = monitor->machine->options.stay;

  if (!update_has_left (monitor->machine))
    return true;
  for (int i = 0; i < CLIENTS_MAX; i++)
    if (monitor->clients[i].fd >= 0)
      close_client (monitor, &monitor->clients[i]);
  if (monitor->listen_fd >= 0)
    {
      cpr_fd_remove (monitor->machine->session, FD_LISTEN, 0, NULL);
      close (monitor->listen_fd);
      monitor->listen_fd = -1;
    }
  /* The guest runs elsewhere on this machine: what is left to do here can wait, but not for
   * ever, as at idle priority. */
  setpriority (PRIO_PROCESS, 0, 19);
  monitor->machine->quit = !stay;
  if (!stay)
    return true;
  monitor->listen_fd = open_listen_fd (NULL, 0, (void *) stay, error);
  return monitor->listen_fd >= 0;
}

/* Where the guest is another process's by now, so is the socket's path. */
static bool
owns_guest (const CprSession *session)
{
  CprSessionState state = cpr_session_get_state (session);
  return state == CPR_SESSION_STATE_ACTIVE || (state < CPR_SESSION_STATE_LOST && !cpr_session_is_incoming (session));
}

void
monitor_free (Monitor *monitor)
{
  if (!monitor)
    return;
  CprSession *session = monitor->machine->session;
  cpr_device_remove (session, "monitor", NULL);
  for (int i = 0; i < CLIENTS_MAX; i++)
    if (monitor->clients[i].fd >= 0)
      close_client (monitor, &monitor->clients[i]);
  if (monitor->listen_fd >= 0)
    {
      cpr_fd_remove (session, FD_LISTEN, 0, NULL);
      close (monitor->listen_fd);
    }
  if (monitor->signal_fd >= 0)
    close (monitor->signal_fd);
  if (monitor->path && owns_guest (session))
    unlink (monitor->path);
  g_free (monitor->path);
  g_free (monitor);
}
