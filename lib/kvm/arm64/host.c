/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Asks what KVM offers on this host, and finds those needs of a state that it can't meet. There is
 * no VM here yet: a preflight asks while the guest runs elsewhere. Called by needs/. */
#include <fcntl.h>
#include <string.h>

#include "kvm/arm64/arm64.h"
#include "kvm/ask.h"

#define PSCI_0_1 1u

struct _CprKvmHost
{
  int kvm_fd;
  CprKvmScratch scratch; /* with the features of the vCPU that was asked about last */
  char *failure;         /* why there is no vCPU in it; NULL: there is, or none was made */
  uint32_t vcpu_ids_max, features;
  bool has_gic, has_its, has_routing;
};

/* ---- What KVM offers. */

#define ASK(capability, answer) cpr_kvm_ask (kvm_fd, capability, #capability, answer, error)

static bool
has_device (const CprKvmHost *host, uint32_t type)
{
  struct kvm_create_device device = { .type = type, .flags = KVM_CREATE_DEVICE_TEST };

  return cpr_sys->ioctl (host->scratch.vm_fd, KVM_CREATE_DEVICE, &device) >= 0;
}

static bool
ask_all (CprKvmHost *host, int kvm_fd, GError **error)
{
  uint32_t routing = 0, sve = 0, pmu = 0, address = 0, generic = 0;

  if (!ASK (KVM_CAP_MAX_VCPU_ID, &host->vcpu_ids_max) || !ASK (KVM_CAP_IRQ_ROUTING, &routing) ||
      !ASK (KVM_CAP_ARM_SVE, &sve) || !ASK (KVM_CAP_ARM_PMU_V3, &pmu) || !ASK (KVM_CAP_ARM_PTRAUTH_ADDRESS, &address) ||
      !ASK (KVM_CAP_ARM_PTRAUTH_GENERIC, &generic))
    return false;
  host->has_routing = routing > 0;
  host->features =
      (sve > 0 ? CPR_KVM_SVE : 0) | (pmu > 0 ? CPR_KVM_PMU : 0) | (address > 0 && generic > 0 ? CPR_KVM_PTRAUTH : 0);
  host->has_gic = has_device (host, KVM_DEV_TYPE_ARM_VGIC_V3);
  host->has_its = has_device (host, KVM_DEV_TYPE_ARM_VGIC_ITS);
  return true;
}

CprKvmHost *
cpr_kvm_host_new (int kvm_fd, GError **error)
{
  CprKvmHost *host = g_new0 (CprKvmHost, 1);

  host->scratch = (CprKvmScratch){ .vm_fd = -1, .vcpu_fd = -1 };
  host->kvm_fd = cpr_sys->fcntl (kvm_fd, F_DUPFD_CLOEXEC, 3);
  if (host->kvm_fd < 0)
    cpr_throw_errno (error, errno, "/dev/kvm");
  else if (cpr_kvm_scratch_init (&host->scratch, kvm_fd, error) && ask_all (host, kvm_fd, error))
    return host;
  cpr_kvm_host_free (host);
  return NULL;
}

void
cpr_kvm_host_free (CprKvmHost *host)
{
  cpr_kvm_scratch_clear (&host->scratch);
  if (host->kvm_fd >= 0)
    cpr_sys->close (host->kvm_fd);
  g_free (host->failure);
  g_free (host);
}

/* ---- What a vCPU needs. */

typedef struct
{
  CprKvmHost *host;
  CprKvmLackFunc func;
  void *user_data;
  uint32_t features, missing; /* those of the vCPU, and those that aren't here */
  const void *lengths;        /* of its vectors; NULL: it has none */
} Search;

static void tell (const Search *search, const char *format, ...) G_GNUC_PRINTF (2, 3);

static void
tell (const Search *search, const char *format, ...)
{
  g_autofree char *lack = NULL;
  va_list arguments;

  va_start (arguments, format);
  lack = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  search->func (lack, search->user_data);
}

