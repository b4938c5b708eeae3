/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The state that KVM keeps for the VM and not for a vCPU: the counters, the interrupt controller
 * and the routing. Also finds out what KVM can do. Called as pre_save and post_load of the VM's
 * device type. */
#include "kvm/arm64/arm64.h"
#include "kvm/ask.h"
#include "kvm/vm.h"

void
cpr_kvm_vm_init (CprKvmVm *vm)
{
  vm->gic_fd = -1;
  vm->its_fds = g_array_new (FALSE, FALSE, sizeof (int));
}

bool
cpr_kvm_vm_learn (CprKvmVm *vm, GError **error)
{
  uint32_t events = 0;

  if (vm->can.is_known)
    return true;
  if (!cpr_kvm_vm_ask (vm, KVM_CAP_VCPU_EVENTS, "KVM_CAP_VCPU_EVENTS", &events, error))
    return false;
  vm->can.has_events = events > 0;
  vm->can.is_known = true;
  return true;
}

/* The tables of LPIs are written to the guest's memory, which stands still by now. */
bool
cpr_kvm_vm_get (void *data, GError **error)
{
  CprKvmVm *vm = data;

  cpr_kvm_vm_get_routes (vm);
  return cpr_kvm_vm_put_irqfds_off (vm, error) && cpr_kvm_vm_put_vfio_off (vm, error) &&
         cpr_kvm_gic_get (vm, true, error) && cpr_kvm_counters_get (vm, error);
}

bool
cpr_kvm_vm_set (void *data, uint32_t version G_GNUC_UNUSED, GError **error)
{
  CprKvmVm *vm = data;
  bool done = cpr_kvm_vm_learn (vm, error) && cpr_kvm_vm_set_routes (vm, error) && cpr_kvm_gic_set (vm, error) &&
              cpr_kvm_counters_set (vm, error);

  g_clear_pointer (&vm->known_gic, g_array_unref);
  return done;
}

void
cpr_kvm_vm_learn_state (CprKvmVm *vm)
{
  if (cpr_kvm_gic_get (vm, false, NULL))
    vm->known_gic = g_steal_pointer (&vm->gic);
}

void
cpr_kvm_vm_clear (CprKvmVm *vm)
{
  g_clear_pointer (&vm->gic, g_array_unref);
  g_clear_pointer (&vm->known_gic, g_array_unref);
  g_clear_pointer (&vm->its_fds, g_array_unref);
}
