/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The inventory: the parts that an asked program would build. The VMM declares it through the
 * public functions of this file, and compare.c in lib/ask reads it. */
#include "state/inventory.h"

/* All kinds begin with their name. */
static void
clear_name (void *data)
{
  g_free (*(char **) data);
}

static void
clear_vfio (void *data)
{
  CprDeclaredVfio *declared = data;

  g_free (declared->name);
  g_free (declared->device);
}

static GArray *
new_list (size_t size)
{
  GArray *list = g_array_new (FALSE, FALSE, (guint) size);

  g_array_set_clear_func (list, clear_name);
  return list;
}

CprInventory *
cpr_inventory_new (void)
{
  CprInventory *inventory = g_new0 (CprInventory, 1);

  inventory->fds = new_list (sizeof (CprDeclaredFd));
  inventory->ram = new_list (sizeof (CprDeclaredRam));
  inventory->devices = new_list (sizeof (CprDeclaredDevice));
  inventory->vfio = new_list (sizeof (CprDeclaredVfio));
  g_array_set_clear_func (inventory->vfio, clear_vfio);
  inventory->refusals = g_ptr_array_new_with_free_func (g_free);
  return inventory;
}

void
cpr_inventory_free (CprInventory *inventory)
{
  g_array_unref (inventory->fds);
  g_array_unref (inventory->ram);
  g_array_unref (inventory->devices);
  g_array_unref (inventory->vfio);
  g_ptr_array_unref (inventory->refusals);
  g_free (inventory);
}

static void
add_fd (CprInventory *inventory, const char *name, int index, bool is_prefix)
{
  const CprDeclaredFd declared = { g_strdup (name), index, is_prefix };

  g_array_append_val (inventory->fds, declared);
}

static void
add_ram (CprInventory *inventory, const char *name, size_t size, size_t max_size, bool is_prefix)
{
  const CprDeclaredRam declared = { g_strdup (name), size, max_size, is_prefix };

  g_array_append_val (inventory->ram, declared);
}

static void
add_device (CprInventory *inventory, const char *name, const CprDeviceType *type, bool is_prefix)
{
  const CprDeclaredDevice declared = { .name = g_strdup (name), .type = type, .is_prefix = is_prefix };

  g_array_append_val (inventory->devices, declared);
}

static void
add_vfio (CprInventory *inventory, const char *container, const char *device, bool is_prefix)
{
  const CprDeclaredVfio declared = { g_strdup (container), g_strdup (device), is_prefix };

  g_array_append_val (inventory->vfio, declared);
}

void
cpr_inventory_add_fd (CprInventory *inventory, const char *name, int index)
{
  g_return_if_fail (inventory != NULL && name != NULL && index >= CPR_INVENTORY_ANY_INDEX);

  add_fd (inventory, name, index, false);
}

void
cpr_inventory_add_fd_prefix (CprInventory *inventory, const char *prefix)
{
  g_return_if_fail (inventory != NULL && prefix != NULL);

  add_fd (inventory, prefix, CPR_INVENTORY_ANY_INDEX, true);
}

void
cpr_inventory_add_ram (CprInventory *inventory, const char *name, size_t size)
{
  g_return_if_fail (inventory != NULL && name != NULL);

  add_ram (inventory, name, size, 0, false);
}

void
cpr_inventory_add_ram_up_to (CprInventory *inventory, const char *name, size_t max_size)
{
  g_return_if_fail (inventory != NULL && name != NULL && max_size > 0);

  add_ram (inventory, name, 0, max_size, false);
}

void
cpr_inventory_add_ram_prefix (CprInventory *inventory, const char *prefix)
{
  g_return_if_fail (inventory != NULL && prefix != NULL);

  add_ram (inventory, prefix, 0, 0, true);
}

void
cpr_inventory_add_device (CprInventory *inventory, const char *name, const CprDeviceType *type)
{
  g_return_if_fail (inventory != NULL && name != NULL && type != NULL);

  add_device (inventory, name, type, false);
}

void
cpr_inventory_add_device_prefix (CprInventory *inventory, const char *prefix, const CprDeviceType *type)
{
  g_return_if_fail (inventory != NULL && prefix != NULL);

  add_device (inventory, prefix, type, true);
}

void
cpr_inventory_add_vfio (CprInventory *inventory, const char *container, const char *device)
{
  g_return_if_fail (inventory != NULL && container != NULL);

  add_vfio (inventory, container, device, false);
}

void
cpr_inventory_add_vfio_prefix (CprInventory *inventory, const char *container, const char *prefix)
{
  g_return_if_fail (inventory != NULL && container != NULL && prefix != NULL);

  add_vfio (inventory, container, prefix, true);
}

void
cpr_inventory_refuse (CprInventory *inventory, const char *reason)
{
  g_return_if_fail (inventory != NULL && reason != NULL);

  g_ptr_array_add (inventory->refusals, g_strdup (reason));
}
