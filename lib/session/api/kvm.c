/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The public functions of KVM VMs: each checks the state, sees to what blocks an update and to what
 * the guardian holds, and hands on to lib/kvm. */
#include "base/error.h"
#include "kvm/vm.h"
#include "session/kvm.h"

static void
release (CprSession *session, int fd)
{
  cpr_session_release_fd (session, fd, NULL);
}

/* A VM that can't be handed over is refused where an update must be possible. */
static bool
set_obstacle (CprSession *session, const CprKvmVm *vm, GError **error)
{
  g_autofree char *obstacle = cpr_kvm_vm_describe_obstacle (vm);

  return obstacle == NULL || cpr_blockers_add (session->blockers, vm, CPR_MODES_ALL, obstacle, error) != 0;
}

/* The same once it has a vCPU: all have the same features. */
static bool
set_obstacle_of_vcpu (CprSession *session, const CprKvmVm *vm, const CprKvmVcpu *vcpu, GError **error)
{
  unsigned modes = 0;
  g_autofree char *obstacle = vm->vcpus->len == 1 ? cpr_kvm_vcpu_describe_obstacle (vcpu, &modes) : NULL;

  return obstacle == NULL || cpr_blockers_add (session->blockers, vm, modes, obstacle, error) != 0;
}

/* Which numbers its fd may have, modulo CPR_KVM_N_CLASSES: each update has others than those before
 * it, and the way back has its own. An update right after one that failed has the same ones as that
 * one: harmless, the second VM is without statistics. */
static unsigned
choose_class (const CprTimeline *timeline)
{
  const unsigned way_back = CPR_KVM_N_CLASSES - 1;

  return timeline->is_way_back ? way_back : (unsigned) (timeline->generation % way_back);
}

int
cpr_kvm_create_vm (CprSession *session, int kvm_fd, unsigned long type, GError **error)
{
  g_return_val_if_fail (session != NULL, -1);

  if (!cpr_session_check_process (session, "cpr_kvm_create_vm", error))
    return -1;
  return cpr_kvm_create_fd (kvm_fd, type, choose_class (&session->timeline), error);
}

CprKvmVm *
cpr_kvm_vm_new (CprSession *session, const char *name, int kvm_fd, int vm_fd, unsigned flags, GError **error)
{
  CprKvmVm *vm;

  g_return_val_if_fail (session != NULL && name != NULL, NULL);

  if (!cpr_session_check_call (session, CPR_CALL_KVM_VM_NEW, error))
    return NULL;
  vm = cpr_kvm_vm_create (session, &session->devices, name, kvm_fd, vm_fd, flags, error);
  if (vm == NULL)
    return NULL;
  if (cpr_session_hold_fd (session, vm_fd, error))
    {
      if (set_obstacle (session, vm, error))
        {
          g_ptr_array_add (session->kvm_vms, vm);
          if (session->state != CPR_SESSION_STATE_INCOMING)
            cpr_session_connect_kvm_vm (session, vm);
          return vm;
        }
      release (session, vm_fd);
    }
  cpr_kvm_vm_destroy (vm);
  return NULL;
}

static guint
find (const CprSession *session, const CprKvmVm *vm)
{
  guint at = 0;

  g_ptr_array_find (session->kvm_vms, vm, &at);
  return at;
}

bool
cpr_kvm_vm_remove (CprKvmVm *vm, GError **error)
{
  CprSession *session;

  g_return_val_if_fail (vm != NULL, false);

  session = cpr_kvm_vm_get_session (vm);
  if (!cpr_session_check_call (session, CPR_CALL_KVM_VM_REMOVE, error))
    return false;
  cpr_kvm_vm_foreach_fd (vm, release);
  cpr_blockers_remove_owned (session->blockers, vm);
  g_ptr_array_steal_index_fast (session->kvm_vms, find (session, vm));
  cpr_kvm_vm_destroy (vm);
  return true;
}

bool
cpr_kvm_vcpu_add (CprKvmVm *vm, unsigned index, int vcpu_fd, GError **error)
{
  CprSession *session;
  CprKvmVcpu *vcpu;

  g_return_val_if_fail (vm != NULL, false);

  session = cpr_kvm_vm_get_session (vm);
  if (!cpr_session_check_call (session, CPR_CALL_KVM_VCPU_ADD, error))
    return false;
  vcpu = cpr_kvm_vcpu_create (vm, index, vcpu_fd, error);
  if (vcpu == NULL)
    return false;
  if (cpr_session_hold_fd (session, vcpu_fd, error))
    {
      if (set_obstacle_of_vcpu (session, vm, vcpu, error))
        {
          if (session->state == CPR_SESSION_STATE_ACTIVE)
            cpr_kvm_vm_probe (vm, vcpu);
          return true;
        }
      release (session, vcpu_fd);
    }
  cpr_kvm_vcpu_destroy (vcpu);
  return false;
}

