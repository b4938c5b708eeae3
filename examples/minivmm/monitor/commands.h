/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MINIVMM_COMMANDS_H
#define MINIVMM_COMMANDS_H

#include "machine.h"

/* A command that is being executed. */
typedef struct
{
  Machine *machine;
  const char *arguments;
  GString *answer;
  GError **error;
} Call;

/* When a command may be given. */
typedef enum
{
  COMMAND_AT_HOME,    /* not while this program waits for its guest */
  COMMAND_WITH_GUEST, /* it touches what another program may have by now: RAM, vCPUs, devices */
  COMMAND_ALWAYS,     /* while it waits, too: there may be no session and no machine yet */
} CommandTime;

typedef struct
{
  const char *name; /* NULL ends a table */
  const char *arguments;
  const char *help;
  CommandTime when;
  bool (*run) (const Call *call);
} Command;

/* Executes one line of the monitor and appends the answer to @answer. */
void command_execute (Machine *machine, const char *line, GString *answer);

/* What commands do, apart from the texts that they print. */

/* "running", "paused", "suspended", "inmigrate" or "postmigrate". */
const char *command_get_status (const Machine *machine);
/* The operator, for whom this program waits, lets the guest come from @uri. */
bool command_accept_guest (Machine *machine, const char *uri, GError **error);
/* Wakes a guest that sleeps and isn't paused as well. */
bool command_wake (Machine *machine, GError **error);

#endif
