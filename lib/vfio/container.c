/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A container of assigned devices in both programs: mappings for DMA, the attaching in the
 * new program, and again in the old one. It chooses a back end. Called by lib/session. */
#include "vfio/container.h"

#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/name.h"
#include "base/sys.h"
#include "vfio/backend.h"

#define ALL_DMA_FLAGS ((unsigned) CPR_DMA_READ | CPR_DMA_WRITE)

const CprVfioOps *
cpr_vfio_get_ops (CprVfioBackend backend)
{
  switch (backend)
    {
    case CPR_VFIO_TYPE1:
      return &cpr_vfio_type1;
    case CPR_VFIO_IOMMUFD:
      return &cpr_vfio_iommufd;
    default:
      return &cpr_vfio_none;
    }
}

/* ---- Containers. */

static bool
check_request (const char *name, const CprVfioContainerOptions *options, GError **error)
{
  if (!cpr_name_check ("VFIO container", name, error))
    return false;
  if (options->backend > CPR_VFIO_NONE || options->unclaimed > CPR_DMA_UNCLAIMED_UNMAP)
    return cpr_throw (error, CPR_ERROR_INVALID, "VFIO container '%s': unknown back end %u or policy %u", name,
                      options->backend, options->unclaimed);
  if (options->fd < 0)
    return cpr_throw (error, CPR_ERROR_INVALID, "VFIO container '%s': fd is %d", name, options->fd);
  if (options->backend == CPR_VFIO_AUTO && (options->fd != 0 || options->path != NULL))
    return cpr_throw (error, CPR_ERROR_INVALID, "VFIO container '%s': a path or an fd needs a back end", name);
  return true;
}

/* Devices of their own are needed as well as the iommufd. */
static CprVfioBackend
choose_backend (void)
{
  struct stat st;

  return cpr_sys->stat ("/sys/class/vfio-dev", &st) == 0 && cpr_vfio_iommufd_is_usable (NULL) ? CPR_VFIO_IOMMUFD
                                                                                              : CPR_VFIO_TYPE1;
}

CprVfioContainer *
cpr_vfio_container_create (CprVfioTable *table,
                           const char *name,
                           const CprVfioContainerOptions *options,
                           GError **error)
{
  CprVfioContainer *container;

  if (!check_request (name, options, error))
    return NULL;
  if (cpr_vfio_table_find (table, name) != NULL)
    cpr_throw (error, CPR_ERROR_EXISTS, "VFIO container '%s': there is one of that name", name);
  else if (table->containers->len == CPR_LIMIT_VFIO_CONTAINERS)
    cpr_throw (error, CPR_ERROR_INVALID, "VFIO container '%s': there are %d already, no more can be handed over", name,
               CPR_LIMIT_VFIO_CONTAINERS);
  else
    {
      container =
          cpr_vfio_table_add (table, name, options->backend != CPR_VFIO_AUTO ? options->backend : choose_backend ());
      container->unclaimed = options->unclaimed;
      if (cpr_vfio_get_ops (container->backend)->open (container, options, error) &&
          (container->fd < 0 || cpr_vfio_table_add_fd (table, CPR_VFIO_CONTAINER_FD, name, 0, container->fd, error)))
        return container;
      cpr_vfio_table_remove (table, container);
    }
  return NULL;
}

CprVfioContainer *
cpr_vfio_container_take (CprVfioTable *table, const char *name, const CprVfioContainerOptions *options, GError **error)
{
  CprVfioContainer *container;

  if (!check_request (name, options, error))
    return NULL;
  container = cpr_vfio_table_find (table, name);
  if (container == NULL)
    cpr_throw (error, CPR_ERROR_NOT_FOUND, "VFIO container '%s': it isn't in the state", name);
  else if (container->claimed)
    cpr_throw (error, CPR_ERROR_EXISTS, "VFIO container '%s': it was taken before", name);
  else if (options->backend != CPR_VFIO_AUTO && options->backend != container->backend)
    cpr_throw (error, CPR_ERROR_MISMATCH, "VFIO container '%s': back end is %s in the state, %s here", name,
               cpr_vfio_backend_get_name (container->backend), cpr_vfio_backend_get_name (options->backend));
  else
    {
      container->claimed = true;
      container->unclaimed = options->unclaimed;
      return container;
    }
  return NULL;
}

