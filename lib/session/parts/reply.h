/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_SESSION_PARTS_REPLY_H
#define CPR_SESSION_PARTS_REPLY_H

#include "registry/fd-table.h"

/* The connection of whoever asked for an update: a duplicate of the caller's fd. It goes where the
 * guest goes, as one of the library's own fds, and waits there until the VMM takes it. */
typedef struct
{
  int fd; /* -1: there is none */
} CprReply;

/* An update begins: closes the fd of the one before if nobody took it, and duplicates @given. 0 or
 * -1: there is none. */
bool cpr_reply_begin (CprReply *reply, int given, GError **error);

/* The fd is in the table while the table's fds are handed over. */
bool cpr_reply_offer (const CprReply *reply, CprFdTable *fds, GError **error);
void cpr_reply_withdraw (CprFdTable *fds);

/* In the program that was handed @fds: takes the fd out of the table. */
void cpr_reply_adopt (CprReply *reply, CprFdTable *fds);

#endif
