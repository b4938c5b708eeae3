/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MINIVMM_KVM_VFIO_H
#define MINIVMM_KVM_VFIO_H

#include "devices/vfio.h"

/* KVM's part of a function that belongs to the guest: its BARs as memory slots, its MSI as an
 * irqfd, and KVM's VFIO device. */
typedef struct _KvmVfio KvmVfio;

/* The VM has no irqchip yet: memory slots cost next to nothing then, and milliseconds
 * afterwards. */
KvmVfio *kvm_vfio_new (Vfio *vfio, int vm_fd, uint32_t first_slot, GError **error);
void kvm_vfio_free (KvmVfio *kvm);

/* The VM has its irqchip, and where there is a state to take over it is loaded. Changes nothing
 * that another program sees. */
bool kvm_vfio_loaded (KvmVfio *kvm, GError **error);

/* While the guest runs its interrupts come to this VM; while it doesn't, they wait in the
 * eventfd. So it is to be disconnected before the state of the LAPICs is read, or an interrupt
 * in between would be lost, and connected after it is written; and not before this program owns
 * the guest, since connecting takes what waits. */
bool kvm_vfio_connect (KvmVfio *kvm, GError **error);
void kvm_vfio_disconnect (KvmVfio *kvm);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (KvmVfio, kvm_vfio_free)

#endif
