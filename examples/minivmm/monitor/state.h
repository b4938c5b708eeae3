/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MINIVMM_MONITOR_STATE_H
#define MINIVMM_MONITOR_STATE_H

/* What the monitor's own files share. */
#include "monitor/client.h"
#include "monitor/monitor.h"

#define CLIENTS_MAX 16
#define WATCHES_MAX 4
#define NOBODY      (-1)

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

  bool waits;       /* for an operator, who says where the guest is */
  char *incoming;   /* where it is; NULL: nobody has said so */
  int decider;      /* who said so, and is answered when the guest is here */
  unsigned carried; /* a bit for each client that came with the guest */

  int32_t asker; /* whose command is being executed */
  bool detached; /* it is told no more than a failure of the update */
  Client clients[CLIENTS_MAX];
};

/* A monitor that has nothing yet: no socket, no clients. @path may be NULL. */
Monitor *monitor_alloc (Machine *machine, const char *path);

/* Whether the client at @place came with the guest. */
bool monitor_is_carried (const Monitor *monitor, int place);

/* A socket at its path. */
bool monitor_listen (Monitor *monitor, GError **error);

/* SIGINT and SIGTERM go to the main loop, or again where they went before. */
bool monitor_open_signals (Monitor *monitor, GError **error);
void monitor_close_signals (Monitor *monitor);

void monitor_accept_client (Monitor *monitor);
void monitor_drop_clients (Monitor *monitor);

/* Takes in what the client at @place has sent, and executes its lines; monitor_execute_lines()
 * only those that are there. */
void monitor_receive (Monitor *monitor, int place);
void monitor_execute_lines (Monitor *monitor, int place);

/* Text and a prompt for the client at @place, if there is one. */
void monitor_answer (Monitor *monitor, int place, const char *text);

/* The main loop, until the machine's `quit` is set, or an operator that it waits for has said where
 * the guest is. */
bool monitor_loop (Monitor *monitor, GError **error);
bool monitor_is_over (const Monitor *monitor);

#endif
