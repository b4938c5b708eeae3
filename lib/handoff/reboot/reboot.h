/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_HANDOFF_REBOOT_REBOOT_H
#define CPR_HANDOFF_REBOOT_REBOOT_H

#include <sys/stat.h>

#include "handoff/carrier.h"
#include "handoff/incoming.h"

/* Reboot mode: the state goes to a file, and whoever is first takes it up from there, once.
 *
 *   PATH                 a state that nobody has taken up
 *   PATH.taken           one that a process is taking up: that process has a lock on it. One
 *                        without a lock was left by a process that ended before its commit, and
 *                        can be taken up as if it were PATH
 *   PATH.spent           the guest runs, and the file goes away
 *
 * Each step is a rename to a name that isn't there yet: so it has one winner. */

#define CPR_REBOOT_SCHEME_FILE "file"
#define CPR_REBOOT_SCHEME_PIPE "pipe" /* from whatever the VMM opens; taken up only */

char *cpr_reboot_name_taken (const char *path);
char *cpr_reboot_name_spent (const char *path);

/* A file gets a name that isn't there yet; false with errno, EEXIST if it is. */
bool cpr_reboot_rename (const char *from, const char *to);
/* The names in the file's folder are on the disk afterwards. */
bool cpr_reboot_sync_folder (const char *path);

/* The path that a symbolic link leads to; NULL: @path isn't one. */
char *cpr_reboot_read_link (const char *path);

/* The demands of a take-up on the file, and of a save on the file that it has made, with the guest
 * still running: it can be opened under @name and isn't a link; nobody else has the lock, and the
 * file system has locks; the name is this file's; and it is a file that nobody but this user can
 * write. @path is for messages. */
int cpr_reboot_open_file (const char *path, const char *name, GError **error);
bool cpr_reboot_claim_file (int file, const char *path, const char *name, struct stat *st, GError **error);

/* Where the area of RAM begins behind a stream. */
uint64_t cpr_reboot_get_base (uint64_t stream_len);

/* The table's functions for the new program. */
bool cpr_reboot_take_up (CprIncoming *incoming, const CprSessionConfig *config, const char *address, GError **error);
bool cpr_reboot_commit (CprIncoming *incoming, GError **error);
bool cpr_reboot_give_back (CprIncoming *incoming, GArray *held, GError *reason, GError **error);
void cpr_reboot_finish (CprIncoming *incoming);
void cpr_reboot_clear (CprIncoming *incoming);

#endif
