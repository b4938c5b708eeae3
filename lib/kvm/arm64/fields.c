/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The tables of fields, which make a vCPU's and a VM's state into a stream. Used by the device
 * types in vm.c. */
#include "kvm/state.h"

const CprField cpr_kvm_vcpu_fields[] = {
  CPR_FIELD_BYTES (CprKvmVcpu, events),
  CPR_FIELD_BYTES (CprKvmVcpu, mp_state),
  CPR_FIELD_END,
};

const CprField cpr_kvm_vm_fields[] = {
  CPR_FIELD_HEAP_BYTES (
      CprKvmVm, routes, routes_size, CPR_KVM_ROUTES_MAX * sizeof (struct kvm_irq_routing_entry), CPR_OPTIONAL),
  CPR_FIELD_END,
};