/* KVM doesn't tell which features a vCPU was made with: its registers do. */
static void
note_config (uint64_t id, const void *value, void *user_data)
{
  Search *search = user_data;

  if (id == KVM_REG_ARM64_SVE_VLS)
    search->lengths = value;
  if (id == KVM_REG_ARM_PSCI_VERSION && *(const uint64_t *) value != PSCI_0_1)
    search->features |= 1u << KVM_ARM_VCPU_PSCI_0_2;
}

static void
find_features (Search *search, const CprKvmVcpu *here)
{
  static const uint32_t features[] = { CPR_KVM_SVE, CPR_KVM_PMU, CPR_KVM_PTRAUTH };
  uint32_t made = 0;
  bool is_made = here != NULL && cpr_kvm_register_list_get_features (here->fd, &made);

  for (size_t i = 0; i < G_N_ELEMENTS (features); i++)
    if ((search->features & features[i]) != 0 && (search->host->features & features[i]) == 0)
      {
        tell (search, "it has %s, and KVM hasn't here", cpr_kvm_features_get_name (features[i]));
        search->missing |= features[i];
      }
    else if (is_made && ((search->features ^ made) & features[i]) != 0)
      tell (search, "it %s %s, and this program's vCPU %s (KVM_ARM_VCPU_INIT)",
            (made & features[i]) == 0 ? "has" : "hasn't got", cpr_kvm_features_get_name (features[i]),
            (made & features[i]) == 0 ? "hasn't" : "has");
}

/* All vCPUs of a VM have the same features, so other features need another VM. */
static bool
prepare (const Search *search)
{
  CprKvmHost *host = search->host;
  g_autoptr (GError) error = NULL;
  uint32_t features = search->features & ~search->missing;

  if (host->scratch.vcpu_fd < 0 || host->scratch.features != features)
    {
      g_clear_pointer (&host->failure, g_free);
      cpr_kvm_scratch_clear (&host->scratch);
      if (!cpr_kvm_scratch_init (&host->scratch, host->kvm_fd, &error) ||
          !cpr_kvm_scratch_add_vcpu (&host->scratch, features, search->lengths, &error))
        host->failure = g_strdup (error->message);
    }
  if (host->failure != NULL)
    tell (search, "%s", host->failure);
  return host->failure == NULL;
}

static bool
is_listed (const CprKvmScratch *scratch, uint64_t id)
{
  for (uint64_t i = 0; i < scratch->list->n; i++)
    if (scratch->list->reg[i] == id)
      return true;
  return false;
}

/* The lengths were taken when the vCPU was made. */
static void
find_register (uint64_t id, const void *value, void *user_data)
{
  const Search *search = user_data;
  const CprKvmScratch *scratch = &search->host->scratch;
  uint32_t size = cpr_kvm_register_get_size (id);
  uint8_t here[CPR_KVM_REGISTER_SIZE_MAX] = { 0 };
  g_autofree char *name = NULL, *was = NULL, *is = NULL;
  bool is_here = is_listed (scratch, id);

  if ((cpr_kvm_register_get_features (id) & search->missing) != 0 || id == KVM_REG_ARM64_SVE_VLS ||
      size > sizeof here || (is_here && !cpr_kvm_register_is_identity (id)))
    return;
  is_here = is_here && cpr_kvm_register_read (scratch->vcpu_fd, id, here) >= 0;
  if (is_here ? memcmp (here, value, size) == 0 || cpr_kvm_register_write (scratch->vcpu_fd, id, value) >= 0
              : cpr_kvm_register_is_zero (id, value))
    return;
  name = cpr_kvm_register_get_name (id);
  was = cpr_kvm_register_format (value, size);
  is = cpr_kvm_register_format (here, size);
  if (is_here)
    tell (search, "register %s: it is %s in the state, %s here, and KVM refuses to change it", name, was, is);
  else
    tell (search, "register %s: it is %s in the state, and KVM doesn't have it here", name, was);
}

