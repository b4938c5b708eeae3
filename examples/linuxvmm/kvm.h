/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LINUXVMM_KVM_H
#define LINUXVMM_KVM_H

#include "boot/linux.h"
#include "devices/bus.h"
#include "devices/power.h"

/* The KVM VM: in-kernel irqchip and PIT, vCPUs, and what happens when one leaves the guest. */
typedef struct _Kvm Kvm;

/* Everything but the vCPUs' first registers; those are kvm_reset()'s in a fresh VM, and the state's
 * else. */
Kvm *kvm_new (CprSession *session, const GuestRam *ram, unsigned n_cpus, GError **error);
CprKvmVm *kvm_get_vm (const Kvm *kvm);
bool kvm_reset (Kvm *kvm, const BootEntry *entry, GError **error);

/* Where accesses go; before the vCPUs' threads start. */
void kvm_connect (Kvm *kvm, const Bus *bus, Power *power);

/* A CprKvmExitFunc; @kvm: the #Kvm. */
bool kvm_handle_exit (struct kvm_run *run, void *kvm, GError **error);

#endif