bool
cpr_vfio_container_close (CprVfioContainer *container, GError **error)
{
  if (container->devices->len > 0 || container->dma.mappings->len > 0)
    return cpr_throw (error, CPR_ERROR_EXISTS, "VFIO container '%s': it has %u devices and %u mappings",
                      container->name, container->devices->len, container->dma.mappings->len);
  if (cpr_vfio_get_ops (container->backend)->close != NULL)
    cpr_vfio_get_ops (container->backend)->close (container);
  cpr_vfio_table_remove (container->table, container);
  return true;
}

char *
cpr_vfio_container_describe_obstacle (const CprVfioContainer *container)
{
  for (guint i = 0; i < container->devices->len; i++)
    {
      const CprVfioDevice *device = container->devices->pdata[i];

      if (device->mediated)
        return g_strdup_printf (
            "VFIO device '%s' in container '%s': it is mediated: its driver reaches guest RAM by the "
            "addresses of this process",
            device->name, container->name);
    }
  return cpr_vfio_get_ops (container->backend)->describe_obstacle (container);
}

/* ---- Mappings. */

static bool
check_wanted (const CprVfioContainer *container, const CprDmaMapping *wanted, GError **error)
{
  const CprRamBlock *block = wanted->block;
  uint64_t mask = (uint64_t) sysconf (_SC_PAGESIZE) - 1;

  if (!g_ptr_array_find (container->table->ram->blocks, block, NULL))
    return cpr_throw (error, CPR_ERROR_NOT_FOUND, "VFIO container '%s': the RAM block isn't one of this session",
                      container->name);
  if (wanted->size == 0 || ((wanted->iova | wanted->size | wanted->offset) & mask) != 0)
    return cpr_throw (error, CPR_ERROR_INVALID,
                      "VFIO container '%s': %" G_GUINT64_FORMAT " bytes at 0x%" G_GINT64_MODIFIER
                      "x from 0x%" G_GINT64_MODIFIER "x of RAM block '%s' aren't whole pages",
                      container->name, wanted->size, wanted->iova, wanted->offset, block->name);
  if (wanted->iova + (wanted->size - 1) < wanted->iova)
    return cpr_throw (error, CPR_ERROR_INVALID,
                      "VFIO container '%s': %" G_GUINT64_FORMAT " bytes at 0x%" G_GINT64_MODIFIER
                      "x pass the end of the addresses",
                      container->name, wanted->size, wanted->iova);
  if (wanted->offset > block->size || wanted->size > block->size - wanted->offset)
    return cpr_throw (error, CPR_ERROR_INVALID,
                      "VFIO container '%s': %" G_GUINT64_FORMAT " bytes from 0x%" G_GINT64_MODIFIER
                      "x pass the end of RAM block '%s' of %zu bytes",
                      container->name, wanted->size, wanted->offset, block->name, block->size);
  return true;
}

static bool
throw_overlap (const CprVfioContainer *container,
               CprError code,
               const CprDmaMapping *wanted,
               const CprDmaMapping *other,
               GError **error)
{
  return cpr_throw (error, code,
                    "VFIO container '%s': %" G_GUINT64_FORMAT " bytes at 0x%" G_GINT64_MODIFIER
                    "x of RAM block '%s' (from 0x%" G_GINT64_MODIFIER "x, flags %u) against %" G_GUINT64_FORMAT
                    " bytes at 0x%" G_GINT64_MODIFIER "x of RAM block '%s' (from 0x%" G_GINT64_MODIFIER
                    "x, flags %u), which are %s",
                    container->name, wanted->size, wanted->iova, wanted->block->name, wanted->offset, wanted->flags,
                    other->size, other->iova, other->block->name, other->offset, other->flags,
                    code == CPR_ERROR_EXISTS ? "mapped" : "in the state");
}

