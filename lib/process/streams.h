/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_PROCESS_STREAMS_H
#define CPR_PROCESS_STREAMS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define CPR_STREAMS 3

/* The file that fd 0, 1 or 2 has open, as far as the fd isn't close-on-exec. A part of the
 * baton's page, and so an ABI. */
typedef struct
{
  uint32_t is_known, is_open;
  uint32_t access; /* O_ACCMODE of its flags */
  uint32_t reserved;
  uint64_t device, inode;
} CprStream;

/* Reads those of this process. */
void cpr_streams_read (CprStream streams[CPR_STREAMS]);

/* Gives this process the streams @wanted again; they come from the process @guardian, which
 * holds them. False if a stream differs and can't be put back. May be called in a signal
 * handler. */
bool cpr_streams_restore (const CprStream wanted[CPR_STREAMS], pid_t guardian);

/* Whether @fd, one of 0, 1 and 2, is the stream @wanted. */
bool cpr_streams_have (const CprStream *wanted, int fd);

#endif
