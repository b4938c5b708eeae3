/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of RAM blocks: how a block comes in, is claimed, grows and goes. Called by
 * lib/session. */
#include "registry/ram/ram.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/error.h"
#include "base/sys.h"
#include "stream/reader.h"

static const char *const backend_names[] = { "memfd", "hugetlb", "file", "fd", "private" };

#define ALL_RAM_FLAGS (CPR_RAM_PREALLOC | CPR_RAM_HUGE_PAGES | CPR_RAM_DONT_DUMP | CPR_RAM_DONT_FORK | CPR_RAM_LOCKED)

static void
block_free (void *data)
{
  CprRamBlock *block = data;

  cpr_ram_block_unmake (block);
  g_free (block->name);
  g_free (block);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CprRamBlock, block_free)

void
cpr_ram_table_init (CprRamTable *table)
{
  table->blocks = g_ptr_array_new_with_free_func (block_free);
}

void
cpr_ram_table_clear (CprRamTable *table)
{
  g_clear_pointer (&table->blocks, g_ptr_array_unref);
}

CprRamBlock *
cpr_ram_table_get (const CprRamTable *table, const char *name)
{
  for (guint i = 0; table->blocks != NULL && i < table->blocks->len; i++)
    {
      CprRamBlock *block = table->blocks->pdata[i];

      if (strcmp (block->name, name) == 0)
        return block;
    }
  return NULL;
}

/* The fd of the block @name in the table, or NULL. */
static CprFdEntry *
find_fd (const CprFdTable *fds, const char *name)
{
  g_autofree char *fd_name = g_strconcat (CPR_RAM_FD_PREFIX, name, NULL);

  return cpr_fd_table_find (fds, fd_name, 0);
}

static bool
is_pages (size_t size)
{
  return size % (size_t) sysconf (_SC_PAGESIZE) == 0 && size <= G_MAXINT64;
}

static bool
check_request (const char *name, size_t size, const CprRamOptions *options, GError **error)
{
  if (!cpr_name_check ("RAM block", name, error))
    return false;
  if (size == 0 || !is_pages (size))
    return cpr_throw (error, CPR_ERROR_INVALID, "RAM block '%s': size is %zu, not a multiple of the page size", name,
                      size);
  if (options->max_size != 0 && (options->max_size < size || !is_pages (options->max_size)))
    return cpr_throw (error, CPR_ERROR_INVALID,
                      "RAM block '%s': its maximum is %zu, and should be a multiple of the page size, and at least %zu",
                      name, options->max_size, size);
  if (options->backend > CPR_RAM_PRIVATE || (options->flags & ~(unsigned) ALL_RAM_FLAGS) != 0)
    return cpr_throw (error, CPR_ERROR_INVALID, "RAM block '%s': unknown backend %u or flags 0x%x", name,
                      options->backend, options->flags);
  if (options->backend == CPR_RAM_FILE && options->path == NULL)
    return cpr_throw (error, CPR_ERROR_INVALID, "RAM block '%s': a file needs a path", name);
  return true;
}

bool
cpr_ram_block_register (CprRamBlock *block, CprFdTable *fds, GError **error)
{
  g_autofree char *fd_name = g_strconcat (CPR_RAM_FD_PREFIX, block->name, NULL);

  return block->fd < 0 || cpr_fd_table_add (fds, fd_name, 0, block->fd, error);
}

CprRamBlock *
cpr_ram_table_add (
    CprRamTable *table, CprFdTable *fds, const char *name, size_t size, const CprRamOptions *options, GError **error)
{
  g_autoptr (CprRamBlock) block = NULL;

  if (!check_request (name, size, options, error))
    return NULL;
  if (cpr_ram_table_get (table, name) != NULL)
    {
      cpr_throw (error, CPR_ERROR_EXISTS, "RAM block '%s': there is one of that name", name);
      return NULL;
    }

  block = g_new0 (CprRamBlock, 1);
  block->name = g_strdup (name);
  block->size = size;
  block->max_size = options->max_size;
  block->backend = options->backend;
  block->flags = options->flags;
  block->fd = -1;
  block->owned = true;
  if (!cpr_ram_block_open (block, options, error) || !cpr_ram_block_map (block, error) ||
      ((block->flags & CPR_RAM_PREALLOC) != 0 && !cpr_ram_block_populate (block, 0, error)) ||
      !cpr_ram_block_register (block, fds, error))
    return NULL;
  g_ptr_array_add (table->blocks, block);
  return g_steal_pointer (&block);
}

static bool
claim_block (CprRamBlock *block, const CprRamOptions *options, bool read_only, GError **error)
{
  unsigned recorded = block->flags;

  block->flags |= options->flags;
  block->max_size = options->max_size;
  block->read_only = read_only;
  if (cpr_ram_block_map (block, error))
    {
      block->owned = true;
      return true;
    }
  block->flags = recorded;
  block->max_size = 0;
  return false;
}

