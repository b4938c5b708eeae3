/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What KVM has on AArch64 only, for kvm.c: how a vCPU begins, the GICv3 with its ITS, and ports,
 * which are memory. */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "accel/kvm.h"
#include "support/error.h"

#define CORE(member)           (KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | KVM_REG_ARM_CORE_REG (member))
#define SYSTEM(op1, n, m, op2) ARM64_SYS_REG (3, op1, n, m, op2)

#define PSTATE_EL1H_MASKED 0x3c5
#define SCTLR_MMU_CACHES   0x30d01805 /* M, C, I, and what is always set */
#define MAIR_VALUE         0x04ffULL  /* 0: normal, write-back; 1: Device-nGnRE */
/* Addresses of 39 bits by pages of 4 KiB, so the first table has blocks of 1 GiB; the walk is
 * cacheable and inner shareable; no upper half; physical addresses of 40 bits. */
#define TCR_VALUE    (25 | 1ULL << 8 | 1ULL << 10 | 3ULL << 12 | 1ULL << 23 | 2ULL << 32)
#define CPACR_VECTOR (3 << 20) /* no trap */

const GuestKind *
kvm_arch_get_guests (void)
{
  return &guests_arm64;
}

bool
kvm_arch_begin (Kvm *kvm, GError **error)
{
  /* Its MSIs would need a guest that drives the ITS for them. */
  return !kvm->config.vfio || throw_error (error, "--vfio: no guest for AArch64 knows a PCI function");
}

bool
kvm_arch_add_irqchip (Kvm *kvm, GError **error)
{
  return true; /* after the vCPUs */
}

/* ---- The vCPUs. */

static bool
has (const Kvm *kvm, long capability)
{
  return ioctl (kvm->vm_fd, KVM_CHECK_EXTENSION, capability) > 0;
}

/* All vCPUs start at once, and not by PSCI. The guest gets SVE and pointer authentication where the
 * host has them. */
bool
kvm_arch_set_up_vcpu (const Kvm *kvm, unsigned index, GError **error)
{
  int fd = kvm->vcpus[index].fd, sve = KVM_ARM_VCPU_SVE;
  bool has_sve = has (kvm, KVM_CAP_ARM_SVE);
  struct kvm_vcpu_init init;
  if (ioctl (kvm->vm_fd, KVM_ARM_PREFERRED_TARGET, &init) < 0)
    return throw_errno (error, "KVM_ARM_PREFERRED_TARGET");

  init.features[0] |= 1U << KVM_ARM_VCPU_PSCI_0_2;
  if (has_sve)
    init.features[0] |= 1U << KVM_ARM_VCPU_SVE;
  if (has (kvm, KVM_CAP_ARM_PTRAUTH_ADDRESS) && has (kvm, KVM_CAP_ARM_PTRAUTH_GENERIC))
    init.features[0] |= 1U << KVM_ARM_VCPU_PTRAUTH_ADDRESS | 1U << KVM_ARM_VCPU_PTRAUTH_GENERIC;
  if (ioctl (fd, KVM_ARM_VCPU_INIT, &init) < 0)
    return throw_errno (error, "vCPU %u: KVM_ARM_VCPU_INIT", index);
  return !has_sve || ioctl (fd, KVM_ARM_VCPU_FINALIZE, &sve) == 0 ||
         throw_errno (error, "vCPU %u: KVM_ARM_VCPU_FINALIZE", index);
}

/* The page table is in RAM already. */
bool
kvm_arch_reset (const Kvm *kvm, unsigned index, const GuestEntry *entry, GError **error)
{
  const struct
  {
    uint64_t id;
    uint64_t value;
  } registers[] = {
    { SYSTEM (0, 10, 2, 0), MAIR_VALUE },      /* MAIR_EL1 */
    { SYSTEM (0, 2, 0, 2), TCR_VALUE },        /* TCR_EL1 */
    { SYSTEM (0, 2, 0, 0), GUEST_PDPT },       /* TTBR0_EL1 */
    { SYSTEM (0, 1, 0, 2), CPACR_VECTOR },     /* CPACR_EL1 */
    { SYSTEM (0, 1, 0, 0), SCTLR_MMU_CACHES }, /* SCTLR_EL1 */
    { CORE (regs.pstate), PSTATE_EL1H_MASKED },
    { CORE (regs.pc), entry->pc },
    { CORE (sp_el1), entry->sp },
    { CORE (regs.regs[0]), entry->vcpu },
    { CORE (regs.regs[1]), entry->n_vcpus },
    { CORE (regs.regs[2]), entry->boot_info },
  };
  for (size_t i = 0; i < G_N_ELEMENTS (registers); i++)
    {
      const struct kvm_one_reg reg = { registers[i].id, (uintptr_t) &registers[i].value };
      if (ioctl (kvm->vcpus[index].fd, KVM_SET_ONE_REG, &reg) < 0)
        return throw_errno (error, "vCPU %u: KVM_SET_ONE_REG %#llx", index, reg.id);
    }
  return true;
}

