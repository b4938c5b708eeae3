/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MINIVMM_VFIO_H
#define MINIVMM_VFIO_H

#include "devices/pci.h"
#include "options.h"
#include "ram.h"

/* A PCI function of the host that belongs to the guest (--vfio). It stays assigned over an
 * update: the library keeps its fds, its DMA mappings and its interrupt; what is here is what
 * the guest sees of it. KVM's part of it is in kvm-vfio.c. */
typedef struct _Vfio Vfio;

/* Device memory at which the guest has a BAR. */
typedef struct
{
  uint64_t gpa;
  uint64_t size;
  void *vaddr; /* NULL: each access has to be carried out with vfio_access() */
} VfioWindow;

/* Told on a vCPU's thread what its access changes. */
typedef struct
{
  bool (*windows_change) (void *data, bool there, GError **error); /* false: before they go; true: after they came */
  bool (*msi_changed) (void *data, GError **error);
} VfioListener;

/* Opens or takes over the function, and maps @ram for its DMA: IOVA = guest-physical address. */
Vfio *vfio_new (CprSession *session, const GuestRam *ram, const Options *options, GError **error);
void vfio_free (Vfio *vfio);

void vfio_set_listener (Vfio *vfio, const VfioListener *listener, void *data);

/* Fills in the windows that the guest sees now and returns how many there are, up to PCI_N_BARS. */
unsigned vfio_get_windows (const Vfio *vfio, VfioWindow windows[PCI_N_BARS]);

/* False: the guest takes no MSI now. */
bool vfio_get_msi (const Vfio *vfio, PciMsi *msi);

/* The eventfd that counts the function's MSIs. */
int vfio_get_irq_fd (const Vfio *vfio);

CprVfioDevice *vfio_get_device (const Vfio *vfio);

/* The guest reads or writes at @gpa: carried out if it is the function's configuration space or
 * in a BAR; else *@ours is false. */
bool vfio_access (Vfio *vfio, uint64_t gpa, void *data, unsigned len, bool is_write, bool *ours, GError **error);

void vfio_describe (const Vfio *vfio, GString *text);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Vfio, vfio_free)

#endif
