/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Finds out about a VM, for a preflight: whether another program could have it at all, and which
 * needs it has. Called by lib/session. */
#include "kvm/state.h"

char *
cpr_kvm_vm_describe_obstacle (const CprKvmVm *vm)
{
  return NULL;
}

void
cpr_kvm_vm_probe (CprKvmVm *vm, const CprKvmVcpu *only)
{
}
