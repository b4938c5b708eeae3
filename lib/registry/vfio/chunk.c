/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The chunk of the stream that has the containers, their devices and mappings. Called by
 * state/manifest.c. */
#include "base/error.h"
#include "registry/vfio/table.h"
#include "stream/reader.h"

static void
write_device (const CprVfioDevice *device, CprWriter *writer)
{
  cpr_writer_put_string (writer, device->name);
  cpr_writer_put_string (writer, device->address);
  cpr_writer_put_u32 (writer, device->group);
  cpr_writer_put_u32 (writer, device->irqs->len);
  for (guint i = 0; i < device->irqs->len; i++)
    {
      const CprVfioIrq *irq = &g_array_index (device->irqs, CprVfioIrq, i);

      cpr_writer_put_u32 (writer, (uint32_t) irq->key >> 16);
      cpr_writer_put_u32 (writer, (uint32_t) irq->key & CPR_VFIO_IRQ_VECTOR_MAX);
      cpr_writer_put_u32 (writer, irq->role);
      cpr_writer_put_u32 (writer, irq->enabled);
    }
}

static void
write_mappings (const CprDmaMap *map, GHashTable *numbers, CprWriter *writer)
{
  const CprRamBlock *last = NULL;
  uint32_t number = 0;

  cpr_writer_put_u32 (writer, map->mappings->len);
  for (guint i = 0; i < map->mappings->len; i++)
    {
      const CprDmaMapping *mapping = cpr_dma_mappings_get (map, i);

      if (mapping->block != last)
        number = GPOINTER_TO_UINT (g_hash_table_lookup (numbers, mapping->block));
      last = mapping->block;
      cpr_writer_put_u64 (writer, mapping->iova);
      cpr_writer_put_u64 (writer, mapping->size);
      cpr_writer_put_u32 (writer, number);
      cpr_writer_put_u32 (writer, mapping->flags);
      cpr_writer_put_u64 (writer, mapping->offset);
    }
}

void
cpr_vfio_table_write (const CprVfioTable *table, const CprRamTable *ram, CprWriter *writer)
{
  g_autoptr (GHashTable) numbers = g_hash_table_new (NULL, NULL);

  for (guint i = 0; i < ram->blocks->len; i++)
    g_hash_table_insert (numbers, ram->blocks->pdata[i], GUINT_TO_POINTER (i));
  cpr_writer_put_u32 (writer, table->containers->len);
  for (guint i = 0; i < table->containers->len; i++)
    {
      const CprVfioContainer *container = table->containers->pdata[i];

      cpr_writer_put_string (writer, container->name);
      cpr_writer_put_u32 (writer, container->backend);
      cpr_writer_put_u32 (writer, container->ioas);
      cpr_writer_put_u32 (writer, container->devices->len);
      for (guint k = 0; k < container->devices->len; k++)
        write_device (container->devices->pdata[k], writer);
      write_mappings (&container->dma, numbers, writer);
    }
}

typedef struct
{
  CprVfioTable *table;
  CprFdTable *fds;
  const CprRamTable *ram;
  CprCursor *cursor;
} Reading;

/* -1 with an error if the fd is missing, or belongs to another object. */
static int
claim_fd (const Reading *reading, const char *prefix, const char *name, int index, GError **error)
{
  g_autofree char *full = g_strconcat (prefix, name, NULL);
  CprFdEntry *entry = cpr_fd_table_find (reading->fds, full, index);

  if (entry != NULL && !entry->claimed)
    {
      entry->claimed = true;
      return entry->fd;
    }
  cpr_throw (error, CPR_ERROR_CORRUPT, "DMA: fd '%s' %d %s", full, index,
             entry == NULL ? "isn't there" : "belongs to two");
  return -1;
}

static bool
throw_cut_off (const char *kind, const char *name, GError **error)
{
  return cpr_throw (error, CPR_ERROR_CORRUPT, "DMA: %s '%s' is cut off", kind, name);
}

