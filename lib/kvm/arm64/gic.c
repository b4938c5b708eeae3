/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The interrupt controller: adding it, reading it and its tables, and setting it. Called by
 * machine.c, and by lib/session for the VMM. */
#include <string.h>

#include "kvm/arm64/arm64.h"

#define SPI_FRAME 0x0000
#define SGI_FRAME 0x10000
#define ISENABLER 0x100
#define ISACTIVER 0x300
#define CLEARS    0x080 /* from a register that sets bits to the one that clears them */
#define ITS_CTLR  0x00

/* ---- The entries as a list. */

static GArray *
new_entries (void)
{
  return g_array_new (FALSE, TRUE, sizeof (CprKvmGicEntry));
}

static CprKvmGicEntry *
get_entry (const GArray *entries, guint i)
{
  return &g_array_index (entries, CprKvmGicEntry, i);
}

static void *
get_next (const void *container, const void *element)
{
  const GArray *entries = *(GArray *const *) container;
  guint i = element != NULL ? (guint) ((const CprKvmGicEntry *) element - get_entry (entries, 0)) + 1 : 0;

  return entries != NULL && i < entries->len ? get_entry (entries, i) : NULL;
}

static void *
append (void *container)
{
  GArray **entries = container;

  if (*entries == NULL)
    *entries = new_entries ();
  g_array_set_size (*entries, (*entries)->len + 1);
  return get_entry (*entries, (*entries)->len - 1);
}

static void
clear (void *container)
{
  GArray *entries = *(GArray **) container;

  if (entries != NULL)
    g_array_set_size (entries, 0);
}

const CprList cpr_kvm_gic_list = { get_next, append, clear };

static uint32_t
find_value (const CprKvmVm *vm, uint32_t group, uint32_t offset, uint32_t *n)
{
  uint64_t value = 0;

  *n = 0;
  for (guint i = 0; vm->gic != NULL && i < vm->gic->len; i++)
    if (get_entry (vm->gic, i)->group == group && get_entry (vm->gic, i)->offset == offset)
      {
        value = get_entry (vm->gic, i)->value;
        ++*n;
      }
  return (uint32_t) value;
}

uint32_t
cpr_kvm_gic_count_interrupts (const CprKvmVm *vm)
{
  uint32_t n;

  return find_value (vm, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, &n);
}

uint32_t
cpr_kvm_gic_count_its (const CprKvmVm *vm)
{
  uint32_t n;

  find_value (vm, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_ITS_ADDR_TYPE, &n);
  return n;
}

/* ---- Messages. */

char *
cpr_kvm_gic_entry_get_name (const CprKvmGicEntry *entry)
{
  switch (entry->group)
    {
    case KVM_DEV_ARM_VGIC_GRP_ADDR:
      if (entry->offset == KVM_VGIC_V3_ADDR_TYPE_DIST)
        return g_strdup ("GIC: the distributor's address");
      return g_strdup_printf (entry->offset == KVM_VGIC_ITS_ADDR_TYPE ? "ITS %u: its address"
                                                                      : "GIC: region %u of the redistributors",
                              entry->owner);
    case KVM_DEV_ARM_VGIC_GRP_NR_IRQS:
      return g_strdup ("GIC: the number of interrupts");
    case KVM_DEV_ARM_VGIC_GRP_DIST_REGS:
      return g_strdup_printf ("GIC: register 0x%x of the distributor", entry->offset);
    case KVM_DEV_ARM_VGIC_GRP_REDIST_REGS:
      return g_strdup_printf ("GIC: register 0x%x of the redistributor of the CPU 0x%x", entry->offset, entry->owner);
    case KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO:
      return g_strdup_printf ("GIC: levels of the interrupts from %u on of the CPU 0x%x", entry->offset, entry->owner);
    case KVM_DEV_ARM_VGIC_GRP_ITS_REGS:
      return g_strdup_printf ("ITS %u: register 0x%x", entry->owner, entry->offset);
    default:
      return g_strdup_printf ("GIC: register S3_%u_C%u_C%u_%u of the CPU 0x%x", entry->offset >> 11 & 7,
                              entry->offset >> 7 & 0xf, entry->offset >> 3 & 0xf, entry->offset & 7, entry->owner);
    }
}