/* A block that can grow is claimed with the size that it has by now. */
static bool
check_claimed_size (const CprRamBlock *block, size_t size, const CprRamOptions *options, GError **error)
{
  if (options->max_size == 0)
    return block->size == size ||
           cpr_throw (error, CPR_ERROR_MISMATCH, "RAM block '%s': size is %zu in the state, %zu here", block->name,
                      block->size, size);
  return block->size <= options->max_size ||
         cpr_throw (error, CPR_ERROR_MISMATCH, "RAM block '%s': size is %zu in the state, at most %zu here",
                    block->name, block->size, options->max_size);
}

CprRamBlock *
cpr_ram_table_find (CprRamTable *table, const char *name, size_t size, const CprRamOptions *options, GError **error)
{
  CprRamBlock *block;

  if (!check_request (name, size, options, error))
    return NULL;
  block = cpr_ram_table_get (table, name);
  if (block == NULL)
    cpr_throw (error, CPR_ERROR_NOT_FOUND, "RAM block '%s': it isn't in the state", name);
  else if (block->vaddr != NULL)
    cpr_throw (error, CPR_ERROR_EXISTS, "RAM block '%s': it was taken before", name);
  else if (check_claimed_size (block, size, options, error))
    return block;
  return NULL;
}

CprRamBlock *
cpr_ram_table_take (CprRamTable *table, const char *name, size_t size, const CprRamOptions *options, GError **error)
{
  CprRamBlock *block = cpr_ram_table_find (table, name, size, options, error);

  if (block == NULL)
    return NULL;
  if (block->backend != options->backend)
    cpr_throw (error, CPR_ERROR_MISMATCH, "RAM block '%s': backend is %s in the state, %s here", name,
               backend_names[block->backend], backend_names[options->backend]);
  else if (cpr_ram_block_check_backing (block, false, error) && claim_block (block, options, table->read_only, error))
    return block;
  return NULL;
}

bool
cpr_ram_table_unprotect (CprRamTable *table, GError **error)
{
  for (guint i = 0; i < table->blocks->len; i++)
    {
      CprRamBlock *block = table->blocks->pdata[i];

      if (!block->read_only)
        continue;
      if (cpr_sys->mprotect (block->vaddr, block->size, PROT_READ | PROT_WRITE) < 0)
        return cpr_throw_errno (error, errno, "RAM block '%s': making %zu bytes writable", block->name, block->size);
      block->read_only = false;
    }
  return true;
}

static bool
throw_stranger (GError **error)
{
  return cpr_throw (error, CPR_ERROR_NOT_FOUND, "RAM block: it isn't one of this session");
}

bool
cpr_ram_table_grow (const CprRamTable *table, CprRamBlock *block, size_t size, GError **error)
{
  size_t most;

  if (!g_ptr_array_find (table->blocks, block, NULL))
    return throw_stranger (error);
  most = MAX (block->max_size, block->size);
  if (size < block->size || size > most || !is_pages (size))
    return cpr_throw (error, CPR_ERROR_INVALID,
                      "RAM block '%s': it has %zu bytes and can have %zu%s; %zu isn't a multiple of the page size "
                      "between these",
                      block->name, block->size, most, block->max_size == 0 ? " (it has no max_size)" : "", size);
  return size == block->size || cpr_ram_block_grow (block, size, error);
}

bool
cpr_ram_table_remove (CprRamTable *table, CprFdTable *fds, CprRamBlock *block, GError **error)
{
  CprFdEntry *entry;

  if (!g_ptr_array_find (table->blocks, block, NULL))
    return throw_stranger (error);
  if (block->n_dma > 0)
    return cpr_throw (error, CPR_ERROR_EXISTS, "RAM block '%s': %u of its parts are mapped for DMA", block->name,
                      block->n_dma);
  entry = block->fd >= 0 ? find_fd (fds, block->name) : NULL;
  if (entry != NULL)
    cpr_fd_table_remove (fds, entry);
  g_ptr_array_remove (table->blocks, block);
  return true;
}

/* Whether the backing is /dev/zero: each mapping of it is new memory, even a shared one. */
static bool
is_dev_zero (const CprRamOptions *options)
{
  struct stat st = { .st_mode = 0 };

  if (options->backend == CPR_RAM_FD)
    cpr_sys->fstat (options->fd, &st);
  else if (options->backend == CPR_RAM_FILE && options->path != NULL)
    cpr_sys->stat (options->path, &st);
  return S_ISCHR (st.st_mode) && st.st_rdev == makedev (1, 5);
}

