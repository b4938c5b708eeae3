/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_KVM_ASK_H
#define CPR_KVM_ASK_H

#include "kvm/state.h"

/* KVM_CHECK_EXTENSION on /dev/kvm or on a VM: the answer, or -1 with errno. */
int cpr_kvm_check (int fd, int capability);
/* The same with an error that has @name, the capability's. */
bool cpr_kvm_ask (int kvm_fd, int capability, const char *name, uint32_t *answer, GError **error);
bool cpr_kvm_vm_ask (const CprKvmVm *vm, int capability, const char *name, uint32_t *answer, GError **error);

/* Whether the VM is of a type whose memory can be private to the guest, and why no other program
 * could have it then; NULL: it isn't. */
bool cpr_kvm_vm_has_private_memory (const CprKvmVm *vm);
char *cpr_kvm_vm_describe_private_memory (const CprKvmVm *vm);

#endif