/* EBUSY: KVM takes all vCPUs while it reads or changes the GIC. */
static bool throw (const CprKvmVm *vm, const char *what, const char *name, int errnum, GError **error)
{
  return cpr_throw_errno (error, errnum, "KVM VM '%s': %s: %s%s", vm->name, name, what,
                          errnum == EBUSY ? ": a vCPU is in KVM_RUN" : "");
}

static bool
throw_entry (const CprKvmVm *vm, const char *what, const CprKvmGicEntry *entry, int errnum, GError **error)
{
  g_autofree char *name = cpr_kvm_gic_entry_get_name (entry);

  return throw (vm, what, name, errnum, error);
}

/* ---- Adding it. */

static bool
has_attribute (int fd, uint32_t group, uint64_t attr)
{
  struct kvm_device_attr attribute = { .group = group, .attr = attr };

  return cpr_sys->ioctl (fd, KVM_HAS_DEVICE_ATTR, &attribute) >= 0;
}

static bool
refuse (const CprKvmVm *vm, int fd, const char *what, GError **error)
{
  return cpr_throw (error, CPR_ERROR_INVALID, "KVM VM '%s': fd %d is %s", vm->name, fd, what);
}

#define INIT_HINT "KVM_DEV_ARM_VGIC_CTRL_INIT"

/* A GIC that isn't initialised has no registers yet. */
static bool
check_gic (CprKvmVm *vm, GError **error)
{
  CprKvmGicEntry ctlr = { KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0, 0, 0 };
  CprKvmGicEntry address = { KVM_DEV_ARM_VGIC_GRP_ADDR, 0, KVM_VGIC_V3_ADDR_TYPE_DIST, 0 };

  if (cpr_kvm_gic_entry_read (vm, &ctlr) < 0)
    return errno == EBUSY ? refuse (vm, vm->gic_fd, "a GIC that isn't initialised: " INIT_HINT " comes first", error)
                          : throw_entry (vm, "KVM_GET_DEVICE_ATTR", &ctlr, errno, error);
  if (cpr_kvm_gic_entry_read (vm, &address) < 0)
    return throw_entry (vm, "KVM_GET_DEVICE_ATTR", &address, errno, error);
  return address.value != UINT64_MAX ||
         refuse (vm, vm->gic_fd, "a GIC without an address: KVM_DEV_ARM_VGIC_GRP_ADDR comes first", error);
}

bool
cpr_kvm_vm_add_gic (CprKvmVm *vm, int fd, GError **error)
{
  if (vm->gic_fd >= 0)
    return cpr_throw (error, CPR_ERROR_EXISTS, "KVM VM '%s': it has a GIC already, fd %d", vm->name, vm->gic_fd);
  if (has_attribute (fd, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V2_ADDR_TYPE_DIST))
    return refuse (vm, fd, "a GICv2, and only a GICv3 can be handed over (KVM_DEV_TYPE_ARM_VGIC_V3)", error);
  if (!has_attribute (fd, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_DIST))
    return refuse (vm, fd, "no GICv3", error);
  vm->gic_fd = fd;
  if (check_gic (vm, error))
    return true;
  vm->gic_fd = -1;
  return false;
}

bool
cpr_kvm_vm_add_its (CprKvmVm *vm, int fd, GError **error)
{
  CprKvmGicEntry address = { KVM_DEV_ARM_VGIC_GRP_ADDR, vm->its_fds->len, KVM_VGIC_ITS_ADDR_TYPE, 0 };
  bool done;

  if (vm->gic_fd < 0)
    return refuse (vm, fd, "to be an ITS, and there is no GIC yet: cpr_kvm_gic_add() comes first", error);
  if (!has_attribute (fd, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_ITS_ADDR_TYPE))
    return refuse (vm, fd, "no ITS", error);
  if (vm->its_fds->len == CPR_KVM_ITS_MAX)
    return refuse (vm, fd, "one ITS more than libcpr takes", error);
  g_array_append_val (vm->its_fds, fd);
  done = cpr_kvm_gic_entry_read (vm, &address) >= 0
             ? address.value != UINT64_MAX ||
                   refuse (vm, fd, "an ITS without an address: KVM_DEV_ARM_VGIC_GRP_ADDR comes first", error)
             : throw_entry (vm, "KVM_GET_DEVICE_ATTR", &address, errno, error);
  if (!done)
    g_array_set_size (vm->its_fds, vm->its_fds->len - 1);
  return done;
}

/* ---- Reading. */

