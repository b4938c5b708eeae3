/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The places of the contents of RAM in reboot mode: in place, in the state's file, or in the
 * pipe. Called by reboot mode, and for the manifest. */
#include "registry/ram/store.h"

#include <errno.h>
#include <unistd.h>

#include "base/error.h"
#include "base/sys.h"
#include "stream/reader.h"

/* A file system with larger blocks is hugetlbfs, which can't tell its holes. */
#define BLOCK_SIZE_MAX 65536
/* The largest size of a stored block, and of all blocks together. */
#define SIZE_MOST ((uint64_t) INT64_MAX / 2)

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

/* ---- The plan, which both programs compute in the same way. */

/* Whether a block has checksums here. A regular file in place has its stamp instead, and a
 * stream of pages its own checksums. */
static bool
has_sums (const CprRamStore *store, const CprRamStored *stored)
{
  return stored->in_place ? stored->file.type != S_IFREG : store->layout == CPR_RAM_LAYOUT_AREA;
}

/* Gives a block its place in the file and among the sums, and adds it. */
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

  if (fd < 0 || cpr_sys->fstat (fd, &st) < 0 || !S_ISREG (st.st_mode) || st.st_blksize > BLOCK_SIZE_MAX)
    return false;
  return cpr_sys->lseek (fd, 0, SEEK_DATA) >= 0 || errno == ENXIO;
}

/* Whether a block's contents can be read from its file. A DAX device's can only be read in
 * memory. */
static bool
can_be_read (int fd)
{
  struct stat st;

  return fd >= 0 && cpr_sys->fstat (fd, &st) == 0 && S_ISREG (st.st_mode);
}

CprRamImage
cpr_ram_store_get_image (const CprRamStore *store, const CprRamStored *stored, const CprRamBlock *block, uint64_t base)
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
      image = cpr_ram_store_get_image (store, stored, stored->block, base);
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

/* ---- Taking up. */

static CprRamStored *
read_stored (CprCursor *cursor, uint32_t *where)
{
  CprRamStored *stored = g_new0 (CprRamStored, 1);

  stored->fd = -1;
  stored->name = g_strdup (cpr_cursor_get_name (cursor));
  stored->size = cpr_cursor_get_u64 (cursor);
  *where = cpr_cursor_get_u32 (cursor);
  stored->in_place = *where != 0;
  stored->file.type = cpr_cursor_get_u32 (cursor);
  stored->offset = cpr_cursor_get_u64 (cursor);
  stored->file.device = cpr_cursor_get_u64 (cursor);
  stored->file.inode = cpr_cursor_get_u64 (cursor);
  stored->file.special = cpr_cursor_get_u64 (cursor);
  stored->file.size = cpr_cursor_get_u64 (cursor);
  stored->file.stamp_ns = (int64_t) cpr_cursor_get_u64 (cursor);
  return stored;
}

static bool
check_stored (const CprCursor *cursor, const CprRamStored *stored, uint32_t where, GError **error)
{
  if (cursor->failed)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "store: RAM block '%s' is cut off, or its name hasn't 1 to %d bytes",
                      stored->name, CPR_NAME_MAX);
  if (where > 1)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "store: RAM block '%s' is at place %u, 0 or 1 expected", stored->name,
                      where);
  if (stored->size == 0 || stored->size > SIZE_MOST)
    return cpr_throw (error, CPR_ERROR_CORRUPT,
                      "store: RAM block '%s' has %" G_GUINT64_FORMAT " bytes, 1 to %" G_GUINT64_FORMAT " expected",
                      stored->name, stored->size, SIZE_MOST);
  return true;
}

/* Adds a block, and checks that it lies where this program's plan has it. The store frees the
 * block even on failure. */
static bool
place_stored (CprRamStore *store, CprRamStored *stored, GHashTable *names, GError **error)
{
  uint64_t offset = stored->offset, before = store->area;

  stored->offset = 0;
  add_stored (store, stored);
  if (before > SIZE_MOST)
    return cpr_throw (error, CPR_ERROR_CORRUPT,
                      "store: before RAM block '%s' there are %" G_GUINT64_FORMAT " bytes, at most %" G_GUINT64_FORMAT
                      " expected",
                      stored->name, before, SIZE_MOST);
  if (offset != stored->offset)
    return cpr_throw (error, CPR_ERROR_CORRUPT,
                      "store: RAM block '%s' is at offset %" G_GUINT64_FORMAT ", %" G_GUINT64_FORMAT " expected",
                      stored->name, offset, stored->offset);
  if (!g_hash_table_add (names, stored->name))
    return cpr_throw (error, CPR_ERROR_CORRUPT, "store: RAM block '%s' is there twice", stored->name);
  return true;
}

static bool
read_blocks (CprRamStore *store, CprCursor *cursor, uint32_t n, GError **error)
{
  g_autoptr (GHashTable) names = g_hash_table_new (g_str_hash, g_str_equal);

  for (uint32_t i = 0; i < n; i++)
    {
      uint32_t where;
      CprRamStored *stored = read_stored (cursor, &where);

      if (!check_stored (cursor, stored, where, error))
        {
          stored_free (stored);
          return false;
        }
      if (!place_stored (store, stored, names, error))
        return false;
    }
  return true;
}

CprRamStore *
cpr_ram_store_read (CprCursor *cursor, GError **error)
{
  uint32_t layout = cpr_cursor_get_u32 (cursor), n = cpr_cursor_get_u32 (cursor);
  g_autoptr (CprRamStore) store = store_new ((CprRamLayout) layout);

  if (layout > CPR_RAM_LAYOUT_STREAM)
    cpr_throw (error, CPR_ERROR_CORRUPT, "store: its layout is %u, 0 or 1 expected", layout);
  else if (read_blocks (store, cursor, n, error) && cpr_cursor_check_end (cursor, "store", error))
    return g_steal_pointer (&store);
  return NULL;
}

bool
cpr_ram_store_check (const CprRamStore *store, const CprRamTable *ram, GError **error)
{
  if (store->blocks->len != ram->blocks->len)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "RAM: it has %u blocks, and %u are stored", ram->blocks->len,
                      store->blocks->len);
  for (guint i = 0; i < ram->blocks->len; i++)
    {
      const CprRamStored *stored = store->blocks->pdata[i];
      const CprRamBlock *block = ram->blocks->pdata[i];

      if (strcmp (stored->name, block->name) != 0 || stored->size != block->size)
        return cpr_throw (error, CPR_ERROR_CORRUPT,
                          "RAM block '%s' of %zu bytes: '%s' of %" G_GUINT64_FORMAT " bytes is stored in its place",
                          block->name, block->size, stored->name, stored->size);
    }
  return true;
}

bool
cpr_ram_store_read_sums (CprRamStore *store, CprCursor *cursor, GError **error)
{
  uint32_t n = cpr_cursor_get_u32 (cursor);

  if (cursor->failed || n != store->n_sums || n == 0 || cpr_cursor_left (cursor) != 8 * (size_t) n)
    return cpr_throw (error, CPR_ERROR_CORRUPT,
                      "sums: %u in %zu bytes, %" G_GUINT64_FORMAT " expected for the RAM that is stored", n,
                      cpr_cursor_left (cursor), store->n_sums);
  store->sums = g_new (uint64_t, n);
  memcpy (store->sums, cpr_cursor_get (cursor, 8 * (size_t) n), 8 * (size_t) n);
  return true;
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
