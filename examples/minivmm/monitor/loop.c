/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The main loop, for main() and for wait.c. */
#include <errno.h>
#include <poll.h>

#include "machine.h"
#include "monitor/state.h"
#include "monitor/supervisor.h"
#include "support/error.h"

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
        monitor_receive (monitor, i);
      }
  if (fds[LISTEN].revents)
    monitor_accept_client (monitor);
}

/* The guest runs here now. Tells whoever asked for an update how it ended, and executes the
 * commands that have come since. */
static void
begin (Monitor *monitor)
{
  g_autoptr (GString) text = g_string_new (NULL);
  bool asked = monitor_is_carried (monitor, monitor->asker);
  if (asked && !(monitor->detached && update_went_well (monitor->machine)))
    update_describe_end (monitor->machine, text);
  monitor_answer (monitor, asked ? monitor->asker : NOBODY, text->str);
  monitor_answer (monitor, monitor->decider, "");
  monitor->asker = monitor->decider = NOBODY;
}

bool
monitor_loop (Monitor *monitor, GError **error)
{
  struct pollfd fds[N_FDS];
  int64_t next_ns = 0;

  for (int i = 0; i < CLIENTS_MAX; i++)
    monitor_execute_lines (monitor, i);
  while (!monitor_is_over (monitor))
    {
      monitor_drop_clients (monitor);
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
monitor_run (Monitor *monitor, GError **error)
{
  begin (monitor);
  return monitor_loop (monitor, error);
}
