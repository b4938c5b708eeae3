/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_REGISTRY_RAM_STORE_H
#define CPR_REGISTRY_RAM_STORE_H

#include "registry/ram/copy.h"
#include "registry/ram/file.h"
#include "registry/ram/ram.h"

/* The places of the contents of a state's RAM blocks, in reboot mode: copied, or in place in a
 * file that survives. */

/* The area of the copied blocks begins at the first multiple of this after the stream's end.
 * Each block begins at such a multiple from the area's start. */
#define CPR_RAM_AREA_ALIGN CPR_RAM_PIECE

typedef enum
{
  CPR_RAM_LAYOUT_AREA = 0,  /* each block has its place behind the state */
  CPR_RAM_LAYOUT_STREAM = 1 /* a stream of pages follows the state */
} CprRamLayout;

typedef struct
{
  char *name;
  uint64_t size;
  bool in_place;
  uint64_t offset; /* from the area's start */
  CprRamFile file;
  uint64_t n_sums, first_sum;
  int fd;                   /* a memfd with contents that came through a pipe; or -1 */
  const CprRamBlock *block; /* the session's; in the new program only once it is claimed, and in place */
} CprRamStored;

typedef struct
{
  CprRamLayout layout;
  GPtrArray *blocks; /* CprRamStored, in the order of the RAM table */
  uint64_t area;     /* bytes of all copied blocks */
  uint64_t n_sums;
  uint64_t *sums;

  /* In the new program. */
  int file; /* the caller's file with the area; -1: there is none */
  uint64_t base;
  bool map; /* map blocks from that file where their backing permits it */
} CprRamStore;

void cpr_ram_store_free (CprRamStore *store);

/* Describes the copy of @block in a file whose area begins at @base. */
CprRamImage
cpr_ram_store_get_image (const CprRamStore *store, const CprRamStored *stored, const CprRamBlock *block, uint64_t base);

/* ---- In the old program. */

/* Plans where the contents of each block of @ram go. @in_place: contents in files stay there. */
CprRamStore *cpr_ram_store_new (const CprRamTable *ram, CprRamLayout layout, bool in_place, GError **error);
/* STORE chunk: u32 layout; u32 number, then each: name; u64 size; u32 where; u32 type; u64
 * offset, device, inode, special, file size, stamp. */
void cpr_ram_store_write (const CprRamStore *store, CprWriter *writer);
/* With the guest running: finds out whether the new program could find and recognise the files
 * in place. */
bool cpr_ram_store_probe (const CprRamStore *store, GError **error);
/* With the guest stopped: brings the files in place to the disk and stamps them. */
bool cpr_ram_store_stamp (const CprRamStore *store, GError **error);
/* Makes the sums, and in layout AREA copies the blocks into @file, from @base on. */
bool cpr_ram_store_copy (CprRamStore *store, int file, uint64_t base, const CprRamProgress *progress, GError **error);
/* The SUMS chunk, if there are sums: u32 number, then u64 each. */
void cpr_ram_store_write_sums (const CprRamStore *store, CprWriter *writer);
uint64_t cpr_ram_store_get_sums_len (const CprRamStore *store); /* of the chunk; 0: there is none */
/* In layout STREAM: sends a stream of pages into @fd, until @end_ns, which is CprWriter's. */
bool
cpr_ram_store_send (const CprRamStore *store, int fd, uint64_t end_ns, const CprRamProgress *progress, GError **error);

/* ---- In the new program. */

CprRamStore *cpr_ram_store_read (CprCursor *cursor, GError **error);
/* Checks that the RAM table has the same blocks. */
bool cpr_ram_store_check (const CprRamStore *store, const CprRamTable *ram, GError **error);
bool cpr_ram_store_read_sums (CprRamStore *store, CprCursor *cursor, GError **error);
/* Reads the stream of pages from @fd and keeps the pages in memfds. */
bool cpr_ram_store_receive (CprRamStore *store, int fd, GError **error);

/* Makes a block again, with its contents. */
CprRamBlock *cpr_ram_table_restore (CprRamTable *table,
                                    CprFdTable *fds,
                                    CprRamStore *store,
                                    const char *name,
                                    size_t size,
                                    const CprRamOptions *options,
                                    GError **error);
/* Changes the stamps of the files in place, so that no copy of the state can take them up any
 * more. */
bool cpr_ram_store_spend (const CprRamStore *store, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CprRamStore, cpr_ram_store_free)

#endif
