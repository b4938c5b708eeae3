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
 * A RAM block is a named piece of guest RAM behind an fd. The same call creates it in a fresh
 * session and claims it in an incoming one, where its contents stay in place. The new program maps
 * the block again, in general at another address.
 *
 * Memory that is plugged in while the guest runs is either a block of its own, made by
 * cpr_ram_new() and given back by cpr_ram_remove(), or a part that cpr_ram_grow() adds to a block.
 */

/**
 * CprRamBlock:
 *
 * A RAM block. Opaque; owned by its session and valid as long as the session, or until
 * cpr_ram_remove().
 */
typedef struct _CprRamBlock CprRamBlock;

/**
 * CprRamBackend:
 * @CPR_RAM_MEMFD: a memfd, sealed against shrinking; the default
 * @CPR_RAM_HUGETLB: a memfd of huge pages of the system's default size. The block's size must be a
 *     multiple of that size, otherwise the call fails with %CPR_ERROR_SYSTEM
 * @CPR_RAM_FILE: a file, also on hugetlbfs and DAX, named by a path, which may be a symbolic link.
 *     It is created with mode 0600, and grown to the block's size if it is shorter; that isn't
 *     undone if the call fails later. On a DAX device (`/dev/daxN.M`) the block must fit into the
 *     device, and its size must be a multiple of the device's alignment
 * @CPR_RAM_FD: an fd of the VMM's, open for reading and writing, at least as long as the block;
 *     duplicated
 * @CPR_RAM_PRIVATE: anonymous private memory
 *
 * The backing of a RAM block: the memory or file that its contents live in.
 *
 * Contents survive in a backing that another program can map. No other program can map private
 * memory. The same holds for a file or fd that is `/dev/zero`, of which each mapping is memory of
 * its own. A guest_memfd of KVM belongs to the VM that made it, and that VM ends with its program.
 * As long as it exists, a block with such a backing blocks exec and transfer mode, see
 * #SECTION:event.
 *
 * In reboot mode the contents of every backing survive: they are copied or, with
 * %CPR_UPDATE_RAM_IN_PLACE, stay in their files; see #SECTION:reboot-mode.
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
 * @CPR_RAM_PREALLOC: all pages are allocated when the block is created. In a block that is claimed
 *     they are allocated already. Its page tables are filled in the background once the guest runs;
 *     in transfer mode they are filled before the stop. In reboot mode the pages are allocated in
 *     the background too
 * @CPR_RAM_HUGE_PAGES: MADV_HUGEPAGE
 * @CPR_RAM_DONT_DUMP: MADV_DONTDUMP
 * @CPR_RAM_DONT_FORK: MADV_DONTFORK
 * @CPR_RAM_LOCKED: mlock2() with MLOCK_ONFAULT; counts against RLIMIT_MEMLOCK
 *
 * Attributes of a RAM block's mapping. In the kernel they don't survive an execve, so they are
 * recorded in the state. A claimed block gets the recorded attributes and those given.
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
 * @backend: the kind of backing
 * @flags: or-ed #CprRamFlags
 * @path: the path for %CPR_RAM_FILE; else %NULL
 * @fd: the fd for %CPR_RAM_FD; else unused
 * @max_size: the size in bytes that cpr_ram_grow() can give the block at most, a multiple of the
 *     page size and at least the block's size; addresses for so many bytes are reserved. 0: the
 *     block can't grow. Each program says it for itself
 *
 * How to make a RAM block. Zero it, set @size, then the fields. In an incoming session @path and
 * @fd aren't used, except in reboot mode: the old program handed over the backing. %CPR_RAM_FILE
 * always needs a @path.
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
  size_t max_size;
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
 * Creates a RAM block and maps it, readable and writable. If the old program handed over a block of
 * that name, the call claims that block and maps it. Size and backend must be the same in both
 * programs.
 *
 * With a `max_size` in @options, @size is that of a new block only. A block that is claimed has the
 * size that it had in the old program, see cpr_ram_block_get_size(), which may be less or more than
 * @size. More than `max_size` is %CPR_ERROR_MISMATCH, and a preflight finds that before the stop.
 * The way back needs it too: an old program that let its block grow is executed again with its
 * first arguments.
 *
 * In an incoming session of reboot mode the block is made as in a fresh one, with @options, and
 * then gets its contents. There are three cases:
 *
 * - Copied contents are read, and their checksums verified. The backend may be another one than
 *   before.
 * - Contents in place need %CPR_RAM_FILE and the path of that very file. The file must be what it
 *   was: inode, size, and the time that it was stamped with. For a DAX device these are the UUID of
 *   its namespace, or else its physical address; its size; and the checksum of all its contents. A
 *   file that was used or written since is refused. On tmpfs and hugetlbfs another program's writes
 *   through a mapping don't change the time, but making or claiming a RAM block does, and so does
 *   write().
 * - With %CPR_INCOMING_MAP_RAM the contents of memfd and private blocks are mapped from the state's
 *   file, copy-on-write. That takes no time, but nothing has verified them (`cpr-inspect verify`
 *   does so beforehand). The guest's writes go to private memory, cpr_ram_block_get_fd() returns
 *   -1, and the block blocks every mode but reboot.
 *
 * Errors: %CPR_ERROR_INVALID (name, size, options), %CPR_ERROR_BLOCKED (the contents wouldn't
 * survive in a mode of the config's `required_modes`), %CPR_ERROR_EXISTS, %CPR_ERROR_MISMATCH
 * (another size or backend than in the state, or more than `max_size`), %CPR_ERROR_NOT_FOUND (the
 * session is INCOMING and the state has no such block), %CPR_ERROR_CORRUPT (the contents aren't
 * what was saved), %CPR_ERROR_SYSTEM (with errno: ENOMEM, ENOSPC, EFBIG for RLIMIT_FSIZE, EMFILE),
 * %CPR_ERROR_STATE.
 *
 * Permitted states: FRESH, INCOMING, and ACTIVE (a new block, such as hot-plugged memory).
 *
 * Returns: (transfer none): the block, owned by the session, or %NULL
 *
 * Since: 0.1
 */
