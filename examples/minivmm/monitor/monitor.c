/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The monitor: its socket and its clients, whose commands commands.c executes; loop.c has the main
 * loop. */
#include "machine.h"
#include "monitor/state.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "release.h"
#include "support/error.h"
#include "support/listen.h"
#include "support/log.h"

#define LINES_MAX 16 /* of one client, each time that a save looks whether somebody wants anything */

#define FD_LISTEN "monitor-listen"
#define FD_CLIENT "monitor-client" /* its index is the client's place in the table */

static const CprStruct client_struct = { "Client", sizeof (Client), client_fields };

static const CprField monitor_fields[] = {
  CPR_FIELD (Monitor, asker),
  CPR_FIELD_OPTIONAL (Monitor, detached, false),
  CPR_FIELD_STRUCT_ARRAY (Monitor, clients, Client, client_struct),
  CPR_FIELD_END,
};

bool
monitor_is_carried (const Monitor *monitor, int place)
{
  return place != NOBODY && (monitor->carried >> place & 1) != 0;
}

static bool
monitor_post_load (void *device, uint32_t version, GError **error)
{
  Monitor *monitor = device;
  if (monitor->asker < NOBODY || monitor->asker >= CLIENTS_MAX)
    return throw_error (error, "monitor: there is no client %d", monitor->asker);
  for (int i = 0; i < CLIENTS_MAX; i++) /* their connections may have ended with the old program */
    if (!monitor_is_carried (monitor, i))
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

bool
monitor_is_over (const Monitor *monitor)
{
  return monitor->machine->quit || (monitor->waits && monitor->incoming);
}

void
monitor_execute_lines (Monitor *monitor, int place)
{
  Client *client = &monitor->clients[place];
  while (client->fd >= 0 && !client->drop && !monitor_is_over (monitor))
    {
      g_autofree char *line = client_take_line (client);
      if (!line)
        return;
      g_autoptr (GString) text = g_string_new (NULL);
      monitor->asker = place;
      monitor->detached = false;
      command_execute (monitor->machine, line, text);
      monitor->asker = NOBODY;
      if (client->fd >= 0 && monitor->decider != place)
        client_answer (client, text->str);
    }
}

void
monitor_receive (Monitor *monitor, int place)
{
  Client *client = &monitor->clients[place];
  if (!client_receive (client))
    {
      client->drop = true;
      return;
    }
  monitor_execute_lines (monitor, place);
  if (client->input_len == CLIENT_INPUT_MAX)
    {
      client_say (client, "Error: the line is too long\n");
      client->drop = true;
    }
}

static void
close_client (Monitor *monitor, Client *client)
{
  if (monitor->machine->session)
    cpr_fd_remove (monitor->machine->session, FD_CLIENT, get_place (monitor, client), NULL);
  close (client->fd);
  client->fd = -1;
  client->drop = false;
  client->input_len = client->output_len = 0;
}

void
monitor_drop_clients (Monitor *monitor)
{
  for (int i = 0; i < CLIENTS_MAX; i++)
    if (monitor->clients[i].fd >= 0 && monitor->clients[i].drop)
      close_client (monitor, &monitor->clients[i]);
}

/* Gives the client a place; -1: it is dropped. A program that waits has no session yet, and one
 * whose guest has left needs none. */
static int
add_client (Monitor *monitor, int fd)
{
  const Machine *machine = monitor->machine;
  g_autoptr (GError) error = NULL;
  int place = 0;
  while (place < CLIENTS_MAX && monitor->clients[place].fd >= 0)
    place++;
  if (place == CLIENTS_MAX ||
      (machine->session && !update_has_left (machine) && !cpr_fd_add (machine->session, FD_CLIENT, place, fd, &error)))
    {
      log_line ("monitor: %s", error ? error->message : "too many clients");
      close (fd);
      return -1;
    }
  monitor->clients[place].fd = fd;
  return place;
}

void
monitor_accept_client (Monitor *monitor)
{
  int fd = accept4 (monitor->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  int place = fd < 0 ? -1 : add_client (monitor, fd);
  if (place < 0)
    return;
  g_autofree char *banner = g_strdup_printf ("minivmm build %u\n", release.number);
  client_answer (&monitor->clients[place], banner);
}

bool
monitor_listen (Monitor *monitor, GError **error)
{
  monitor->listen_fd = listen_at ("monitor", monitor->path, CLIENTS_MAX, error);
  return monitor->listen_fd >= 0;
}

static int
open_listen_fd (const char *name, int index, void *user_data, GError **error)
{
  Monitor *monitor = user_data;
  return monitor->listen_fd >= 0 || monitor_listen (monitor, error) ? monitor->listen_fd : -1;
}

/* The signals are blocked, so a signal that comes in the middle of an update waits for the new
 * program's main loop. */
bool
monitor_open_signals (Monitor *monitor, GError **error)
{
  sigset_t signals;
  sigemptyset (&signals);
  sigaddset (&signals, SIGINT);
  sigaddset (&signals, SIGTERM);
  pthread_sigmask (SIG_BLOCK, &signals, NULL);
  monitor->signal_fd = signalfd (-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
  return monitor->signal_fd >= 0 || throw_errno (error, "signalfd");
}

void
monitor_close_signals (Monitor *monitor)
{
  sigset_t signals;
  sigemptyset (&signals);
  sigaddset (&signals, SIGINT);
  sigaddset (&signals, SIGTERM);
  close (monitor->signal_fd);
  monitor->signal_fd = -1;
  pthread_sigmask (SIG_UNBLOCK, &signals, NULL);
}

Monitor *
monitor_alloc (Machine *machine, const char *path)
{
  Monitor *monitor = g_new0 (Monitor, 1);
  monitor->machine = machine;
  monitor->path = g_strdup (path);
  monitor->listen_fd = monitor->signal_fd = -1;
  monitor->asker = monitor->decider = NOBODY;
  for (int i = 0; i < CLIENTS_MAX; i++)
    monitor->clients[i].fd = -1;
  for (int i = 0; i < WATCHES_MAX; i++)
    monitor->watches[i].fd = -1;
  return monitor;
}

/* The socket at which the old program listened, or else the one at which this one waited for its
 * operator, or a new one. */
static bool
take_listen_fd (Monitor *monitor, GError **error)
{
  int own = monitor->listen_fd;
  int fd = cpr_fd_open (monitor->machine->session, FD_LISTEN, 0, open_listen_fd, monitor, error);
  if (fd < 0)
    return false;
  monitor->listen_fd = fd;
  if (own < 0 || own == fd)
    return true;
  close (own);
  unlink (monitor->path);
  g_free (monitor->path);
  monitor->path = listen_get_path (fd);
  return true;
}

/* Those that came with the guest keep their places, which the state names. */
static void
take_clients (Monitor *monitor)
{
  int waiting[CLIENTS_MAX], decider = monitor->decider;
  for (int i = 0; i < CLIENTS_MAX; i++)
    waiting[i] = monitor->clients[i].fd;
  for (int i = 0; i < CLIENTS_MAX; i++) /* -1 where there is none */
    monitor->clients[i].fd = cpr_fd_take (monitor->machine->session, FD_CLIENT, i, NULL);
  for (int i = 0; i < CLIENTS_MAX; i++)
    monitor->carried |= (monitor->clients[i].fd >= 0 ? 1u : 0) << i;
  for (int i = 0; i < CLIENTS_MAX; i++)
    {
      int place = waiting[i] < 0 ? NOBODY : add_client (monitor, waiting[i]);
      if (i == decider)
        monitor->decider = place;
    }
}

Monitor *
monitor_new (Machine *machine, const char *path, GError **error)
{
  g_autoptr (Monitor) monitor = machine->monitor ? machine->monitor : monitor_alloc (machine, path);
  machine->monitor = NULL;
  if (path)
    {
      if (!take_listen_fd (monitor, error))
        return NULL;
      take_clients (monitor);
    }
  if (!monitor_open_signals (monitor, error) ||
      !cpr_device_add (machine->session, "monitor", &monitor_type, monitor, error))
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

void
monitor_answer (Monitor *monitor, int place, const char *text)
{
  if (place != NOBODY && monitor->clients[place].fd >= 0)
    client_answer (&monitor->clients[place], text);
}

/* Not for ever: a client that goes on sending mustn't hold up the update. */
static bool
serve_client (Monitor *monitor, Client *client)
{
  for (int i = 0; i < LINES_MAX && client->input_len < CLIENT_INPUT_MAX; i++)
    {
      client_receive (client);
      g_autofree char *line = client_take_line (client);
      if (!line)
        return true;
      if (!serve_line (monitor, client, g_strstrip (line)))
        return false;
    }
  return true;
}

/* While an update takes its time: whoever didn't ask for it may ask how far it is. */
bool
monitor_serve (Monitor *monitor)
{
  bool go_on = true;
  for (int i = 0; i < CLIENTS_MAX; i++)
    if (monitor->clients[i].fd >= 0 && !monitor->clients[i].drop && i != monitor->asker)
      go_on = serve_client (monitor, &monitor->clients[i]) && go_on;
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

bool
monitor_leave (Monitor *monitor, GError **error)
{
  const char *stay = monitor->machine->options.stay;

  qmp_leave (monitor->machine->qmp);
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
  monitor->listen_fd = listen_at ("monitor", stay, CLIENTS_MAX, error);
  return monitor->listen_fd >= 0;
}

void
monitor_detach (Monitor *monitor)
{
  monitor->detached = true;
}

/* Where the guest is another process's by now, so is the socket's path. */
static bool
owns_guest (const CprSession *session)
{
  if (!session)
    return true;
  CprSessionState state = cpr_session_get_state (session);
  return state == CPR_SESSION_STATE_ACTIVE || (state < CPR_SESSION_STATE_LOST && !cpr_session_is_incoming (session));
}

void
monitor_free (Monitor *monitor)
{
  if (!monitor)
    return;
  CprSession *session = monitor->machine->session;
  if (session)
    cpr_device_remove (session, "monitor", NULL);
  for (int i = 0; i < CLIENTS_MAX; i++)
    if (monitor->clients[i].fd >= 0)
      close_client (monitor, &monitor->clients[i]);
  if (monitor->listen_fd >= 0)
    {
      if (session)
        cpr_fd_remove (session, FD_LISTEN, 0, NULL);
      close (monitor->listen_fd);
    }
  if (monitor->signal_fd >= 0)
    close (monitor->signal_fd);
  if (monitor->path && owns_guest (session))
    unlink (monitor->path);
  g_free (monitor->incoming);
  g_free (monitor->path);
  g_free (monitor);
}