/* Whether the backing is a guest_memfd: KVM gives it to the VM that made it, and to no other. */
static bool
is_guest_memfd (const CprRamOptions *options)
{
  static const char name[] = "anon_inode:[kvm-gmem]";
  g_autofree char *link = g_strdup_printf ("/proc/self/fd/%d", options->fd);
  char target[sizeof name];

  return options->backend == CPR_RAM_FD && cpr_sys->readlink (link, target, sizeof target) == (ssize_t) strlen (name) &&
         memcmp (target, name, strlen (name)) == 0;
}

char *
cpr_ram_describe_obstacle (const char *name, const CprRamOptions *options)
{
  if (!cpr_name_check ("RAM block", name, NULL))
    return NULL;
  if (options->backend == CPR_RAM_PRIVATE)
    return g_strdup_printf ("RAM block '%s': private memory isn't handed over to another program", name);
  if (is_dev_zero (options))
    return g_strdup_printf ("RAM block '%s': /dev/zero is other memory each time it is mapped", name);
  if (is_guest_memfd (options))
    return g_strdup_printf ("RAM block '%s': a guest_memfd belongs to one KVM VM, and no other VM can have it", name);
  return NULL;
}

char *
cpr_ram_table_describe_unclaimed (const CprRamTable *table)
{
  GString *names = NULL;

  for (guint i = 0; i < table->blocks->len; i++)
    {
      const CprRamBlock *block = table->blocks->pdata[i];

      if (block->vaddr != NULL)
        continue;
      if (names == NULL)
        names = g_string_new (NULL);
      g_string_append_printf (names, "%s'%s'", names->len > 0 ? ", " : "", block->name);
    }
  return names != NULL ? g_string_free (names, FALSE) : NULL;
}

void
cpr_ram_table_write (const CprRamTable *table, CprWriter *writer)
{
  cpr_writer_put_u32 (writer, table->blocks->len);
  for (guint i = 0; i < table->blocks->len; i++)
    {
      const CprRamBlock *block = table->blocks->pdata[i];

      cpr_writer_put_string (writer, block->name);
      cpr_writer_put_u64 (writer, block->size);
      cpr_writer_put_u32 (writer, block->backend);
      cpr_writer_put_u32 (writer, block->flags);
    }
}

/* @backends: the highest backing that is valid. */
static bool
check_block (const CprCursor *cursor,
             const char *name,
             uint64_t size,
             uint32_t backend,
             CprRamBackend backends,
             uint32_t flags,
             GError **error)
{
  if (cursor->failed)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "RAM: block '%s' is cut off, or its name hasn't 1 to %d bytes", name,
                      CPR_NAME_MAX);
  if (size == 0 || size > SIZE_MAX / 2)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "RAM: block '%s' has %" G_GUINT64_FORMAT " bytes, 1 to %zu expected",
                      name, size, SIZE_MAX / 2);
  if (backend > backends)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "RAM: block '%s' has backing %u, at most %u expected", name, backend,
                      backends);
  if ((flags & ~(unsigned) ALL_RAM_FLAGS) != 0)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "RAM: block '%s' has flags 0x%x, only 0x%x expected", name, flags,
                      ALL_RAM_FLAGS);
  return true;
}

static bool
read_block (CprRamTable *table, CprFdTable *fds, CprCursor *cursor, GError **error)
{
  const char *name = cpr_cursor_get_name (cursor);
  uint64_t size = cpr_cursor_get_u64 (cursor);
  uint32_t backend = cpr_cursor_get_u32 (cursor);
  uint32_t flags = cpr_cursor_get_u32 (cursor);
  CprRamBlock *block;
  CprFdEntry *entry;

  if (!check_block (cursor, name, size, backend, fds != NULL ? CPR_RAM_FD : CPR_RAM_PRIVATE, flags, error))
    return false;
  entry = fds != NULL ? find_fd (fds, name) : NULL;
  if (entry == NULL && fds != NULL)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "RAM: block '%s' has no fd", name);
  if (entry != NULL && entry->claimed)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "RAM: block '%s' is there twice", name);
  if (entry != NULL)
    entry->claimed = true;
  block = g_new0 (CprRamBlock, 1);
  block->name = g_strdup (name);
  block->size = (size_t) size;
  block->backend = (CprRamBackend) backend;
  block->flags = flags;
  block->fd = entry != NULL ? entry->fd : -1;
  g_ptr_array_add (table->blocks, block);
  return true;
}

bool
cpr_ram_table_read (CprRamTable *table, CprFdTable *fds, CprCursor *cursor, GError **error)
{
  uint32_t n = cpr_cursor_get_u32 (cursor);

  for (uint32_t i = 0; i < n; i++)
    if (!read_block (table, fds, cursor, error))
      return false;
  return cpr_cursor_check_end (cursor, "RAM", error);
}
