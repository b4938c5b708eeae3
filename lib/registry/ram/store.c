/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where the contents of RAM are in reboot mode: in place, in the state's file, or in the
 * pipe; and how a block gets them back. Called by reboot mode; lib/session restores blocks
 * through it. */
#include "registry/ram/store.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/sys.h"
#include "stream/spool.h"

/* What reports its blocks as larger is hugetlbfs, which can't tell its holes. */
#define BLOCK_SIZE_MAX 65536

static void
stored_free (void *data)
{
  CprRamStored *stored = data;

  cpr_fd_clear (&stored->fd);
  g_free (stored->name);
  g_free (stored);
}

static CprRamStore *
store_new (CprRamLayout layout)
{
  CprRamStore *store = g_new0 (CprRamStore, 1);

  store->layout = layout;
  store->blocks = g_ptr_array_new_with_free_func (stored_free);
  store->file = -1;
  return store;
}

void
cpr_ram_store_free (CprRamStore *store)
{
  if (store == NULL)
    return;
  g_ptr_array_unref (store->blocks);
  g_free (store->sums);
  g_free (store);
}

/* ---- The plan, the same from both sides. */

/* What nothing else can vouch for. */
static bool
has_sums (const CprRamStore *store, const CprRamStored *stored)
{
  return stored->in_place ? stored->file.type != S_IFREG : store->layout == CPR_RAM_LAYOUT_AREA;
}

/* Gives the blocks their places. */
static void
add_stored (CprRamStore *store, CprRamStored *stored)
{
  stored->fd = -1;
  stored->first_sum = store->n_sums;
  if (has_sums (store, stored))
    stored->n_sums = cpr_ram_count_pieces (stored->size);
  store->n_sums += stored->n_sums;
  if (!stored->in_place && store->layout == CPR_RAM_LAYOUT_AREA)
    {
      stored->offset = store->area;
      store->area += cpr_ram_count_pieces (stored->size) * CPR_RAM_AREA_ALIGN;
    }
  g_ptr_array_add (store->blocks, stored);
}

/* ---- Saving. */

CprRamStore *
cpr_ram_store_new (const CprRamTable *ram, CprRamLayout layout, bool in_place, GError **error)
{
  g_autoptr (CprRamStore) store = store_new (layout);
  int64_t stamp_ns = (int64_t) cpr_real_now_ns ();

  for (guint i = 0; i < ram->blocks->len; i++)
    {
      const CprRamBlock *block = ram->blocks->pdata[i];
      CprRamStored *stored = g_new0 (CprRamStored, 1);

      stored->name = g_strdup (block->name);
      stored->size = block->size;
      stored->block = block;
      stored->in_place = in_place && block->backend == CPR_RAM_FILE && block->fd >= 0;
      if (stored->in_place && !cpr_ram_file_identify (&stored->file, block->fd, block->name, error))
        {
          stored->fd = -1;
          stored_free (stored);
          return NULL;
        }
      stored->file.stamp_ns = stored->in_place && S_ISREG (stored->file.type) ? stamp_ns : 0;
      add_stored (store, stored);
    }
  if (store->n_sums > (CPR_LIMIT_PAYLOAD - 4) / sizeof (uint64_t))
    {
      cpr_throw (error, CPR_ERROR_INVALID, "RAM: it is too large for its checksums to be saved");
      return NULL;
    }
  store->sums = g_new0 (uint64_t, store->n_sums);
  return g_steal_pointer (&store);
}

void
cpr_ram_store_write (const CprRamStore *store, CprWriter *writer)
{
  cpr_writer_put_u32 (writer, store->layout);
  cpr_writer_put_u32 (writer, store->blocks->len);
  for (guint i = 0; i < store->blocks->len; i++)
    {
      const CprRamStored *stored = store->blocks->pdata[i];

      cpr_writer_put_string (writer, stored->name);
      cpr_writer_put_u64 (writer, stored->size);
      cpr_writer_put_u32 (writer, stored->in_place);
      cpr_writer_put_u32 (writer, stored->file.type);
      cpr_writer_put_u64 (writer, stored->offset);
      cpr_writer_put_u64 (writer, stored->file.device);
      cpr_writer_put_u64 (writer, stored->file.inode);
      cpr_writer_put_u64 (writer, stored->file.special);
      cpr_writer_put_u64 (writer, stored->file.size);
      cpr_writer_put_u64 (writer, (uint64_t) stored->file.stamp_ns);
    }
}

bool
cpr_ram_store_probe (const CprRamStore *store, GError **error)
{
  for (guint i = 0; i < store->blocks->len; i++)
    {
      const CprRamStored *stored = store->blocks->pdata[i];

      if (stored->in_place && !cpr_ram_file_probe (&stored->file, stored->block->fd, stored->name, error))
        return false;
    }
  return true;
}

