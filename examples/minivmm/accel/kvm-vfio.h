/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MINIVMM_KVM_VFIO_H
#define MINIVMM_KVM_VFIO_H

#include "devices/vfio.h"

/* KVM's part of a function that belongs to the guest: its BARs as memory slots, and its MSI as
 * an irqfd. */
typedef struct _KvmVfio KvmVfio;

/* The VM has no irqchip yet: memory slots cost next to nothing then, and milliseconds
 * afterwards. */
KvmVfio *kvm_vfio_new (Vfio *vfio, CprKvmVm *vm, int vm_fd, uint32_t first_slot, GError **error);
void kvm_vfio_free (KvmVfio *kvm);

/* The VM has its irqchip, and where there is a state to take over it is loaded. Changes nothing
 * that another program sees. */
bool kvm_vfio_loaded (KvmVfio *kvm, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (KvmVfio, kvm_vfio_free)

#endif
