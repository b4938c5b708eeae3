/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_REGISTRY_RAM_COPY_H
#define CPR_REGISTRY_RAM_COPY_H

#include <libcpr/libcpr.h>

/* The contents of guest RAM in a file. Each block lies there as it lies in memory, so that it
 * can be mapped, but with holes where several pages in a row are zero. Each piece of
 * CPR_RAM_PIECE bytes has a checksum; the last piece of a block may be shorter. */
#define CPR_RAM_PIECE (2u << 20)

/* One block, and where it lies in the file. */
typedef struct
{
  const char *name; /* for messages */
  uint8_t *vaddr;
  uint64_t size;
  int fd; /* the file behind the memory; -1: none */
  /* True: SEEK_DATA finds the holes of fd. False: fd is read, since a look at the memory would
   * allocate pages. */
  bool holes;
  bool zeroed;     /* before a read: the memory is all zero */
  uint64_t offset; /* in the file; a multiple of the page size */
  uint64_t *sums;  /* one for each piece of the block */
} CprRamImage;

/* Called on the caller's thread a few times a second, and at the end. False with an error makes
 * the whole call fail. */
typedef struct
{
  bool (*report) (uint64_t done, uint64_t total, void *user_data, GError **error);
  void *user_data;
} CprRamProgress;

uint64_t cpr_ram_count_pieces (uint64_t size);

/* Writes the blocks into @file, by several threads, and makes their sums. The file already has
 * its length, and only holes where the blocks go. On failure part of them may have been written. */
bool cpr_ram_write (const CprRamImage *images, guint n, int file, const CprRamProgress *progress, GError **error);

/* Reads the blocks from @file and compares their sums: CPR_ERROR_CORRUPT with the block's name.
 * On failure the contents of the memory are undefined. */
bool cpr_ram_read (const CprRamImage *images, guint n, int file, const CprRamProgress *progress, GError **error);

/* Makes the sums of the blocks in memory. */
bool cpr_ram_sum (const CprRamImage *images, guint n, const CprRamProgress *progress, GError **error);

/* A stretch of @fd without holes, by its offsets in that file; all 0: none is known. The kernel
 * finds the end of a stretch by walking over all of its pages, 20 ms for 4 GiB (Linux 6.18,
 * tmpfs). So it must not be asked again for each part of a stretch. */
typedef struct
{
  int fd;
  uint64_t start, end;
} CprRamExtent;

/* Calls @func, in order, for each run of pages between @start and @end that aren't zero; a run
 * may have a few zero pages in it. False with errno from @func or from reading. @known: the
 * caller keeps it from part to part of a block. @scratch: CPR_RAM_SCAN bytes, page-aligned. */
#define CPR_RAM_SCAN (256u << 10)
typedef bool (*CprRamRunFunc) (uint64_t offset, const uint8_t *data, size_t len, void *user_data);
bool cpr_ram_foreach_run (const CprRamImage *image,
                          CprRamExtent *known,
                          uint64_t start,
                          uint64_t end,
                          uint8_t *scratch,
                          CprRamRunFunc func,
                          void *user_data);

#endif