static bool
read_irq (const Reading *reading, CprVfioDevice *device, GError **error)
{
  uint32_t index = cpr_cursor_get_u32 (reading->cursor);
  uint32_t vector = cpr_cursor_get_u32 (reading->cursor);
  uint32_t role = cpr_cursor_get_u32 (reading->cursor);
  uint32_t flags = cpr_cursor_get_u32 (reading->cursor);
  guint n = device->irqs->len;
  CprVfioIrq irq = { .enabled = flags != 0 };

  if (reading->cursor->failed)
    return throw_cut_off ("device", device->name, error);
  if (index > CPR_VFIO_IRQ_INDEX_MAX || vector > CPR_VFIO_IRQ_VECTOR_MAX || role > CPR_VFIO_IRQ_UNMASK || flags > 1)
    return cpr_throw (error, CPR_ERROR_CORRUPT,
                      "DMA: device '%s': interrupt %u has kind %u, vector %u, role %u and flags %u; at most %d, %d, %d "
                      "and 1 expected",
                      device->name, n, index, vector, role, flags, CPR_VFIO_IRQ_INDEX_MAX, CPR_VFIO_IRQ_VECTOR_MAX,
                      CPR_VFIO_IRQ_UNMASK);
  irq.key = cpr_vfio_irq_get_key (index, vector);
  irq.role = (CprVfioIrqRole) role;
  if (n > 0 && !cpr_vfio_irq_is_before (&g_array_index (device->irqs, CprVfioIrq, n - 1), irq.key, irq.role))
    return cpr_throw (error, CPR_ERROR_CORRUPT, "DMA: device '%s': interrupt %u, vector %u of kind %u, is out of order",
                      device->name, n, vector, index);
  irq.fd = claim_fd (reading, cpr_vfio_irq_get_prefix (irq.role), device->name, irq.key, error);
  g_array_append_val (device->irqs, irq);
  return irq.fd >= 0;
}

/* All devices of a group are in one container. */
static bool
claim_group (const Reading *reading, CprVfioDevice *device, GError **error)
{
  const CprVfioDevice *other = cpr_vfio_table_find_group (reading->table, device->group);

  if (other != NULL && other->container != device->container)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "DMA: group %u is in two containers", device->group);
  device->group_fd =
      other != NULL ? other->group_fd : claim_fd (reading, CPR_VFIO_GROUP_FD, "", (int) device->group, error);
  return device->group_fd >= 0;
}

static bool
check_device (
    const Reading *reading, const CprVfioContainer *container, const char *name, uint32_t group, GError **error)
{
  if (reading->cursor->failed)
    return throw_cut_off ("device", name, error);
  if (reading->table->n_devices == CPR_LIMIT_VFIO_DEVICES)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "DMA: device '%s' is one more than %d", name, CPR_LIMIT_VFIO_DEVICES);
  if (cpr_vfio_table_find_device (reading->table, name) != NULL)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "DMA: device '%s' is there twice", name);
  if (group > G_MAXINT)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "DMA: device '%s' is of group %u, at most %d expected", name, group,
                      G_MAXINT);
  if (container->backend != CPR_VFIO_TYPE1 && group != 0)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "DMA: device '%s' is of group %u, and the back end %s has none", name,
                      group, cpr_vfio_backend_get_name (container->backend));
  return true;
}

static bool
read_device (const Reading *reading, CprVfioContainer *container, GError **error)
{
  const char *name = cpr_cursor_get_name (reading->cursor);
  const char *address = cpr_cursor_get_name (reading->cursor);
  uint32_t group = cpr_cursor_get_u32 (reading->cursor);
  uint32_t n_irqs = cpr_cursor_get_u32 (reading->cursor);
  CprVfioDevice *device;

  if (!check_device (reading, container, name, group, error))
    return false;
  device = cpr_vfio_container_add_device (container, name, address);
  device->claimed = false;
  device->group = group;
  if (container->backend != CPR_VFIO_NONE && (device->fd = claim_fd (reading, CPR_VFIO_DEVICE_FD, name, 0, error)) < 0)
    return false;
  if (container->backend == CPR_VFIO_TYPE1 && !claim_group (reading, device, error))
    return false;
  for (uint32_t i = 0; i < n_irqs; i++)
    if (!read_irq (reading, device, error))
      return false;
  return true;
}

static bool
check_mapping (const Reading *reading,
               const CprVfioContainer *container,
               const CprDmaMapping *mapping,
               uint32_t number,
               uint32_t flags,
               GError **error)
{
  guint n = container->dma.mappings->len;

  if (reading->cursor->failed)
    return throw_cut_off ("container", container->name, error);
  if (mapping->size == 0 || mapping->iova + (mapping->size - 1) < mapping->iova)
    return cpr_throw (error, CPR_ERROR_CORRUPT,
                      "DMA: mapping %u of container '%s' has %" G_GUINT64_FORMAT " bytes at 0x%" G_GINT64_MODIFIER
                      "x; 1 at least expected, and none behind the last address",
                      n, container->name, mapping->size, mapping->iova);
  if (number >= reading->ram->blocks->len)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "DMA: mapping %u of container '%s' is of RAM block %u, there are %u", n,
                      container->name, number, reading->ram->blocks->len);
  if (flags == 0 || flags > (CPR_DMA_READ | CPR_DMA_WRITE))
    return cpr_throw (error, CPR_ERROR_CORRUPT, "DMA: mapping %u of container '%s' has flags %u, 1 to %d expected", n,
                      container->name, flags, CPR_DMA_READ | CPR_DMA_WRITE);
  return true;
}

