/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MINIVMM_QMP_SERVER_H
#define MINIVMM_QMP_SERVER_H

#include "machine.h"
#include "qmp/client.h"

#define QMP_CLIENTS_MAX 8

#define QMP_FD_LISTEN "qmp-listen"
#define QMP_FD_CLIENT "qmp-client" /* its index is the client's place in the table */

struct _Qmp
{
  Machine *machine;
  char *path;
  int listen_fd;
  int epoll_fd; /* the monitor's main loop watches it in place of all others */
  int wake_fd;  /* in it, too: readable when there is something to tell */

  char *migrate_to; /* an update that is about to begin: its URI, or ""; NULL: none */
  bool updating;
  bool told_end;  /* of an update that has failed */
  bool cancelled; /* the update that was last */
  bool quitting;
  int64_t stopped_us; /* when the guest last stopped, if its clients weren't told yet; 0: they were */

  bool events;        /* capability: tell of each step of an update */
  bool held;          /* clients were told that an update stopped the guest */
  uint32_t run_state; /* a CprRunState: what clients know */
  QmpClient clients[QMP_CLIENTS_MAX];
};

/* For epoll_ctl(). */
bool qmp_watch (const Qmp *qmp, int operation, int fd, uint32_t events, GError **error);

/* For the main loop: something is to be done. */
void qmp_go_round (void *user_data);

void qmp_close_client (Qmp *qmp, QmpClient *client);

/* The main loop comes by soon. */
void qmp_wake (const Qmp *qmp);

/* Tells each client that has negotiated. @data is given away, and may be NULL. */
void qmp_send_event (Qmp *qmp, const char *name, json_t *data, int64_t time_us);
void qmp_send_status (Qmp *qmp, const char *status);

/* Tells what has become of the run state since it was last told. */
void qmp_send_run_state (Qmp *qmp);

/* For cpr_notifier_add(): tells of an update's steps. */
bool qmp_notice_update (CprSession *session, CprEvent event, CprMode mode, void *user_data, GError **error);

#endif
