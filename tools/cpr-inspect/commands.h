/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_INSPECT_COMMANDS_H
#define CPR_INSPECT_COMMANDS_H

#include "state.h"

/* The commands, each with the arguments that follow its name, ended by NULL; they say themselves
 * what is wrong. */
InspectStatus inspect_show (char **files, bool json);
InspectStatus inspect_verify (char **files);
InspectStatus inspect_diff (char **files);
InspectStatus inspect_schema (char **command, unsigned timeout_ms);
InspectStatus inspect_compat (const char *file, char **command, unsigned timeout_ms, bool json);
/* Returns only where it fails. */
InspectStatus inspect_record (const char *file, char **command);

/* The two forms of a state. */
void inspect_show_tree (const InspectState *state);
void inspect_show_json (const InspectState *state);

/* Structs and device types. */
void inspect_show_schema (const CprSchema *schema);

#endif
