/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of containers, assigned devices and their interrupts. Called by lib/session and by
 * lib/vfio. */
#include "registry/vfio/table.h"

#include <sys/stat.h>

#include "base/error.h"
#include "base/fd.h"

static const char *const backend_names[] = { "auto", "type1", "IOMMUFD", "none" };

const char *
cpr_vfio_backend_get_name (CprVfioBackend backend)
{
  return backend_names[backend];
}

static void
device_free (void *data)
{
  CprVfioDevice *device = data;

  for (guint i = 0; i < device->irqs->len; i++)
    if (g_array_index (device->irqs, CprVfioIrq, i).claimed)
      cpr_fd_clear (&g_array_index (device->irqs, CprVfioIrq, i).fd);
  if (device->claimed)
    cpr_fd_clear (&device->fd);
  g_clear_pointer (&device->pcis, g_ptr_array_unref);
  g_array_unref (device->irqs);
  g_free (device->name);
  g_free (device->address);
  g_free (device);
}

/* Devices of a group share its fd. */
static void
close_groups (CprVfioContainer *container)
{
  for (guint i = 0; i < container->devices->len; i++)
    {
      CprVfioDevice *device = container->devices->pdata[i];
      int fd = device->claimed ? device->group_fd : -1;

      for (guint k = i; fd >= 0 && k < container->devices->len; k++)
        {
          CprVfioDevice *other = container->devices->pdata[k];

          if (other->group_fd == fd)
            other->group_fd = -1;
        }
      cpr_fd_clear (&fd);
    }
}

static void
container_free (void *data)
{
  CprVfioContainer *container = data;

  g_clear_pointer (&container->order, g_ptr_array_unref);
  cpr_dma_mappings_clear (&container->dma);
  close_groups (container);
  g_ptr_array_unref (container->devices);
  if (container->claimed)
    cpr_fd_clear (&container->fd);
  g_free (container->name);
  g_free (container);
}

void
cpr_vfio_table_init (CprVfioTable *table)
{
  *table = (CprVfioTable){ .containers = g_ptr_array_new_with_free_func (container_free) };
}

void
cpr_vfio_table_clear (CprVfioTable *table)
{
  g_clear_pointer (&table->containers, g_ptr_array_unref);
}

CprVfioContainer *
cpr_vfio_table_find (const CprVfioTable *table, const char *name)
{
  for (guint i = 0; i < table->containers->len; i++)
    {
      CprVfioContainer *container = table->containers->pdata[i];

      if (strcmp (container->name, name) == 0)
        return container;
    }
  return NULL;
}

typedef bool (*Matches) (const CprVfioDevice *device, const void *what);

static CprVfioDevice *
find_device (const CprVfioTable *table, Matches matches, const void *what)
{
  for (guint i = 0; i < table->containers->len; i++)
    {
      const CprVfioContainer *container = table->containers->pdata[i];

      for (guint k = 0; k < container->devices->len; k++)
        if (matches (container->devices->pdata[k], what))
          return container->devices->pdata[k];
    }
  return NULL;
}

static bool
has_name (const CprVfioDevice *device, const void *name)
{
  return strcmp (device->name, name) == 0;
}

CprVfioDevice *
cpr_vfio_table_find_device (const CprVfioTable *table, const char *name)
{
  return find_device (table, has_name, name);
}

static bool
has_group (const CprVfioDevice *device, const void *group)
{
  return device->group_fd >= 0 && device->group == *(const uint32_t *) group;
}

CprVfioDevice *
cpr_vfio_table_find_group (const CprVfioTable *table, uint32_t group)
{
  return find_device (table, has_group, &group);
}

CprVfioContainer *
cpr_vfio_table_add (CprVfioTable *table, const char *name, CprVfioBackend backend)
{
  CprVfioContainer *container = g_new0 (CprVfioContainer, 1);

  container->table = table;
  container->name = g_strdup (name);
  container->backend = backend;
  container->fd = -1;
  container->claimed = true;
  cpr_dma_mappings_init (&container->dma);
  container->devices = g_ptr_array_new_with_free_func (device_free);
  g_ptr_array_add (table->containers, container);
  return container;
}

CprVfioDevice *
cpr_vfio_container_add_device (CprVfioContainer *container, const char *name, const char *address)
{
  CprVfioDevice *device = g_new0 (CprVfioDevice, 1);

  device->container = container;
  device->name = g_strdup (name);
  device->address = g_strdup (address);
  device->fd = device->group_fd = -1;
  device->claimed = true;
  device->irqs = g_array_new (FALSE, FALSE, sizeof (CprVfioIrq));
  g_ptr_array_add (container->devices, device);
  container->table->n_devices++;
  return device;
}

bool
cpr_vfio_table_add_fd (CprVfioTable *table, const char *prefix, const char *name, int index, int fd, GError **error)
{
  g_autofree char *full = g_strconcat (prefix, name, NULL);

  return cpr_fd_table_add (table->fds, full, index, fd, error);
}

void
cpr_vfio_table_remove_fd (CprVfioTable *table, const char *prefix, const char *name, int index)
{
  g_autofree char *full = g_strconcat (prefix, name, NULL);
  CprFdEntry *entry = cpr_fd_table_find (table->fds, full, index);

  if (entry != NULL)
    cpr_fd_table_remove (table->fds, entry);
}

