/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The tables of fields, which make a vCPU's and a VM's state into a stream. Used by the device
 * types in vm.c. */
#include "kvm/arm64/arm64.h"

static const CprField register_fields[] = {
  CPR_FIELD (CprKvmRegister, id),
  CPR_FIELD (CprKvmRegister, value),
  CPR_FIELD_END,
};
static const CprStruct register_struct = { "KvmRegister", sizeof (CprKvmRegister), register_fields };

static const CprField gic_fields[] = {
  CPR_FIELD (CprKvmGicEntry, group),
  CPR_FIELD (CprKvmGicEntry, owner),
  CPR_FIELD (CprKvmGicEntry, offset),
  CPR_FIELD (CprKvmGicEntry, value),
  CPR_FIELD_END,
};
static const CprStruct gic_struct = { "KvmGicEntry", sizeof (CprKvmGicEntry), gic_fields };

const CprField cpr_kvm_vcpu_fields[] = {
  CPR_FIELD_STRUCT_COUNTED (CprKvmVcpu, registers, n_registers, CprKvmRegister, register_struct),
  CPR_FIELD_COUNTED (CprKvmVcpu, wide_ids, n_wide, CPR_OPTIONAL),
  CPR_FIELD_HEAP_BYTES (CprKvmVcpu, wide, wide_size, CPR_KVM_WIDE_SIZE_MAX, CPR_OPTIONAL),
  CPR_FIELD_BYTES (CprKvmVcpu, events, CPR_OPTIONAL),
  CPR_FIELD_BYTES (CprKvmVcpu, mp_state),
  CPR_FIELD_END,
};

const CprField cpr_kvm_vm_fields[] = {
  CPR_FIELD (CprKvmVm, has_counters),
  CPR_FIELD_OPTIONAL (CprKvmVm, counter_hz, 0),
  CPR_FIELD_OPTIONAL (CprKvmVm, counter, 0),
  CPR_FIELD_OPTIONAL (CprKvmVm, physical_counter, 0),
  CPR_FIELD_OPTIONAL (CprKvmVm, host_counter, 0),
  CPR_FIELD (CprKvmVm, taken_ns),
  CPR_FIELD_TIME (CprKvmVm, at_ns),
  CPR_FIELD_LIST (CprKvmVm, gic, CprKvmGicEntry, gic_struct, CPR_KVM_GIC_MAX, cpr_kvm_gic_list, CPR_OPTIONAL),
  CPR_FIELD_HEAP_BYTES (
      CprKvmVm, routes, routes_size, CPR_KVM_ROUTES_MAX * sizeof (struct kvm_irq_routing_entry), CPR_OPTIONAL),
  CPR_FIELD_END,
};
