/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Asks what KVM offers on this host, and finds those needs of a state that it can't meet. There is
 * no VM here yet: a preflight asks while the guest runs elsewhere. Called by needs/. */
#include "kvm/ask.h"
#include "kvm/x86/x86.h"

#define VMX (1u << 5) /* of leaf 1, ecx */
#define SVM (1u << 2) /* of leaf 0x80000001, ecx */

/* Numbers in MCG_CAP: how many banks there are, and how many registers more, which KVM doesn't look
 * at. */
#define MCG_BANKS     0xffu
#define MCG_REGISTERS 0xff0000u

struct _CprKvmHost
{
  CprKvmCpuid offered;
  GArray *msrs; /* uint32_t */
  uint32_t xsave_size;
  uint32_t n_banks; /* of machine checks */
  uint64_t mcg_cap;
  uint32_t vcpu_ids_max;
  bool has_irqchip, has_pit, has_routing, has_nested;
};

/* ---- What KVM offers. */

#define ASK(capability, answer) cpr_kvm_ask (kvm_fd, capability, #capability, answer, error)

static bool
ask_sizes (CprKvmHost *host, int kvm_fd, GError **error)
{
  uint32_t xsave2 = 0;

  if (!ASK (KVM_CAP_XSAVE2, &xsave2) || !ASK (KVM_CAP_MCE, &host->n_banks) ||
      !ASK (KVM_CAP_MAX_VCPU_ID, &host->vcpu_ids_max))
    return false;
  host->xsave_size = MAX (xsave2, CPR_KVM_XSAVE_MIN);
  return host->n_banks == 0 || cpr_sys->ioctl (kvm_fd, KVM_X86_GET_MCE_CAP_SUPPORTED, &host->mcg_cap) >= 0 ||
         cpr_throw_errno (error, errno, "KVM_X86_GET_MCE_CAP_SUPPORTED");
}

static bool
ask_parts (CprKvmHost *host, int kvm_fd, GError **error)
{
  uint32_t irqchip = 0, pit = 0, routing = 0, nested = 0;

  if (!ASK (KVM_CAP_IRQCHIP, &irqchip) || !ASK (KVM_CAP_PIT_STATE2, &pit) || !ASK (KVM_CAP_IRQ_ROUTING, &routing) ||
      !ASK (KVM_CAP_NESTED_STATE, &nested))
    return false;
  host->has_irqchip = irqchip > 0;
  host->has_pit = pit > 0;
  host->has_routing = routing > 0;
  host->has_nested = nested > 0;
  return true;
}

CprKvmHost *
cpr_kvm_host_new (int kvm_fd, GError **error)
{
  CprKvmHost *host = g_new0 (CprKvmHost, 1);

  host->msrs = cpr_kvm_msrs_list (kvm_fd, false, error);
  if (host->msrs != NULL && cpr_kvm_cpuid_get_offered (kvm_fd, &host->offered, error) &&
      ask_sizes (host, kvm_fd, error) && ask_parts (host, kvm_fd, error))
    return host;
  cpr_kvm_host_free (host);
  return NULL;
}

void
cpr_kvm_host_free (CprKvmHost *host)
{
  g_clear_pointer (&host->msrs, g_array_unref);
  g_free (host);
}

/* ---- What a vCPU needs. */

static void tell (CprKvmLackFunc func, void *user_data, const char *format, ...) G_GNUC_PRINTF (3, 4);

static void
tell (CprKvmLackFunc func, void *user_data, const char *format, ...)
{
  g_autofree char *lack = NULL;
  va_list arguments;

  va_start (arguments, format);
  lack = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  func (lack, user_data);
}

static bool
has_msr (const CprKvmHost *host, uint32_t index)
{
  for (guint i = 0; i < host->msrs->len; i++)
    if (g_array_index (host->msrs, uint32_t, i) == index)
      return true;
  return false;
}

static void
find_msrs (const CprKvmHost *host, const CprKvmVcpu *vcpu, CprKvmLackFunc func, void *user_data)
{
  for (uint32_t i = 0; i < vcpu->msrs.count; i++)
    {
      uint32_t index = vcpu->msrs.entries[i].index;

      if (!cpr_kvm_msr_is_of_bank (vcpu, index) && !has_msr (host, index))
        tell (func, user_data, "MSR 0x%x: it is in the state, and KVM doesn't have it here", index);
    }
}

