/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A VM with a vCPU of its own, to find out what KVM offers: only a vCPU can be asked which
 * registers there are. Called by host.c. */
#include "base/signals.h"
#include "kvm/arm64/arm64.h"
#include "kvm/ask.h"

#define DEFAULT_IPA_BITS 40 /* of type 0 */

/* A signal would end KVM_CREATE_VM with EINTR. */
bool
cpr_kvm_scratch_init (CprKvmScratch *scratch, int kvm_fd, GError **error)
{
  int bits = cpr_kvm_check (kvm_fd, KVM_CAP_ARM_VM_IPA_SIZE);
  int type = bits > 0 && bits < DEFAULT_IPA_BITS ? bits : 0;
  sigset_t old;

  cpr_signals_block_all (&old);
  *scratch = (CprKvmScratch){ .vcpu_fd = -1 };
  scratch->vm_fd = cpr_sys->ioctl (kvm_fd, KVM_CREATE_VM, GINT_TO_POINTER (type));
  if (scratch->vm_fd < 0)
    cpr_throw_errno (error, errno, "a VM to compare with: KVM_CREATE_VM");
  cpr_signals_restore (&old);
  return scratch->vm_fd >= 0;
}

void
cpr_kvm_scratch_clear (CprKvmScratch *scratch)
{
  g_clear_pointer (&scratch->list, g_free);
  if (scratch->vcpu_fd >= 0)
    cpr_sys->close (scratch->vcpu_fd);
  if (scratch->vm_fd >= 0)
    cpr_sys->close (scratch->vm_fd);
  scratch->vcpu_fd = scratch->vm_fd = -1;
}

static bool throw (const char *what, GError **error)
{
  return cpr_throw_errno (error, errno, "a vCPU to compare with: %s", what);
}

/* KVM takes the vector lengths before it makes room for the registers. */
static bool
finalize (const CprKvmScratch *scratch, const void *lengths, GError **error)
{
  int feature = KVM_ARM_VCPU_SVE;

  if ((scratch->features & CPR_KVM_SVE) == 0)
    return true;
  if (lengths != NULL && cpr_kvm_register_write (scratch->vcpu_fd, KVM_REG_ARM64_SVE_VLS, lengths) < 0)
    {
      g_autofree char *text = cpr_kvm_register_format (lengths, cpr_kvm_register_get_size (KVM_REG_ARM64_SVE_VLS));

      return cpr_throw (error, CPR_ERROR_MISMATCH,
                        "the vector lengths of SVE are %s in the state (KVM_REG_ARM64_SVE_VLS), and KVM can't have "
                        "these here",
                        text);
    }
  return cpr_sys->ioctl (scratch->vcpu_fd, KVM_ARM_VCPU_FINALIZE, &feature) >= 0 ||
         throw ("KVM_ARM_VCPU_FINALIZE", error);
}

bool
cpr_kvm_scratch_add_vcpu (CprKvmScratch *scratch, uint32_t features, const void *lengths, GError **error)
{
  struct kvm_vcpu_init init = { 0 };

  scratch->features = features;
  scratch->vcpu_fd = cpr_sys->ioctl (scratch->vm_fd, KVM_CREATE_VCPU, GINT_TO_POINTER (0));
  if (scratch->vcpu_fd < 0)
    return throw ("KVM_CREATE_VCPU", error);
  if (cpr_sys->ioctl (scratch->vm_fd, KVM_ARM_PREFERRED_TARGET, &init) < 0)
    return throw ("KVM_ARM_PREFERRED_TARGET", error);
  init.features[0] = features;
  if (cpr_sys->ioctl (scratch->vcpu_fd, KVM_ARM_VCPU_INIT, &init) < 0)
    return throw ("KVM_ARM_VCPU_INIT", error);
  if (!finalize (scratch, lengths, error))
    return false;
  scratch->list = cpr_kvm_register_list (scratch->vcpu_fd);
  return scratch->list != NULL || throw ("KVM_GET_REG_LIST", error);
}
