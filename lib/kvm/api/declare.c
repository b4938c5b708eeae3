/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cpr_inventory_add_kvm(): the KVM VM that a program would make, in an answer to a preflight.
 * Called by the VMM's `declare` callback. */
#include <errno.h>
#include <fcntl.h>

#include <linux/kvm.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/sys.h"
#include "kvm/ask.h"

/* Why KVM here can't have such a VM; NULL: it can, as far as that is known. */
static char *
describe_obstacle (const char *name, unsigned n_vcpus)
{
  int fd = cpr_fd_above_std (cpr_sys->open ("/dev/kvm", O_RDWR | O_CLOEXEC, 0)), most;

  if (fd < 0)
    return g_strdup_printf ("KVM VM '%s': /dev/kvm: %s", name, g_strerror (errno));
  most = cpr_kvm_check (fd, KVM_CAP_MAX_VCPUS);
  cpr_sys->close (fd);
  if (most <= 0 || n_vcpus <= (unsigned) most)
    return NULL;
  return g_strdup_printf ("KVM VM '%s': it has %u vCPUs, and KVM takes %d here", name, n_vcpus, most);
}

void
cpr_inventory_add_kvm (CprInventory *inventory, const char *name, unsigned n_vcpus)
{
  g_autofree char *obstacle = NULL;

  g_return_if_fail (inventory != NULL && name != NULL);

  obstacle = describe_obstacle (name, n_vcpus);
  if (obstacle != NULL)
    cpr_inventory_refuse (inventory, obstacle);
  cpr_inventory_add_device (inventory, name, cpr_kvm_vm_get_type ());
  for (unsigned i = 0; i < n_vcpus; i++)
    {
      g_autofree char *vcpu = g_strdup_printf ("%s/vcpu%u", name, i);

      cpr_inventory_add_device (inventory, vcpu, cpr_kvm_vcpu_get_type ());
    }
}
