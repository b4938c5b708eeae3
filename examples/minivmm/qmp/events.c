/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The events of QMP: what the session's callbacks and notifiers see, told to all clients of
 * server.c. Nothing is sent here: the text waits in the clients' state. So a client hears nothing
 * twice when a new program fails and the old one goes on from the state. */
#include "qmp/qmp.h"

#include <unistd.h>

#include "qmp/server.h"

#define PAUSED_BIT    CPR_RUN_STATE_PAUSED
#define SUSPENDED_BIT CPR_RUN_STATE_SUSPENDED

G_STATIC_ASSERT (CPR_RUN_STATE_PAUSED_SUSPENDED == (PAUSED_BIT | SUSPENDED_BIT));

void
qmp_wake (const Qmp *qmp)
{
  const uint64_t one = 1;
  if (write (qmp->wake_fd, &one, sizeof one) < 0)
    return; /* it is awake */
}

void
qmp_send_event (Qmp *qmp, const char *name, json_t *data, int64_t time_us)
{
  json_t *event = json_pack ("{s:{s:I, s:I}, s:s}", "timestamp", "seconds", (json_int_t) (time_us / G_USEC_PER_SEC),
                             "microseconds", (json_int_t) (time_us % G_USEC_PER_SEC), "event", name);
  if (data)
    json_object_set_new (event, "data", data);
  for (int i = 0; i < QMP_CLIENTS_MAX; i++)
    if (qmp->clients[i].fd >= 0 && qmp->clients[i].negotiated)
      qmp_client_put (&qmp->clients[i], event);
  json_decref (event);
  qmp_wake (qmp);
}

void
qmp_send_status (Qmp *qmp, const char *status)
{
  if (qmp->events)
    qmp_send_event (qmp, "MIGRATION", json_pack ("{s:s}", "status", status), g_get_real_time ());
}

void
qmp_send_run_state (Qmp *qmp)
{
  unsigned before = qmp->run_state, now = cpr_session_get_run_state (qmp->machine->session);
  unsigned off = before & ~now, on = now & ~before;
  int64_t now_us = g_get_real_time (), stop_us = qmp->stopped_us ? qmp->stopped_us : now_us;

  qmp->run_state = now;
  qmp->stopped_us = 0;
  if (off & SUSPENDED_BIT)
    qmp_send_event (qmp, "WAKEUP", NULL, now_us);
  if (off & PAUSED_BIT)
    qmp_send_event (qmp, "RESUME", NULL, now_us);
  if (on & SUSPENDED_BIT)
    qmp_send_event (qmp, "SUSPEND", NULL, stop_us);
  if (on & PAUSED_BIT)
    qmp_send_event (qmp, "STOP", NULL, stop_us);
}

/* An owner's pause and a guest's sleep look alike here: the run state is still the one before. */
void
qmp_stopped (Qmp *qmp)
{
  if (!qmp)
    return;
  if (cpr_session_get_state (qmp->machine->session) == CPR_SESSION_STATE_ACTIVE)
    {
      qmp->stopped_us = g_get_real_time ();
      qmp_wake (qmp);
      return;
    }
  qmp->held = true;
  qmp_send_event (qmp, "STOP", NULL, g_get_real_time ());
}

void
qmp_started (Qmp *qmp)
{
  if (!qmp)
    return;
  if (qmp->held)
    qmp_send_event (qmp, "RESUME", NULL, g_get_real_time ());
  qmp->held = false;
  qmp_send_run_state (qmp);
}

bool
qmp_notice_update (CprSession *session, CprEvent event, CprMode mode, void *user_data, GError **error)
{
  Qmp *qmp = user_data;
  switch (event)
    {
    case CPR_EVENT_SETUP:
      qmp_send_run_state (qmp);
      qmp->updating = true;
      qmp->cancelled = false;
      qmp_send_status (qmp, "setup");
      qmp_send_status (qmp, "active");
      return true;
    case CPR_EVENT_FAILED:
      qmp->updating = false;
      qmp->told_end = true;
      qmp_send_status (qmp, qmp->cancelled ? "cancelled" : "failed");
      return true;
    case CPR_EVENT_DONE:
      qmp_send_status (qmp, "completed");
      return true;
    default:
      return true;
    }
}
