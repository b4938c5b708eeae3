/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The vCPUs' CPUID, for kvm.c. */
#include "cpuid.h"

#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "support/error.h"

#define ENTRIES_MAX 256

#define ECX_VMX          (1U << 5)
#define ECX_X2APIC       (1U << 21)
#define ECX_TSC_DEADLINE (1U << 24)
#define ECX_HYPERVISOR   (1U << 31)
#define EDX_HTT          (1U << 28)
#define EXT_ECX_SVM      (1U << 2)

static unsigned
count_bits (unsigned n_cpus)
{
  unsigned bits = 0;

  while (1U << bits < n_cpus)
    bits++;
  return bits;
}

static void
edit_entry (struct kvm_cpuid_entry2 *entry, unsigned index, unsigned n_cpus)
{
  switch (entry->function)
    {
    case 0x1:
      entry->ebx = (entry->ebx & 0x0000ffff) | n_cpus << 16 | index << 24;
      entry->ecx = (entry->ecx & ~ECX_VMX) | ECX_X2APIC | ECX_TSC_DEADLINE | ECX_HYPERVISOR;
      entry->edx |= n_cpus > 1 ? EDX_HTT : 0;
      break;
    case 0x4: /* Intel: how many cores */
      if (entry->eax & 0x1f)
        entry->eax = (entry->eax & 0x03ffffff) | (n_cpus - 1) << 26;
      break;
    case 0xb: /* the levels of the machine; the leaves above say it, too */
    case 0x1f:
      entry->eax = entry->ebx = entry->ecx = 0;
      entry->edx = index;
      break;
    case 0x80000001:
      entry->ecx &= ~EXT_ECX_SVM;
      break;
    case 0x80000008: /* AMD: how many cores */
      entry->ecx = count_bits (n_cpus) << 12 | (n_cpus - 1);
      break;
    case 0x8000001e:
      entry->eax = entry->ebx = index;
      entry->ecx = 0;
      break;
    }
}

bool
cpuid_set (int kvm_fd, int cpu_fd, unsigned index, unsigned n_cpus, GError **error)
{
  g_autofree struct kvm_cpuid2 *cpuid = g_malloc0 (sizeof *cpuid + ENTRIES_MAX * sizeof cpuid->entries[0]);

  cpuid->nent = ENTRIES_MAX;
  if (ioctl (kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid) < 0)
    return throw_errno (error, "KVM_GET_SUPPORTED_CPUID");
  for (unsigned i = 0; i < cpuid->nent; i++)
    edit_entry (&cpuid->entries[i], index, n_cpus);
  return ioctl (cpu_fd, KVM_SET_CPUID2, cpuid) == 0 || throw_errno (error, "vCPU %u: KVM_SET_CPUID2", index);
}
