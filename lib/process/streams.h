/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_PROCESS_STREAMS_H
#define CPR_PROCESS_STREAMS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define CPR_STREAMS 3

/* Which file a standard stream is: 0, 1 or 2, where it isn't close-on-exec. Part of the baton's
 * page. */
typedef struct
{
  uint32_t is_known, is_open;
  uint32_t access; /* O_ACCMODE of its flags */
  uint32_t reserved;
  uint64_t device, inode;
} CprStream;

/* Those of this process. */
void cpr_streams_read (CprStream streams[CPR_STREAMS]);

/* Gives this process @wanted again: the guardian @guardian holds them. False where they differ
 * and that doesn't work. For a signal handler, too. */
bool cpr_streams_restore (const CprStream wanted[CPR_STREAMS], pid_t guardian);

/* Whether 0, 1 or 2 is that stream. */
bool cpr_streams_have (const CprStream *wanted, int fd);

#endif