bool
cpr_kvm_vcpu_remove (CprKvmVm *vm, unsigned index, GError **error)
{
  CprSession *session;
  CprKvmVcpu *vcpu;

  g_return_val_if_fail (vm != NULL, false);

  session = cpr_kvm_vm_get_session (vm);
  if (!cpr_session_check_call (session, CPR_CALL_KVM_VCPU_REMOVE, error))
    return false;
  vcpu = cpr_kvm_vm_find_vcpu (vm, index, error);
  if (vcpu == NULL)
    return false;
  release (session, cpr_kvm_vcpu_get_fd (vcpu));
  cpr_kvm_vcpu_destroy (vcpu);
  return true;
}

/* A part of the VM that is a KVM device of its own; it goes with the VM. */
static bool
add_device (CprKvmVm *vm, CprCall call, bool (*add) (CprKvmVm *vm, int fd, GError **error), int fd, GError **error)
{
  CprSession *session = cpr_kvm_vm_get_session (vm);

  if (!cpr_session_check_call (session, call, error) || !cpr_session_hold_fd (session, fd, error))
    return false;
  if (add (vm, fd, error))
    {
      g_array_append_val (vm->device_fds, fd);
      return true;
    }
  release (session, fd);
  return false;
}

bool
cpr_kvm_gic_add (CprKvmVm *vm, int gic_fd, GError **error)
{
  g_return_val_if_fail (vm != NULL, false);

  return add_device (vm, CPR_CALL_KVM_GIC_ADD, cpr_kvm_vm_add_gic, gic_fd, error);
}

bool
cpr_kvm_its_add (CprKvmVm *vm, int its_fd, GError **error)
{
  g_return_val_if_fail (vm != NULL, false);

  return add_device (vm, CPR_CALL_KVM_ITS_ADD, cpr_kvm_vm_add_its, its_fd, error);
}

bool
cpr_kvm_vcpu_run (CprKvmVm *vm, unsigned index, int signal, CprKvmExitFunc handle_exit, void *user_data, GError **error)
{
  CprSession *session;
  const CprKvmVcpu *vcpu;

  g_return_val_if_fail (vm != NULL && handle_exit != NULL, false);

  session = cpr_kvm_vm_get_session (vm);
  if (!cpr_session_check_process (session, "cpr_kvm_vcpu_run", error))
    return false;
  vcpu = cpr_kvm_vm_find_vcpu (vm, index, error);
  if (vcpu == NULL)
    return false;
  if (session->config.gate == NULL)
    return cpr_throw (error, CPR_ERROR_INVALID, "VM '%s': a vCPU can't run: the session's configuration has no gate",
                      session->name);
  return cpr_kvm_vcpu_loop (vcpu, session->config.gate, signal, handle_exit, user_data, error);
}

bool
cpr_kvm_vcpu_handle_parked (
    CprKvmVm *vm, unsigned index, CprKvmExitFunc handle_exit, void *user_data, GError **error)
{
  CprKvmVcpu *vcpu;

  g_return_val_if_fail (vm != NULL && handle_exit != NULL, false);

  vcpu = cpr_kvm_vm_find_vcpu (vm, index, error);
  return vcpu != NULL && cpr_session_handle_parked (vcpu, handle_exit, user_data, error);
}

bool
cpr_kvm_vm_set_gsi_routing (CprKvmVm *vm, const struct kvm_irq_routing *routing, GError **error)
{
  g_return_val_if_fail (vm != NULL && routing != NULL, false);

  return cpr_session_check_process (cpr_kvm_vm_get_session (vm), "cpr_kvm_vm_set_gsi_routing", error) &&
         cpr_kvm_vm_route (vm, routing, error);
}

bool
cpr_kvm_irqfd_add (CprKvmVm *vm, int fd, uint32_t gsi, int resample_fd, GError **error)
{
  g_return_val_if_fail (vm != NULL, false);

  return cpr_session_check_process (cpr_kvm_vm_get_session (vm), "cpr_kvm_irqfd_add", error) &&
         cpr_kvm_vm_add_irqfd (vm, fd, gsi, resample_fd, error);
}

bool
cpr_kvm_irqfd_remove (CprKvmVm *vm, int fd, uint32_t gsi, GError **error)
{
  g_return_val_if_fail (vm != NULL, false);

  return cpr_session_check_process (cpr_kvm_vm_get_session (vm), "cpr_kvm_irqfd_remove", error) &&
         cpr_kvm_vm_remove_irqfd (vm, fd, gsi, error);
}

bool
cpr_kvm_vfio_add (CprKvmVm *vm, CprVfioDevice *device, GError **error)
{
  g_return_val_if_fail (vm != NULL && device != NULL, false);

  return cpr_session_check_process (cpr_kvm_vm_get_session (vm), "cpr_kvm_vfio_add", error) &&
         cpr_kvm_vm_add_vfio (vm, device, error);
}

bool
cpr_kvm_vfio_remove (CprKvmVm *vm, CprVfioDevice *device, GError **error)
{
  g_return_val_if_fail (vm != NULL && device != NULL, false);

  return cpr_session_check_process (cpr_kvm_vm_get_session (vm), "cpr_kvm_vfio_remove", error) &&
         cpr_kvm_vm_remove_vfio (vm, device, error);
}
