/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Makes a block again in reboot mode, with the contents that were stored. Called by lib/session
 * when the VMM asks for the block. */
#include "registry/ram/store.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/sys.h"

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

/* A backing without a modification time has no stamp, so all its contents are compared. */
static bool
check_contents (const CprRamStore *store, const CprRamStored *stored, const CprRamBlock *block, GError **error)
{
  g_autofree uint64_t *sums = g_new0 (uint64_t, stored->n_sums);
  CprRamImage image = cpr_ram_store_get_image (store, stored, block, 0);

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

/* Copies a block's contents from the memfd that keeps them since they came through the pipe. */
static bool
copy_received (const CprRamStored *stored, CprRamBlock *block, bool zeroed, GError **error)
{
  void *vaddr = cpr_sys->mmap (NULL, stored->size, PROT_READ, MAP_SHARED, stored->fd, 0);
  CprRamImage image = { .name = stored->name, .vaddr = vaddr, .size = stored->size, .fd = stored->fd, .holes = true };
  CprRamExtent known = { .fd = -1 };

  if (vaddr == MAP_FAILED)
    return cpr_throw_errno (error, errno, "RAM block '%s': mapping the contents that were received", stored->name);
  if (!zeroed)
    memset (block->vaddr, 0, block->size);
  cpr_ram_foreach_run (&image, &known, 0, stored->size, NULL, copy_run, block->vaddr);
  cpr_sys->munmap (vaddr, stored->size);
  return true;
}

/* Makes a backing all zero if it isn't; false if that failed. */
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
  image = cpr_ram_store_get_image (store, stored, block, store->base);
  image.zeroed = zeroed;
  return cpr_ram_read (&image, 1, store->file, NULL, error);
}

static bool
restore (CprRamStore *store, CprRamStored *stored, CprRamBlock *block, const CprRamOptions *options, GError **error)
{
  bool simple = options->backend == CPR_RAM_MEMFD || options->backend == CPR_RAM_PRIVATE;

  if (stored->in_place)
    return restore_in_place (store, stored, block, options, error);
  if (stored->fd >= 0 && options->backend == CPR_RAM_MEMFD) /* the contents are in a memfd already */
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
  block->max_size = options->max_size;
  block->owned = true;
  if (restore (store, find_stored (store, name), block, options, error) && cpr_ram_block_register (block, fds, error))
    return block;
  cpr_ram_block_unmake (block);
  block->backend = backend;
  block->flags = flags;
  block->max_size = 0;
  return NULL;
}