static void
find_machine_checks (const CprKvmHost *host, const CprKvmVcpu *vcpu, CprKvmLackFunc func, void *user_data)
{
  uint64_t more = vcpu->mcg_cap & ~(host->mcg_cap | MCG_BANKS | MCG_REGISTERS);

  if ((vcpu->mcg_cap & MCG_BANKS) > host->n_banks)
    tell (func, user_data, "machine checks: the guest has %u banks, and KVM takes %u here",
          (unsigned) (vcpu->mcg_cap & MCG_BANKS), host->n_banks);
  if (more != 0)
    tell (func, user_data,
          "machine checks: the guest has the abilities 0x%" G_GINT64_MODIFIER "x (MCG_CAP), and KVM hasn't here", more);
}

/* The end of the area that the guest can have in use: the components that its CPUID lists. */
static uint32_t
get_xsave_size (const CprKvmCpuid *cpuid)
{
  uint64_t components = 0;
  uint32_t size = 0;

  for (uint32_t i = 0; i < cpuid->count; i++)
    if (cpuid->entries[i].function == 0xd && cpuid->entries[i].index == 0)
      components = cpuid->entries[i].eax | (uint64_t) cpuid->entries[i].edx << 32;
  for (uint32_t i = 0; i < cpuid->count; i++)
    {
      const struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];

      if (entry->function == 0xd && entry->index >= 2 && entry->index < 64 && (components >> entry->index & 1) != 0)
        size = MAX (size, entry->eax + entry->ebx);
    }
  return size;
}

static bool
has_bits (const CprKvmCpuid *cpuid, uint32_t function, uint32_t ecx)
{
  for (uint32_t i = 0; i < cpuid->count; i++)
    if (cpuid->entries[i].function == function && (cpuid->entries[i].ecx & ecx) != 0)
      return true;
  return false;
}

void
cpr_kvm_host_find_lacks_of_vcpu (const CprKvmHost *host,
                                 const CprKvmVcpu *vcpu,
                                 unsigned index,
                                 const CprKvmVcpu *here,
                                 CprKvmLackFunc func,
                                 void *user_data)
{
  uint32_t xsave_size = MIN (get_xsave_size (&vcpu->cpuid), vcpu->xsave_size);

  if (index >= host->vcpu_ids_max)
    tell (func, user_data, "its index is %u, and KVM takes indices below %u here", index, host->vcpu_ids_max);
  cpr_kvm_cpuid_find_lacks (&vcpu->backed, &host->offered, func, user_data);
  find_msrs (host, vcpu, func, user_data);
  find_machine_checks (host, vcpu, func, user_data);
  if (xsave_size > host->xsave_size)
    tell (func, user_data, "XSAVE: the guest's FPU has up to %u bytes, and KVM takes %u here (KVM_CAP_XSAVE2)",
          xsave_size, host->xsave_size);
  if (vcpu->nested_size > 0 && !host->has_nested &&
      (has_bits (&vcpu->cpuid, 1, VMX) || has_bits (&vcpu->cpuid, 0x80000001, SVM)))
    tell (func, user_data,
          "nested state: the guest can have VMs of its own, and KVM can't take them here (KVM_CAP_NESTED_STATE)");
  if (here != NULL && vcpu->has_lapic && cpr_kvm_vcpu_lacks_lapic (here))
    tell (func, user_data, "it has a LAPIC in the kernel, and this program made none: " CPR_KVM_LAPIC_HINT);
}

/* ---- What a VM needs. */

void
cpr_kvm_host_find_lacks_of_vm (
    const CprKvmHost *host, const CprKvmVm *vm, const CprKvmVm *here, CprKvmLackFunc func, void *user_data)
{
  if (vm->has_irqchip && !host->has_irqchip)
    tell (func, user_data, "it has an irqchip with PIC and IOAPIC, and KVM has none here (KVM_CAP_IRQCHIP)");
  if (vm->has_pit && !host->has_pit)
    tell (func, user_data, "it has a PIT, and KVM has none here (KVM_CAP_PIT_STATE2)");
  if (vm->routes_size > 0 && !host->has_routing)
    tell (func, user_data, "it has routes of interrupts, and KVM takes none here (KVM_CAP_IRQ_ROUTING)");
  if (here != NULL && vm->has_irqchip && cpr_kvm_vm_lacks_irqchip (here))
    tell (func, user_data, "it has an irqchip with PIC and IOAPIC, and this program made none (KVM_CREATE_IRQCHIP)");
  if (here != NULL && vm->has_pit && cpr_kvm_vm_lacks_pit (here))
    tell (func, user_data, "it has a PIT, and this program made none (KVM_CREATE_PIT2)");
}
