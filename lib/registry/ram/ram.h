/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_REGISTRY_RAM_RAM_H
#define CPR_REGISTRY_RAM_RAM_H

#include <libcpr/libcpr.h>

#include "registry/fd-table.h"

/* The fds behind RAM blocks are entries of the fd table, named by this and the block's name,
 * with index 0. */
#define CPR_RAM_FD_PREFIX CPR_FD_INTERNAL "ram:"

struct _CprRamBlock
{
  char *name;
  size_t size;
  size_t max_size; /* that it can grow to; 0: it can't */
  size_t reserved; /* bytes of addresses from vaddr on: at least those of its size */
  CprRamBackend backend;
  unsigned flags;
  int fd;         /* -1: private */
  bool owned;     /* the block closes fd; of a block that was handed over only once it is claimed */
  void *vaddr;    /* NULL: handed over and unclaimed */
  bool read_only; /* its mapping is, until the commit */
  bool filled;    /* its page tables are filled, as far as they ever will be */
  char *copy_of;  /* it is mapped copy-on-write from this file; or NULL */
  guint n_dma;    /* the number of DMA mappings of parts of the block */
};

typedef struct
{
  GPtrArray *blocks; /* CprRamBlock */
  bool read_only;    /* blocks that are claimed are mapped so, until cpr_ram_table_unprotect() */
} CprRamTable;

void cpr_ram_table_init (CprRamTable *table);
void cpr_ram_table_clear (CprRamTable *table); /* unmaps the blocks and closes their fds */

/* The block of that name, claimed or not, or NULL. */
CprRamBlock *cpr_ram_table_get (const CprRamTable *table, const char *name);
/* Creates a block. */
CprRamBlock *cpr_ram_table_add (
    CprRamTable *table, CprFdTable *fds, const char *name, size_t size, const CprRamOptions *options, GError **error);
/* Claims a block that was handed over, and maps it. */
CprRamBlock *
cpr_ram_table_take (CprRamTable *table, const char *name, size_t size, const CprRamOptions *options, GError **error);
/* Finds an unclaimed block that fits the request, without claiming it. */
CprRamBlock *
cpr_ram_table_find (CprRamTable *table, const char *name, size_t size, const CprRamOptions *options, GError **error);
/* Makes a block larger, up to its maximum. */
bool cpr_ram_table_grow (const CprRamTable *table, CprRamBlock *block, size_t size, GError **error);
bool cpr_ram_table_remove (CprRamTable *table, CprFdTable *fds, CprRamBlock *block, GError **error);

/* Makes read-only mappings writable. */
bool cpr_ram_table_unprotect (CprRamTable *table, GError **error);

/* ---- One block: block.c. */

/* The steps of making a block. cpr_ram_block_unmake() undoes those that were done. */
bool cpr_ram_block_open (CprRamBlock *block, const CprRamOptions *options, GError **error);
bool cpr_ram_block_map (CprRamBlock *block, GError **error);
/* Maps @file from @offset on, copy-on-write. */
bool cpr_ram_block_map_copy (CprRamBlock *block, int file, uint64_t offset, GError **error);
/* Allocates the pages from offset @from on. */
bool cpr_ram_block_populate (const CprRamBlock *block, size_t from, GError **error);
void cpr_ram_block_unmake (CprRamBlock *block);
/* Whether the backing is as long as the block, or can be made so: @grow. */
bool cpr_ram_block_check_backing (const CprRamBlock *block, bool grow, GError **error);
/* On failure the backing may be longer, and nothing else has changed. */
bool cpr_ram_block_grow (CprRamBlock *block, size_t size, GError **error);

/* ---- The table: ram.c. */

bool cpr_ram_block_register (CprRamBlock *block, CprFdTable *fds, GError **error);

/* The reason why the contents of such a block can't survive an execve. NULL if they can, or if
 * the request is refused anyway. */
char *cpr_ram_describe_obstacle (const char *name, const CprRamOptions *options);

char *cpr_ram_table_describe_unclaimed (const CprRamTable *table);

/* RAM chunk: u32 number, then each: name; u64 size; u32 backend; u32 flags. @fds: NULL if the
 * blocks aren't handed over as fds. */
void cpr_ram_table_write (const CprRamTable *table, CprWriter *writer);
bool cpr_ram_table_read (CprRamTable *table, CprFdTable *fds, CprCursor *cursor, GError **error);

#endif
