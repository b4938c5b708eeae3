/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The public functions of assigned devices: each checks the state, hands on to lib/vfio, and keeps
 * the blockers of the container up to date. The VMM calls them. */
#include "base/error.h"
#include "base/versioned.h"
#include "session/core.h"
#include "session/kvm.h"
#include "session/vfio.h"
#include "vfio/container.h"
#include "vfio/device.h"
#include "vfio/irq.h"
#include "vfio/pci-state.h"

static CprSession *
get_session (const CprVfioContainer *container)
{
  return container->table->session;
}

static bool
check_call (const CprVfioContainer *container, CprCall call, GError **error)
{
  return cpr_session_check_call (get_session (container), call, error);
}

/* ---- Containers. */

CprVfioContainer *
cpr_vfio_container_new (CprSession *session, const char *name, const CprVfioContainerOptions *options, GError **error)
{
  CprVfioContainerOptions own = { .size = sizeof own };
  CprVfioContainer *container;

  g_return_val_if_fail (session != NULL && name != NULL, NULL);

  if (!cpr_session_check_call (session, CPR_CALL_VFIO_CONTAINER_NEW, error))
    return NULL;
  if (options != NULL && !cpr_versioned_read (CPR_VERSIONED_CONTAINER_OPTIONS, &own, options, error))
    {
      g_prefix_error (error, "VFIO container '%s': ", name);
      return NULL;
    }
  if (cpr_session_takes_over (session))
    return cpr_vfio_container_take (&session->vfio, name, &own, error);
  if (session->rehearsal != NULL) /* the kernel hears nothing of it */
    own = (CprVfioContainerOptions){ .size = sizeof own, .backend = CPR_VFIO_NONE };
  container = cpr_vfio_container_create (&session->vfio, name, &own, error);
  if (container == NULL || cpr_session_update_obstacle (container, error))
    return container;
  cpr_vfio_container_close (container, NULL);
  return NULL;
}

bool
cpr_vfio_container_remove (CprVfioContainer *container, GError **error)
{
  CprSession *session;

  g_return_val_if_fail (container != NULL, false);

  session = get_session (container);
  if (!check_call (container, CPR_CALL_VFIO_CONTAINER_REMOVE, error) || !cpr_vfio_container_close (container, error))
    return false;
  cpr_blockers_remove_owned (session->blockers, container);
  return true;
}

const char *
cpr_vfio_container_get_name (const CprVfioContainer *container)
{
  g_return_val_if_fail (container != NULL, NULL);

  return container->name;
}

CprVfioBackend
cpr_vfio_container_get_backend (const CprVfioContainer *container)
{
  g_return_val_if_fail (container != NULL, CPR_VFIO_NONE);

  return container->backend;
}

int
cpr_vfio_container_get_fd (const CprVfioContainer *container)
{
  g_return_val_if_fail (container != NULL, -1);

  return container->fd;
}

uint32_t
cpr_vfio_container_get_ioas (const CprVfioContainer *container)
{
  g_return_val_if_fail (container != NULL, 0);

  return container->ioas;
}

/* ---- Devices. */

CprVfioDevice *
cpr_vfio_device_new (CprVfioContainer *container,
                     const char *name,
                     const char *path,
                     const CprVfioDeviceOptions *options,
                     GError **error)
{
  CprVfioDeviceOptions own = { .size = sizeof own };
  CprVfioDevice *device;

  g_return_val_if_fail (container != NULL && name != NULL && path != NULL, NULL);

  if (!check_call (container, CPR_CALL_VFIO_DEVICE_NEW, error))
    return NULL;
  if (options != NULL && !cpr_versioned_read (CPR_VERSIONED_DEVICE_OPTIONS, &own, options, error))
    {
      g_prefix_error (error, "VFIO device '%s': ", name);
      return NULL;
    }
  if (cpr_session_takes_over (get_session (container)))
    return cpr_vfio_device_take (container, name, path, error);
  device = cpr_vfio_device_create (container, name, path, &own, error);
  if (device == NULL || cpr_session_update_obstacle (container, error))
    return device;
  g_prefix_error (error, "VFIO device '%s': ", name);
  cpr_vfio_container_drop_device (container, device);
  return NULL;
}

