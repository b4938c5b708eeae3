/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* KVM's part of a function of the host, for kvm.c: memory slots, and the route and irqfd of its
 * MSI. */
#include "accel/kvm-vfio.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "accel/kvm.h"
#include "support/error.h"

#define MSI_GSI 24 /* after an IOAPIC's */

struct _KvmVfio
{
  Vfio *vfio;
  CprKvmVm *vm;
  int vm_fd;
  uint32_t first_slot;
  unsigned n_windows;
  VfioWindow windows[PCI_N_BARS]; /* those with a memory slot */

  bool has_irqfd; /* vCPUs change it one at a time: Vfio has a mutex for that */
};

/* ---- Memory slots. */

static bool
set_slot (const KvmVfio *kvm, unsigned n, const VfioWindow *window, uint64_t size, GError **error)
{
  const struct kvm_userspace_memory_region region = {
    .slot = kvm->first_slot + n,
    .guest_phys_addr = window->gpa,
    .memory_size = size,
    .userspace_addr = (uintptr_t) window->vaddr,
  };
  return ioctl (kvm->vm_fd, KVM_SET_USER_MEMORY_REGION, &region) == 0 ||
         throw_errno (error, "BAR at %#llx: KVM_SET_USER_MEMORY_REGION", region.guest_phys_addr);
}

static bool
remove_slots (KvmVfio *kvm, GError **error)
{
  while (kvm->n_windows)
    {
      if (!set_slot (kvm, kvm->n_windows - 1, &kvm->windows[kvm->n_windows - 1], 0, error))
        return false;
      kvm->n_windows--;
    }
  return true;
}

static unsigned
get_mapped_windows (const KvmVfio *kvm, VfioWindow mapped[PCI_N_BARS])
{
  unsigned n = vfio_get_windows (kvm->vfio, mapped), n_mapped = 0;
  for (unsigned i = 0; i < n; i++)
    if (mapped[i].vaddr)
      mapped[n_mapped++] = mapped[i];
  return n_mapped;
}

static bool
add_slots (KvmVfio *kvm, GError **error)
{
  VfioWindow mapped[PCI_N_BARS];
  unsigned n = get_mapped_windows (kvm, mapped);
  for (unsigned i = 0; i < n; i++)
    {
      if (!set_slot (kvm, i, &mapped[i], mapped[i].size, error))
        return false;
      kvm->windows[kvm->n_windows++] = mapped[i];
    }
  return true;
}

static bool
slots_are_right (const KvmVfio *kvm)
{
  VfioWindow mapped[PCI_N_BARS];
  unsigned n = get_mapped_windows (kvm, mapped);
  if (n != kvm->n_windows)
    return false;
  for (unsigned i = 0; i < n; i++)
    if (mapped[i].gpa != kvm->windows[i].gpa || mapped[i].vaddr != kvm->windows[i].vaddr)
      return false;
  return true;
}

static bool
windows_change (void *data, bool there, GError **error)
{
  KvmVfio *kvm = data;
  return there ? add_slots (kvm, error) : remove_slots (kvm, error);
}

/* ---- The interrupt. */

/* All routes at once, as the kernel wants it: those that it makes by itself for an irqchip, and
 * ours. */
static bool
route_msi (const KvmVfio *kvm, GError **error)
{
  g_autofree struct kvm_irq_routing *routing =
      g_malloc0 (sizeof *routing + (KVM_ARCH_ROUTES_MAX + 1) * sizeof routing->entries[0]);
  PciMsi msi;

  kvm_arch_add_routes (routing);
  if (vfio_get_msi (kvm->vfio, &msi))
    routing->entries[routing->nr++] = (struct kvm_irq_routing_entry){
      .gsi = MSI_GSI,
      .type = KVM_IRQ_ROUTING_MSI,
      .u.msi = { .address_lo = (uint32_t) msi.address, .address_hi = (uint32_t) (msi.address >> 32), .data = msi.data },
    };
  return cpr_kvm_vm_set_gsi_routing (kvm->vm, routing, error);
}

/* The library takes it off and puts it on in an update. */
static bool
set_irqfd (KvmVfio *kvm, GError **error)
{
  int fd = vfio_get_irq_fd (kvm->vfio);
  PciMsi msi;
  bool on = vfio_get_msi (kvm->vfio, &msi);

  if (kvm->has_irqfd == on)
    return true;
  if (on ? !cpr_kvm_irqfd_add (kvm->vm, fd, MSI_GSI, -1, error) : !cpr_kvm_irqfd_remove (kvm->vm, fd, MSI_GSI, error))
    return false;
  kvm->has_irqfd = on;
  return true;
}

static bool
msi_changed (void *data, GError **error)
{
  KvmVfio *kvm = data;
  return route_msi (kvm, error) && set_irqfd (kvm, error);
}

static const VfioListener listener = { windows_change, msi_changed };

/* ---- Begin and end. */

KvmVfio *
kvm_vfio_new (Vfio *vfio, CprKvmVm *vm, int vm_fd, uint32_t first_slot, GError **error)
{
  g_autoptr (KvmVfio) kvm = g_new0 (KvmVfio, 1);
  kvm->vfio = vfio;
  kvm->vm = vm;
  kvm->vm_fd = vm_fd;
  kvm->first_slot = first_slot;
  if (!cpr_kvm_vfio_add (vm, vfio_get_device (vfio), error) || !add_slots (kvm, error))
    return NULL;
  vfio_set_listener (vfio, &listener, kvm);
  return g_steal_pointer (&kvm);
}

void
kvm_vfio_free (KvmVfio *kvm)
{
  if (!kvm)
    return;
  cpr_kvm_vfio_remove (kvm->vm, vfio_get_device (kvm->vfio), NULL);
  g_free (kvm);
}

bool
kvm_vfio_loaded (KvmVfio *kvm, GError **error)
{
  if (!slots_are_right (kvm) && (!remove_slots (kvm, error) || !add_slots (kvm, error)))
    return false;
  return set_irqfd (kvm, error);
}