static bool
read_mapping (const Reading *reading, CprVfioContainer *container, GError **error)
{
  CprDmaMapping mapping = { .iova = cpr_cursor_get_u64 (reading->cursor) };
  uint32_t number, flags;
  const GPtrArray *all = container->dma.mappings;

  mapping.size = cpr_cursor_get_u64 (reading->cursor);
  number = cpr_cursor_get_u32 (reading->cursor);
  flags = cpr_cursor_get_u32 (reading->cursor);
  mapping.offset = cpr_cursor_get_u64 (reading->cursor);
  mapping.flags = (uint8_t) flags;
  if (!check_mapping (reading, container, &mapping, number, flags, error))
    return false;
  mapping.block = reading->ram->blocks->pdata[number];
  if (mapping.offset > mapping.block->size || mapping.size > mapping.block->size - mapping.offset)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "DMA: mapping %u of container '%s' passes the end of RAM block '%s'",
                      all->len, container->name, mapping.block->name);
  if (all->len > 0)
    {
      const CprDmaMapping *last = cpr_dma_mappings_get (&container->dma, all->len - 1);

      if (mapping.iova <= last->iova + (last->size - 1))
        return cpr_throw (error, CPR_ERROR_CORRUPT,
                          "DMA: mapping %u of container '%s' at 0x%" G_GINT64_MODIFIER
                          "x doesn't follow the one at 0x%" G_GINT64_MODIFIER "x",
                          all->len, container->name, mapping.iova, last->iova);
    }
  cpr_dma_mappings_insert (&container->dma, &mapping);
  return true;
}

static bool
check_container (const Reading *reading, const char *name, uint32_t backend, uint32_t ioas, GError **error)
{
  if (reading->cursor->failed)
    return throw_cut_off ("container", name, error);
  if (reading->table->containers->len == CPR_LIMIT_VFIO_CONTAINERS)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "DMA: container '%s' is one more than %d", name,
                      CPR_LIMIT_VFIO_CONTAINERS);
  if (cpr_vfio_table_find (reading->table, name) != NULL)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "DMA: container '%s' is there twice", name);
  if (backend == CPR_VFIO_AUTO || backend > CPR_VFIO_NONE)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "DMA: container '%s' has back end %u, 1 to %d expected", name, backend,
                      CPR_VFIO_NONE);
  if (backend != CPR_VFIO_IOMMUFD && ioas != 0)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "DMA: container '%s' has IOAS %u, and the back end %s has none", name,
                      ioas, cpr_vfio_backend_get_name ((CprVfioBackend) backend));
  return true;
}

static bool
read_container (const Reading *reading, GError **error)
{
  const char *name = cpr_cursor_get_name (reading->cursor);
  uint32_t backend = cpr_cursor_get_u32 (reading->cursor);
  uint32_t ioas = cpr_cursor_get_u32 (reading->cursor);
  uint32_t n = cpr_cursor_get_u32 (reading->cursor);
  CprVfioContainer *container;

  if (!check_container (reading, name, backend, ioas, error))
    return false;
  container = cpr_vfio_table_add (reading->table, name, (CprVfioBackend) backend);
  container->claimed = false;
  container->ioas = ioas;
  if (container->backend != CPR_VFIO_NONE &&
      (container->fd = claim_fd (reading, CPR_VFIO_CONTAINER_FD, name, 0, error)) < 0)
    return false;
  for (uint32_t i = 0; i < n; i++)
    if (!read_device (reading, container, error))
      return false;
  n = cpr_cursor_get_u32 (reading->cursor);
  for (uint32_t i = 0; i < n; i++)
    if (!read_mapping (reading, container, error))
      return false;
  return true;
}

bool
cpr_vfio_table_read (CprVfioTable *table, CprFdTable *fds, const CprRamTable *ram, CprCursor *cursor, GError **error)
{
  const Reading reading = { table, fds, ram, cursor };
  uint32_t n = cpr_cursor_get_u32 (cursor);

  for (uint32_t i = 0; i < n; i++)
    if (!read_container (&reading, error))
      return false;
  return cpr_cursor_check_end (cursor, "DMA", error);
}
