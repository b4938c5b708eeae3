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
  bool claimed;    /* made or claimed in this program */
  bool by_address; /* IOMMUFD: mapped by its address in this process, not by its file */
} CprDmaMapping;

/* The mappings of one container, sorted by iova, without overlaps. The array has pointers, since
 * most of the time of an insert at random goes into moving the others. */
typedef struct
{
  GPtrArray *mappings; /* CprDmaMapping */
  guint next;          /* the index behind the last lookup's: most lookups are in order */
  uint64_t total;      /* bytes */
} CprDmaMap;

void cpr_dma_mappings_init (CprDmaMap *map);
void cpr_dma_mappings_clear (CprDmaMap *map);

/* The mapping that begins at @iova, or NULL. */
CprDmaMapping *cpr_dma_mappings_find (CprDmaMap *map, uint64_t iova);
/* A mapping that overlaps the range, or NULL. @size isn't 0, and the range doesn't pass the end
 * of the addresses. */
CprDmaMapping *cpr_dma_mappings_find_overlap (CprDmaMap *map, uint64_t iova, uint64_t size);
/* Adds a copy of @mapping, which overlaps no other. The copy stays at its address until it is
 * removed. */
CprDmaMapping *cpr_dma_mappings_insert (CprDmaMap *map, const CprDmaMapping *mapping);
void cpr_dma_mappings_remove (CprDmaMap *map, CprDmaMapping *mapping);

static inline CprDmaMapping *
cpr_dma_mappings_get (const CprDmaMap *map, guint i)
{
  return map->mappings->pdata[i];
}

#endif