bool
cpr_ram_store_stamp (const CprRamStore *store, GError **error)
{
  for (guint i = 0; i < store->blocks->len; i++)
    {
      const CprRamStored *stored = store->blocks->pdata[i];

      if (stored->file.stamp_ns != 0 && !cpr_ram_file_stamp (&stored->file, stored->block->fd, stored->name, error))
        return false;
    }
  return true;
}

static bool
can_tell_holes (int fd)
{
  struct stat st;

  return fd >= 0 && cpr_sys->fstat (fd, &st) == 0 && S_ISREG (st.st_mode) && st.st_blksize <= BLOCK_SIZE_MAX &&
         (cpr_sys->lseek (fd, 0, SEEK_DATA) >= 0 || errno == ENXIO);
}

/* A device (DAX) can only be looked at in memory. */
static bool
can_be_read (int fd)
{
  struct stat st;

  return fd >= 0 && cpr_sys->fstat (fd, &st) == 0 && S_ISREG (st.st_mode);
}

static CprRamImage
make_image (const CprRamStore *store, const CprRamStored *stored, const CprRamBlock *block, uint64_t base)
{
  return (CprRamImage){ .name = stored->name,
                        .vaddr = block->vaddr,
                        .size = stored->size,
                        .fd = can_be_read (block->fd) ? block->fd : -1,
                        .holes = can_tell_holes (block->fd),
                        .offset = base + stored->offset,
                        .sums = store->sums + stored->first_sum };
}

static GArray *
collect_images (const CprRamStore *store, bool in_place, uint64_t base)
{
  GArray *images = g_array_new (FALSE, FALSE, sizeof (CprRamImage));

  for (guint i = 0; i < store->blocks->len; i++)
    {
      const CprRamStored *stored = store->blocks->pdata[i];
      CprRamImage image;

      if (stored->in_place != in_place || stored->n_sums == 0)
        continue;
      image = make_image (store, stored, stored->block, base);
      g_array_append_val (images, image);
    }
  return images;
}

bool
cpr_ram_store_copy (CprRamStore *store, int file, uint64_t base, const CprRamProgress *progress, GError **error)
{
  g_autoptr (GArray) in_place = collect_images (store, true, 0);
  g_autoptr (GArray) copied = collect_images (store, false, base);

  return cpr_ram_sum ((CprRamImage *) (void *) in_place->data, in_place->len, NULL, error) &&
         cpr_ram_write ((CprRamImage *) (void *) copied->data, copied->len, file, progress, error);
}

uint64_t
cpr_ram_store_get_sums_len (const CprRamStore *store)
{
  uint64_t payload = 4 + 8 * store->n_sums;

  if (store->n_sums == 0)
    return 0;
  return CPR_FORMAT_CHUNK_HEADER_SIZE + payload + (-payload & 7) + CPR_FORMAT_CHECKSUM_SIZE;
}

