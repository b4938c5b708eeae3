/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_KVM_VM_H
#define CPR_KVM_VM_H

#include "kvm/state.h"

/* The VM and its vCPUs as the VMM registers them; the devices' table has each of them as a device
 * of its own. Called by lib/session. */

/* An fd of a new VM, or -1. Its number is @class modulo CPR_KVM_N_CLASSES where such a number is
 * free. */
#define CPR_KVM_N_CLASSES 12u
int cpr_kvm_create_fd (int kvm_fd, unsigned long type, unsigned class, GError **error);

/* Adds the VM to @devices; @session owns both. */
CprKvmVm *cpr_kvm_vm_create (CprSession *session,
                             CprDeviceTable *devices,
                             const char *name,
                             int kvm_fd,
                             int vm_fd,
                             unsigned flags,
                             GError **error);
CprSession *cpr_kvm_vm_get_session (const CprKvmVm *vm);
/* Takes the VM and its vCPUs out of the devices' table, and frees them. The fds stay open. */
void cpr_kvm_vm_destroy (CprKvmVm *vm);
/* The same at the end of the session, whose devices' table may be gone. */
void cpr_kvm_vm_free (CprKvmVm *vm);

CprKvmVcpu *cpr_kvm_vcpu_create (CprKvmVm *vm, unsigned index, int vcpu_fd, GError **error);
/* The vCPU of that index; NULL: there is none. Any thread may ask. */
CprKvmVcpu *cpr_kvm_vm_find_vcpu (CprKvmVm *vm, unsigned index, GError **error);
int cpr_kvm_vcpu_get_fd (const CprKvmVcpu *vcpu);
/* Takes a vCPU out of the devices' table, and frees it. */
void cpr_kvm_vcpu_destroy (CprKvmVcpu *vcpu);

/* Runs a vCPU on this thread until @gate is dismissed, see cpr_kvm_vcpu_run(). */
bool cpr_kvm_vcpu_loop (
    const CprKvmVcpu *vcpu, CprGate *gate, int signal, CprKvmExitFunc handle_exit, void *user_data, GError **error);

/* Frees a vCPU that is in no VM. */
void cpr_kvm_vcpu_free (CprKvmVcpu *vcpu);

/* A program that forgot its vCPUs would save a guest without them, and in the next one they would
 * start from power-on. KVM can't be asked how many there are. */
bool cpr_kvm_vm_check_has_vcpus (const CprKvmVm *vm, GError **error);

/* Sets the routing, and keeps it for the state. */
bool cpr_kvm_vm_route (CprKvmVm *vm, const struct kvm_irq_routing *routing, GError **error);

/* Calls @func for the fd of each vCPU, each device of the VM, then for that of the VM. */
void cpr_kvm_vm_foreach_fd (const CprKvmVm *vm, void (*func) (CprSession *session, int fd));

/* Interrupts by eventfd. Any thread may add and remove them. They are off in a new VM. */
bool cpr_kvm_vm_add_irqfd (CprKvmVm *vm, int fd, uint32_t gsi, int resample_fd, GError **error);
bool cpr_kvm_vm_remove_irqfd (CprKvmVm *vm, int fd, uint32_t gsi, GError **error);
/* The same for assigned devices of which KVM shall know. */
bool cpr_kvm_vm_add_vfio (CprKvmVm *vm, CprVfioDevice *device, GError **error);
bool cpr_kvm_vm_remove_vfio (CprKvmVm *vm, CprVfioDevice *device, GError **error);
/* Whether the device may go: as long as KVM shall know of it, it is needed. */
bool cpr_kvm_vm_check_without_vfio (CprKvmVm *vm, const CprVfioDevice *device, GError **error);
/* Off before any state is read or set; on once the guest runs here. How many couldn't be put on,
 * and the first one's reason. */
bool cpr_kvm_vm_put_irqfds_off (CprKvmVm *vm, GError **error);
guint cpr_kvm_vm_put_irqfds_on (CprKvmVm *vm, GError **error);
bool cpr_kvm_vm_put_vfio_off (CprKvmVm *vm, GError **error);
guint cpr_kvm_vm_put_vfio_on (CprKvmVm *vm, GError **error);

/* In a session that took up a state, while the guest still runs elsewhere: asks the kernel for what
 * it has, so that less needs to be set when the guest stands. Failure only costs time. */
void cpr_kvm_vm_prepare (CprKvmVm *vm);

#endif
