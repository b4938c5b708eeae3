/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The state that KVM keeps for the VM and not for a vCPU. Called as pre_save and post_load of the
 * VM's device type. */
#include "kvm/ioctl.h"
#include "kvm/vm.h"

bool
cpr_kvm_vm_learn (CprKvmVm *vm, GError **error)
{
  vm->can.is_known = true;
  return true;
}

bool
cpr_kvm_vm_get (void *data, GError **error)
{
  CprKvmVm *vm = data;

  cpr_kvm_vm_get_routes (vm);
  return cpr_kvm_vm_put_irqfds_off (vm, error) && cpr_kvm_vm_put_vfio_off (vm, error);
}

bool
cpr_kvm_vm_set (void *data, uint32_t version G_GNUC_UNUSED, GError **error)
{
  return cpr_kvm_vm_set_routes (data, error);
}

void
cpr_kvm_vm_clear (CprKvmVm *vm)
{
}

bool
cpr_kvm_vm_add_gic (CprKvmVm *vm, int fd G_GNUC_UNUSED, GError **error)
{
  return true;
}

bool
cpr_kvm_vm_add_its (CprKvmVm *vm, int fd G_GNUC_UNUSED, GError **error)
{
  return true;
}