bool
cpr_vfio_device_remove (CprVfioDevice *device, GError **error)
{
  CprVfioContainer *container;

  g_return_val_if_fail (device != NULL, false);

  container = device->container;
  if (!check_call (container, CPR_CALL_VFIO_DEVICE_REMOVE, error) ||
      !cpr_session_check_kvm_without (get_session (container), device, error) ||
      !cpr_vfio_device_can_close (device, error))
    return false;
  for (guint i = 0; device->pcis != NULL && i < device->pcis->len; i++)
    cpr_device_table_remove (&get_session (container)->devices, cpr_pci_state_get_name (device->pcis->pdata[i]), NULL);
  cpr_vfio_container_drop_device (container, device);
  cpr_session_update_obstacle (container, NULL);
  return true;
}

const char *
cpr_vfio_device_get_name (const CprVfioDevice *device)
{
  g_return_val_if_fail (device != NULL, NULL);

  return device->name;
}

int
cpr_vfio_device_get_fd (const CprVfioDevice *device)
{
  g_return_val_if_fail (device != NULL, -1);

  return device->fd;
}

int
cpr_vfio_device_get_group_fd (const CprVfioDevice *device)
{
  g_return_val_if_fail (device != NULL, -1);

  return device->group_fd;
}

/* ---- DMA. */

/* A mapping that wouldn't survive, where it must, is undone. */
static bool
map_dma (CprVfioContainer *container, const CprDmaMapping *wanted, GError **error)
{
  CprDmaMapping *mapping = cpr_vfio_container_map (container, wanted, error);

  if (mapping == NULL)
    return false;
  if (!mapping->by_address || cpr_session_update_obstacle (container, error))
    return true;
  cpr_vfio_container_unmap (container, wanted->iova, wanted->size, NULL);
  return false;
}

bool
cpr_dma_map (CprVfioContainer *container,
             uint64_t iova,
             CprRamBlock *block,
             uint64_t offset,
             uint64_t size,
             unsigned flags,
             GError **error)
{
  CprDmaMapping wanted = { .iova = iova, .size = size, .offset = offset, .block = block };

  g_return_val_if_fail (container != NULL && block != NULL, false);

  if (!check_call (container, CPR_CALL_DMA_MAP, error))
    return false;
  if (flags == 0 || (flags & ~((unsigned) CPR_DMA_READ | CPR_DMA_WRITE)) != 0)
    return cpr_throw (error, CPR_ERROR_INVALID, "VFIO container '%s': unknown flags 0x%x of a mapping", container->name,
                      flags);
  wanted.flags = (uint8_t) flags;
  return cpr_session_takes_over (get_session (container)) ? cpr_vfio_container_take_mapping (container, &wanted, error)
                                                          : map_dma (container, &wanted, error);
}

bool
cpr_dma_unmap (CprVfioContainer *container, uint64_t iova, uint64_t size, GError **error)
{
  const CprDmaMapping *mapping;
  bool by_address;

  g_return_val_if_fail (container != NULL, false);

  if (!check_call (container, CPR_CALL_DMA_UNMAP, error))
    return false;
  mapping = cpr_dma_mappings_find (&container->dma, iova);
  by_address = mapping != NULL && mapping->by_address;
  if (!cpr_vfio_container_unmap (container, iova, size, error))
    return false;
  if (by_address)
    cpr_session_update_obstacle (container, NULL);
  return true;
}

void
cpr_dma_foreach (const CprVfioContainer *container, CprDmaFunc func, void *user_data)
{
  g_return_if_fail (container != NULL && func != NULL);

  for (guint i = 0; i < container->dma.mappings->len; i++)
    {
      const CprDmaMapping mapping = *cpr_dma_mappings_get (&container->dma, i);

      func (mapping.iova, mapping.block, mapping.offset, mapping.size, mapping.flags, mapping.claimed, user_data);
    }
}

/* ---- Interrupts. */

