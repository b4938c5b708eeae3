/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_REGISTRY_VFIO_DMA_MAP_H
#define CPR_REGISTRY_VFIO_DMA_MAP_H

#include "registry/ram/ram.h"

/* A piece of guest RAM that devices reach at @iova. */
typedef struct
{
  uint64_t iova;
  uint64_t size;
  uint64_t offset; /* in the block */
  CprRamBlock *block;
  uint8_t flags;   /* CprDmaFlags */
  bool claimed;    /* made or taken over in this program */
  bool by_address; /* IOMMUFD: by its address in this process, not by its file */
} CprDmaMapping;

/* The mappings of one container: sorted by iova, none overlaps another one. Pointers: at random,
 * most of the time goes into making room. */
typedef struct
{
  GPtrArray *mappings; /* CprDmaMapping */
  guint next;          /* the one after that which was looked up last: they are mostly asked for in order */
  uint64_t total;      /* bytes */
} CprDmaMap;

void cpr_dma_mappings_init (CprDmaMap *map);
void cpr_dma_mappings_clear (CprDmaMap *map);

/* The mapping that begins at @iova, or NULL. */
CprDmaMapping *cpr_dma_mappings_find (CprDmaMap *map, uint64_t iova);
/* A mapping that has an address of the range in it, or NULL. @size isn't 0 and the range doesn't
 * pass the end of the addresses. */
CprDmaMapping *cpr_dma_mappings_find_overlap (CprDmaMap *map, uint64_t iova, uint64_t size);
/* Copies it; it overlaps none. The copy stays where it is until it is removed. */
CprDmaMapping *cpr_dma_mappings_insert (CprDmaMap *map, const CprDmaMapping *mapping);
void cpr_dma_mappings_remove (CprDmaMap *map, CprDmaMapping *mapping);

static inline CprDmaMapping *
cpr_dma_mappings_get (const CprDmaMap *map, guint i)
{
  return map->mappings->pdata[i];
}

#endif
