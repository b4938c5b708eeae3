/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_REGISTRY_RAM_RAM_H
#define CPR_REGISTRY_RAM_RAM_H

#include <libcpr/libcpr.h>

#include "registry/fd-table.h"

/* The fds behind RAM blocks are entries of the fd table: this and the block's name, index 0. */
#define CPR_RAM_FD_PREFIX CPR_FD_INTERNAL "ram:"

struct _CprRamBlock
{
  char *name;
  size_t size;
  CprRamBackend backend;
  unsigned flags;
  int fd;        /* -1: private */
  bool owned;    /* whether fd is this block's to close; one that was handed over is once it is claimed */
  void *vaddr;   /* NULL: handed over, not claimed */
  bool filled;   /* its page tables, as far as they are going to be */
  char *copy_of; /* it is mapped copy-on-write: from this file; NULL */
  guint n_dma;   /* mappings for DMA of it */
};

typedef struct
{
  GPtrArray *blocks; /* CprRamBlock */
} CprRamTable;

void cpr_ram_table_init (CprRamTable *table);
void cpr_ram_table_clear (CprRamTable *table); /* unmaps and closes */

/* Creates a block. */
CprRamBlock *cpr_ram_table_add (
    CprRamTable *table, CprFdTable *fds, const char *name, size_t size, const CprRamOptions *options, GError **error);
/* Maps a block that was handed over. */
CprRamBlock *
cpr_ram_table_take (CprRamTable *table, const char *name, size_t size, const CprRamOptions *options, GError **error);
/* A block that was handed over and fits the request; not claimed yet. */
CprRamBlock *
cpr_ram_table_find (CprRamTable *table, const char *name, size_t size, const CprRamOptions *options, GError **error);
bool cpr_ram_table_remove (CprRamTable *table, CprFdTable *fds, CprRamBlock *block, GError **error);

/* The steps of making a block; what was done of them cpr_ram_block_unmake() undoes. */
bool cpr_ram_block_open (CprRamBlock *block, const CprRamOptions *options, GError **error);
bool cpr_ram_block_map (CprRamBlock *block, GError **error);
/* Copy-on-write, of what @file has from @offset on. */
bool cpr_ram_block_map_copy (CprRamBlock *block, int file, uint64_t offset, GError **error);
bool cpr_ram_block_register (CprRamBlock *block, CprFdTable *fds, GError **error);
void cpr_ram_block_unmake (CprRamBlock *block);

/* Why the contents of a block like this couldn't survive an execve; NULL if they would, or the
 * request is refused anyway. */
char *cpr_ram_describe_obstacle (const char *name, const CprRamOptions *options);

char *cpr_ram_table_describe_unclaimed (const CprRamTable *table);

/* RAM chunk: u32 number, then each: name; u64 size; u32 backend; u32 flags. @fds: NULL where the
 * blocks aren't handed over as fds. */
void cpr_ram_table_write (const CprRamTable *table, CprWriter *writer);
bool cpr_ram_table_read (CprRamTable *table, CprFdTable *fds, CprCursor *cursor, GError **error);

#endif
