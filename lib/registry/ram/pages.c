/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The contents of RAM as a stream of pages, which follows the state through a pipe: sent in the
 * old program, received and kept in the new one. Called by reboot mode. */
#include "registry/ram/store.h"

#include <errno.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/sys.h"
#include "stream/spool.h"

typedef struct
{
  CprWriter *writer;
  const char *name;
} Sender;

static bool
send_run (uint64_t offset, const uint8_t *data, size_t len, void *user_data)
{
  const Sender *sender = user_data;

  cpr_writer_put_pages (sender->writer, sender->name, offset, data, len);
  errno = sender->writer->errnum;
  return sender->writer->errnum == 0;
}

static bool
send_block (const CprRamImage *image,
            CprWriter *writer,
            uint8_t *scratch,
            uint64_t before,
            uint64_t total,
            const CprRamProgress *progress,
            GError **error)
{
  Sender sender = { writer, image->name };
  CprRamExtent known = { .fd = -1 };
  GError *reason = NULL;

  for (uint64_t at = 0; at < image->size; at = MIN (image->size, at + 8 * CPR_RAM_PIECE))
    {
      uint64_t end = MIN (image->size, at + 8 * CPR_RAM_PIECE);

      if (!cpr_ram_foreach_run (image, &known, at, end, scratch, send_run, &sender))
        return cpr_throw_errno (error, errno, "RAM block '%s': sending it at offset %" G_GUINT64_FORMAT, image->name,
                                at);
      if (progress != NULL && !progress->report (before + end, total, progress->user_data, &reason))
        return cpr_throw_callback (error, reason, "RAM: the progress callback gave it up");
    }
  return true;
}

static uint64_t
count_bytes (const CprRamStore *store)
{
  uint64_t total = 0;

  for (guint i = 0; i < store->blocks->len; i++)
    {
      const CprRamStored *stored = store->blocks->pdata[i];

      total += stored->in_place ? 0 : stored->size;
    }
  return total;
}

bool
cpr_ram_store_send (const CprRamStore *store, int fd, uint64_t end_ns, const CprRamProgress *progress, GError **error)
{
  g_autofree uint8_t *allocated = g_malloc (CPR_RAM_SCAN + 4096);
  uint8_t *scratch = (uint8_t *) (((uintptr_t) allocated + 4095) & ~(uintptr_t) 4095);
  uint64_t done = 0, total = count_bytes (store);
  CprWriter writer;
  bool ok = true;

  cpr_writer_init (&writer, fd);
  writer.end_ns = end_ns;
  for (guint i = 0; ok && i < store->blocks->len; i++)
    {
      const CprRamStored *stored = store->blocks->pdata[i];
      CprRamImage image = cpr_ram_store_get_image (store, stored, stored->block, 0);

      if (stored->in_place)
        continue;
      ok = send_block (&image, &writer, scratch, done, total, progress, error);
      done += stored->size;
    }
  if (ok && !cpr_writer_finish (&writer))
    ok = cpr_throw_errno (error, errno, "RAM: sending the last of it");
  cpr_writer_clear (&writer);
  return ok;
}

typedef struct
{
  CprRamStore *store;
  guint current;
  uint64_t at; /* in the current block */
} Receiver;

static bool
receive_run (const char *name, uint64_t offset, const uint8_t *data, size_t len, void *user_data, GError **error)
{
  Receiver *receiver = user_data;
  const CprRamStored *stored = NULL;

  for (; receiver->current < receiver->store->blocks->len; receiver->current++, receiver->at = 0)
    {
      stored = receiver->store->blocks->pdata[receiver->current];
      if (!stored->in_place && strcmp (stored->name, name) == 0)
        break;
      stored = NULL;
    }
  if (stored == NULL || offset < receiver->at || offset > stored->size || len > stored->size - offset)
    return cpr_throw (error, CPR_ERROR_CORRUPT,
                      "RAM block '%s': its contents at offset %" G_GUINT64_FORMAT
                      " should be in order and inside a stored block, and aren't",
                      name, offset);
  receiver->at = offset + len;
  return cpr_fd_write_at (stored->fd, data, len, offset) ||
         cpr_throw_errno (error, errno, "RAM block '%s': keeping it at offset %" G_GUINT64_FORMAT, name, offset);
}

bool
cpr_ram_store_receive (CprRamStore *store, int fd, GError **error)
{
  Receiver receiver = { store, 0, 0 };

  for (guint i = 0; i < store->blocks->len; i++)
    {
      CprRamStored *stored = store->blocks->pdata[i];
      g_autofree char *label = g_strdup_printf ("libcpr-ram:%.200s", stored->name);

      if (stored->in_place)
        continue;
      stored->fd = cpr_memfd_new (label, 0);
      if (stored->fd < 0 || !cpr_fd_truncate (stored->fd, stored->size))
        return cpr_throw_errno (error, errno, "RAM block '%s': a memfd of %" G_GUINT64_FORMAT " bytes", stored->name,
                                stored->size);
    }
  return cpr_stream_read_pages (fd, receive_run, &receiver, error);
}
