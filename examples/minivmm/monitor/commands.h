/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MINIVMM_COMMANDS_H
#define MINIVMM_COMMANDS_H

#include "machine.h"

/* Executes one line of the monitor and appends the answer to @answer. */
void command_execute (Machine *machine, const char *line, GString *answer);

#endif
