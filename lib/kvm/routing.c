/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The routing of a VM's interrupts: the one part of KVM's state that it doesn't tell, and so kept
 * here. Called by lib/session for the VMM, and by the architecture's room. */
#include <string.h>

#include "kvm/ioctl.h"
#include "kvm/vm.h"

static void
keep (uint8_t **routes, uint32_t *size, const void *entries, uint32_t entries_size)
{
  g_free (*routes);
  *routes = g_memdup2 (entries, entries_size);
  *size = entries_size;
}

static void
keep_current (CprKvmVm *vm, const void *entries, uint32_t entries_size)
{
  g_mutex_lock (&vm->lock);
  keep (&vm->current_routes, &vm->current_routes_size, entries, entries_size);
  g_mutex_unlock (&vm->lock);
}

void
cpr_kvm_vm_get_routes (CprKvmVm *vm)
{
  g_mutex_lock (&vm->lock);
  keep (&vm->routes, &vm->routes_size, vm->current_routes, vm->current_routes_size);
  g_mutex_unlock (&vm->lock);
}

bool
cpr_kvm_vm_set_routes (CprKvmVm *vm, GError **error)
{
  g_autofree struct kvm_irq_routing *routing = g_malloc0 (sizeof *routing + vm->routes_size);

  if (vm->routes_size == 0)
    return true;
  if (vm->routes_size % sizeof routing->entries[0] != 0)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "KVM VM '%s': its routing has %u bytes", vm->name, vm->routes_size);
  routing->nr = vm->routes_size / (uint32_t) sizeof routing->entries[0];
  memcpy (routing->entries, vm->routes, vm->routes_size);
  if (!cpr_kvm_vm_call (vm, KVM_SET_GSI_ROUTING, routing, error))
    return false;
  keep_current (vm, vm->routes, vm->routes_size);
  return true;
}

bool
cpr_kvm_vm_route (CprKvmVm *vm, const struct kvm_irq_routing *routing, GError **error)
{
  if (routing->nr > CPR_KVM_ROUTES_MAX || routing->flags != 0)
    return cpr_throw (error, CPR_ERROR_INVALID, "KVM VM '%s': its routing has %u entries and flags 0x%x", vm->name,
                      routing->nr, routing->flags);
  if (!cpr_kvm_vm_call (vm, KVM_SET_GSI_ROUTING, routing, error))
    return false;
  keep_current (vm, routing->entries, routing->nr * (uint32_t) sizeof routing->entries[0]);
  return true;
}