int
cpr_vfio_irq_open (CprVfioDevice *device, unsigned index, unsigned vector, CprVfioIrqRole role, GError **error)
{
  g_return_val_if_fail (device != NULL, -1);

  return check_call (device->container, CPR_CALL_VFIO_IRQ_OPEN, error)
             ? cpr_vfio_irq_make (device, index, vector, role, error)
             : -1;
}

/* NULL for numbers that no interrupt has. */
static const CprVfioIrq *
find_irq (const CprVfioDevice *device, unsigned index, unsigned vector, CprVfioIrqRole role)
{
  if (index > CPR_VFIO_IRQ_INDEX_MAX || vector > CPR_VFIO_IRQ_VECTOR_MAX)
    return NULL;
  return cpr_vfio_device_find_irq (device, cpr_vfio_irq_get_key (index, vector), role);
}

int
cpr_vfio_irq_get_fd (const CprVfioDevice *device, unsigned index, unsigned vector, CprVfioIrqRole role)
{
  const CprVfioIrq *irq;

  g_return_val_if_fail (device != NULL, -1);

  irq = find_irq (device, index, vector, role);
  return irq != NULL && irq->claimed ? irq->fd : -1;
}

bool
cpr_vfio_irq_enable (
    CprVfioDevice *device, unsigned index, unsigned first, unsigned n, CprVfioIrqRole role, GError **error)
{
  g_return_val_if_fail (device != NULL, false);

  return check_call (device->container, CPR_CALL_VFIO_IRQ_ENABLE, error) &&
         cpr_vfio_irq_connect (device, index, first, n, role, error);
}

bool
cpr_vfio_irq_disable (CprVfioDevice *device, unsigned index, GError **error)
{
  g_return_val_if_fail (device != NULL, false);

  return check_call (device->container, CPR_CALL_VFIO_IRQ_DISABLE, error) &&
         cpr_vfio_irq_disconnect (device, index, error);
}

bool
cpr_vfio_irq_is_enabled (const CprVfioDevice *device, unsigned index, unsigned vector, CprVfioIrqRole role)
{
  const CprVfioIrq *irq;

  g_return_val_if_fail (device != NULL, false);

  irq = find_irq (device, index, vector, role);
  return irq != NULL && irq->enabled;
}

bool
cpr_vfio_irq_close (CprVfioDevice *device, unsigned index, unsigned vector, CprVfioIrqRole role, GError **error)
{
  g_return_val_if_fail (device != NULL, false);

  return check_call (device->container, CPR_CALL_VFIO_IRQ_CLOSE, error) &&
         cpr_vfio_irq_drop (device, index, vector, role, error);
}

void
cpr_vfio_irq_foreach (const CprVfioDevice *device, CprVfioIrqFunc func, void *user_data)
{
  g_return_if_fail (device != NULL && func != NULL);

  for (guint i = 0; i < device->irqs->len; i++)
    {
      const CprVfioIrq irq = g_array_index (device->irqs, CprVfioIrq, i);

      func ((unsigned) irq.key >> 16, (unsigned) irq.key & CPR_VFIO_IRQ_VECTOR_MAX, irq.role, irq.enabled, user_data);
    }
}

/* ---- State. */

bool
cpr_vfio_pci_add (CprVfioDevice *device, const char *name, const CprVfioPciOptions *options, GError **error)
{
  CprVfioPciOptions own;
  CprPciState *state;

  g_return_val_if_fail (device != NULL && name != NULL && options != NULL, false);

  if (!check_call (device->container, CPR_CALL_VFIO_PCI_ADD, error))
    return false;
  if (!cpr_versioned_read (CPR_VERSIONED_PCI_OPTIONS, &own, options, error))
    {
      g_prefix_error (error, "device '%s': ", name);
      return false;
    }
  state = cpr_pci_state_new (device, name, &own, error);
  if (state == NULL)
    return false;
  if (cpr_device_table_add (&get_session (device->container)->devices, name, cpr_vfio_pci_get_type (), state, error))
    return true;
  cpr_pci_state_drop (device, state);
  return false;
}
