/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The DMA mappings of one container, sorted by IOVA. Called by table.c, lib/vfio and
 * lib/session. */
#include "registry/vfio/dma-map.h"

void
cpr_dma_mappings_init (CprDmaMap *map)
{
  *map = (CprDmaMap){ .mappings = g_ptr_array_new_with_free_func (g_free) };
}

void
cpr_dma_mappings_clear (CprDmaMap *map)
{
  for (guint i = 0; map->mappings != NULL && i < map->mappings->len; i++)
    cpr_dma_mappings_get (map, i)->block->n_dma--;
  g_clear_pointer (&map->mappings, g_ptr_array_unref);
}

/* The number of mappings that begin before @iova. */
static guint
count_before (const CprDmaMap *map, uint64_t iova)
{
  guint low = 0, high = map->mappings->len;

  if (high == 0 || cpr_dma_mappings_get (map, high - 1)->iova < iova)
    return high;
  while (low < high)
    {
      guint middle = low + (high - low) / 2;

      if (cpr_dma_mappings_get (map, middle)->iova < iova)
        low = middle + 1;
      else
        high = middle;
    }
  return low;
}

CprDmaMapping *
cpr_dma_mappings_find (CprDmaMap *map, uint64_t iova)
{
  guint at = map->next;

  if (at >= map->mappings->len || cpr_dma_mappings_get (map, at)->iova != iova)
    at = count_before (map, iova);
  if (at >= map->mappings->len || cpr_dma_mappings_get (map, at)->iova != iova)
    return NULL;
  map->next = at + 1;
  return cpr_dma_mappings_get (map, at);
}

CprDmaMapping *
cpr_dma_mappings_find_overlap (CprDmaMap *map, uint64_t iova, uint64_t size)
{
  guint at = count_before (map, iova);
  CprDmaMapping *other;

  if (at < map->mappings->len)
    {
      other = cpr_dma_mappings_get (map, at);
      if (other->iova - iova < size)
        return other;
    }
  if (at > 0)
    {
      other = cpr_dma_mappings_get (map, at - 1);
      if (iova - other->iova < other->size)
        return other;
    }
  return NULL;
}

CprDmaMapping *
cpr_dma_mappings_insert (CprDmaMap *map, const CprDmaMapping *mapping)
{
  CprDmaMapping *copy = g_memdup2 (mapping, sizeof *mapping);

  g_ptr_array_insert (map->mappings, (int) count_before (map, mapping->iova), copy);
  copy->block->n_dma++;
  map->total += copy->size;
  return copy;
}

void
cpr_dma_mappings_remove (CprDmaMap *map, CprDmaMapping *mapping)
{
  mapping->block->n_dma--;
  map->total -= mapping->size;
  g_ptr_array_remove_index (map->mappings, count_before (map, mapping->iova));
}