void
cpr_ram_store_write_sums (const CprRamStore *store, CprWriter *writer)
{
  if (store->n_sums == 0)
    return;
  cpr_writer_begin_chunk (writer, CPR_CHUNK_SUMS, 0);
  cpr_writer_put_u32 (writer, (uint32_t) store->n_sums);
  cpr_writer_put (writer, store->sums, 8 * store->n_sums);
  cpr_writer_end_chunk (writer);
}

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

  for (uint64_t at = 0; at < image->size; at = MIN (image->size, at + 8 * CPR_RAM_PIECE))
    {
      uint64_t end = MIN (image->size, at + 8 * CPR_RAM_PIECE);

      if (!cpr_ram_foreach_run (image, &known, at, end, scratch, send_run, &sender))
        return cpr_throw_errno (error, errno, "RAM block '%s': sending it at offset %" G_GUINT64_FORMAT, image->name,
                                at);
      if (progress != NULL && !progress->report (before + end, total, progress->user_data, error))
        {
          if (error != NULL && *error == NULL)
            cpr_throw (error, CPR_ERROR_CALLBACK, "RAM: it was given up without a reason");
          return false;
        }
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
      CprRamImage image = make_image (store, stored, stored->block, 0);

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

/* ---- Taking up. */

static CprRamStored *
read_stored (CprCursor *cursor)
{
  CprRamStored *stored = g_new0 (CprRamStored, 1);
  uint32_t in_place;

  stored->fd = -1;
  stored->name = g_strdup (cpr_cursor_get_name (cursor));
  stored->size = cpr_cursor_get_u64 (cursor);
  in_place = cpr_cursor_get_u32 (cursor);
  stored->in_place = in_place != 0;
  stored->file.type = cpr_cursor_get_u32 (cursor);
  stored->offset = cpr_cursor_get_u64 (cursor);
  stored->file.device = cpr_cursor_get_u64 (cursor);
  stored->file.inode = cpr_cursor_get_u64 (cursor);
  stored->file.special = cpr_cursor_get_u64 (cursor);
  stored->file.size = cpr_cursor_get_u64 (cursor);
  stored->file.stamp_ns = (int64_t) cpr_cursor_get_u64 (cursor);
  if (in_place > 1 || stored->size == 0 || stored->size > INT64_MAX)
    cursor->failed = true;
  return stored;
}

CprRamStore *
cpr_ram_store_read (CprCursor *cursor, GError **error)
{
  uint32_t layout = cpr_cursor_get_u32 (cursor), n = cpr_cursor_get_u32 (cursor);
  g_autoptr (CprRamStore) store = store_new ((CprRamLayout) layout);
  g_autoptr (GHashTable) names = g_hash_table_new (g_str_hash, g_str_equal);

  for (uint32_t i = 0; i < n && !cursor->failed; i++)
    {
      CprRamStored *stored = read_stored (cursor);
      uint64_t offset = stored->offset;

      if (store->area > INT64_MAX / 2 || stored->size > INT64_MAX / 2)
        cursor->failed = true;
      stored->offset = 0;
      add_stored (store, stored);
      if (offset != stored->offset || !g_hash_table_add (names, stored->name)) /* there is one place for it */
        cursor->failed = true;
    }
  if (cursor->failed || cpr_cursor_left (cursor) != 0 || layout > CPR_RAM_LAYOUT_STREAM)
    {
      cpr_throw (error, CPR_ERROR_CORRUPT, "store: it can't be right");
      return NULL;
    }
  return g_steal_pointer (&store);
}

bool
cpr_ram_store_check (const CprRamStore *store, const CprRamTable *ram, GError **error)
{
  bool equal = store->blocks->len == ram->blocks->len;

  for (guint i = 0; equal && i < ram->blocks->len; i++)
    {
      const CprRamStored *stored = store->blocks->pdata[i];
      const CprRamBlock *block = ram->blocks->pdata[i];

      equal = strcmp (stored->name, block->name) == 0 && stored->size == block->size;
    }
  return equal || cpr_throw (error, CPR_ERROR_CORRUPT, "RAM: its blocks aren't those that are stored");
}

bool
cpr_ram_store_read_sums (CprRamStore *store, CprCursor *cursor, GError **error)
{
  uint32_t n = cpr_cursor_get_u32 (cursor);

  if (cursor->failed || n != store->n_sums || n == 0 || cpr_cursor_left (cursor) != 8 * (size_t) n)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "sums: not those of the RAM that is stored");
  store->sums = g_new (uint64_t, n);
  memcpy (store->sums, cpr_cursor_get (cursor, 8 * (size_t) n), 8 * (size_t) n);
  return true;
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
                      "RAM block '%s': its contents at offset %" G_GUINT64_FORMAT " have no place", name, offset);
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

static CprRamStored *
find_stored (const CprRamStore *store, const char *name)
{
  for (guint i = 0; i < store->blocks->len; i++)
    {
      CprRamStored *stored = store->blocks->pdata[i];

      if (strcmp (stored->name, name) == 0)
        return stored;
    }
  return NULL;
}

/* What has no time of modification is compared as a whole. */
static bool
check_contents (const CprRamStore *store, const CprRamStored *stored, const CprRamBlock *block, GError **error)
{
  g_autofree uint64_t *sums = g_new0 (uint64_t, stored->n_sums);
  CprRamImage image = make_image (store, stored, block, 0);

  image.sums = sums;
  if (stored->n_sums == 0)
    return true;
  return cpr_ram_sum (&image, 1, NULL, error) &&
         (memcmp (sums, store->sums + stored->first_sum, 8 * stored->n_sums) == 0 ||
          cpr_throw (error, CPR_ERROR_MISMATCH, "RAM block '%s': its contents were changed after the state was saved",
                     stored->name));
}

static bool
restore_in_place (
    CprRamStore *store, CprRamStored *stored, CprRamBlock *block, const CprRamOptions *options, GError **error)
{
  if (options->backend != CPR_RAM_FILE)
    return cpr_throw (error, CPR_ERROR_MISMATCH, "RAM block '%s': its contents are in a file, which isn't named here",
                      stored->name);
  block->fd = cpr_fd_above_std (cpr_sys->open (options->path, O_RDWR | O_CLOEXEC, 0));
  if (block->fd < 0)
    return cpr_throw_errno (error, errno, "RAM block '%s': %s", stored->name, options->path);
  if (!cpr_ram_file_check (&stored->file, block->fd, stored->name, options->path, error) ||
      !cpr_ram_block_map (block, error) || !check_contents (store, stored, block, error))
    return false;
  stored->block = block;
  return true;
}

