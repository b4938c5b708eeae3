/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The registers of the GIC and of its ITSs: which there are, in the order in which they are set,
 * and how KVM is asked for one. Called by gic.c. */
#include "kvm/arm64/arm64.h"

#define SGI_FRAME 0x10000 /* of a redistributor */

/* The order is that of the kernel's documentation: GICD_IIDR says how the others behave. The kind
 * of an interrupt comes before its state, and the tables of LPIs before LPIs are switched on. */

typedef struct
{
  uint32_t offset, bits; /* for each interrupt; 0: it is one register */
} Part;

static const Part distributor[] = {
  { 0x0004, 0 }, /* GICD_TYPER */
  { 0x000c, 0 }, /* GICD_TYPER2 */
  { 0x0080, 1 }, /* GICD_IGROUPR */
  { 0x0400, 8 }, /* GICD_IPRIORITYR */
  { 0x0c00, 2 }, /* GICD_ICFGR */
};

static const Part distributor_states[] = {
  { 0x0200, 1 }, /* GICD_ISPENDR: the latch */
  { 0x0300, 1 }, /* GICD_ISACTIVER */
  { 0x0100, 1 }, /* GICD_ISENABLER */
};

static const uint32_t redistributor[] = {
  0x0008,
  0x000c, /* GICR_TYPER */
  0x0070,
  0x0074, /* GICR_PROPBASER */
  0x0078,
  0x007c,            /* GICR_PENDBASER */
  0x0000,            /* GICR_CTLR */
  SGI_FRAME + 0x080, /* GICR_IGROUPR0 */
  SGI_FRAME + 0x400,
  SGI_FRAME + 0x404,
  SGI_FRAME + 0x408,
  SGI_FRAME + 0x40c,
  SGI_FRAME + 0x410,
  SGI_FRAME + 0x414,
  SGI_FRAME + 0x418,
  SGI_FRAME + 0x41c, /* GICR_IPRIORITYR */
  SGI_FRAME + 0xc00,
  SGI_FRAME + 0xc04, /* GICR_ICFGR */
};

static const uint32_t redistributor_states[] = {
  SGI_FRAME + 0x200, /* GICR_ISPENDR0 */
  SGI_FRAME + 0x300, /* GICR_ISACTIVER0 */
  SGI_FRAME + 0x100, /* GICR_ISENABLER0 */
};

#define ICC(op1, crn, crm, op2) ((uint32_t) (3 << 14 | (op1) << 11 | (crn) << 7 | (crm) << 3 | (op2)))
#define ICC_CTLR                ICC (0, 12, 12, 4)

static const uint32_t cpu_interface[] = {
  ICC (0, 12, 12, 5),                   /* ICC_SRE_EL1 */
  ICC_CTLR,           ICC (0, 4, 6, 0), /* ICC_PMR_EL1 */
  ICC (0, 12, 8, 3),                    /* ICC_BPR0_EL1 */
  ICC (0, 12, 12, 3),                   /* ICC_BPR1_EL1 */
  ICC (0, 12, 12, 6),                   /* ICC_IGRPEN0_EL1 */
  ICC (0, 12, 12, 7),                   /* ICC_IGRPEN1_EL1 */
};

static const uint32_t its[] = {
  0x0008,                                                         /* GITS_TYPER */
  0x0080,                                                         /* GITS_CBASER: sets the next two to 0 */
  0x0004,                                                         /* GITS_IIDR: the layout of the tables */
  0x0090, 0x0088,                                                 /* GITS_CREADR, GITS_CWRITER */
  0x0100, 0x0108, 0x0110, 0x0118, 0x0120, 0x0128, 0x0130, 0x0138, /* GITS_BASER */
  0x0000,                                                         /* GITS_CTLR, after the tables */
};

/* ---- One attribute. */

static struct kvm_device_attr
get_attribute (const CprKvmGicEntry *entry, void *value)
{
  struct kvm_device_attr attribute = { .group = entry->group, .attr = entry->offset, .addr = (uintptr_t) value };

  if (entry->group == KVM_DEV_ARM_VGIC_GRP_REDIST_REGS || entry->group == KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS ||
      entry->group == KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO)
    attribute.attr |= (uint64_t) entry->owner << KVM_DEV_ARM_VGIC_V3_MPIDR_SHIFT;
  return attribute;
}

