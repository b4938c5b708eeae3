/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_STREAM_READER_H
#define CPR_STREAM_READER_H

#include <glib.h>

#include "base/checksum.h"
#include "stream/wire.h"

typedef enum
{
  CPR_STREAM_STATE,
  CPR_STREAM_QUESTION,
  CPR_STREAM_ANSWER
} CprStreamKind;

typedef struct
{
  uint32_t type;
  uint32_t flags;
  uint64_t offset;   /* of the chunk in the stream, for messages */
  uint64_t len;      /* of its payload */
  CprCursor payload; /* empty for BULK */
  uint32_t prefix;   /* of BULK: from the chunk's begin to the data */
  uint32_t size;     /* of BULK: of the data */
} CprChunk;

/* A device's data in BULK chunks. */
typedef struct
{
  const char *device;
  guint first, n; /* chunks */
  uint64_t size;  /* of all of them */
} CprBulkData;

/* Reads a stream from memory or from an fd. Opening it verifies all of it, so that walking
 * through the chunks can't fail; only the checksums of BULK chunks are verified when their data
 * is read. From an fd everything but that data is copied, so that what was verified can't
 * change. */
#define CPR_READER_PEEK 512

/* The number of bytes that are copied from an fd at a time. */
#define CPR_READER_BLOCK (256 * 1024)

typedef struct
{
  const uint8_t *data; /* all of it, or NULL: in an fd */
  uint64_t len;
  int fd;
  CprChecksum *checksum;
  GPtrArray *blocks; /* copies of parts of the fd */
  uint8_t *spare;    /* room for the first of them, or NULL */
  const uint8_t *block;
  uint64_t block_start, block_len;
  uint8_t peeked[CPR_READER_PEEK];
  uint16_t minor; /* of the format's version */
  CprStreamKind kind;
  GArray *chunks;  /* CprChunk, those skipped and END too */
  GPtrArray *bulk; /* CprBulkData, in the order of the stream */
  GHashTable *bulk_by_device;
  guint next;
  uint64_t at; /* what is being looked at, a chunk or an element of the header: after a failure, where it was */
} CprReader;

/* Both check the header, every chunk's bounds, padding, checksum, type and order, and the end.
 * The reader can be cleared after failure too. @fd stays the caller's and must stay open. */
bool cpr_reader_open (CprReader *reader, const void *data, size_t len, GError **error);
bool cpr_reader_open_fd (CprReader *reader, int fd, GError **error);
/* With CPR_READER_BLOCK bytes of g_malloc()'s in @spare, which become the reader's: so that the
 * first block needn't be asked for. */
bool cpr_reader_open_fd_with (CprReader *reader, int fd, void *spare, GError **error);
void cpr_reader_clear (CprReader *reader);

/* The next chunk; false at the end. Those that are unknown and optional aren't seen. */
bool cpr_reader_next (CprReader *reader, CprChunk *chunk);
void cpr_reader_rewind (CprReader *reader);

/* NULL: it has none. */
const CprBulkData *cpr_reader_find_bulk (const CprReader *reader, const char *device);

/* The size of the data of chunk @index; 0: it isn't a BULK chunk. */
size_t cpr_reader_get_piece_size (const CprReader *reader, guint index);
/* Copies that data to @data and verifies its checksum. */
bool cpr_reader_read_piece (CprReader *reader, guint index, void *data, GError **error);

#endif
