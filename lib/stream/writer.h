/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_STREAM_WRITER_H
#define CPR_STREAM_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <glib.h>

#include "base/checksum.h"

/* Writes a stream into memory, or through a buffer into an fd, then with the same few bytes of
 * memory however long it gets. */
typedef struct
{
  uint8_t *data; /* what hasn't gone to the fd */
  size_t len;
  size_t capacity;
  size_t chunk_start;
  uint64_t n_chunks;
  uint64_t flushed; /* bytes that have gone to the fd */
  int fd;           /* -1: into memory */
  int errnum;       /* the first failure of writing to it */
  uint64_t end_ns;  /* CLOCK_MONOTONIC: until then it is written to, ETIMEDOUT afterwards; 0: for as long as it takes */
  CprChecksum *checksum;
} CprWriter;

void cpr_writer_init (CprWriter *writer, int fd);
void cpr_writer_clear (CprWriter *writer);

/* Has the memory for about @expected more bytes there, now rather than when there is less time:
 * here, and where the fd is a memfd in that too. Without it everything works the same. */
void cpr_writer_reserve (CprWriter *writer, size_t expected);

void cpr_writer_begin_chunk (CprWriter *writer, uint32_t type, uint32_t flags);
void cpr_writer_end_chunk (CprWriter *writer);
size_t cpr_writer_chunk_len (const CprWriter *writer); /* of the payload so far */

/* BULK chunks of one device's data. */
void cpr_writer_put_bulk (CprWriter *writer, const char *device, uint64_t offset, const void *data, size_t len);

/* PAGES chunks of one RAM block's contents. */
void cpr_writer_put_pages (CprWriter *writer, const char *block, uint64_t offset, const void *data, size_t len);

/* How long the stream is so far. */
uint64_t cpr_writer_get_len (const CprWriter *writer);

/* The END chunk. False with errno if something couldn't be written to the fd, now or before. */
bool cpr_writer_finish (CprWriter *writer);

void cpr_writer_grow (CprWriter *writer, size_t len);

/* Room for @len bytes at the end. */
static inline uint8_t *
cpr_writer_add (CprWriter *writer, size_t len)
{
  uint8_t *at;

  if (len > writer->capacity - writer->len)
    cpr_writer_grow (writer, len);
  at = writer->data + writer->len;
  writer->len += len;
  return at;
}

static inline void
cpr_writer_put (CprWriter *writer, const void *data, size_t len)
{
  if (len > 0)
    memcpy (cpr_writer_add (writer, len), data, len);
}

static inline void
cpr_writer_put_u8 (CprWriter *writer, uint8_t value)
{
  *cpr_writer_add (writer, 1) = value;
}

static inline void
cpr_writer_put_u16 (CprWriter *writer, uint16_t value)
{
  memcpy (cpr_writer_add (writer, sizeof value), &value, sizeof value);
}

static inline void
cpr_writer_put_u32 (CprWriter *writer, uint32_t value)
{
  memcpy (cpr_writer_add (writer, sizeof value), &value, sizeof value);
}

static inline void
cpr_writer_put_u64 (CprWriter *writer, uint64_t value)
{
  memcpy (cpr_writer_add (writer, sizeof value), &value, sizeof value);
}

void cpr_writer_put_string (CprWriter *writer, const char *string); /* up to 65,535 bytes */

#endif
