/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory slots of a VM, from RAM blocks. Called by the VMM. */
#include "base/uapi.h"
#include "kvm/ioctl.h"
#include "registry/ram/ram.h"

static bool
set_slot (const CprKvmVm *vm, const struct kvm_userspace_memory_region *region, const char *what, GError **error)
{
  return cpr_sys->ioctl (vm->fd, KVM_SET_USER_MEMORY_REGION, (void *) region) >= 0 ||
         cpr_throw_errno (error, errno, "KVM VM '%s': KVM_SET_USER_MEMORY_REGION: slot %u, %s", vm->name, region->slot,
                          what);
}

bool
cpr_kvm_slot_add (CprKvmVm *vm,
                  uint32_t slot,
                  uint64_t gpa,
                  const CprRamBlock *block,
                  uint64_t offset,
                  uint64_t size,
                  uint32_t flags,
                  GError **error)
{
  struct kvm_userspace_memory_region region = { .slot = slot, .flags = flags, .guest_phys_addr = gpa };
  g_autofree char *what = NULL;

  g_return_val_if_fail (vm != NULL && block != NULL, false);

  if ((flags & CPR_UAPI_KVM_MEM_GUEST_MEMFD) != 0)
    return cpr_throw (error, CPR_ERROR_INVALID,
                      "KVM VM '%s': slot %u: KVM_MEM_GUEST_MEMFD: a guest_memfd belongs to one VM, and no other VM can "
                      "have it",
                      vm->name, slot);
  if (size == 0 || offset > cpr_ram_block_get_size (block) || size > cpr_ram_block_get_size (block) - offset)
    return cpr_throw (error, CPR_ERROR_INVALID,
                      "KVM VM '%s': slot %u: RAM block '%s' has %zu bytes, and not %" G_GUINT64_FORMAT
                      " from %" G_GUINT64_FORMAT " on",
                      vm->name, slot, cpr_ram_block_get_name (block), cpr_ram_block_get_size (block), size, offset);
  region.memory_size = size;
  region.userspace_addr = (uintptr_t) cpr_ram_block_get_vaddr (block) + offset;
  what = g_strdup_printf ("RAM block '%s' at 0x%" G_GINT64_MODIFIER "x", cpr_ram_block_get_name (block), gpa);
  return set_slot (vm, &region, what, error);
}

bool
cpr_kvm_slot_remove (CprKvmVm *vm, uint32_t slot, GError **error)
{
  const struct kvm_userspace_memory_region region = { .slot = slot };

  g_return_val_if_fail (vm != NULL, false);

  return set_slot (vm, &region, "to be removed", error);
}