CprDmaMapping *
cpr_vfio_container_map (CprVfioContainer *container, const CprDmaMapping *wanted, GError **error)
{
  CprDmaMapping mapping = *wanted;
  const CprDmaMapping *other;

  if (!check_wanted (container, wanted, error))
    return NULL;
  other = cpr_dma_mappings_find_overlap (&container->dma, wanted->iova, wanted->size);
  if (other != NULL)
    {
      throw_overlap (container, CPR_ERROR_EXISTS, wanted, other, error);
      return NULL;
    }
  if (!cpr_vfio_get_ops (container->backend)->map (container, &mapping, error))
    return NULL;
  g_clear_pointer (&container->order, g_ptr_array_unref);
  mapping.claimed = true;
  return cpr_dma_mappings_insert (&container->dma, &mapping);
}

static bool
is_same (const CprDmaMapping *a, const CprDmaMapping *b)
{
  return a->iova == b->iova && a->size == b->size && a->block == b->block && a->offset == b->offset &&
         a->flags == b->flags;
}

bool
cpr_vfio_container_take_mapping (CprVfioContainer *container, const CprDmaMapping *wanted, GError **error)
{
  CprDmaMapping *mapping = cpr_dma_mappings_find (&container->dma, wanted->iova);

  if (mapping != NULL && is_same (mapping, wanted))
    {
      if (mapping->claimed)
        return cpr_throw (error, CPR_ERROR_EXISTS,
                          "VFIO container '%s': the mapping at 0x%" G_GINT64_MODIFIER "x was taken before",
                          container->name, wanted->iova);
      mapping->claimed = true;
      return true;
    }
  if (!check_wanted (container, wanted, error))
    return false;
  mapping = cpr_dma_mappings_find_overlap (&container->dma, wanted->iova, wanted->size);
  if (mapping != NULL)
    return throw_overlap (container, CPR_ERROR_MISMATCH, wanted, mapping, error);
  return cpr_throw (error, CPR_ERROR_NOT_FOUND,
                    "VFIO container '%s': a mapping of %" G_GUINT64_FORMAT " bytes at 0x%" G_GINT64_MODIFIER
                    "x isn't in the state; it can be made when the guest runs",
                    container->name, wanted->size, wanted->iova);
}

bool
cpr_vfio_container_unmap (CprVfioContainer *container, uint64_t iova, uint64_t size, GError **error)
{
  CprDmaMapping *mapping = cpr_dma_mappings_find (&container->dma, iova);
  GError *reason = NULL;

  if (mapping == NULL)
    return cpr_throw (error, CPR_ERROR_NOT_FOUND, "VFIO container '%s': no mapping begins at 0x%" G_GINT64_MODIFIER "x",
                      container->name, iova);
  if (mapping->size != size)
    return cpr_throw (error, CPR_ERROR_INVALID,
                      "VFIO container '%s': the mapping at 0x%" G_GINT64_MODIFIER "x has %" G_GUINT64_FORMAT
                      " bytes, not %" G_GUINT64_FORMAT,
                      container->name, iova, mapping->size, size);
  if (!cpr_vfio_get_ops (container->backend)->unmap (container, mapping, &reason) &&
      !g_error_matches (reason, CPR_ERROR, CPR_ERROR_MISMATCH))
    {
      g_propagate_error (error, reason);
      return false;
    }
  g_clear_pointer (&container->order, g_ptr_array_unref);
  cpr_dma_mappings_remove (&container->dma, mapping);
  if (reason != NULL)
    g_propagate_error (error, reason);
  return reason == NULL;
}

/* ---- All of a session. */

