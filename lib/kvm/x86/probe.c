/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Finds out about a VM, for a preflight: whether another program could have it at all, and which
 * needs it has. Called by lib/session. */
#include "kvm/ask.h"
#include "kvm/x86/x86.h"

/* A command that only asks: it works in a VM with SEV, and is unknown (EINVAL) in one with TDX,
 * whose memory is private. Every other VM has no such commands (ENOTTY). */
static bool
is_encrypted (const CprKvmVm *vm)
{
  uint32_t status[3] = { 0 };
  struct kvm_sev_cmd command = { .id = KVM_SEV_GUEST_STATUS, .data = (uintptr_t) status };

  return cpr_sys->ioctl (vm->fd, KVM_MEMORY_ENCRYPT_OP, &command) >= 0 ||
         (errno == EINVAL && cpr_kvm_vm_has_private_memory (vm));
}

char *
cpr_kvm_vm_describe_obstacle (const CprKvmVm *vm)
{
  if (is_encrypted (vm))
    return g_strdup_printf (
        "KVM VM '%s': its memory and vCPUs are encrypted (SEV or TDX), and no other VM can have them", vm->name);
  return cpr_kvm_vm_describe_private_memory (vm);
}

void
cpr_kvm_vm_probe (CprKvmVm *vm, const CprKvmVcpu *only)
{
  g_autofree CprKvmCpuid *offered = g_new0 (CprKvmCpuid, 1);

  cpr_kvm_machine_probe (vm);
  if (!cpr_kvm_cpuid_get_offered (vm->kvm_fd, offered, NULL))
    offered->count = 0;
  for (guint i = 0; i < vm->vcpus->len; i++)
    {
      CprKvmVcpu *vcpu = vm->vcpus->pdata[i];

      /* A vCPU that is added later may be given its CPUID afterwards. */
      if (only == NULL || only == vcpu)
        vcpu->knows_config = cpr_kvm_vcpu_probe (vcpu, offered) && only == NULL;
    }
}
