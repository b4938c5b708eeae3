/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The beginning and the end of QMP: its socket, its state, and what of both an update takes along.
 * parts.c calls it. */
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "qmp/server.h"
#include "support/error.h"
#include "support/listen.h"

static const CprStruct client_struct = { "QmpClient", sizeof (QmpClient), qmp_client_fields };

static const CprField qmp_fields[] = {
  CPR_FIELD (Qmp, events),
  CPR_FIELD (Qmp, held),
  CPR_FIELD (Qmp, run_state),
  CPR_FIELD_STRUCT_ARRAY (Qmp, clients, QmpClient, client_struct),
  CPR_FIELD_END,
};

static bool
post_load (void *device, uint32_t version, GError **error)
{
  Qmp *qmp = device;
  for (int i = 0; i < QMP_CLIENTS_MAX; i++) /* their connections may have ended with the old program */
    if (qmp->clients[i].fd < 0)
      qmp_client_init (&qmp->clients[i], -1);
  return true;
}

const CprDeviceType qmp_type = {
  .size = sizeof (CprDeviceType),
  .name = "qmp",
  .version = 1,
  .minimum_version = 1,
  .state = { "Qmp", sizeof (Qmp), qmp_fields },
  .post_load = post_load,
};

static int
open_listen_fd (const char *name, int index, void *path, GError **error)
{
  return listen_at ("QMP", path, QMP_CLIENTS_MAX, error);
}

static bool
take_fds (Qmp *qmp, GError **error)
{
  CprSession *session = qmp->machine->session;
  qmp->listen_fd = cpr_fd_open (session, QMP_FD_LISTEN, 0, open_listen_fd, qmp->path, error);
  if (qmp->listen_fd < 0 || !qmp_watch (qmp, EPOLL_CTL_ADD, qmp->listen_fd, EPOLLIN, error))
    return false;
  for (int i = 0; i < QMP_CLIENTS_MAX; i++) /* -1 where there is none */
    {
      qmp_client_init (&qmp->clients[i], cpr_fd_take (session, QMP_FD_CLIENT, i, NULL));
      if (qmp->clients[i].fd >= 0 && !qmp_watch (qmp, EPOLL_CTL_ADD, qmp->clients[i].fd, EPOLLIN, error))
        return false;
    }
  return true;
}

Qmp *
qmp_new (Machine *machine, const char *path, GError **error)
{
  g_autoptr (Qmp) qmp = g_new0 (Qmp, 1);
  qmp->machine = machine;
  qmp->path = g_strdup (path);
  qmp->listen_fd = -1;
  for (int i = 0; i < QMP_CLIENTS_MAX; i++)
    qmp->clients[i].fd = -1;
  qmp->epoll_fd = epoll_create1 (EPOLL_CLOEXEC);
  /* Readable at first: the new program sends what the old one couldn't. */
  qmp->wake_fd = eventfd (1, EFD_CLOEXEC | EFD_NONBLOCK);
  if (qmp->epoll_fd < 0 || qmp->wake_fd < 0)
    {
      throw_errno (error, "QMP");
      return NULL;
    }
  if (!qmp_watch (qmp, EPOLL_CTL_ADD, qmp->wake_fd, EPOLLIN, error) || !take_fds (qmp, error) ||
      !cpr_notifier_add (machine->session, CPR_MODES_ALL, 0, qmp_notice_update, qmp, error) ||
      !cpr_device_add (machine->session, "qmp", &qmp_type, qmp, error))
    return NULL;
  monitor_watch (machine->monitor, qmp->epoll_fd, qmp_go_round, qmp);
  return g_steal_pointer (&qmp);
}

/* The guest is this process's. */
static bool
has_guest (const Qmp *qmp)
{
  CprSession *session = qmp->machine->session;
  CprSessionState state = cpr_session_get_state (session);
  return state == CPR_SESSION_STATE_ACTIVE || (state < CPR_SESSION_STATE_LOST && !cpr_session_is_incoming (session));
}

/* The guest came by exec, and its operator gave it up: the old program will tell. */
static bool
goes_back (const Qmp *qmp)
{
  return cpr_session_get_state (qmp->machine->session) < CPR_SESSION_STATE_ACTIVE;
}

static void
close_all (Qmp *qmp)
{
  for (int i = 0; i < QMP_CLIENTS_MAX; i++)
    if (qmp->clients[i].fd >= 0)
      qmp_close_client (qmp, &qmp->clients[i]);
  if (qmp->listen_fd < 0)
    return;
  qmp_watch (qmp, EPOLL_CTL_DEL, qmp->listen_fd, 0, NULL);
  cpr_fd_remove (qmp->machine->session, QMP_FD_LISTEN, 0, NULL);
  close (qmp->listen_fd);
  qmp->listen_fd = -1;
}

void
qmp_leave (Qmp *qmp)
{
  if (!qmp || cpr_session_get_state (qmp->machine->session) != CPR_SESSION_STATE_HANDED_OVER)
    return;
  qmp->updating = qmp->held = false;
  if (update_has_left (qmp->machine))
    close_all (qmp);
  else
    qmp_send_status (qmp, "completed");
}

/* A signal that ends the program is still pending: the main loop doesn't take it. */
static void
say_goodbye (Qmp *qmp)
{
  sigset_t pending;
  sigemptyset (&pending);
  sigpending (&pending);
  bool signalled = sigismember (&pending, SIGINT) || sigismember (&pending, SIGTERM);
  json_t *data = json_pack ("{s:b, s:s}", "guest", 0, "reason", signalled ? "host-signal" : "host-qmp-quit");
  qmp_send_event (qmp, "SHUTDOWN", data, g_get_real_time ());
  for (int i = 0; i < QMP_CLIENTS_MAX; i++)
    qmp_client_flush (&qmp->clients[i]);
}

void
qmp_free (Qmp *qmp)
{
  if (!qmp)
    return;
  bool owner = has_guest (qmp);
  bool present = qmp->listen_fd >= 0;
  if (present && qmp->machine->quit && !goes_back (qmp))
    say_goodbye (qmp);
  if (qmp->epoll_fd >= 0)
    monitor_unwatch (qmp->machine->monitor, qmp->epoll_fd);
  cpr_device_remove (qmp->machine->session, "qmp", NULL);
  close_all (qmp);
  if (qmp->epoll_fd >= 0)
    close (qmp->epoll_fd);
  if (qmp->wake_fd >= 0)
    close (qmp->wake_fd);
  if (present && owner)
    unlink (qmp->path);
  g_free (qmp->migrate_to);
  g_free (qmp->path);
  g_free (qmp);
}