void
cpr_vfio_table_prepare (CprVfioTable *table)
{
  for (guint i = 0; i < table->containers->len; i++)
    {
      CprVfioContainer *container = table->containers->pdata[i];

      if (cpr_vfio_get_ops (container->backend)->prepare != NULL)
        cpr_vfio_get_ops (container->backend)->prepare (container);
    }
}

bool
cpr_vfio_table_reattach (CprVfioTable *table, guint *lost, GError **error)
{
  GError *first = NULL;

  for (guint i = 0; i < table->containers->len; i++)
    {
      CprVfioContainer *container = table->containers->pdata[i];

      /* The others are put right even so. */
      cpr_vfio_get_ops (container->backend)->reattach (container, lost, first == NULL ? &first : NULL);
    }
  if (first == NULL)
    return true;
  g_propagate_error (error, first);
  return false;
}

static const CprVfioIrq *
find_unclaimed_irq (const CprVfioDevice *device)
{
  for (guint i = 0; i < device->irqs->len; i++)
    if (!g_array_index (device->irqs, CprVfioIrq, i).claimed)
      return &g_array_index (device->irqs, CprVfioIrq, i);
  return NULL;
}

static bool
check_irqs (const CprVfioContainer *container, GError **error)
{
  for (guint i = 0; i < container->devices->len; i++)
    {
      const CprVfioDevice *device = container->devices->pdata[i];
      const CprVfioIrq *irq = find_unclaimed_irq (device);

      if (irq != NULL)
        return cpr_throw (error, CPR_ERROR_MISMATCH,
                          "VFIO device '%s': interrupt %d of kind %d is in the state, and nobody took it", device->name,
                          irq->key & CPR_VFIO_IRQ_VECTOR_MAX, irq->key >> 16);
    }
  return true;
}

static bool
check_mappings (const CprVfioContainer *container, GError **error)
{
  for (guint i = 0; i < container->dma.mappings->len; i++)
    {
      const CprDmaMapping *mapping = cpr_dma_mappings_get (&container->dma, i);

      if (!mapping->claimed)
        return cpr_throw (error, CPR_ERROR_MISMATCH,
                          "VFIO container '%s': the mapping of %" G_GUINT64_FORMAT " bytes at 0x%" G_GINT64_MODIFIER
                          "x is in the state, and nobody took it",
                          container->name, mapping->size, mapping->iova);
    }
  return true;
}

bool
cpr_vfio_table_check_claims (const CprVfioTable *table, bool close_irqs, GError **error)
{
  for (guint i = 0; i < table->containers->len; i++)
    {
      const CprVfioContainer *container = table->containers->pdata[i];

      if ((!close_irqs && !check_irqs (container, error)) ||
          (container->unclaimed == CPR_DMA_UNCLAIMED_ERROR && !check_mappings (container, error)))
        return false;
    }
  return true;
}

static guint
drop_irqs (CprVfioDevice *device)
{
  CprVfioTable *table = device->container->table;
  guint n = 0;

  for (guint i = device->irqs->len; i-- > 0;)
    {
      CprVfioIrq *irq = &g_array_index (device->irqs, CprVfioIrq, i);

      if (irq->claimed)
        continue;
      cpr_vfio_table_remove_fd (table, cpr_vfio_irq_get_prefix (irq->role), device->name, irq->key);
      cpr_fd_clear (&irq->fd);
      g_array_remove_index (device->irqs, i);
      n++;
    }
  return n;
}

guint
cpr_vfio_table_drop_unclaimed (CprVfioTable *table)
{
  guint n = 0;

  for (guint i = 0; i < table->containers->len; i++)
    {
      CprVfioContainer *container = table->containers->pdata[i];

      for (guint k = container->dma.mappings->len; k-- > 0;)
        {
          const CprDmaMapping *mapping = cpr_dma_mappings_get (&container->dma, k);

          n += !mapping->claimed && cpr_vfio_container_unmap (container, mapping->iova, mapping->size, NULL);
        }
      for (guint k = 0; k < container->devices->len; k++)
        n += drop_irqs (container->devices->pdata[k]);
    }
  return n;
}
