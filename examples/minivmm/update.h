/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MINIVMM_UPDATE_H
#define MINIVMM_UPDATE_H

#include "options.h"

/* The next update: its command, which is state, its mode, and the update itself. Only update.c
 * starts an update. */
typedef struct _Update Update;

extern const CprDeviceType update_type;

/* @options must outlive it. */
Update *update_new (CprSession *session, const Options *options, GError **error);
void update_free (Update *update);

/* @command is a command line with the shell's quoting. */
bool update_set_command (Update *update, const char *command, GError **error);
bool update_set_mode (Update *update, const char *mode, GError **error);
/* In reboot mode: RAM in a file stays there. */
void update_set_in_place (Update *update, bool in_place);
/* @serve is called again and again while RAM is saved. False: the update is to be given up. */
void update_set_serve (Update *update, bool (*serve) (void *user_data), void *user_data);

/* Updates, in transfer mode to @uri. After a failure the guest is as it was. On success main()
 * of the new program is next; or it returns: in transfer mode the guest is another process's,
 * see update_has_left(), in reboot mode it is where @uri says: file:PATH or exec:COMMAND. */
bool update_run (Update *update, const char *uri, GError **error);
bool update_has_left (const Update *update);

/* The guest still runs in another process, and is about to come here. */
bool update_is_transferred (CprSession *session);

/* For CprSessionConfig: what --incoming names, and a pipe from a command. */
char *update_name_incoming (const char *where);
int update_open_incoming (const char *address, void *user_data, GError **error);

/* Asks whether it would work, with the guest running: writes "would go through" or what stands
 * in the way. */
bool update_check (Update *update, GString *text, GError **error);

/* How the last update ended: in full for `info migrate`, and in brief for whoever asked for it. */
void update_describe (const Update *update, GString *text);
void update_describe_end (const Update *update, GString *text);
/* Why none is possible now, a line each. */
void update_describe_blockers (const Update *update, GString *text);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Update, update_free)

#endif
