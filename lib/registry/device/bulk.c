/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A device's data that is too large for a field: its chunks in the stream, and the functions
 * with which the VMM's callbacks write and read it. Called by save.c, load.c and the VMM. */
#include "registry/device/bulk.h"

#include <errno.h>

#include "base/error.h"

bool
cpr_bulk_write (CprBulk *bulk, const void *data, size_t size, GError **error)
{
  g_return_val_if_fail (bulk != NULL && bulk->writer != NULL && (data != NULL || size == 0), false);

  cpr_writer_put_bulk (bulk->writer, bulk->device, bulk->written, data, size);
  bulk->written += size;
  if (bulk->writer->errnum != 0)
    return cpr_throw_errno (error, bulk->writer->errnum, "state: writing %zu bytes", size);
  return true;
}

void
cpr_bulk_open (CprBulk *bulk, CprReader *reader, const CprBulkData *data)
{
  *bulk = (CprBulk){ .device = data->device, .reader = reader, .next = data->first, .left = data->size };
}

void
cpr_bulk_clear (CprBulk *bulk)
{
  g_clear_pointer (&bulk->buffer, g_free);
}

uint64_t
cpr_bulk_get_left (const CprBulk *bulk)
{
  g_return_val_if_fail (bulk != NULL, 0);

  return bulk->left;
}

static size_t
take_buffered (CprBulk *bulk, uint8_t *data, size_t size)
{
  size_t len = MIN (size, bulk->buffered - bulk->taken);

  if (len > 0)
    memcpy (data, bulk->buffer + bulk->taken, len);
  bulk->taken += len;
  return len;
}

/* Reads the next piece, straight to @data if the whole piece fits there. */
static bool
read_piece (CprBulk *bulk, uint8_t *data, size_t size, size_t *got, GError **error)
{
  size_t piece;

  /* Other chunks may stand between two pieces. */
  while (g_array_index (bulk->reader->chunks, CprChunk, bulk->next).type != CPR_CHUNK_BULK)
    bulk->next++;
  piece = cpr_reader_get_piece_size (bulk->reader, bulk->next);
  if (piece <= size)
    {
      *got = piece;
      return cpr_reader_read_piece (bulk->reader, bulk->next++, data, error);
    }
  g_free (bulk->buffer);
  bulk->buffer = g_malloc (piece);
  bulk->buffered = bulk->taken = 0;
  if (!cpr_reader_read_piece (bulk->reader, bulk->next++, bulk->buffer, error))
    return false;
  bulk->buffered = piece;
  *got = take_buffered (bulk, data, size);
  return true;
}

bool
cpr_bulk_read (CprBulk *bulk, void *data, size_t size, GError **error)
{
  uint8_t *at = data;

  g_return_val_if_fail (bulk != NULL && bulk->reader != NULL && (data != NULL || size == 0), false);

  if (size > bulk->left)
    return cpr_throw (error, CPR_ERROR_MISMATCH,
                      "device '%s': %zu more bytes of bulk data are wanted, %" G_GUINT64_FORMAT " are left",
                      bulk->device, size, bulk->left);
  while (size > 0)
    {
      size_t got = take_buffered (bulk, at, size);

      if (got == 0 && !read_piece (bulk, at, size, &got, error))
        return false;
      at += got;
      size -= got;
      bulk->left -= got;
    }
  return true;
}
