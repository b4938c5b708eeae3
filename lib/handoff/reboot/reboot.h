/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_HANDOFF_REBOOT_REBOOT_H
#define CPR_HANDOFF_REBOOT_REBOOT_H

#include <sys/stat.h>

#include "handoff/carrier.h"
#include "handoff/incoming.h"

/* Reboot mode: the state goes to a file, and the first program that finds it takes it up, once.
 *
 *   PATH                 a state that no process has taken up
 *   PATH.taken           a state that a process is taking up; that process has a lock on the
 *                        file. Without a lock it was left by a process that ended before its
 *                        commit, and can be taken up like PATH
 *   PATH.spent           the guest runs, and the file is about to be removed
 *
 * Each step is a rename to a name that isn't there yet, so only one process succeeds. */

#define CPR_REBOOT_SCHEME_FILE "file"
#define CPR_REBOOT_SCHEME_PIPE "pipe" /* the VMM opens it; only for a take-up */

char *cpr_reboot_name_taken (const char *path);
char *cpr_reboot_name_spent (const char *path);

/* Renames a file to a name that isn't there yet; false with errno, EEXIST if it is. */
bool cpr_reboot_rename (const char *from, const char *to);
/* Brings the names in the file's folder to the disk. */
bool cpr_reboot_sync_folder (const char *path);

/* Reads a symbolic link; NULL: @path isn't one. */
char *cpr_reboot_read_link (const char *path);

/* The demands of a take-up on its file. A save makes the same demands on the file that it has
 * made, with the guest still running. The file can be opened under @name and isn't a link. No
 * other process has the lock, and the file system has locks. The name still is this file's. It
 * is a regular file that only this user can write. @path is for messages. */
int cpr_reboot_open_file (const char *path, const char *name, GError **error);
bool cpr_reboot_claim_file (int file, const char *path, const char *name, struct stat *st, GError **error);

/* The offset of the RAM area in a file with a stream of @stream_len bytes. */
uint64_t cpr_reboot_get_base (uint64_t stream_len);

/* The carrier's functions in the new program. */
bool cpr_reboot_take_up (CprIncoming *incoming, const CprSessionConfig *config, const char *address, GError **error);
bool cpr_reboot_commit (CprIncoming *incoming, GError **error);
bool cpr_reboot_give_back (CprIncoming *incoming, GArray *held, GError *reason, GError **error);
void cpr_reboot_finish (CprIncoming *incoming);
void cpr_reboot_clear (CprIncoming *incoming);

#endif
