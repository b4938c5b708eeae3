/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MINIVMM_UPDATE_H
#define MINIVMM_UPDATE_H

#include <libcpr/libcpr.h>

#include "support/pipe.h"

#define UPDATE_COMMAND_MAX 4096

typedef struct _Machine Machine;

/* The next update: its command, which is state, its mode, and the update itself. Only update.c
 * starts an update. */
typedef struct
{
  CprMode mode;
  bool in_place;   /* in reboot mode: RAM in a file stays there */
  Pipe pipe;       /* while an update goes through one */
  unsigned events; /* of the last update, as far as this process was told: a bit each */

  uint32_t command_len; /* 0: this program again, with its own arguments */
  uint8_t command[UPDATE_COMMAND_MAX];
} Update;

extern const CprDeviceType update_type;

/* The machine's part: it belongs to the session, which forgets it at its end. */
bool update_add (Machine *machine, GError **error);

/* @command is a command line with the shell's quoting. */
bool update_set_command (Update *update, const char *command, GError **error);
const char *update_get_mode_name (CprMode mode);
bool update_set_mode (Update *update, const char *mode, GError **error);

/* Updates, in transfer mode to @uri. After a failure the guest is as it was. On success main()
 * of the new program is next; or it returns: in transfer mode the guest is another process's,
 * see update_has_left(), in reboot mode it is where @uri says: file:PATH or exec:COMMAND. */
bool update_run (Machine *machine, const char *uri, GError **error);
bool update_has_left (const Machine *machine);

/* The guest still runs in another process, and is about to come here. */
bool update_is_transferred (CprSession *session);

/* How the last update ended: false where the guest came back from the new program. */
bool update_went_well (const Machine *machine);

/* The guest came with this process, and stands still until an operator lets it go on. */
bool update_is_deferred (const Machine *machine);

/* For CprSessionConfig: what --incoming names, and what it is opened to: a pipe from a command, or
 * a copy of an fd. */
char *update_name_incoming (const char *where);
int update_open_incoming (const char *address, void *user_data, GError **error);

/* Asks whether it would work, with the guest running: writes "would go through" or what stands
 * in the way. */
bool update_check (Machine *machine, GString *text, GError **error);

/* How the last update ended: in full for `info migrate`, and in brief for whoever asked for it. */
void update_describe (const Machine *machine, GString *text);
void update_describe_end (const Machine *machine, GString *text);
/* Why none is possible now, a line each. */
void update_describe_blockers (const Machine *machine, GString *text);

#endif
