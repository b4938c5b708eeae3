/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* KVM's VFIO device, by which KVM knows which assigned devices the VM has. A group, or a device
 * without one, belongs to one VM at a time, so they are taken out before the next program's VM
 * takes them in: the end of this VM, which comes later, would take them away from that one. Called
 * by vcpu.c, and by lib/session for the VMM. */
#include "kvm/vm.h"

#include "base/fd.h"
#include "kvm/ioctl.h"
#include "registry/vfio/table.h"

/* The fd that KVM knows a device by: that of its group, which may have several. */
static int
get_fd (const CprVfioDevice *device)
{
  return device->group_fd >= 0 ? device->group_fd : device->fd;
}

/* KVM_DEV_VFIO_FILE of newer kernels has the same numbers, and takes devices too. A device without
 * any fd is none of the kernel's. ENOENT says that KVM doesn't know the device: adding it failed,
 * and an update mustn't be impossible for that. */
static bool
set (const CprKvmVm *vm, const CprVfioDevice *device, bool on, GError **error)
{
  int32_t fd = get_fd (device);
  struct kvm_device_attr attribute = { .group = KVM_DEV_VFIO_GROUP,
                                       .attr = on ? KVM_DEV_VFIO_GROUP_ADD : KVM_DEV_VFIO_GROUP_DEL,
                                       .addr = (uintptr_t) &fd };

  return vm->vfio_fd < 0 || fd < 0 || cpr_sys->ioctl (vm->vfio_fd, KVM_SET_DEVICE_ATTR, &attribute) >= 0 ||
         (!on && errno == ENOENT) ||
         cpr_throw_errno (error, errno, "KVM VM '%s': KVM_SET_DEVICE_ATTR: %s VFIO device '%s'", vm->name,
                          on ? "adding" : "removing", device->name);
}

/* Whether one of the first @n has the same file as @device. */
static bool
is_shared (const CprKvmVm *vm, const CprVfioDevice *device, guint n)
{
  for (guint i = 0; i < n; i++)
    if (vm->vfio->pdata[i] != device && get_fd (vm->vfio->pdata[i]) == get_fd (device))
      return true;
  return false;
}

/* ENODEV says that this kernel has none: then nothing in it wants to know. */
static bool
create (CprKvmVm *vm, GError **error)
{
  struct kvm_create_device request = { .type = KVM_DEV_TYPE_VFIO };

  if (vm->vfio_fd >= 0)
    return true;
  if (cpr_sys->ioctl (vm->fd, KVM_CREATE_DEVICE, &request) >= 0)
    vm->vfio_fd = cpr_fd_above_std ((int) request.fd);
  return vm->vfio_fd >= 0 || errno == ENODEV ||
         cpr_throw_errno (error, errno, "KVM VM '%s': KVM_CREATE_DEVICE of VFIO", vm->name);
}

bool
cpr_kvm_vm_add_vfio (CprKvmVm *vm, CprVfioDevice *device, GError **error)
{
  bool done = false;

  g_mutex_lock (&vm->lock);
  if (g_ptr_array_find (vm->vfio, device, NULL))
    cpr_throw (error, CPR_ERROR_EXISTS, "KVM VM '%s': it has the VFIO device '%s' already", vm->name, device->name);
  else if (create (vm, error) &&
           (!vm->vfio_is_on || is_shared (vm, device, vm->vfio->len) || set (vm, device, true, error)))
    {
      g_ptr_array_add (vm->vfio, device);
      done = true;
    }
  g_mutex_unlock (&vm->lock);
  return done;
}

bool
cpr_kvm_vm_remove_vfio (CprKvmVm *vm, CprVfioDevice *device, GError **error)
{
  bool done = false;

  g_mutex_lock (&vm->lock);
  if (!g_ptr_array_find (vm->vfio, device, NULL))
    cpr_throw (error, CPR_ERROR_NOT_FOUND, "KVM VM '%s': it hasn't got the VFIO device '%s'", vm->name, device->name);
  else if (!vm->vfio_is_on || is_shared (vm, device, vm->vfio->len) || set (vm, device, false, error))
    {
      g_ptr_array_remove (vm->vfio, device);
      done = true;
    }
  g_mutex_unlock (&vm->lock);
  return done;
}

bool
cpr_kvm_vm_check_without_vfio (CprKvmVm *vm, const CprVfioDevice *device, GError **error)
{
  bool there;

  g_mutex_lock (&vm->lock);
  there = g_ptr_array_find (vm->vfio, device, NULL);
  g_mutex_unlock (&vm->lock);
  return !there || cpr_throw (error, CPR_ERROR_EXISTS,
                              "VFIO device '%s': KVM VM '%s' has it: take it out first, by cpr_kvm_vfio_remove()",
                              device->name, vm->name);
}

/* Each file once. The ones that were taken out before one that can't be are put in again. */
bool
cpr_kvm_vm_put_vfio_off (CprKvmVm *vm, GError **error)
{
  bool done = true;
  guint n = 0;

  g_mutex_lock (&vm->lock);
  while (done && vm->vfio_is_on && n < vm->vfio->len)
    {
      done = is_shared (vm, vm->vfio->pdata[n], n) || set (vm, vm->vfio->pdata[n], false, error);
      n += done;
    }
  for (guint i = 0; !done && i < n; i++)
    if (!is_shared (vm, vm->vfio->pdata[i], i))
      set (vm, vm->vfio->pdata[i], true, NULL);
  vm->vfio_is_on = vm->vfio_is_on && !done;
  g_mutex_unlock (&vm->lock);
  return done;
}

guint
cpr_kvm_vm_put_vfio_on (CprKvmVm *vm, GError **error)
{
  guint n_failed = 0;

  g_mutex_lock (&vm->lock);
  for (guint i = 0; !vm->vfio_is_on && i < vm->vfio->len; i++)
    if (!is_shared (vm, vm->vfio->pdata[i], i) && !set (vm, vm->vfio->pdata[i], true, error))
      {
        n_failed++;
        error = NULL; /* the first one is told */
      }
  vm->vfio_is_on = true;
  g_mutex_unlock (&vm->lock);
  return n_failed;
}