CPR_API CprRamBlock *
cpr_ram_new (CprSession *session, const char *name, size_t size, const CprRamOptions *options, GError **error);

/**
 * cpr_ram_grow:
 * @session: a session
 * @block: a block of @session, made or claimed with a `max_size`
 * @size: its new size in bytes: a multiple of the page size, at least the present size and at most
 *     `max_size`. With the present size the call does nothing
 * @error: where an error goes, or %NULL
 *
 * Adds memory at the block's end, as when a DIMM is plugged in. The block stays at its address, and
 * what it has stays there. The backing grows with it, also a file; an fd of the VMM's must have the
 * new size already. The added part has the block's attributes, and is zero unless the file was
 * longer than the block. With %CPR_RAM_PREALLOC its pages are allocated, which takes as long as in
 * cpr_ram_new().
 *
 * The guest doesn't have the added part yet: give it to the guest as a memory slot of its own
 * (cpr_kvm_slot_add()) and to assigned devices as a mapping of its own (cpr_dma_map()). The next
 * program may have one slot for all of the block; mappings for DMA it has to make as they are.
 *
 * A block doesn't shrink: what has been mapped stays. To give memory back, free its pages where
 * they are (madvise() with MADV_REMOVE, as a balloon does), or have a block for each piece that can
 * be unplugged.
 *
 * While an update is under way the call is refused: the new program knows the block as it was
 * before. Between a preflight and the update it makes the update ask again.
 *
 * Errors: %CPR_ERROR_INVALID (@size; or the VMM's fd or the DAX region is too short),
 * %CPR_ERROR_NOT_FOUND (not a block of @session), %CPR_ERROR_SYSTEM (with errno: ENOMEM, ENOSPC,
 * EFBIG for RLIMIT_FSIZE, EAGAIN for RLIMIT_MEMLOCK), %CPR_ERROR_STATE. After a failure the block
 * has its old size. Its backing may be longer than that, which does no harm, and the call can be
 * made again.
 *
 * Permitted states: FRESH, ACTIVE.
 *
 * Returns: %TRUE on success
 *
 * Since: 0.1
 */
CPR_API bool cpr_ram_grow (CprSession *session, CprRamBlock *block, size_t size, GError **error);

/**
 * cpr_ram_remove:
 * @session: a session
 * @block: a block of @session; not valid afterwards
 * @error: where an error goes, or %NULL
 *
 * Unmaps a RAM block and frees its memory, unless the backing is a file or an fd of the VMM's.
 * Shortly after an update the guardian still maps the memory, which is free when the old address
 * space is torn down.
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
 * Gets the block's name. Permitted states: all.
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
 * Gets the address at which the block is mapped in this process. Permitted states: all.
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
 * Gets the block's size. Permitted states: all.
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
 * Gets the fd behind the block, for vhost-user for instance. Permitted states: all.
 *
 * Returns: the fd, owned by the block; -1 for private memory, also with %CPR_INCOMING_MAP_RAM
 *
 * Since: 0.1
 */
CPR_API int cpr_ram_block_get_fd (const CprRamBlock *block);

G_END_DECLS

#endif
