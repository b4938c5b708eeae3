/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBCPR_RAM_H
#define LIBCPR_RAM_H

#if !defined(LIBCPR_INSIDE) && !defined(LIBCPR_H)
#  error "include <libcpr/libcpr.h> and nothing else"
#endif

#include <libcpr/session.h>

G_BEGIN_DECLS

/**
 * SECTION:ram
 * @title: Guest RAM
 *
 * A RAM block is a named piece of guest RAM behind an fd. It is created in a fresh session and
 * taken over in one that took up a state, by the same call; its contents stay in place. The new
 * program maps it anew, in general at another address.
 */

/**
 * CprRamBlock:
 *
 * A RAM block. Opaque; owned by its session and valid as long as that.
 */
typedef struct _CprRamBlock CprRamBlock;

/**
 * CprRamBackend:
 * @CPR_RAM_MEMFD: a memfd, sealed against shrinking; the default
 * @CPR_RAM_HUGETLB: a memfd of huge pages of the system's default size; @size must be a multiple of
 *     it
 * @CPR_RAM_FILE: a file, on hugetlbfs and DAX too, by path, which may be a symbolic link; created
 *     with mode 0600 and grown to the size when it is shorter, and left so if the call fails later.
 *     On a DAX device (`/dev/daxN.M`) the block must fit into it, and its size be a multiple of the
 *     device's alignment
 * @CPR_RAM_FD: an fd of the VMM's, open for reading and writing, at least as long as the size;
 *     duplicated
 * @CPR_RAM_PRIVATE: anonymous private memory
 *
 * The contents survive in what can be mapped again. Private memory can't in exec mode, nor can a
 * file or fd that is `/dev/zero`: each mapping of that is memory of its own. A block of that kind
 * is a blocker of %CPR_MODE_EXEC, see #SECTION:event, as long as it is there.
 *
 * In reboot mode the contents of all of them survive: copied, or with %CPR_UPDATE_RAM_IN_PLACE in
 * place in files; see #SECTION:update.
 *
 * What a RAM block's contents live in.
 *
 * Since: 0.1
 */
typedef enum
{
  CPR_RAM_MEMFD = 0,
  CPR_RAM_HUGETLB = 1,
  CPR_RAM_FILE = 2,
  CPR_RAM_FD = 3,
  CPR_RAM_PRIVATE = 4
} CprRamBackend;

/**
 * CprRamFlags:
 * @CPR_RAM_PREALLOC: all pages are allocated when the block is created. When it is taken over they
 *     are there; the page tables are then filled in the background, after the guest runs, never on
 *     the pause
 * @CPR_RAM_HUGE_PAGES: MADV_HUGEPAGE
 * @CPR_RAM_DONT_DUMP: MADV_DONTDUMP
 * @CPR_RAM_DONT_FORK: MADV_DONTFORK
 * @CPR_RAM_LOCKED: mlock2() with MLOCK_ONFAULT; counts against RLIMIT_MEMLOCK
 *
 * Attributes of a RAM block's mapping. They don't survive an execve in the kernel: they are
 * recorded in the state, and a block that is taken over gets those recorded and those given.
 *
 * Since: 0.1
 */
typedef enum
{
  CPR_RAM_PREALLOC = 1 << 0,
  CPR_RAM_HUGE_PAGES = 1 << 1,
  CPR_RAM_DONT_DUMP = 1 << 2,
  CPR_RAM_DONT_FORK = 1 << 3,
  CPR_RAM_LOCKED = 1 << 4
} CprRamFlags;

/**
 * CprRamOptions:
 * @size: `sizeof (CprRamOptions)`, see #SECTION:libcpr
 * @backend: what the contents live in
 * @flags: or-ed #CprRamFlags
 * @path: the path for %CPR_RAM_FILE; else %NULL
 * @fd: the fd for %CPR_RAM_FD; else unused
 *
 * How to make a RAM block. Zero it, set @size, then the fields. In a session that took up a state
 * @path and @fd aren't used: the backing comes from the old program, except in reboot mode.
 *
 * Since: 0.1
 */
typedef struct
{
  size_t size;
  CprRamBackend backend;
  unsigned flags;
  const char *path;
  int fd;
} CprRamOptions;

