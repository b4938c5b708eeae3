/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Eventfds that raise interrupts of the VM: off while its state is read and set, on while the guest
 * runs. Called by vcpu.c, and by lib/session for the VMM. */
#include "kvm/vm.h"

#include "kvm/ioctl.h"

static bool
set (const CprKvmVm *vm, const CprKvmIrqfd *irqfd, bool on, GError **error)
{
  struct kvm_irqfd request = { .fd = (uint32_t) irqfd->fd, .gsi = irqfd->gsi };

  if (!on)
    request.flags = KVM_IRQFD_FLAG_DEASSIGN;
  else if (irqfd->resample_fd >= 0)
    {
      request.flags = KVM_IRQFD_FLAG_RESAMPLE;
      request.resamplefd = (uint32_t) irqfd->resample_fd;
    }
  return cpr_sys->ioctl (vm->fd, KVM_IRQFD, &request) >= 0 ||
         cpr_throw_errno (error, errno, "KVM VM '%s': KVM_IRQFD of fd %d and GSI %u", vm->name, irqfd->fd, irqfd->gsi);
}

static bool
find (const CprKvmVm *vm, int fd, uint32_t gsi, guint *at)
{
  for (*at = 0; *at < vm->irqfds->len; (*at)++)
    {
      const CprKvmIrqfd *irqfd = &g_array_index (vm->irqfds, CprKvmIrqfd, *at);

      if (irqfd->fd == fd && irqfd->gsi == gsi)
        return true;
    }
  return false;
}

bool
cpr_kvm_vm_add_irqfd (CprKvmVm *vm, int fd, uint32_t gsi, int resample_fd, GError **error)
{
  CprKvmIrqfd irqfd = { fd, gsi, resample_fd };
  bool done = false;
  guint at;

  g_mutex_lock (&vm->lock);
  if (find (vm, fd, gsi, &at))
    cpr_throw (error, CPR_ERROR_EXISTS, "KVM VM '%s': fd %d is an irqfd of GSI %u already", vm->name, fd, gsi);
  else if (!vm->irqfds_are_on || set (vm, &irqfd, true, error))
    {
      g_array_append_val (vm->irqfds, irqfd);
      done = true;
    }
  g_mutex_unlock (&vm->lock);
  return done;
}

bool
cpr_kvm_vm_remove_irqfd (CprKvmVm *vm, int fd, uint32_t gsi, GError **error)
{
  bool done = false;
  guint at;

  g_mutex_lock (&vm->lock);
  if (!find (vm, fd, gsi, &at))
    cpr_throw (error, CPR_ERROR_NOT_FOUND, "KVM VM '%s': fd %d is no irqfd of GSI %u", vm->name, fd, gsi);
  else if (!vm->irqfds_are_on || set (vm, &g_array_index (vm->irqfds, CprKvmIrqfd, at), false, error))
    {
      g_array_remove_index (vm->irqfds, at);
      done = true;
    }
  g_mutex_unlock (&vm->lock);
  return done;
}

/* Those that were put off before one that can't be are put on again: the guest goes on with all. */
bool
cpr_kvm_vm_put_irqfds_off (CprKvmVm *vm, GError **error)
{
  bool done = true;
  guint n = 0;

  g_mutex_lock (&vm->lock);
  while (done && vm->irqfds_are_on && n < vm->irqfds->len)
    {
      done = set (vm, &g_array_index (vm->irqfds, CprKvmIrqfd, n), false, error);
      n += done;
    }
  for (guint i = 0; !done && i < n; i++)
    set (vm, &g_array_index (vm->irqfds, CprKvmIrqfd, i), true, NULL);
  vm->irqfds_are_on = vm->irqfds_are_on && !done;
  g_mutex_unlock (&vm->lock);
  return done;
}

/* A level that was raised went down with the irqfd. As after the end of an interrupt, whoever
 * raises it is asked whether it is still up. */
static void
resample (const CprKvmIrqfd *irqfd)
{
  const uint64_t one = 1;

  if (irqfd->resample_fd >= 0)
    (void) !cpr_sys->write (irqfd->resample_fd, &one, sizeof one); /* full: it has been asked */
}

guint
cpr_kvm_vm_put_irqfds_on (CprKvmVm *vm, GError **error)
{
  guint n_failed = 0;

  g_mutex_lock (&vm->lock);
  for (guint i = 0; !vm->irqfds_are_on && i < vm->irqfds->len; i++)
    {
      const CprKvmIrqfd *irqfd = &g_array_index (vm->irqfds, CprKvmIrqfd, i);

      if (set (vm, irqfd, true, error))
        resample (irqfd);
      else
        {
          n_failed++;
          error = NULL; /* the first one is told */
        }
    }
  vm->irqfds_are_on = true;
  g_mutex_unlock (&vm->lock);
  return n_failed;
}
