/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_REGISTRY_FD_TABLE_H
#define CPR_REGISTRY_FD_TABLE_H

#include <libcpr/libcpr.h>

#include "base/fd.h"
#include "stream/value.h"

/* The names of the library's own entries begin with this, and no name of the VMM's may. */
#define CPR_FD_INTERNAL "libcpr:"

typedef struct
{
  char *name;
  int index;
  int fd;
  uint32_t where; /* in a state: how the new program finds the fd; its number if the carrier chose nothing else */
  CprFdIdentity identity;
  bool claimed;
  guint position; /* in `entries` */
} CprFdEntry;

typedef struct
{
  GPtrArray *entries; /* CprFdEntry */
  GHashTable *by_name;
  GHashTable *by_fd;
} CprFdTable;

void cpr_fd_table_init (CprFdTable *table);
void cpr_fd_table_clear (CprFdTable *table);

bool cpr_fd_table_check_name (const char *name, int index, GError **error);

/* Adds an fd as claimed. The caller checks names of the VMM's, since the library's own are added
 * here, too. */
bool cpr_fd_table_add (CprFdTable *table, const char *name, int index, int fd, GError **error);
CprFdEntry *cpr_fd_table_find (const CprFdTable *table, const char *name, int index);
bool cpr_fd_table_has_fd (const CprFdTable *table, int fd);
void cpr_fd_table_remove (CprFdTable *table, CprFdEntry *entry);

/* Claims an unclaimed entry and returns its fd; -1 with an error. */
int cpr_fd_table_take (CprFdTable *table, const char *name, int index, GError **error);

/* Copies of the unclaimed entries whose names begin with @prefix, without the library's own, by
 * name and index. */
GPtrArray *cpr_fd_table_copy_unclaimed (const CprFdTable *table, const char *prefix);

/* FDS chunk: u32 number, then each: name; u32 index; u32 where; u32 type; u32 access; u64
 * device; u64 inode; u32 socket domain; u32 socket type. */
void cpr_fd_table_write (const CprFdTable *table, CprWriter *writer);
bool cpr_fd_table_read (CprFdTable *table, CprCursor *cursor, GError **error); /* all entries are unclaimed */

/* Gives each entry of a table that was read the fd that it has in this process. The finder
 * returns -1 with an error if there is none. */
typedef int (*CprFdFinder) (void *data, uint32_t where, GError **error);
bool cpr_fd_table_place (CprFdTable *table, CprFdFinder find, void *data, GError **error);

/* Compares each fd with its recorded identity. If @peer isn't 0, anonymous inodes are compared
 * by kcmp() with that process's fds of the same numbers. */
bool cpr_fd_table_verify (const CprFdTable *table, pid_t peer, GError **error);
/* The same for one entry. */
bool cpr_fd_entry_verify (const CprFdEntry *entry, pid_t peer, GError **error);

/* For the fields of devices: finds fds by name, which claims them, and names by fd. */
CprCodec cpr_fd_table_get_codec (CprFdTable *table);

/* The names of the unclaimed fds, "a 0, b 1"; NULL if there are none. */
char *cpr_fd_table_describe_unclaimed (const CprFdTable *table);

#endif
