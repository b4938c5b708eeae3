/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The order in which a vCPU's state is read from KVM and given back to it. Called as pre_save and
 * post_load of its device type, and beforehand by vm.c. */
#include <string.h>

#include "kvm/arm64/arm64.h"
#include "kvm/vm.h"

bool
cpr_kvm_vcpu_check (const CprKvmVcpu *vcpu, GError **error)
{
  g_autofree struct kvm_reg_list *list = cpr_kvm_register_list (vcpu->fd);

  if (list != NULL)
    return true;
  if (errno == ENOEXEC || errno == EPERM)
    return cpr_throw (error, CPR_ERROR_INVALID, "KVM VM '%s': vCPU %u: %s comes before cpr_kvm_vcpu_add()",
                      vcpu->vm->name, vcpu->index,
                      errno == ENOEXEC ? "KVM_ARM_VCPU_INIT" : "KVM_ARM_VCPU_FINALIZE of KVM_ARM_VCPU_SVE");
  return cpr_kvm_vcpu_throw (vcpu, errno, "KVM_GET_REG_LIST", error);
}

/* ---- Reading. */

/* The registers first: asked for one, KVM resets a vCPU that the guest has just switched on. */
bool
cpr_kvm_vcpu_get (void *data, GError **error)
{
  CprKvmVcpu *vcpu = data;

  memset (&vcpu->events, 0, sizeof vcpu->events);
  return cpr_kvm_vm_put_irqfds_off (vcpu->vm, error) && cpr_kvm_vm_learn (vcpu->vm, error) &&
         cpr_kvm_registers_get (vcpu, error) && cpr_kvm_vcpu_call (vcpu, KVM_GET_MP_STATE, &vcpu->mp_state, error) &&
         (!vcpu->vm->can.has_events || cpr_kvm_vcpu_call (vcpu, KVM_GET_VCPU_EVENTS, &vcpu->events, error));
}

/* ---- Setting. A value that the kernel has already isn't set. */

#define IS_KNOWN(vcpu, member) \
  ((vcpu)->known != NULL && memcmp (&(vcpu)->known->member, &(vcpu)->member, sizeof (vcpu)->member) == 0)

/* A pending SError can't be taken back, and a new vCPU has none. */
static bool
set_events (CprKvmVcpu *vcpu, GError **error)
{
  if (IS_KNOWN (vcpu, events) || (!vcpu->events.exception.serror_pending && !vcpu->events.exception.ext_dabt_pending))
    return true;
  if (vcpu->vm->can.has_events)
    return cpr_kvm_vcpu_call (vcpu, KVM_SET_VCPU_EVENTS, &vcpu->events, error);
  return cpr_throw (error, CPR_ERROR_MISMATCH,
                    "KVM VM '%s': vCPU %u: it has a pending exception, and KVM can't take that here "
                    "(KVM_CAP_VCPU_EVENTS)",
                    vcpu->vm->name, vcpu->index);
}

static bool
set_mp_state (CprKvmVcpu *vcpu, GError **error)
{
  return IS_KNOWN (vcpu, mp_state) || cpr_sys->ioctl (vcpu->fd, KVM_SET_MP_STATE, &vcpu->mp_state) >= 0 ||
         cpr_throw_errno (error, errno, "KVM VM '%s': vCPU %u: KVM_SET_MP_STATE of %u", vcpu->vm->name, vcpu->index,
                          vcpu->mp_state.mp_state);
}

bool
cpr_kvm_vcpu_set (void *data, uint32_t version G_GNUC_UNUSED, GError **error)
{
  CprKvmVcpu *vcpu = data;
  bool done;

  vcpu->knows_registers = false;
  done = cpr_kvm_vm_learn (vcpu->vm, error) && cpr_kvm_registers_set (vcpu, error) && set_events (vcpu, error) &&
         set_mp_state (vcpu, error);
  g_clear_pointer (&vcpu->known, cpr_kvm_vcpu_forget);
  return done;
}

/* ---- What is known beforehand. */

bool
cpr_kvm_vcpu_learn (CprKvmVcpu *vcpu, GError **error)
{
  if (!cpr_kvm_vcpu_get (vcpu, error))
    return false;
  vcpu->known = g_memdup2 (vcpu, sizeof *vcpu);
  vcpu->known->known = NULL;
  vcpu->known->wide = g_memdup2 (vcpu->wide, vcpu->wide_size);
  return true;
}
