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

typedef struct
{
  const char *name; /* NULL ends a table */
  const char *arguments;
  const char *help;
  bool needs_guest; /* it touches what another program may have by now: RAM, vCPUs, devices */
  bool (*run) (const Call *call);
} Command;

/* Executes one line of the monitor and appends the answer to @answer. */
void command_execute (Machine *machine, const char *line, GString *answer);

#endif
