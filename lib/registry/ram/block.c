/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One RAM block: its backing, its mapping, and how both grow. Called by ram.c and restore.c. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/error.h"
#include "base/populate.h"
#include "base/sys.h"
#include "base/uapi.h"
#include "registry/ram/dax.h"
#include "registry/ram/ram.h"

#define HUGE_PAGE (UINT64_C (2) << 20)

void
cpr_ram_block_unmake (CprRamBlock *block)
{
  if (block->vaddr != NULL)
    cpr_sys->munmap (block->vaddr, block->reserved);
  block->vaddr = NULL;
  if (block->owned)
    cpr_fd_clear (&block->fd);
  g_clear_pointer (&block->copy_of, g_free);
}

/* ---- The backing. */

static bool
open_memfd (CprRamBlock *block, unsigned flags, GError **error)
{
  g_autofree char *label = g_strdup_printf ("libcpr-ram:%.200s", block->name);

  block->fd = cpr_memfd_new (label, flags);
  if (block->fd < 0)
    return cpr_throw_errno (error, errno, "RAM block '%s': memfd_create", block->name);
  if (!cpr_fd_truncate (block->fd, block->size))
    return cpr_throw_errno (error, errno, "RAM block '%s': a memfd of %zu bytes", block->name, block->size);
  if (cpr_sys->fcntl (block->fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0)
    return cpr_throw_errno (error, errno, "RAM block '%s': F_ADD_SEALS", block->name);
  return true;
}

/* Checks a DAX region's size and alignment. The kernel would map more than there is, and the
 * guest would run into the region's end. */
static bool
check_dax (const CprRamBlock *block, GError **error)
{
  struct stat st;
  CprDax dax;

  if (cpr_sys->fstat (block->fd, &st) < 0)
    return cpr_throw_errno (error, errno, "RAM block '%s': fstat", block->name);
  if (!S_ISCHR (st.st_mode) || !cpr_dax_describe (st.st_rdev, &dax))
    return true;
  if (block->size > dax.size)
    return cpr_throw (error, CPR_ERROR_INVALID,
                      "RAM block '%s': its DAX region has %" G_GUINT64_FORMAT " bytes, %zu needed", block->name,
                      dax.size, block->size);
  return dax.align == 0 || block->size % dax.align == 0 ||
         cpr_throw (error, CPR_ERROR_INVALID,
                    "RAM block '%s': size is %zu, not a multiple of %" G_GUINT64_FORMAT ", as its DAX region needs it",
                    block->name, block->size, dax.align);
}

/* Checks that the backing is large enough, or grows it. The st_size of a device says nothing, so
 * devices pass. */
bool
cpr_ram_block_check_backing (const CprRamBlock *block, bool grow, GError **error)
{
  struct stat st;

  if (cpr_sys->fstat (block->fd, &st) < 0)
    return cpr_throw_errno (error, errno, "RAM block '%s': fstat", block->name);
  if (!S_ISREG (st.st_mode) || (size_t) st.st_size >= block->size)
    return true;
  if (!grow)
    return cpr_throw (error, CPR_ERROR_INVALID,
                      "RAM block '%s': its backing has %" G_GINT64_FORMAT " bytes, %zu needed", block->name,
                      (gint64) st.st_size, block->size);
  if (!cpr_fd_truncate (block->fd, block->size))
    return cpr_throw_errno (error, errno, "RAM block '%s': growing the file to %zu bytes", block->name, block->size);
  return true;
}

bool
cpr_ram_block_open (CprRamBlock *block, const CprRamOptions *options, GError **error)
{
  switch (block->backend)
    {
    case CPR_RAM_MEMFD:
      return open_memfd (block, 0, error);
    case CPR_RAM_HUGETLB:
      return open_memfd (block, MFD_HUGETLB, error);
    case CPR_RAM_FILE:
      block->fd = cpr_fd_above_std (cpr_sys->open (options->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
      if (block->fd < 0)
        return cpr_throw_errno (error, errno, "RAM block '%s': %s", block->name, options->path);
      cpr_sys->futimens (block->fd, NULL); /* a state that has its RAM in this file is out of date now: see file.c */
      return cpr_ram_block_check_backing (block, true, error) && check_dax (block, error);
    case CPR_RAM_FD:
      block->fd = cpr_sys->fcntl (options->fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
      if (block->fd < 0)
        return cpr_throw_errno (error, errno, "RAM block '%s': fd %d", block->name, options->fd);
      return cpr_ram_block_check_backing (block, false, error) && check_dax (block, error);
    default:
      return true;
    }
}

/* ---- The mapping. */

static bool
advise (const CprRamBlock *block, void *at, size_t size, unsigned flag, int advice, const char *what, GError **error)
{
  if ((block->flags & flag) == 0 || cpr_sys->madvise (at, size, advice) == 0)
    return true;
  return cpr_throw_errno (error, errno, "RAM block '%s': %s", block->name, what);
}

static bool
set_attributes (const CprRamBlock *block, void *at, size_t size, GError **error)
{
  if (!advise (block, at, size, CPR_RAM_HUGE_PAGES, MADV_HUGEPAGE, "MADV_HUGEPAGE", error) ||
      !advise (block, at, size, CPR_RAM_DONT_DUMP, MADV_DONTDUMP, "MADV_DONTDUMP", error) ||
      !advise (block, at, size, CPR_RAM_DONT_FORK, MADV_DONTFORK, "MADV_DONTFORK", error))
    return false;
  if ((block->flags & CPR_RAM_LOCKED) != 0 && cpr_sys->mlock2 (at, size, MLOCK_ONFAULT) < 0)
    return cpr_throw_errno (error, errno, "RAM block '%s': mlock2", block->name);
  return true;
}

/* Address space that nothing else gets: at @at, or anywhere. */
static void *
reserve (void *at, size_t size, int flags)
{
  return cpr_sys->mmap (at, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0);
}

/* Where the block's mapping may begin: the kernel maps huge pages, and DAX, at multiples of their
 * size only. */
static uint64_t
get_alignment (const CprRamBlock *block)
{
  struct stat st;
  CprDax dax;

  if (block->fd < 0 || cpr_sys->fstat (block->fd, &st) < 0)
    return HUGE_PAGE;
  if (S_ISREG (st.st_mode) && (st.st_blksize & (st.st_blksize - 1)) == 0) /* on hugetlbfs, a page */
    return MAX (HUGE_PAGE, (uint64_t) st.st_blksize);
  if (S_ISCHR (st.st_mode) && cpr_dax_describe (st.st_rdev, &dax))
    return MAX (HUGE_PAGE, dax.align);
  return HUGE_PAGE;
}

static bool
reserve_maximum (CprRamBlock *block, uint8_t **vaddr, GError **error)
{
  uint64_t align = get_alignment (block);
  uint8_t *all = reserve (NULL, block->max_size + align, 0);
  size_t before;

  if (all == MAP_FAILED)
    return cpr_throw_errno (error, errno, "RAM block '%s': reserving addresses for %zu bytes", block->name,
                            block->max_size);
  before = (size_t) (-(uintptr_t) all % align);
  if (before > 0)
    cpr_sys->munmap (all, before);
  if (align > before)
    cpr_sys->munmap (all + before + block->max_size, align - before);
  *vaddr = all + before;
  return true;
}

/* @at: NULL: anywhere. */
static void *
map_part (const CprRamBlock *block, uint8_t *at, size_t size, int flags, int fd, uint64_t offset)
{
  int protection = block->read_only ? PROT_READ : PROT_READ | PROT_WRITE;

  return cpr_sys->mmap (at, size, protection, flags | (at != NULL ? MAP_FIXED : 0), fd, (off_t) offset);
}

static bool
map (CprRamBlock *block, int flags, int fd, uint64_t offset, GError **error)
{
  bool grows = block->max_size > block->size;
  uint8_t *reserved = NULL;
  void *vaddr;

  if (grows && !reserve_maximum (block, &reserved, error))
    return false;
  block->reserved = grows ? block->max_size : block->size;
  vaddr = map_part (block, reserved, block->size, flags, fd, offset);
  if (vaddr == MAP_FAILED)
    cpr_throw_errno (error, errno, "RAM block '%s': mapping %zu bytes", block->name, block->size);
  else if (set_attributes (block, vaddr, block->size, error))
    {
      block->vaddr = vaddr;
      return true;
    }
  if (vaddr != MAP_FAILED || grows)
    cpr_sys->munmap (grows ? reserved : vaddr, block->reserved);
  return false;
}

static int
get_flags (const CprRamBlock *block)
{
  return block->fd >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
}

bool
cpr_ram_block_map (CprRamBlock *block, GError **error)
{
  return map (block, get_flags (block), block->fd, 0, error);
}

bool
cpr_ram_block_map_copy (CprRamBlock *block, int file, uint64_t offset, GError **error)
{
  return map (block, MAP_PRIVATE | MAP_NORESERVE, file, offset, error);
}

bool
cpr_ram_block_populate (const CprRamBlock *block, size_t from, GError **error)
{
  size_t size = block->size - from;

  if (cpr_populate ((uint8_t *) block->vaddr + from, size))
    return true;
  if (errno == EINVAL && block->fd >= 0 && cpr_sys->fallocate (block->fd, 0, (off_t) from, (off_t) size) == 0)
    return true; /* Linux < 5.14: the pages are allocated, and faults fill the page tables */
  return cpr_throw_errno (error, errno, "RAM block '%s': allocating %zu bytes", block->name, size);
}

/* ---- The growth. */

/* The kernel may have taken the reserved addresses away before it failed, and then they can be
 * another's already: this block can't grow any more. */
static void
reserve_again (CprRamBlock *block, size_t from)
{
  uint8_t *at = (uint8_t *) block->vaddr + from, *end = (uint8_t *) block->vaddr + block->reserved;
  void *got = reserve (at, block->size - from, MAP_FIXED_NOREPLACE);

  if (got == at || (got == MAP_FAILED && errno == EEXIST))
    return;
  if (got != MAP_FAILED) /* valgrind takes the flag for a hint: the addresses are still reserved */
    {
      cpr_sys->munmap (got, block->size - from);
      return;
    }
  if (end > (uint8_t *) block->vaddr + block->size)
    cpr_sys->munmap ((uint8_t *) block->vaddr + block->size, (size_t) (end - (uint8_t *) block->vaddr) - block->size);
  block->reserved = block->max_size = from;
}

static bool
map_more (CprRamBlock *block, size_t from, GError **error)
{
  uint8_t *at = (uint8_t *) block->vaddr + from;
  size_t size = block->size - from;

  if (map_part (block, at, size, get_flags (block), block->fd, from) == MAP_FAILED)
    {
      cpr_throw_errno (error, errno, "RAM block '%s': mapping %zu bytes more", block->name, size);
      reserve_again (block, from);
      return false;
    }
  if (set_attributes (block, at, size, error) &&
      ((block->flags & CPR_RAM_PREALLOC) == 0 || cpr_ram_block_populate (block, from, error)))
    return true;
  if (block->backend == CPR_RAM_MEMFD || block->backend == CPR_RAM_HUGETLB)
    cpr_sys->fallocate (block->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t) from, (off_t) size);
  reserve (at, size, MAP_FIXED);
  return false;
}

/* The backing comes first: there is never a mapping of what isn't there. A backing that is
 * longer than its block does no harm. */
bool
cpr_ram_block_grow (CprRamBlock *block, size_t size, GError **error)
{
  size_t was = block->size;

  block->size = size;
  if ((block->fd < 0 ||
       (cpr_ram_block_check_backing (block, block->backend != CPR_RAM_FD, error) && check_dax (block, error))) &&
      map_more (block, was, error))
    return true;
  block->size = was;
  return false;
}

/* ---- What the VMM asks. */

const char *
cpr_ram_block_get_name (const CprRamBlock *block)
{
  g_return_val_if_fail (block != NULL, NULL);

  return block->name;
}

void *
cpr_ram_block_get_vaddr (const CprRamBlock *block)
{
  g_return_val_if_fail (block != NULL, NULL);

  return block->vaddr;
}

size_t
cpr_ram_block_get_size (const CprRamBlock *block)
{
  g_return_val_if_fail (block != NULL, 0);

  return block->size;
}

int
cpr_ram_block_get_fd (const CprRamBlock *block)
{
  g_return_val_if_fail (block != NULL, -1);

  return block->fd;
}
