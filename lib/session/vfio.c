/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "base/error.h"
#include "session/private.h"

static bool
not_there (GError **error)
{
  return cpr_throw_errno (error, ENOSYS, "VFIO: this build hasn't got it");
}

CprVfioContainer *
cpr_vfio_container_new (CprSession *session G_GNUC_UNUSED,
                        const char *name G_GNUC_UNUSED,
                        const CprVfioContainerOptions *options G_GNUC_UNUSED,
                        GError **error)
{
  not_there (error);
  return NULL;
}

bool
cpr_vfio_container_remove (CprVfioContainer *container G_GNUC_UNUSED, GError **error)
{
  not_there (error);
  return false;
}

const char *
cpr_vfio_container_get_name (const CprVfioContainer *container G_GNUC_UNUSED)
{
  return NULL;
}

CprVfioBackend
cpr_vfio_container_get_backend (const CprVfioContainer *container G_GNUC_UNUSED)
{
  return CPR_VFIO_NONE;
}

int
cpr_vfio_container_get_fd (const CprVfioContainer *container G_GNUC_UNUSED)
{
  return -1;
}

uint32_t
cpr_vfio_container_get_ioas (const CprVfioContainer *container G_GNUC_UNUSED)
{
  return 0;
}

CprVfioDevice *
cpr_vfio_device_new (CprVfioContainer *container G_GNUC_UNUSED,
                     const char *name G_GNUC_UNUSED,
                     const char *path G_GNUC_UNUSED,
                     const CprVfioDeviceOptions *options G_GNUC_UNUSED,
                     GError **error)
{
  not_there (error);
  return NULL;
}

bool
cpr_vfio_device_remove (CprVfioDevice *device G_GNUC_UNUSED, GError **error)
{
  not_there (error);
  return false;
}

const char *
cpr_vfio_device_get_name (const CprVfioDevice *device G_GNUC_UNUSED)
{
  return NULL;
}

int
cpr_vfio_device_get_fd (const CprVfioDevice *device G_GNUC_UNUSED)
{
  return -1;
}

int
cpr_vfio_device_get_group_fd (const CprVfioDevice *device G_GNUC_UNUSED)
{
  return -1;
}

bool
cpr_dma_map (CprVfioContainer *container G_GNUC_UNUSED,
             uint64_t iova G_GNUC_UNUSED,
             CprRamBlock *block G_GNUC_UNUSED,
             uint64_t offset G_GNUC_UNUSED,
             uint64_t size G_GNUC_UNUSED,
             unsigned flags G_GNUC_UNUSED,
             GError **error)
{
  not_there (error);
  return false;
}

bool
cpr_dma_unmap (CprVfioContainer *container G_GNUC_UNUSED,
               uint64_t iova G_GNUC_UNUSED,
               uint64_t size G_GNUC_UNUSED,
               GError **error)
{
  not_there (error);
  return false;
}

void
cpr_dma_foreach (const CprVfioContainer *container G_GNUC_UNUSED,
                 CprDmaFunc func G_GNUC_UNUSED,
                 void *user_data G_GNUC_UNUSED)
{
}

int
cpr_vfio_irq_open (CprVfioDevice *device G_GNUC_UNUSED,
                   unsigned index G_GNUC_UNUSED,
                   unsigned vector G_GNUC_UNUSED,
                   CprVfioIrqRole role G_GNUC_UNUSED,
                   GError **error)
{
  not_there (error);
  return -1;
}

int
cpr_vfio_irq_get_fd (const CprVfioDevice *device G_GNUC_UNUSED,
                     unsigned index G_GNUC_UNUSED,
                     unsigned vector G_GNUC_UNUSED,
                     CprVfioIrqRole role G_GNUC_UNUSED)
{
  return -1;
}

bool
cpr_vfio_irq_enable (CprVfioDevice *device G_GNUC_UNUSED,
                     unsigned index G_GNUC_UNUSED,
                     unsigned first G_GNUC_UNUSED,
                     unsigned n G_GNUC_UNUSED,
                     CprVfioIrqRole role G_GNUC_UNUSED,
                     GError **error)
{
  not_there (error);
  return false;
}

bool
cpr_vfio_irq_disable (CprVfioDevice *device G_GNUC_UNUSED, unsigned index G_GNUC_UNUSED, GError **error)
{
  not_there (error);
  return false;
}

bool
cpr_vfio_irq_is_enabled (const CprVfioDevice *device G_GNUC_UNUSED,
                         unsigned index G_GNUC_UNUSED,
                         unsigned vector G_GNUC_UNUSED,
                         CprVfioIrqRole role G_GNUC_UNUSED)
{
  return false;
}

bool
cpr_vfio_irq_close (CprVfioDevice *device G_GNUC_UNUSED,
                    unsigned index G_GNUC_UNUSED,
                    unsigned vector G_GNUC_UNUSED,
                    CprVfioIrqRole role G_GNUC_UNUSED,
                    GError **error)
{
  not_there (error);
  return false;
}

void
cpr_vfio_irq_foreach (const CprVfioDevice *device G_GNUC_UNUSED,
                      CprVfioIrqFunc func G_GNUC_UNUSED,
                      void *user_data G_GNUC_UNUSED)
{
}

bool
cpr_vfio_pci_add (CprVfioDevice *device G_GNUC_UNUSED,
                  const char *name G_GNUC_UNUSED,
                  const CprVfioPciOptions *options G_GNUC_UNUSED,
                  GError **error)
{
  not_there (error);
  return false;
}

const CprDeviceType *
cpr_vfio_pci_get_type (void)
{
  return NULL;
}
