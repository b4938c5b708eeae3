/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The order in which a vCPU's state is read from KVM and given back to it. Called as pre_save and
 * post_load of its device type, and beforehand by vm.c. */
#include "kvm/ioctl.h"
#include "kvm/vm.h"

bool
cpr_kvm_vcpu_get (void *data, GError **error)
{
  CprKvmVcpu *vcpu = data;

  return cpr_kvm_vm_put_irqfds_off (vcpu->vm, error) && cpr_kvm_vm_learn (vcpu->vm, error) &&
         cpr_kvm_vcpu_call (vcpu, KVM_GET_MP_STATE, &vcpu->mp_state, error) &&
         cpr_kvm_vcpu_call (vcpu, KVM_GET_VCPU_EVENTS, &vcpu->events, error);
}

bool
cpr_kvm_vcpu_set (void *data, uint32_t version G_GNUC_UNUSED, GError **error)
{
  CprKvmVcpu *vcpu = data;

  return cpr_kvm_vcpu_call (vcpu, KVM_SET_VCPU_EVENTS, &vcpu->events, error) &&
         cpr_kvm_vcpu_call (vcpu, KVM_SET_MP_STATE, &vcpu->mp_state, error);
}

void
cpr_kvm_vcpu_forget (CprKvmVcpu *known)
{
  g_free (known);
}

bool
cpr_kvm_vcpu_learn (CprKvmVcpu *vcpu, GError **error)
{
  return true;
}

void
cpr_kvm_vcpu_clear (CprKvmVcpu *vcpu)
{
}