void
cpr_kvm_host_find_lacks_of_vcpu (const CprKvmHost *host,
                                 const CprKvmVcpu *vcpu,
                                 unsigned index,
                                 const CprKvmVcpu *here,
                                 CprKvmLackFunc func,
                                 void *user_data)
{
  Search search = { .host = (CprKvmHost *) host, .func = func, .user_data = user_data };

  if (index >= host->vcpu_ids_max)
    tell (&search, "its index is %u, and KVM takes indices below %u here", index, host->vcpu_ids_max);
  if (!cpr_kvm_registers_check (vcpu))
    return;
  search.features = cpr_kvm_registers_get_features (vcpu);
  cpr_kvm_registers_foreach (vcpu, note_config, &search);
  find_features (&search, here);
  if (vcpu->n_registers > 0 && prepare (&search))
    cpr_kvm_registers_foreach (vcpu, find_register, &search);
}

/* ---- What a VM needs. */

/* The number of interrupts, and the addresses: as this program has made them. */
static void
find_fixed (const Search *search, const CprKvmVm *vm, const CprKvmVm *here)
{
  for (guint i = 0; i < vm->gic->len; i++)
    {
      const CprKvmGicEntry *entry = &g_array_index (vm->gic, CprKvmGicEntry, i);
      CprKvmGicEntry is = *entry;
      g_autofree char *name = cpr_kvm_gic_entry_get_name (entry);

      if ((entry->group == KVM_DEV_ARM_VGIC_GRP_NR_IRQS || entry->group == KVM_DEV_ARM_VGIC_GRP_ADDR) &&
          (cpr_kvm_gic_entry_read (here, &is) < 0 || is.value != entry->value))
        tell (search, "%s: it is 0x%" G_GINT64_MODIFIER "x in the state, 0x%" G_GINT64_MODIFIER "x in this program",
              name, entry->value, is.value);
    }
}

static void
find_gic (const Search *search, const CprKvmVm *vm, const CprKvmVm *here)
{
  uint32_t n_its = cpr_kvm_gic_count_its (vm);
  bool has_gic = cpr_kvm_gic_count_interrupts (vm) > 0;

  if (has_gic && !search->host->has_gic)
    tell (search, "it has a GICv3, and KVM has none here (KVM_DEV_TYPE_ARM_VGIC_V3)");
  if (n_its > 0 && !search->host->has_its)
    tell (search, "it has an ITS, and KVM has none here (KVM_DEV_TYPE_ARM_VGIC_ITS)");
  if (here == NULL)
    return;
  if (has_gic != (here->gic_fd >= 0))
    tell (search, "it %s a GIC, and this program %s one: cpr_kvm_gic_add()", has_gic ? "has" : "hasn't got",
          has_gic ? "hasn't added" : "has added");
  else if (n_its != here->its_fds->len)
    tell (search, "it has %u ITSs, and this program has added %u: cpr_kvm_its_add()", n_its, here->its_fds->len);
  else if (has_gic)
    find_fixed (search, vm, here);
}

void
cpr_kvm_host_find_lacks_of_vm (
    const CprKvmHost *host, const CprKvmVm *vm, const CprKvmVm *here, CprKvmLackFunc func, void *user_data)
{
  const Search search = { .host = (CprKvmHost *) host, .func = func, .user_data = user_data };

  find_gic (&search, vm, here);
  if (vm->has_counters && vm->counter_hz != cpr_kvm_counters_get_hz ())
    tell (&search, "its counters have %u Hz, and those of this host %u Hz", vm->counter_hz, cpr_kvm_counters_get_hz ());
  if (vm->routes_size > 0 && !host->has_routing)
    tell (&search, "it has routes of interrupts, and KVM takes none here (KVM_CAP_IRQ_ROUTING)");
}