static bool
control (const CprKvmVm *vm, int fd, uint64_t attr, const char *name, const char *what, GError **error)
{
  struct kvm_device_attr attribute = { .group = KVM_DEV_ARM_VGIC_GRP_CTRL, .attr = attr };

  return cpr_sys->ioctl (fd, KVM_SET_DEVICE_ATTR, &attribute) >= 0 || throw (vm, what, name, errno, error);
}

static bool
save_pending (const CprKvmVm *vm, GError **error)
{
  return control (vm, vm->gic_fd, KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES, "GIC", "KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES",
                  error);
}

/* The LPIs that the guest has mapped, and those that are pending: into memory of the guest. */
static bool
save_tables (const CprKvmVm *vm, GError **error)
{
  for (guint i = 0; i < vm->its_fds->len; i++)
    {
      g_autofree char *name = g_strdup_printf ("ITS %u", i);

      if (!control (vm, g_array_index (vm->its_fds, int, i), KVM_DEV_ARM_ITS_SAVE_TABLES, name,
                    "KVM_DEV_ARM_ITS_SAVE_TABLES", error))
        return false;
    }
  return vm->its_fds->len == 0 || save_pending (vm, error);
}

static bool
read_all (const CprKvmVm *vm, GArray *entries, GError **error)
{
  g_array_set_size (entries, 0);
  if (vm->gic_fd < 0)
    return true;
  if (!cpr_kvm_gic_list_entries (vm, entries, error))
    return false;
  for (guint i = 0; i < entries->len; i++)
    if (cpr_kvm_gic_entry_read (vm, get_entry (entries, i)) < 0)
      return throw_entry (vm, "KVM_GET_DEVICE_ATTR", get_entry (entries, i), errno, error);
  return true;
}

bool
cpr_kvm_gic_get (CprKvmVm *vm, bool with_tables, GError **error)
{
  if (vm->gic == NULL)
    vm->gic = new_entries ();
  return (!with_tables || vm->gic_fd < 0 || save_tables (vm, error)) && read_all (vm, vm->gic, error);
}

/* ---- Setting. */

static bool
mismatch (const CprKvmVm *vm, const CprKvmGicEntry *entry, uint64_t here, const char *hint, GError **error)
{
  g_autofree char *name = cpr_kvm_gic_entry_get_name (entry);

  return cpr_throw (error, CPR_ERROR_MISMATCH,
                    "KVM VM '%s': %s: it is 0x%" G_GINT64_MODIFIER "x in the state, 0x%" G_GINT64_MODIFIER "x here%s",
                    vm->name, name, entry->value, here, hint);
}

static bool
compare (const CprKvmVm *vm, const CprKvmGicEntry *entry, GError **error)
{
  CprKvmGicEntry here = *entry;
  bool is_order = entry->group == KVM_DEV_ARM_VGIC_GRP_REDIST_REGS;

  if (cpr_kvm_gic_entry_read (vm, &here) < 0)
    return throw_entry (vm, "KVM_GET_DEVICE_ATTR", entry, errno, error);
  return here.value == entry->value ||
         mismatch (vm, entry, here.value, is_order ? ": vCPUs and regions are made in the same order" : "", error);
}

/* A value that KVM refuses may be there all the same. */
static bool
write_one (const CprKvmVm *vm, const CprKvmGicEntry *entry, GError **error)
{
  CprKvmGicEntry here = *entry;
  int errnum;

  if (cpr_kvm_gic_entry_write (vm, entry) >= 0)
    return true;
  errnum = errno;
  if (errnum != EINVAL || cpr_kvm_gic_entry_read (vm, &here) < 0)
    return throw_entry (vm, "KVM_SET_DEVICE_ATTR", entry, errnum, error);
  return here.value == entry->value ||
         mismatch (vm, entry, here.value, ", and KVM refuses to change it (KVM_SET_DEVICE_ATTR)", error);
}

/* These only set bits; others clear them. */
static bool
only_sets (const CprKvmGicEntry *entry)
{
  uint32_t base = entry->group == KVM_DEV_ARM_VGIC_GRP_DIST_REGS     ? SPI_FRAME
                  : entry->group == KVM_DEV_ARM_VGIC_GRP_REDIST_REGS ? SGI_FRAME
                                                                     : UINT32_MAX;
  uint32_t at = entry->offset - base;

  return base != UINT32_MAX &&
         ((at >= ISENABLER && at < ISENABLER + CLEARS) || (at >= ISACTIVER && at < ISACTIVER + CLEARS));
}

