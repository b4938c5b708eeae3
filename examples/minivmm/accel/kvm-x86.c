/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What KVM has on x86-64 only, for kvm.c: how a vCPU begins, its CPUID, the irqchip, and ports. */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "accel/kvm.h"
#include "support/error.h"

/* Three pages for the kernel's own use on some CPUs; its identity map is by default the page
 * below. Far from RAM. */
#define TSS_ADDRESS 0xfffbd000

#define CR0_LONG_MODE  0x80000033 /* PG, NE, ET, MP, PE */
#define CR4_LONG_MODE  0x00000620 /* OSXMMEXCPT, OSFXSR, PAE */
#define EFER_LONG_MODE 0x00000500 /* LMA, LME */

#define CPUID_MAX 256

#define N_IOAPIC_GSIS 24 /* the first 16 are the PIC's too */
#define N_PIC_GSIS    16

const GuestKind *
kvm_arch_get_guests (void)
{
  return &guests_x86;
}

bool
kvm_arch_begin (Kvm *kvm, GError **error)
{
  return ioctl (kvm->vm_fd, KVM_SET_TSS_ADDR, TSS_ADDRESS) == 0 || throw_errno (error, "KVM VM: KVM_SET_TSS_ADDR");
}

bool
kvm_arch_add_irqchip (Kvm *kvm, GError **error)
{
  const struct kvm_pit_config pit = { 0 };

  kvm->has_irqchip = ioctl (kvm->vm_fd, KVM_CREATE_IRQCHIP, 0) == 0;
  if (kvm->vfio && !kvm->has_irqchip)
    return throw_errno (error, "KVM_CREATE_IRQCHIP");
  if (kvm->has_irqchip)
    ioctl (kvm->vm_fd, KVM_CREATE_PIT2, &pit); /* no guest needs it */
  return true;
}

/* The guest gets all that the kernel can do, except nested virtualization. The CPUID also holds the
 * vCPU's number. KVM takes a third of a millisecond for it, and it goes along in the state. */
static bool
choose_cpuid (const Kvm *kvm, unsigned index, GError **error)
{
  g_autofree struct kvm_cpuid2 *cpuid = g_malloc0 (sizeof *cpuid + CPUID_MAX * sizeof cpuid->entries[0]);
  cpuid->nent = CPUID_MAX;
  if (ioctl (kvm->fd, KVM_GET_SUPPORTED_CPUID, cpuid) < 0)
    return throw_errno (error, "KVM_GET_SUPPORTED_CPUID");

  for (unsigned i = 0; i < cpuid->nent; i++)
    {
      struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];
      if (entry->function == 1)
        {
          entry->ebx = (entry->ebx & 0x00ffffff) | index << 24;
          entry->ecx &= ~(1U << 5); /* VMX */
        }
      else if (entry->function == 0xb || entry->function == 0x1f)
        entry->edx = index;
      else if (entry->function == 0x80000001)
        entry->ecx &= ~(1U << 2); /* SVM */
    }
  return ioctl (kvm->vcpus[index].fd, KVM_SET_CPUID2, cpuid) == 0 ||
         throw_errno (error, "vCPU %u: KVM_SET_CPUID2", index);
}

bool
kvm_arch_set_up_vcpu (const Kvm *kvm, unsigned index, GError **error)
{
  return !kvm->config.ahead || choose_cpuid (kvm, index, error);
}

bool
kvm_arch_complete (Kvm *kvm, GError **error)
{
  return true;
}

uint64_t
kvm_arch_get_counter_khz (const Kvm *kvm)
{
  int khz = ioctl (kvm->vcpus[0].fd, KVM_GET_TSC_KHZ, 0);
  return khz > 0 ? khz : 1000000;
}

/* 64-bit mode at once, with flat segments; the page tables and the GDT are in RAM already. */
static bool
enter_long_mode (const KvmVcpu *vcpu, unsigned index, const GuestEntry *entry, GError **error)
{
  struct kvm_sregs sregs;
  if (ioctl (vcpu->fd, KVM_GET_SREGS, &sregs) < 0)
    return throw_errno (error, "vCPU %u: KVM_GET_SREGS", index);

  const struct kvm_segment data = {
    .limit = 0xffffffff, .selector = 0x10, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1
  };
  sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
  sregs.cs =
      (struct kvm_segment){ .limit = 0xffffffff, .selector = 0x18, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1 };
  sregs.gdt = (struct kvm_dtable){ .base = GUEST_GDT, .limit = 4 * 8 - 1 };
  sregs.cr0 = CR0_LONG_MODE;
  sregs.cr3 = GUEST_PML4;
  sregs.cr4 = CR4_LONG_MODE;
  sregs.efer = EFER_LONG_MODE;
  if (ioctl (vcpu->fd, KVM_SET_SREGS, &sregs) < 0)
    return throw_errno (error, "vCPU %u: KVM_SET_SREGS", index);

  const struct kvm_regs regs = {
    .rip = entry->pc,
    .rsp = entry->sp,
    .rdi = entry->vcpu,
    .rsi = entry->n_vcpus,
    .rdx = entry->boot_info,
    .rflags = 2,
  };
  if (ioctl (vcpu->fd, KVM_SET_REGS, &regs) < 0)
    return throw_errno (error, "vCPU %u: KVM_SET_REGS", index);
  return true;
}

bool
kvm_arch_reset (const Kvm *kvm, unsigned index, const GuestEntry *entry, GError **error)
{
  const KvmVcpu *vcpu = &kvm->vcpus[index];
  const struct kvm_mp_state runnable = { KVM_MP_STATE_RUNNABLE };

  /* All but the first would wait for a SIPI. */
  return enter_long_mode (vcpu, index, entry, error) &&
         (!kvm->has_irqchip || ioctl (vcpu->fd, KVM_SET_MP_STATE, &runnable) == 0 ||
          throw_errno (error, "vCPU %u: KVM_SET_MP_STATE", index));
}

static void
add_irqchip_route (struct kvm_irq_routing *routing, uint32_t gsi, uint32_t chip, uint32_t pin)
{
  routing->entries[routing->nr++] = (struct kvm_irq_routing_entry){
    .gsi = gsi,
    .type = KVM_IRQ_ROUTING_IRQCHIP,
    .u.irqchip = { chip, pin },
  };
}

void
kvm_arch_add_routes (struct kvm_irq_routing *routing)
{
  for (uint32_t gsi = 0; gsi < N_IOAPIC_GSIS; gsi++)
    {
      if (gsi < N_PIC_GSIS)
        add_irqchip_route (routing, gsi, gsi < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE, gsi % 8);
      add_irqchip_route (routing, gsi, KVM_IRQCHIP_IOAPIC, gsi);
    }
}

static void
handle_port (Kvm *kvm, struct kvm_run *run)
{
  uint8_t *data = (uint8_t *) run + run->io.data_offset;
  for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size)
    if (run->io.direction == KVM_EXIT_IO_OUT)
      bus_out (kvm->config.bus, run->io.port, data[0]);
    else
      {
        memset (data, 0xff, run->io.size);
        data[0] = bus_in (kvm->config.bus, run->io.port);
      }
}

bool
kvm_arch_handle_exit (Kvm *kvm, struct kvm_run *run)
{
  if (run->exit_reason != KVM_EXIT_IO)
    return false;
  handle_port (kvm, run);
  return true;
}

uint64_t
kvm_arch_get_pc (const KvmVcpu *vcpu)
{
  struct kvm_regs regs = { 0 };
  ioctl (vcpu->fd, KVM_GET_REGS, &regs);
  return regs.rip;
}

void
kvm_arch_clear (Kvm *kvm)
{
}