void
cpr_vfio_table_remove (CprVfioTable *table, CprVfioContainer *container)
{
  cpr_vfio_table_remove_fd (table, CPR_VFIO_CONTAINER_FD, container->name, 0);
  g_ptr_array_remove (table->containers, container);
}

void
cpr_vfio_container_drop_device (CprVfioContainer *container, CprVfioDevice *device)
{
  CprVfioTable *table = container->table;
  int group_fd = device->group_fd;

  for (guint i = 0; i < device->irqs->len; i++)
    {
      const CprVfioIrq *irq = &g_array_index (device->irqs, CprVfioIrq, i);

      cpr_vfio_table_remove_fd (table, cpr_vfio_irq_get_prefix (irq->role), device->name, irq->key);
    }
  cpr_vfio_table_remove_fd (table, CPR_VFIO_DEVICE_FD, device->name, 0);
  device->group_fd = -1;
  if (group_fd >= 0 && cpr_vfio_table_find_group (table, device->group) == NULL)
    {
      cpr_vfio_table_remove_fd (table, CPR_VFIO_GROUP_FD, "", (int) device->group);
      cpr_fd_clear (&device->fd); /* a group is released by its last device */
      cpr_fd_clear (&group_fd);
    }
  g_ptr_array_remove (container->devices, device);
  table->n_devices--;
}

int
cpr_vfio_irq_get_key (unsigned index, unsigned vector)
{
  return (int) (index << 16 | vector);
}

const char *
cpr_vfio_irq_get_prefix (CprVfioIrqRole role)
{
  return role == CPR_VFIO_IRQ_TRIGGER ? CPR_VFIO_TRIGGER_FD : CPR_VFIO_UNMASK_FD;
}

bool
cpr_vfio_irq_is_before (const CprVfioIrq *irq, int key, CprVfioIrqRole role)
{
  return irq->key < key || (irq->key == key && irq->role < role);
}

/* The place of the interrupt, or the place where it would be inserted. */
static guint
find_place (const CprVfioDevice *device, int key, CprVfioIrqRole role)
{
  guint low = 0, high = device->irqs->len;

  while (low < high)
    {
      guint middle = low + (high - low) / 2;

      if (cpr_vfio_irq_is_before (&g_array_index (device->irqs, CprVfioIrq, middle), key, role))
        low = middle + 1;
      else
        high = middle;
    }
  return low;
}

CprVfioIrq *
cpr_vfio_device_find_irq (const CprVfioDevice *device, int key, CprVfioIrqRole role)
{
  guint at = find_place (device, key, role);
  CprVfioIrq *irq = at < device->irqs->len ? &g_array_index (device->irqs, CprVfioIrq, at) : NULL;

  return irq != NULL && irq->key == key && irq->role == role ? irq : NULL;
}

void
cpr_vfio_device_add_irq (CprVfioDevice *device, const CprVfioIrq *irq)
{
  guint at = find_place (device, irq->key, irq->role);

  if (at == device->irqs->len) /* GLib 2.68 takes no place at the end of an empty array */
    g_array_append_vals (device->irqs, irq, 1);
  else
    g_array_insert_vals (device->irqs, at, irq, 1);
}

static void
append_name (GString *names, const char *what, const char *name)
{
  g_string_append_printf (names, "%s%s '%s'", names->len > 0 ? ", " : "", what, name);
}

char *
cpr_vfio_table_describe_unclaimed (const CprVfioTable *table)
{
  GString *names = g_string_new (NULL);

  for (guint i = 0; i < table->containers->len; i++)
    {
      const CprVfioContainer *container = table->containers->pdata[i];

      if (!container->claimed)
        append_name (names, "VFIO container", container->name);
      for (guint k = 0; k < container->devices->len; k++)
        if (!((const CprVfioDevice *) container->devices->pdata[k])->claimed)
          append_name (names, "VFIO device", ((const CprVfioDevice *) container->devices->pdata[k])->name);
    }
  return g_string_free (names, names->len == 0);
}

static bool
is_locked (const CprRamBlock *block, const CprFdTable *fds)
{
  g_autofree char *name = g_strconcat (CPR_RAM_FD_PREFIX, block->name, NULL);
  const CprFdEntry *entry = cpr_fd_table_find (fds, name, 0);

  return entry == NULL || entry->identity.type != S_IFCHR;
}

uint64_t
cpr_vfio_table_get_locked (const CprVfioTable *table, const CprFdTable *fds, CprVfioBackend backend)
{
  const CprRamBlock *last = NULL;
  bool last_is_locked = false;
  uint64_t locked = 0;

  for (guint i = 0; i < table->containers->len; i++)
    {
      const CprVfioContainer *container = table->containers->pdata[i];

      for (guint k = 0; container->backend == backend && k < container->dma.mappings->len; k++)
        {
          const CprDmaMapping *mapping = cpr_dma_mappings_get (&container->dma, k);

          if (mapping->block != last)
            last_is_locked = is_locked (mapping->block, fds);
          last = mapping->block;
          if (last_is_locked)
            locked += MIN (mapping->size, UINT64_MAX - locked);
        }
    }
  return locked;
}