static bool
is_of_its (const CprKvmGicEntry *entry)
{
  return entry->group == KVM_DEV_ARM_VGIC_GRP_ITS_REGS ||
         (entry->group == KVM_DEV_ARM_VGIC_GRP_ADDR && entry->offset == KVM_VGIC_ITS_ADDR_TYPE);
}

static int
get_fd (const CprKvmVm *vm, const CprKvmGicEntry *entry)
{
  if (!is_of_its (entry))
    return vm->gic_fd;
  return entry->owner < vm->its_fds->len ? g_array_index (vm->its_fds, int, entry->owner) : -1;
}

/* The registers of the GIC have 32 bits; KVM leaves the upper half alone. */
int
cpr_kvm_gic_entry_read (const CprKvmVm *vm, CprKvmGicEntry *entry)
{
  struct kvm_device_attr attribute = get_attribute (entry, &entry->value);

  entry->value = entry->group == KVM_DEV_ARM_VGIC_GRP_ADDR && !is_of_its (entry) ? entry->owner : 0;
  return cpr_sys->ioctl (get_fd (vm, entry), KVM_GET_DEVICE_ATTR, &attribute);
}

int
cpr_kvm_gic_entry_write (const CprKvmVm *vm, const CprKvmGicEntry *entry)
{
  uint64_t value = entry->value;
  struct kvm_device_attr attribute = get_attribute (entry, &value);

  return cpr_sys->ioctl (get_fd (vm, entry), KVM_SET_DEVICE_ATTR, &attribute);
}

bool
cpr_kvm_gic_entry_is_fixed (const CprKvmGicEntry *entry)
{
  switch (entry->group)
    {
    case KVM_DEV_ARM_VGIC_GRP_ADDR:
    case KVM_DEV_ARM_VGIC_GRP_NR_IRQS:
      return true;
    case KVM_DEV_ARM_VGIC_GRP_DIST_REGS:
      return entry->offset == 0x0004;
    case KVM_DEV_ARM_VGIC_GRP_REDIST_REGS:
    case KVM_DEV_ARM_VGIC_GRP_ITS_REGS:
      return entry->offset == 0x0008 || entry->offset == 0x000c;
    default:
      return false;
    }
}

/* ---- Which there are. */

static void
add (GArray *entries, uint32_t group, uint32_t owner, uint32_t offset)
{
  CprKvmGicEntry entry = { group, owner, offset, 0 };

  g_array_append_val (entries, entry);
}

/* Those of the interrupts from 32 on; the others are the redistributors'. */
static void
add_parts (GArray *entries, const Part *parts, size_t n_parts, uint32_t n_interrupts)
{
  for (size_t i = 0; i < n_parts; i++)
    if (parts[i].bits == 0)
      add (entries, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0, parts[i].offset);
    else
      for (uint32_t at = 32 * parts[i].bits / 8; at < n_interrupts * parts[i].bits / 8; at += 4)
        add (entries, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0, parts[i].offset + at);
}

/* KVM's vCPUs have no fourth level of affinity, so the upper halves of GICD_IROUTER are 0. */
static void
add_distributor (GArray *entries, uint32_t n_interrupts)
{
  add_parts (entries, distributor, G_N_ELEMENTS (distributor), n_interrupts);
  for (uint32_t i = 32; i < MIN (n_interrupts, 1020); i++)
    add (entries, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0, 0x6000 + 8 * i);
  for (uint32_t i = 32; i < n_interrupts; i += 32)
    add (entries, KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO, 0, i);
  add_parts (entries, distributor_states, G_N_ELEMENTS (distributor_states), n_interrupts);
}

static void
add_redistributor (GArray *entries, uint32_t affinity)
{
  for (size_t i = 0; i < G_N_ELEMENTS (redistributor); i++)
    add (entries, KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, affinity, redistributor[i]);
  add (entries, KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO, affinity, 0);
  for (size_t i = 0; i < G_N_ELEMENTS (redistributor_states); i++)
    add (entries, KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, affinity, redistributor_states[i]);
}

