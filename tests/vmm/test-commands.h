/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VMM_TEST_COMMANDS_H
#define VMM_TEST_COMMANDS_H

#include "monitor/commands.h"

extern const Command test_commands[];

#endif
