/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_REGISTRY_RAM_COPY_H
#define CPR_REGISTRY_RAM_COPY_H

#include <libcpr/libcpr.h>

/* Guest RAM's contents in a file: each block lies there as it lies in memory, so that it can be
 * mapped, with holes where several pages in a row are zero. A checksum goes with each piece of
 * CPR_RAM_PIECE bytes, the last one of a block may be shorter. */
#define CPR_RAM_PIECE (2u << 20)

/* One block, and where it lies in the file. */
typedef struct
{
  const char *name; /* for messages */
  uint8_t *vaddr;
  uint64_t size;
  int fd; /* what is behind the memory, -1: nothing */
  bool
      holes; /* fd can tell where it has holes (SEEK_DATA); else it is read, since looking at memory would allocate it */
  bool zeroed;     /* of a block that is read into: it is all zero */
  uint64_t offset; /* in the file; a multiple of the page size */
  uint64_t *sums;  /* one for each piece; a block's own in front of the next one's */
} CprRamImage;

/* Called on the caller's thread a few times in a second, and at the end; false with an error
 * gives the whole thing up. */
typedef struct
{
  bool (*report) (uint64_t done, uint64_t total, void *user_data, GError **error);
  void *user_data;
} CprRamProgress;

uint64_t cpr_ram_count_pieces (uint64_t size);

/* Writes the blocks into @file, which is as long as it has to be and has nothing but holes
 * there, and makes their sums. Several threads do it. On failure the file holds something of it. */
bool cpr_ram_write (const CprRamImage *images, guint n, int file, const CprRamProgress *progress, GError **error);

/* Reads them from @file and compares the sums: CPR_ERROR_CORRUPT with the block's name. On
 * failure the memory holds something. */
bool cpr_ram_read (const CprRamImage *images, guint n, int file, const CprRamProgress *progress, GError **error);

/* Makes the sums of what is in memory. */
bool cpr_ram_sum (const CprRamImage *images, guint n, const CprRamProgress *progress, GError **error);

/* A stretch of @fd without holes, as bytes of that file; all 0: none is known. The kernel finds
 * the end of a stretch by walking over each of its pages, 20 ms for 4 GiB (Linux 6.18, tmpfs),
 * so it must not be asked again for each part of one. */
typedef struct
{
  int fd;
  uint64_t start, end;
} CprRamExtent;

/* Calls @func for each run of pages between @start and @end that isn't zero, up to some pages in
 * a row, in order. False with errno from @func or from reading. @known: kept by the caller from
 * part to part of a block. @scratch: CPR_RAM_SCAN bytes, aligned like a page. */
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