/**
 * cpr_ram_new:
 * @session: a session
 * @name: a name of 1 to 255 bytes, unique among the RAM blocks; copied
 * @size: the size in bytes, a multiple of the page size, not 0
 * @options: (nullable): how to make it, or %NULL for a memfd without attributes; only read during
 *     the call
 * @error: where an error goes, or %NULL
 *
 * Creates a RAM block and maps it, readable and writable; or, where the old program handed over one
 * of that name, maps that. Both must agree on size and backend.
 *
 * In a session that took up a state of reboot mode the block is made as in a fresh one, with
 * @options, and gets its contents: those that were copied are read, their checksums verified, into
 * whatever backend is asked for now; those in place need %CPR_RAM_FILE and the path of that very
 * file, which must be what it was (inode, size, and the time that it was stamped with; a DAX
 * device: its namespace's UUID or else its physical address, its size, and all of its contents by
 * checksum): what has been used or written since is refused. Writing through a mapping of another
 * program's doesn't change that time on tmpfs and hugetlbfs; making or taking a RAM block does, and
 * so does write(). With %CPR_INCOMING_MAP_RAM a memfd's or private contents are mapped
 * copy-on-write from the state's file instead: at once, but then nothing has verified them
 * (`cpr-inspect verify` does beforehand), what the guest writes is private memory,
 * cpr_ram_block_get_fd() is -1, and the block is a blocker of every mode but reboot.
 *
 * Errors: %CPR_ERROR_INVALID (name, size, options), %CPR_ERROR_BLOCKED (the contents wouldn't
 * survive in a mode of the config's `required_modes`), %CPR_ERROR_EXISTS, %CPR_ERROR_MISMATCH
 * (another size or backend than in the state), %CPR_ERROR_NOT_FOUND (the session took up a state
 * and there is no such block in it), %CPR_ERROR_CORRUPT (the contents aren't what was saved),
 * %CPR_ERROR_SYSTEM (with errno: ENOMEM, ENOSPC, EFBIG for RLIMIT_FSIZE, EMFILE), %CPR_ERROR_STATE.
 *
 * Permitted states: FRESH, INCOMING, and ACTIVE (a new block; hot-plugged memory).
 *
 * Returns: (transfer none): the block, owned by the session, or %NULL
 *
 * Since: 0.1
 */
CPR_API CprRamBlock *
cpr_ram_new (CprSession *session, const char *name, size_t size, const CprRamOptions *options, GError **error);

/**
 * cpr_ram_remove:
 * @session: a session
 * @block: a block of @session; not valid afterwards
 * @error: where an error goes, or %NULL
 *
 * Unmaps a RAM block and gives its memory back, unless the backing is an fd of the VMM's or a file.
 * Shortly after an update the guardian still has the memory: it is free when the old address space
 * is torn down.
 *
 * Errors: %CPR_ERROR_NOT_FOUND, %CPR_ERROR_EXISTS (parts of it are mapped for DMA, see
 * cpr_dma_unmap()), %CPR_ERROR_STATE.
 *
 * Permitted states: FRESH, ACTIVE, LOST, HANDED_OVER.
 *
 * Returns: %TRUE on success
 *
 * Since: 0.1
 */
CPR_API bool cpr_ram_remove (CprSession *session, CprRamBlock *block, GError **error);

/**
 * cpr_ram_block_get_name:
 * @block: a RAM block
 *
 * The block's name. Permitted states: all.
 *
 * Returns: the name, owned by the block
 *
 * Since: 0.1
 */
CPR_API const char *cpr_ram_block_get_name (const CprRamBlock *block);

/**
 * cpr_ram_block_get_vaddr:
 * @block: a RAM block
 *
 * Where the block is mapped in this process. Permitted states: all.
 *
 * Returns: the address, page-aligned
 *
 * Since: 0.1
 */
CPR_API void *cpr_ram_block_get_vaddr (const CprRamBlock *block);

/**
 * cpr_ram_block_get_size:
 * @block: a RAM block
 *
 * The block's size. Permitted states: all.
 *
 * Returns: the size in bytes
 *
 * Since: 0.1
 */
CPR_API size_t cpr_ram_block_get_size (const CprRamBlock *block);

/**
 * cpr_ram_block_get_fd:
 * @block: a RAM block
 *
 * The fd behind the block, for vhost-user and the like. Permitted states: all.
 *
 * Returns: the fd, owned by the block, or -1 for private memory
 *
 * Since: 0.1
 */
CPR_API int cpr_ram_block_get_fd (const CprRamBlock *block);

G_END_DECLS

#endif
