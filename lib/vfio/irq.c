/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A device's interrupts: makes or claims their eventfds and connects the vectors with them.
 * Called by lib/session. */
#include "vfio/irq.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>

#include <linux/vfio.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/sys.h"

#define N_AT_ONCE 2048 /* as many as MSI-X has */

static bool
check_request (const CprVfioDevice *device, unsigned index, unsigned vector, CprVfioIrqRole role, GError **error)
{
  if (index <= CPR_VFIO_IRQ_INDEX_MAX && vector <= CPR_VFIO_IRQ_VECTOR_MAX && role <= CPR_VFIO_IRQ_UNMASK)
    return true;
  return cpr_throw (error, CPR_ERROR_INVALID, "VFIO device '%s': there is no interrupt %u of kind %u, role %u",
                    device->name, vector, index, role);
}

static bool
throw_missing (const CprVfioDevice *device, unsigned index, unsigned vector, GError **error)
{
  return cpr_throw (error, CPR_ERROR_NOT_FOUND, "VFIO device '%s': interrupt %u of kind %u has no eventfd",
                    device->name, vector, index);
}

int
cpr_vfio_irq_make (CprVfioDevice *device, unsigned index, unsigned vector, CprVfioIrqRole role, GError **error)
{
  CprVfioIrq made = { .key = cpr_vfio_irq_get_key (index, vector), .role = role, .claimed = true }, *irq;

  if (!check_request (device, index, vector, role, error))
    return -1;
  irq = cpr_vfio_device_find_irq (device, made.key, role);
  if (irq != NULL && irq->claimed)
    {
      cpr_throw (error, CPR_ERROR_EXISTS, "VFIO device '%s': interrupt %u of kind %u has an eventfd already",
                 device->name, vector, index);
      return -1;
    }
  if (irq != NULL)
    {
      irq->claimed = true;
      return irq->fd;
    }
  made.fd = cpr_fd_above_std (cpr_sys->eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (made.fd < 0)
    {
      cpr_throw_errno (error, errno, "VFIO device '%s': eventfd", device->name);
      return -1;
    }
  if (!cpr_vfio_table_add_fd (device->container->table, cpr_vfio_irq_get_prefix (role), device->name, made.key, made.fd,
                              error))
    {
      cpr_fd_clear (&made.fd);
      return -1;
    }
  cpr_vfio_device_add_irq (device, &made);
  return made.fd;
}

static bool
set_irqs (CprVfioDevice *device, struct vfio_irq_set *set, GError **error)
{
  if (device->fd < 0 || cpr_sys->ioctl (device->fd, VFIO_DEVICE_SET_IRQS, set) == 0)
    return true;
  return cpr_throw_errno (error, errno, "VFIO device '%s': VFIO_DEVICE_SET_IRQS, %u from %u of kind %u, flags 0x%x",
                          device->name, set->count, set->start, set->index, set->flags);
}

bool
cpr_vfio_irq_connect (
    CprVfioDevice *device, unsigned index, unsigned first, unsigned n, CprVfioIrqRole role, GError **error)
{
  g_autofree struct vfio_irq_set *set = NULL;
  int32_t *fds;

  if (n == 0 || n > N_AT_ONCE || first > CPR_VFIO_IRQ_VECTOR_MAX - (n - 1))
    return cpr_throw (error, CPR_ERROR_INVALID, "VFIO device '%s': %u interrupts from %u are none or too many",
                      device->name, n, first);
  if (!check_request (device, index, first, role, error))
    return false;
  set = g_malloc (sizeof *set + n * sizeof *fds);
  fds = (int32_t *) (void *) set->data;
  for (unsigned i = 0; i < n; i++)
    {
      const CprVfioIrq *irq = cpr_vfio_device_find_irq (device, cpr_vfio_irq_get_key (index, first + i), role);

      if (irq == NULL || !irq->claimed)
        return throw_missing (device, index, first + i, error);
      fds[i] = irq->fd;
    }
  *set = (struct vfio_irq_set){ .argsz = (uint32_t) (sizeof *set + n * sizeof *fds),
                                .flags = VFIO_IRQ_SET_DATA_EVENTFD |
                                         (role == CPR_VFIO_IRQ_TRIGGER ? VFIO_IRQ_SET_ACTION_TRIGGER
                                                                       : VFIO_IRQ_SET_ACTION_UNMASK),
                                .index = index,
                                .start = first,
                                .count = n };
  if (!set_irqs (device, set, error))
    return false;
  for (unsigned i = 0; i < n; i++)
    cpr_vfio_device_find_irq (device, cpr_vfio_irq_get_key (index, first + i), role)->enabled = true;
  return true;
}

bool
cpr_vfio_irq_disconnect (CprVfioDevice *device, unsigned index, GError **error)
{
  struct vfio_irq_set set = { .argsz = sizeof set,
                              .flags = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER,
                              .index = index };
  bool any = false;

  for (guint i = 0; i < device->irqs->len; i++)
    {
      const CprVfioIrq *irq = &g_array_index (device->irqs, CprVfioIrq, i);

      any |= irq->enabled && (unsigned) irq->key >> 16 == index;
    }
  if (any && !set_irqs (device, &set, error))
    return false;
  for (guint i = 0; i < device->irqs->len; i++)
    {
      CprVfioIrq *irq = &g_array_index (device->irqs, CprVfioIrq, i);

      if ((unsigned) irq->key >> 16 == index)
        irq->enabled = false;
    }
  return true;
}

bool
cpr_vfio_irq_drop (CprVfioDevice *device, unsigned index, unsigned vector, CprVfioIrqRole role, GError **error)
{
  CprVfioIrq *irq;

  if (!check_request (device, index, vector, role, error))
    return false;
  irq = cpr_vfio_device_find_irq (device, cpr_vfio_irq_get_key (index, vector), role);
  if (irq == NULL)
    return throw_missing (device, index, vector, error);
  if (irq->enabled)
    return cpr_throw (error, CPR_ERROR_EXISTS, "VFIO device '%s': interrupt %u of kind %u is enabled", device->name,
                      vector, index);
  cpr_vfio_table_remove_fd (device->container->table, cpr_vfio_irq_get_prefix (role), device->name, irq->key);
  cpr_fd_clear (&irq->fd);
  g_array_remove_index (device->irqs, (guint) (irq - &g_array_index (device->irqs, CprVfioIrq, 0)));
  return true;
}
