/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Eventfds that the guest signals by a write. Called by the VMM. */
#include "kvm/ioctl.h"

static bool
refuse (const CprKvmVm *vm, const struct kvm_ioeventfd *request, int errnum, GError **error)
{
  g_autofree char *what = g_strdup_printf (
      "KVM VM '%s': KVM_IOEVENTFD of fd %d: %s 0x%" G_GINT64_MODIFIER "x, %u bytes", vm->name, request->fd,
      (request->flags & KVM_IOEVENTFD_FLAG_PIO) != 0 ? "port" : "address", (uint64_t) request->addr, request->len);

  if (errnum == EEXIST)
    return cpr_throw (error, CPR_ERROR_EXISTS, "%s: such writes signal an eventfd already", what);
  if (errnum == ENOENT)
    return cpr_throw (error, CPR_ERROR_NOT_FOUND, "%s: such writes don't signal it", what);
  return cpr_throw_errno (error, errnum, "%s", what);
}

static bool
set (const CprKvmVm *vm, struct kvm_ioeventfd *request, bool on, GError **error)
{
  const uint32_t unknown = request->flags & ~(uint32_t) (KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DATAMATCH);

  if (unknown != 0)
    return cpr_throw (error, CPR_ERROR_INVALID, "KVM VM '%s': ioeventfd of fd %d: unknown flags 0x%x", vm->name,
                      request->fd, unknown);
  if (!on)
    request->flags |= KVM_IOEVENTFD_FLAG_DEASSIGN;
  return cpr_sys->ioctl (vm->fd, KVM_IOEVENTFD, request) >= 0 || refuse (vm, request, errno, error);
}

bool
cpr_kvm_ioeventfd_add (
    CprKvmVm *vm, int fd, uint64_t address, uint32_t size, uint64_t datamatch, uint32_t flags, GError **error)
{
  struct kvm_ioeventfd request = { .datamatch = datamatch, .addr = address, .len = size, .fd = fd, .flags = flags };

  g_return_val_if_fail (vm != NULL, false);

  return set (vm, &request, true, error);
}

bool
cpr_kvm_ioeventfd_remove (
    CprKvmVm *vm, int fd, uint64_t address, uint32_t size, uint64_t datamatch, uint32_t flags, GError **error)
{
  struct kvm_ioeventfd request = { .datamatch = datamatch, .addr = address, .len = size, .fd = fd, .flags = flags };

  g_return_val_if_fail (vm != NULL, false);

  return set (vm, &request, false, error);
}
