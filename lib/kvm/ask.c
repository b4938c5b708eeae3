/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The abilities that KVM, or a VM, says it has. Called by the architecture's room. */
#include "kvm/ask.h"

#include <errno.h>

#include "base/error.h"
#include "base/sys.h"
#include "base/uapi.h"

int
cpr_kvm_check (int fd, int capability)
{
  return cpr_sys->ioctl (fd, KVM_CHECK_EXTENSION, GINT_TO_POINTER (capability));
}

bool
cpr_kvm_ask (int kvm_fd, int capability, const char *name, uint32_t *answer, GError **error)
{
  int found = cpr_kvm_check (kvm_fd, capability);

  if (found < 0)
    return cpr_throw_errno (error, errno, "KVM_CHECK_EXTENSION of %s", name);
  *answer = (uint32_t) found;
  return true;
}

bool
cpr_kvm_vm_ask (const CprKvmVm *vm, int capability, const char *name, uint32_t *answer, GError **error)
{
  if (cpr_kvm_ask (vm->fd, capability, name, answer, error))
    return true;
  g_prefix_error (error, "KVM VM '%s': ", vm->name);
  return false;
}

/* A VM of the default type has no such attribute, and kernels before Linux 6.8 don't know the
 * question. */
bool
cpr_kvm_vm_has_private_memory (const CprKvmVm *vm)
{
  int attributes = cpr_kvm_check (vm->fd, CPR_UAPI_KVM_CAP_MEMORY_ATTRIBUTES);

  return attributes > 0 && (attributes & CPR_UAPI_KVM_MEMORY_ATTRIBUTE_PRIVATE) != 0;
}

char *
cpr_kvm_vm_describe_private_memory (const CprKvmVm *vm)
{
  return cpr_kvm_vm_has_private_memory (vm)
             ? g_strdup_printf (
                   "KVM VM '%s': its type has memory of its own (guest_memfd), and no other VM can have that", vm->name)
             : NULL;
}