uint64_t
kvm_arch_get_pc (const KvmVcpu *vcpu)
{
  uint64_t pc = 0;
  const struct kvm_one_reg reg = { CORE (regs.pc), (uintptr_t) &pc };
  ioctl (vcpu->fd, KVM_GET_ONE_REG, &reg);
  return pc;
}

uint64_t
kvm_arch_get_counter_khz (const Kvm *kvm)
{
  uint64_t hz;
  __asm__("mrs %0, cntfrq_el0" : "=r"(hz));
  return MAX (hz / 1000, 1);
}

/* ---- The GIC. */

static int
create_device (const Kvm *kvm, uint32_t type, const char *name, GError **error)
{
  struct kvm_create_device device = { .type = type };
  if (ioctl (kvm->vm_fd, KVM_CREATE_DEVICE, &device) == 0)
    return (int) device.fd;
  throw_errno (error, "%s: KVM_CREATE_DEVICE", name);
  return -1;
}

static bool
set_attribute (int fd, const char *name, uint32_t group, uint64_t attribute, const void *value, GError **error)
{
  const struct kvm_device_attr attr = { .group = group, .attr = attribute, .addr = (uintptr_t) value };
  return ioctl (fd, KVM_SET_DEVICE_ATTR, &attr) == 0 ||
         throw_errno (error, "%s: KVM_SET_DEVICE_ATTR %u, %llu", name, group, attr.attr);
}

static bool
add_gic (Kvm *kvm, GError **error)
{
  const uint32_t n_irqs = GUEST_GIC_IRQS;
  const uint64_t dist = GUEST_GIC_DIST, redist = GUEST_GIC_REDIST;

  int fd = kvm->gic_fd = create_device (kvm, KVM_DEV_TYPE_ARM_VGIC_V3, "GICv3", error);
  return fd >= 0 && set_attribute (fd, "GICv3", KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, &n_irqs, error) &&
         set_attribute (fd, "GICv3", KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_DIST, &dist, error) &&
         set_attribute (fd, "GICv3", KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_REDIST, &redist, error) &&
         set_attribute (fd, "GICv3", KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, NULL, error) &&
         cpr_kvm_gic_add (kvm->vm, fd, error);
}

static bool
add_its (Kvm *kvm, GError **error)
{
  const uint64_t address = GUEST_GIC_ITS;

  int fd = kvm->its_fd = create_device (kvm, KVM_DEV_TYPE_ARM_VGIC_ITS, "ITS", error);
  return fd >= 0 && set_attribute (fd, "ITS", KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_ITS_ADDR_TYPE, &address, error) &&
         set_attribute (fd, "ITS", KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, NULL, error) &&
         cpr_kvm_its_add (kvm->vm, fd, error);
}

bool
kvm_arch_complete (Kvm *kvm, GError **error)
{
  kvm->has_irqchip = add_gic (kvm, error) && add_its (kvm, error);
  return kvm->has_irqchip;
}

void
kvm_arch_clear (Kvm *kvm)
{
  if (kvm->its_fd >= 0)
    close (kvm->its_fd);
  if (kvm->gic_fd >= 0)
    close (kvm->gic_fd);
}

/* A GSI for each shared interrupt. */
void
kvm_arch_add_routes (struct kvm_irq_routing *routing)
{
  for (uint32_t gsi = 0; gsi < GUEST_GIC_IRQS - 32; gsi++)
    routing->entries[routing->nr++] = (struct kvm_irq_routing_entry){
      .gsi = gsi,
      .type = KVM_IRQ_ROUTING_IRQCHIP,
      .u.irqchip = { 0, gsi },
    };
}

/* ---- Ports. */

bool
kvm_arch_handle_exit (Kvm *kvm, struct kvm_run *run)
{
  uint64_t port = run->mmio.phys_addr - GUEST_PORTS;
  if (run->exit_reason != KVM_EXIT_MMIO || port >= GUEST_PORTS_SIZE)
    return false;
  if (run->mmio.is_write)
    bus_out (kvm->config.bus, (uint16_t) port, run->mmio.data[0]);
  else
    {
      memset (run->mmio.data, 0xff, sizeof run->mmio.data);
      run->mmio.data[0] = bus_in (kvm->config.bus, (uint16_t) port);
    }
  return true;
}