static bool
copy_run (uint64_t offset, const uint8_t *data, size_t len, void *user_data)
{
  memcpy ((uint8_t *) user_data + offset, data, len);
  return true;
}

/* From the memfd that it came in. */
static bool
copy_received (const CprRamStored *stored, CprRamBlock *block, bool zeroed, GError **error)
{
  void *vaddr = cpr_sys->mmap (NULL, stored->size, PROT_READ, MAP_SHARED, stored->fd, 0);
  CprRamImage image = { .name = stored->name, .vaddr = vaddr, .size = stored->size, .fd = stored->fd, .holes = true };
  CprRamExtent known = { .fd = -1 };

  if (vaddr == MAP_FAILED)
    return cpr_throw_errno (error, errno, "RAM block '%s': mapping what came in", stored->name);
  if (!zeroed)
    memset (block->vaddr, 0, block->size);
  cpr_ram_foreach_run (&image, &known, 0, stored->size, NULL, copy_run, block->vaddr);
  cpr_sys->munmap (vaddr, stored->size);
  return true;
}

/* Whether there is nothing in a backing, or nothing any more. */
static bool
is_zeroed (const CprRamBlock *block)
{
  if (block->backend != CPR_RAM_FILE && block->backend != CPR_RAM_FD)
    return true;
  return cpr_sys->fallocate (block->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t) block->size) == 0;
}

static bool
restore_copy (
    const CprRamStore *store, CprRamStored *stored, CprRamBlock *block, const CprRamOptions *options, GError **error)
{
  CprRamImage image;
  bool zeroed;

  if (!cpr_ram_block_open (block, options, error) || !cpr_ram_block_map (block, error))
    return false;
  zeroed = is_zeroed (block);
  if (stored->fd >= 0)
    return copy_received (stored, block, zeroed, error);
  image = make_image (store, stored, block, store->base);
  image.zeroed = zeroed;
  return cpr_ram_read (&image, 1, store->file, NULL, error);
}

static bool
restore (CprRamStore *store, CprRamStored *stored, CprRamBlock *block, const CprRamOptions *options, GError **error)
{
  bool simple = options->backend == CPR_RAM_MEMFD || options->backend == CPR_RAM_PRIVATE;

  if (stored->in_place)
    return restore_in_place (store, stored, block, options, error);
  if (stored->fd >= 0 && options->backend == CPR_RAM_MEMFD) /* it is one already */
    {
      block->fd = stored->fd;
      stored->fd = -1;
      if (cpr_sys->fcntl (block->fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0)
        return cpr_throw_errno (error, errno, "RAM block '%s': F_ADD_SEALS", block->name);
      return cpr_ram_block_map (block, error);
    }
  if (store->map && stored->fd < 0 && simple)
    {
      block->copy_of = g_strdup ("the file that it came in");
      return cpr_ram_block_map_copy (block, store->file, store->base + stored->offset, error);
    }
  return restore_copy (store, stored, block, options, error);
}

CprRamBlock *
cpr_ram_table_restore (CprRamTable *table,
                       CprFdTable *fds,
                       CprRamStore *store,
                       const char *name,
                       size_t size,
                       const CprRamOptions *options,
                       GError **error)
{
  CprRamBlock *block = cpr_ram_table_find (table, name, size, options, error);
  CprRamBackend backend;
  unsigned flags;

  if (block == NULL)
    return NULL;
  backend = block->backend;
  flags = block->flags;
  block->backend = options->backend;
  block->flags |= options->flags;
  block->owned = true;
  if (restore (store, find_stored (store, name), block, options, error) && cpr_ram_block_register (block, fds, error))
    return block;
  cpr_ram_block_unmake (block);
  block->backend = backend;
  block->flags = flags;
  return NULL;
}

bool
cpr_ram_store_spend (const CprRamStore *store, GError **error)
{
  for (guint i = 0; i < store->blocks->len; i++)
    {
      const CprRamStored *stored = store->blocks->pdata[i];

      if (stored->in_place && stored->block != NULL && S_ISREG (stored->file.type) &&
          cpr_sys->futimens (stored->block->fd, NULL) < 0)
        return cpr_throw_errno (error, errno, "RAM block '%s': futimens of its file", stored->name);
    }
  return true;
}