static bool
set_one (const CprKvmVm *vm, const CprKvmGicEntry *entry, const CprKvmGicEntry *known, GError **error)
{
  CprKvmGicEntry clears = *entry;
  uint64_t has = known != NULL ? known->value : UINT32_MAX;

  if (cpr_kvm_gic_entry_is_fixed (entry))
    return compare (vm, entry, error);
  if (known != NULL && known->value == entry->value)
    return true;
  clears.offset += CLEARS;
  clears.value = has & ~entry->value;
  return (!only_sets (entry) || clears.value == 0 || write_one (vm, &clears, error)) && write_one (vm, entry, error);
}

/* The entry as the kernel has it already. The registers of an ITS depend on one another: so what
 * they have is asked at that moment. */
static const CprKvmGicEntry *
find_known (const CprKvmVm *vm, guint i, CprKvmGicEntry *now)
{
  const CprKvmGicEntry *entry = get_entry (vm->gic, i), *known;

  *now = *entry;
  if (entry->group == KVM_DEV_ARM_VGIC_GRP_ITS_REGS)
    return cpr_kvm_gic_entry_read (vm, now) >= 0 ? now : NULL;
  if (vm->known_gic == NULL || i >= vm->known_gic->len)
    return NULL;
  known = get_entry (vm->known_gic, i);
  return known->group == entry->group && known->owner == entry->owner && known->offset == entry->offset ? known : NULL;
}

/* Reading the tables, KVM clears the bits of pending LPIs in the guest's memory. A program that has
 * to take the guest back from here would miss them. */
static bool
restore_tables (const CprKvmVm *vm, uint32_t i, GError **error)
{
  g_autofree char *name = g_strdup_printf ("ITS %u", i);

  return control (vm, g_array_index (vm->its_fds, int, i), KVM_DEV_ARM_ITS_RESTORE_TABLES, name,
                  "KVM_DEV_ARM_ITS_RESTORE_TABLES", error) &&
         save_pending (vm, error);
}

static bool
set_all (CprKvmVm *vm, GError **error)
{
  for (guint i = 0; i < vm->gic->len; i++)
    {
      const CprKvmGicEntry *entry = get_entry (vm->gic, i);
      bool is_switch = entry->group == KVM_DEV_ARM_VGIC_GRP_ITS_REGS && entry->offset == ITS_CTLR;
      CprKvmGicEntry now;

      if (is_switch && !restore_tables (vm, entry->owner, error))
        return false;
      if (!set_one (vm, entry, find_known (vm, i, &now), error))
        return false;
    }
  return true;
}

/* The state is another program's. */
static bool
check_entries (const CprKvmVm *vm, GError **error)
{
  static const uint32_t groups[] = { KVM_DEV_ARM_VGIC_GRP_ADDR,        KVM_DEV_ARM_VGIC_GRP_NR_IRQS,
                                     KVM_DEV_ARM_VGIC_GRP_DIST_REGS,   KVM_DEV_ARM_VGIC_GRP_REDIST_REGS,
                                     KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO };

  for (guint i = 0; i < vm->gic->len; i++)
    {
      const CprKvmGicEntry *entry = get_entry (vm->gic, i);
      bool ok = entry->group == KVM_DEV_ARM_VGIC_GRP_ITS_REGS && entry->owner < vm->its_fds->len;

      for (size_t k = 0; k < G_N_ELEMENTS (groups); k++)
        ok = ok || entry->group == groups[k];
      if (!ok)
        return cpr_throw (error, CPR_ERROR_CORRUPT, "KVM VM '%s': GIC: entry %u is 0x%x of group %u and owner 0x%x",
                          vm->name, i, entry->offset, entry->group, entry->owner);
    }
  return true;
}

bool
cpr_kvm_gic_set (CprKvmVm *vm, GError **error)
{
  bool had = cpr_kvm_gic_count_interrupts (vm) > 0;
  uint32_t n_its = cpr_kvm_gic_count_its (vm);

  if (!cpr_kvm_check_part (vm, had, vm->gic_fd >= 0, "a GIC", ": cpr_kvm_gic_add()", error))
    return false;
  if (n_its != vm->its_fds->len)
    return cpr_throw (error, CPR_ERROR_MISMATCH,
                      "KVM VM '%s': it has %u ITSs in the state, and %u here: cpr_kvm_its_add()", vm->name, n_its,
                      vm->its_fds->len);
  return !had || (check_entries (vm, error) && set_all (vm, error));
}
