/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Finds out about a VM, for a preflight: whether another program could have it at all, and which
 * needs it has. Called by lib/session. */
#include "kvm/arm64/arm64.h"
#include "kvm/ask.h"

/* A protected VM has fewer abilities than KVM has otherwise: its vCPUs are the hypervisor's. */
static bool
is_protected (const CprKvmVm *vm)
{
  return cpr_kvm_check (vm->kvm_fd, KVM_CAP_VCPU_EVENTS) > 0 && cpr_kvm_check (vm->fd, KVM_CAP_VCPU_EVENTS) == 0;
}

char *
cpr_kvm_vm_describe_obstacle (const CprKvmVm *vm)
{
  if (is_protected (vm))
    return g_strdup_printf ("KVM VM '%s': it is protected: no other VM can have its memory and vCPUs", vm->name);
  return cpr_kvm_vm_describe_private_memory (vm);
}

/* A copy of nothing: KVM refuses it unless the VM has such tags. */
static bool
has_tags (const CprKvmVm *vm)
{
  struct kvm_arm_copy_mte_tags tags = { .flags = KVM_ARM_TAGS_FROM_GUEST };

  return cpr_sys->ioctl (vm->fd, KVM_ARM_MTE_COPY_TAGS, &tags) >= 0;
}

char *
cpr_kvm_vcpu_describe_obstacle (const CprKvmVcpu *vcpu, unsigned *modes)
{
  uint64_t hcr = 0;

  *modes = CPR_MODES_ALL;
  if (cpr_kvm_register_read (vcpu->fd, CPR_KVM_HCR_EL2, &hcr) >= 0)
    return g_strdup_printf ("KVM VM '%s': its guest can have VMs of its own (KVM_ARM_VCPU_HAS_EL2), and libcpr doesn't "
                            "know all that KVM keeps for these",
                            vcpu->vm->name);
  *modes = CPR_MODES_REBOOT;
  return has_tags (vcpu->vm)
             ? g_strdup_printf ("KVM VM '%s': its memory has tags (MTE), and a file can't hold them", vcpu->vm->name)
             : NULL;
}

/* All that is read here can be read again by the update. */
void
cpr_kvm_vm_probe (CprKvmVm *vm, const CprKvmVcpu *only)
{
  cpr_kvm_gic_get (vm, false, NULL);
  if (only == NULL && vm->vcpus->len > 0)
    cpr_kvm_counters_get (vm, NULL);
  for (guint i = 0; i < vm->vcpus->len; i++)
    {
      CprKvmVcpu *vcpu = vm->vcpus->pdata[i];

      if (only == NULL || only == vcpu)
        {
          vcpu->knows_registers = false;
          cpr_kvm_registers_get (vcpu, NULL);
        }
    }
}