/* The bits of priority say how many registers there are for the active priorities. */
static bool
add_cpu_interface (const CprKvmVm *vm, GArray *entries, uint32_t affinity)
{
  CprKvmGicEntry ctlr = { KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, affinity, ICC_CTLR, 0 };
  uint32_t bits, n;

  if (cpr_kvm_gic_entry_read (vm, &ctlr) < 0)
    return false;
  bits = (ctlr.value >> 8 & 7) + 1;
  n = bits >= 7 ? 4 : bits == 6 ? 2 : 1;
  for (size_t i = 0; i < G_N_ELEMENTS (cpu_interface); i++)
    add (entries, KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, affinity, cpu_interface[i]);
  for (uint32_t i = 0; i < n; i++)
    {
      add (entries, KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, affinity, ICC (0, 12, 8, 4 + i)); /* ICC_AP0R_EL1 */
      add (entries, KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, affinity, ICC (0, 12, 9, i));     /* ICC_AP1R_EL1 */
    }
  return true;
}

static bool
add_addresses (const CprKvmVm *vm, GArray *entries)
{
  CprKvmGicEntry region = { KVM_DEV_ARM_VGIC_GRP_ADDR, 0, KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION, 0 };

  add (entries, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, 0);
  add (entries, KVM_DEV_ARM_VGIC_GRP_ADDR, 0, KVM_VGIC_V3_ADDR_TYPE_DIST);
  for (; cpr_kvm_gic_entry_read (vm, &region) >= 0; region.owner++)
    g_array_append_val (entries, region);
  if (errno != ENOENT)
    return false;
  for (guint i = 0; i < vm->its_fds->len; i++)
    add (entries, KVM_DEV_ARM_VGIC_GRP_ADDR, i, KVM_VGIC_ITS_ADDR_TYPE);
  return true;
}

/* The affinity as the GIC's registers have it. */
static bool
get_affinity (const CprKvmVcpu *vcpu, uint32_t *affinity, GError **error)
{
  uint64_t mpidr = 0;

  if (cpr_kvm_register_read (vcpu->fd, CPR_KVM_MPIDR, &mpidr) < 0)
    return cpr_kvm_vcpu_throw (vcpu, errno, "KVM_GET_ONE_REG of MPIDR_EL1", error);
  *affinity = (uint32_t) ((mpidr >> 32 & 0xff) << 24 | (mpidr & 0xffffff));
  return true;
}

bool
cpr_kvm_gic_list_entries (const CprKvmVm *vm, GArray *entries, GError **error)
{
  CprKvmGicEntry n = { KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, 0, 0 };
  g_autofree uint32_t *affinities = g_new0 (uint32_t, MAX (vm->vcpus->len, 1));

  /* KVM also resets a vCPU now that the guest has switched on: this changes its interrupts. */
  for (guint i = 0; i < vm->vcpus->len; i++)
    if (!get_affinity (vm->vcpus->pdata[i], &affinities[i], error))
      return false;
  if (cpr_kvm_gic_entry_read (vm, &n) < 0)
    return cpr_throw_errno (error, errno, "KVM VM '%s': GIC: KVM_GET_DEVICE_ATTR of its number of interrupts",
                            vm->name);
  if (!add_addresses (vm, entries))
    return cpr_throw_errno (error, errno, "KVM VM '%s': GIC: KVM_GET_DEVICE_ATTR of the redistributors' regions",
                            vm->name);
  add (entries, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0, 0x0008); /* GICD_IIDR */
  add (entries, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0, 0x0000); /* GICD_CTLR */
  for (guint i = 0; i < vm->vcpus->len; i++)
    add_redistributor (entries, affinities[i]);
  add_distributor (entries, (uint32_t) n.value);
  for (guint i = 0; i < vm->vcpus->len; i++)
    if (!add_cpu_interface (vm, entries, affinities[i]))
      return cpr_throw_errno (error, errno, "KVM VM '%s': GIC: KVM_GET_DEVICE_ATTR of ICC_CTLR_EL1 of the CPU 0x%x",
                              vm->name, affinities[i]);
  for (guint i = 0; i < vm->its_fds->len; i++)
    for (size_t k = 0; k < G_N_ELEMENTS (its); k++)
      add (entries, KVM_DEV_ARM_VGIC_GRP_ITS_REGS, i, its[k]);
  return true;
}
