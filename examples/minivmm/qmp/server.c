/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* QMP's clients in the monitor's main loop; life.c makes them, and the socket. dispatch.c executes
 * what clients say, events.c tells them what happens. */
#include "qmp/server.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "qmp/commands.h"
#include "qmp/qmp.h"
#include "support/error.h"
#include "support/log.h"

bool
qmp_watch (const Qmp *qmp, int operation, int fd, uint32_t events, GError **error)
{
  struct epoll_event event = { .events = events };
  return !epoll_ctl (qmp->epoll_fd, operation, fd, &event) || throw_errno (error, "QMP: epoll_ctl");
}

static int
get_place (const Qmp *qmp, const QmpClient *client)
{
  return (int) (client - qmp->clients);
}

/* A client that leaves much unread isn't listened to. */
static bool
is_heard (const QmpClient *client)
{
  return client->output_len <= QMP_OUTPUT_LOW;
}

static void
watch_client (Qmp *qmp, QmpClient *client)
{
  uint32_t events = (is_heard (client) ? EPOLLIN : 0) | (client->output_len ? EPOLLOUT : 0);
  if (client->fd < 0 || events == client->watched)
    return;
  qmp_watch (qmp, EPOLL_CTL_MOD, client->fd, events, NULL);
  client->watched = events;
}

void
qmp_close_client (Qmp *qmp, QmpClient *client)
{
  qmp_watch (qmp, EPOLL_CTL_DEL, client->fd, 0, NULL);
  cpr_fd_remove (qmp->machine->session, QMP_FD_CLIENT, get_place (qmp, client), NULL);
  close (client->fd);
  qmp_client_init (client, -1);
}

static void
accept_client (Qmp *qmp)
{
  g_autoptr (GError) error = NULL;
  int fd = accept4 (qmp->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0)
    return;

  int place = 0;
  while (place < QMP_CLIENTS_MAX && qmp->clients[place].fd >= 0)
    place++;
  if (place == QMP_CLIENTS_MAX || !cpr_fd_add (qmp->machine->session, QMP_FD_CLIENT, place, fd, &error))
    {
      log_line ("QMP: %s", error ? error->message : "too many clients");
      close (fd);
      return;
    }
  QmpClient *client = &qmp->clients[place];
  qmp_client_init (client, fd);
  if (!qmp_watch (qmp, EPOLL_CTL_ADD, fd, EPOLLIN, &error))
    {
      log_line ("%s", error->message);
      client->drop = true;
      return;
    }
  json_t *greeting = json_pack ("{s:{s:o, s:[]}}", "QMP", "version", qmp_make_version (), "capabilities");
  qmp_client_put (client, greeting);
  json_decref (greeting);
}

/* One message after the other, as long as the client reads the answers. An update has to wait for
 * the end of this, and the messages after it for the update. */
static void
execute (Qmp *qmp, QmpClient *client, bool saving)
{
  while (!client->drop && is_heard (client) && !qmp->migrate_to && !qmp->quitting)
    {
      g_autofree char *text = qmp_client_take (client);
      if (!text)
        break;
      json_t *answer = qmp_execute (qmp, client, text, saving);
      qmp_client_put (client, answer);
      json_decref (answer);
    }
  if (client->input_len == QMP_INPUT_MAX && client->scan.position == QMP_INPUT_MAX)
    {
      json_t *answer = qmp_make_error ("GenericError", "the message is too long", NULL);
      qmp_client_put (client, answer);
      json_decref (answer);
      qmp_client_flush (client);
      client->drop = true;
    }
}

static void
serve_client (Qmp *qmp, QmpClient *client, bool saving)
{
  if (client->fd < 0 || client->drop)
    return;
  qmp_client_flush (client);
  if (is_heard (client) && !qmp_client_receive (client))
    {
      client->drop = true;
      return;
    }
  execute (qmp, client, saving);
}

static void
finish_round (Qmp *qmp)
{
  for (int i = 0; i < QMP_CLIENTS_MAX; i++)
    {
      QmpClient *client = &qmp->clients[i];
      qmp_client_flush (client);
      watch_client (qmp, client);
      if (is_heard (client) && client->scan.position < client->input_len)
        qmp_wake (qmp); /* messages waited for it to read the answers */
      if (client->fd >= 0 && client->drop)
        qmp_close_client (qmp, client);
    }
}

/* The answer to whoever asked has gone out, or goes along. */
static void
begin_update (Qmp *qmp)
{
  Machine *machine = qmp->machine;
  g_autoptr (GError) error = NULL;
  g_autofree char *uri = g_steal_pointer (&qmp->migrate_to);
  qmp->told_end = false;
  if (update_run (machine, uri, &error) && monitor_leave (machine->monitor, &error))
    return;
  log_line ("%s", error->message);
  if (!qmp->told_end)
    qmp_send_status (qmp, "failed");
  qmp_wake (qmp); /* messages may have come with the one that asked for it */
}

void
qmp_go_round (void *user_data)
{
  Qmp *qmp = user_data;
  uint64_t count;
  if (read (qmp->wake_fd, &count, sizeof count) == sizeof count)
    qmp_send_run_state (qmp);
  for (int i = 0; i < QMP_CLIENTS_MAX; i++)
    serve_client (qmp, &qmp->clients[i], false);
  accept_client (qmp);
  finish_round (qmp);
  if (qmp->quitting)
    qmp->machine->quit = true;
  if (qmp->migrate_to)
    begin_update (qmp);
}

bool
qmp_serve (Qmp *qmp)
{
  if (!qmp)
    return true;
  for (int i = 0; i < QMP_CLIENTS_MAX; i++)
    {
      serve_client (qmp, &qmp->clients[i], true);
      qmp_client_flush (&qmp->clients[i]);
    }
  return !qmp->cancelled;
}
