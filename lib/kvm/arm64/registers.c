/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A vCPU's registers: which there are, reading them, and setting them in the order that KVM wants.
 * Called by vcpu.c and probe.c. */
#include <string.h>

#include "kvm/arm64/arm64.h"

/* ---- What a register is. */

/* The order in which they are set. Those of the firmware say which calls the guest has, and the
 * identity of the CPU says which registers there are and which bits they have. */
typedef enum
{
  RANK_FIRMWARE,
  RANK_IDENTITY,
  RANK_SYSTEM,
  RANK_CORE,
  RANK_VECTORS,
  RANK_TIMER_VALUES,
  RANK_TIMER_CONTROLS, /* these start the timers */
  N_RANKS
} Rank;

uint32_t
cpr_kvm_register_get_size (uint64_t id)
{
  return KVM_REG_SIZE (id);
}

uint32_t
cpr_kvm_register_get_features (uint64_t id)
{
  if ((id & KVM_REG_ARM_COPROC_MASK) == KVM_REG_ARM64_SVE)
    return CPR_KVM_SVE;
  if ((id & KVM_REG_ARM_COPROC_MASK) != KVM_REG_ARM64_SYSREG)
    return 0;
  if (id == CPR_KVM_PMCR)
    return CPR_KVM_PMU;
  return id >= CPR_KVM_APIAKEY && id <= ARM64_SYS_REG (3, 0, 2, 3, 1) ? CPR_KVM_PTRAUTH : 0;
}

const char *
cpr_kvm_features_get_name (uint32_t features)
{
  if (features == CPR_KVM_SVE)
    return "KVM_ARM_VCPU_SVE";
  if (features == CPR_KVM_PMU)
    return "KVM_ARM_VCPU_PMU_V3";
  return "KVM_ARM_VCPU_PTRAUTH_ADDRESS and KVM_ARM_VCPU_PTRAUTH_GENERIC";
}

/* MIDR, MPIDR, REVIDR, and all that are called ID_…; CLIDR and AIDR; CTR. */
static bool
is_identity_of_system (uint64_t id)
{
  uint64_t op1 = id >> KVM_REG_ARM64_SYSREG_OP1_SHIFT & 7, op0 = id >> KVM_REG_ARM64_SYSREG_OP0_SHIFT & 3;
  uint64_t crn = id >> KVM_REG_ARM64_SYSREG_CRN_SHIFT & 0xf;

  return op0 == 3 && crn == 0 && (op1 == 0 || op1 == 1 || op1 == 3);
}

static Rank
get_rank_of_system (uint64_t id)
{
  if (id == KVM_REG_ARM_TIMER_CVAL || id == KVM_REG_ARM_PTIMER_CVAL)
    return RANK_TIMER_VALUES;
  if (id == KVM_REG_ARM_TIMER_CTL || id == KVM_REG_ARM_PTIMER_CTL)
    return RANK_TIMER_CONTROLS;
  return is_identity_of_system (id) ? RANK_IDENTITY : RANK_SYSTEM;
}

static Rank
get_rank (uint64_t id)
{
  switch (id & KVM_REG_ARM_COPROC_MASK)
    {
    case KVM_REG_ARM_FW:
    case KVM_REG_ARM_FW_FEAT_BMAP:
      return RANK_FIRMWARE;
    case KVM_REG_ARM_DEMUX:
      return RANK_IDENTITY;
    case KVM_REG_ARM64_SVE:
      return id == KVM_REG_ARM64_SVE_VLS ? RANK_IDENTITY : RANK_VECTORS;
    case KVM_REG_ARM_CORE:
      return cpr_kvm_register_get_size (id) > sizeof (uint64_t) ? RANK_VECTORS : RANK_CORE;
    default:
      return get_rank_of_system (id);
    }
}

bool
cpr_kvm_register_is_identity (uint64_t id)
{
  return get_rank (id) <= RANK_IDENTITY && id != CPR_KVM_MPIDR;
}

/* The counters are the VM's: see counters.c. */
static bool
is_state (uint64_t id)
{
  return id != KVM_REG_ARM_TIMER_CNT && id != KVM_REG_ARM_PTIMER_CNT;
}

/* ---- One register. */

int
cpr_kvm_register_read (int fd, uint64_t id, void *value)
{
  struct kvm_one_reg reg = { .id = id, .addr = (uintptr_t) value };

  return cpr_sys->ioctl (fd, KVM_GET_ONE_REG, &reg);
}

int
cpr_kvm_register_write (int fd, uint64_t id, const void *value)
{
  struct kvm_one_reg reg = { .id = id, .addr = (uintptr_t) value };

  return cpr_sys->ioctl (fd, KVM_SET_ONE_REG, &reg);
}

struct kvm_reg_list *
cpr_kvm_register_list (int fd)
{
  struct kvm_reg_list *list =
      g_malloc0 (sizeof *list + (CPR_KVM_REGISTERS_MAX + CPR_KVM_WIDE_MAX) * sizeof list->reg[0]);

  list->n = CPR_KVM_REGISTERS_MAX + CPR_KVM_WIDE_MAX;
  if (cpr_sys->ioctl (fd, KVM_GET_REG_LIST, list) >= 0)
    return list;
  g_free (list);
  return NULL;
}

static bool throw (const CprKvmVcpu *vcpu, uint64_t id, const char *what, int errnum, GError **error)
{
  g_autofree char *name = cpr_kvm_register_get_name (id);

  return cpr_throw_errno (error, errnum, "KVM VM '%s': vCPU %u: %s of register %s", vcpu->vm->name, vcpu->index, what,
                          name);
}

/* ---- Reading. */

static bool
choose (CprKvmVcpu *vcpu, GError **error)
{
  g_autofree struct kvm_reg_list *list = cpr_kvm_register_list (vcpu->fd);

  if (list == NULL)
    return cpr_kvm_vcpu_throw (vcpu, errno, "KVM_GET_REG_LIST", error);
  vcpu->n_registers = vcpu->n_wide = 0;
  g_clear_pointer (&vcpu->wide, g_free);
  vcpu->wide_size = 0;
  for (uint64_t i = 0; i < list->n; i++)
    {
      uint64_t id = list->reg[i];
      uint32_t size = cpr_kvm_register_get_size (id);

      if (!is_state (id))
        continue;
      if (size > CPR_KVM_REGISTER_SIZE_MAX || vcpu->n_registers == CPR_KVM_REGISTERS_MAX ||
          vcpu->n_wide == CPR_KVM_WIDE_MAX)
        return cpr_throw (error, CPR_ERROR_VERSION,
                          "KVM VM '%s': vCPU %u: it has more or larger registers than libcpr takes", vcpu->vm->name,
                          vcpu->index);
      if (size <= sizeof vcpu->registers[0].value)
        vcpu->registers[vcpu->n_registers++] = (CprKvmRegister){ .id = id };
      else
        {
          vcpu->wide_ids[vcpu->n_wide++] = id;
          vcpu->wide_size += size;
        }
    }
  vcpu->wide = g_malloc0 (MAX (vcpu->wide_size, 1));
  return true;
}

/* KVM computes this bit when it is read. It is no state, and 0 otherwise where nobody uses the
 * timer. */
static uint64_t
clean (uint64_t id, uint64_t value)
{
  return get_rank (id) == RANK_TIMER_CONTROLS ? value & ~(uint64_t) 4 : value;
}

bool
cpr_kvm_registers_get (CprKvmVcpu *vcpu, GError **error)
{
  uint32_t at = 0;

  if (!vcpu->knows_registers && !choose (vcpu, error))
    return false;
  vcpu->knows_registers = true;
  for (uint32_t i = 0; i < vcpu->n_registers; i++)
    {
      CprKvmRegister *reg = &vcpu->registers[i];

      reg->value = 0;
      if (cpr_kvm_register_read (vcpu->fd, reg->id, &reg->value) < 0)
        return throw (vcpu, reg->id, "KVM_GET_ONE_REG", errno, error);
      reg->value = clean (reg->id, reg->value);
    }
  for (uint32_t i = 0; i < vcpu->n_wide; at += cpr_kvm_register_get_size (vcpu->wide_ids[i++]))
    if (cpr_kvm_register_read (vcpu->fd, vcpu->wide_ids[i], vcpu->wide + at) < 0)
      return throw (vcpu, vcpu->wide_ids[i], "KVM_GET_ONE_REG", errno, error);
  return true;
}

void
cpr_kvm_vcpu_clear (CprKvmVcpu *vcpu)
{
  g_free (vcpu->wide);
}

void
cpr_kvm_vcpu_forget (CprKvmVcpu *known)
{
  cpr_kvm_vcpu_clear (known);
  g_free (known);
}

/* ---- Setting. */

void
cpr_kvm_registers_foreach (const CprKvmVcpu *vcpu, CprKvmRegisterFunc func, void *user_data)
{
  uint32_t at = 0;

  for (uint32_t i = 0; i < vcpu->n_registers; i++)
    func (vcpu->registers[i].id, &vcpu->registers[i].value, user_data);
  for (uint32_t i = 0; i < vcpu->n_wide; at += cpr_kvm_register_get_size (vcpu->wide_ids[i++]))
    func (vcpu->wide_ids[i], vcpu->wide + at, user_data);
}

bool
cpr_kvm_register_is_zero (uint64_t id, const void *value)
{
  const uint8_t *bytes = value;

  for (uint32_t i = 0; i < cpr_kvm_register_get_size (id); i++)
    if (bytes[i] != 0)
      return false;
  return true;
}

static bool
refuse (const CprKvmVcpu *vcpu, uint64_t id, const void *value, const void *here, GError **error)
{
  uint32_t size = cpr_kvm_register_get_size (id);
  g_autofree char *name = cpr_kvm_register_get_name (id), *was = cpr_kvm_register_format (value, size);
  g_autofree char *is = here != NULL ? cpr_kvm_register_format (here, size) : NULL;

  if (here == NULL)
    return cpr_throw (error, CPR_ERROR_MISMATCH,
                      "KVM VM '%s': vCPU %u: KVM_SET_ONE_REG: register %s: it is %s in the state, and KVM doesn't have "
                      "it here",
                      vcpu->vm->name, vcpu->index, name, was);
  return cpr_throw (error, CPR_ERROR_MISMATCH,
                    "KVM VM '%s': vCPU %u: KVM_SET_ONE_REG: register %s: it is %s in the state, %s here, and KVM "
                    "refuses to change it",
                    vcpu->vm->name, vcpu->index, name, was, is);
}

/* A value that is refused and is there all the same is of a register that can only be read. A guest
 * can't tell a register that isn't there from one that was never set. */
static bool
pass_over (const CprKvmVcpu *vcpu, uint64_t id, const void *value, int errnum, GError **error)
{
  uint32_t size = cpr_kvm_register_get_size (id);
  uint8_t here[CPR_KVM_REGISTER_SIZE_MAX] = { 0 };

  if (errnum != EINVAL && errnum != ENOENT && errnum != EPERM && errnum != EBUSY)
    return throw (vcpu, id, "KVM_SET_ONE_REG", errnum, error);
  if (cpr_kvm_register_read (vcpu->fd, id, here) < 0)
    return cpr_kvm_register_is_zero (id, value) || refuse (vcpu, id, value, NULL, error);
  return memcmp (here, value, size) == 0 || refuse (vcpu, id, value, here, error);
}

static bool
is_known (const CprKvmVcpu *vcpu, uint32_t i)
{
  const CprKvmVcpu *known = vcpu->known;

  return known != NULL && i < known->n_registers && known->registers[i].id == vcpu->registers[i].id &&
         known->registers[i].value == vcpu->registers[i].value;
}

static bool
is_wide_known (const CprKvmVcpu *vcpu, uint32_t i, uint32_t at)
{
  const CprKvmVcpu *known = vcpu->known;

  return known != NULL && known->wide_size == vcpu->wide_size && i < known->n_wide &&
         memcmp (known->wide_ids, vcpu->wide_ids, (i + 1) * sizeof vcpu->wide_ids[0]) == 0 &&
         memcmp (known->wide + at, vcpu->wide + at, cpr_kvm_register_get_size (vcpu->wide_ids[i])) == 0;
}

/* Another identity may change what other registers have. */
static bool
set_one (CprKvmVcpu *vcpu, uint64_t id, const void *value, GError **error)
{
  if (get_rank (id) <= RANK_IDENTITY)
    g_clear_pointer (&vcpu->known, cpr_kvm_vcpu_forget);
  return cpr_kvm_register_write (vcpu->fd, id, value) >= 0 || pass_over (vcpu, id, value, errno, error);
}

static bool
set_rank (CprKvmVcpu *vcpu, Rank rank, GError **error)
{
  uint32_t at = 0;

  for (uint32_t i = 0; i < vcpu->n_registers; i++)
    if (get_rank (vcpu->registers[i].id) == rank && !is_known (vcpu, i) &&
        !set_one (vcpu, vcpu->registers[i].id, &vcpu->registers[i].value, error))
      return false;
  for (uint32_t i = 0; i < vcpu->n_wide; at += cpr_kvm_register_get_size (vcpu->wide_ids[i++]))
    if (get_rank (vcpu->wide_ids[i]) == rank && !is_wide_known (vcpu, i, at) &&
        !set_one (vcpu, vcpu->wide_ids[i], vcpu->wide + at, error))
      return false;
  return true;
}

bool
cpr_kvm_registers_check (const CprKvmVcpu *vcpu)
{
  uint64_t wide_size = 0;
  bool fits = true;

  for (uint32_t i = 0; i < vcpu->n_registers; i++)
    fits = fits && cpr_kvm_register_get_size (vcpu->registers[i].id) <= sizeof vcpu->registers[i].value;
  for (uint32_t i = 0; i < vcpu->n_wide; i++)
    {
      uint32_t size = cpr_kvm_register_get_size (vcpu->wide_ids[i]);

      fits = fits && size > sizeof vcpu->registers[0].value && size <= CPR_KVM_REGISTER_SIZE_MAX;
      wide_size += size;
    }
  return fits && wide_size == vcpu->wide_size;
}

static void
add_features (uint64_t id, const void *value G_GNUC_UNUSED, void *user_data)
{
  *(uint32_t *) user_data |= cpr_kvm_register_get_features (id);
}

uint32_t
cpr_kvm_registers_get_features (const CprKvmVcpu *vcpu)
{
  uint32_t features = 0;

  cpr_kvm_registers_foreach (vcpu, add_features, &features);
  return features;
}

bool
cpr_kvm_register_list_get_features (int fd, uint32_t *features)
{
  g_autofree struct kvm_reg_list *list = cpr_kvm_register_list (fd);

  *features = 0;
  for (uint64_t i = 0; list != NULL && i < list->n; i++)
    *features |= cpr_kvm_register_get_features (list->reg[i]);
  return list != NULL;
}

/* A lack of one shows in many registers, so it gets its own name. */
static bool
check_features (const CprKvmVcpu *vcpu, GError **error)
{
  static const uint32_t features[] = { CPR_KVM_SVE, CPR_KVM_PMU, CPR_KVM_PTRAUTH };
  uint32_t had = cpr_kvm_registers_get_features (vcpu), has = 0;

  if (vcpu->known != NULL)
    has = cpr_kvm_registers_get_features (vcpu->known);
  else if (!cpr_kvm_register_list_get_features (vcpu->fd, &has))
    return cpr_kvm_vcpu_throw (vcpu, errno, "KVM_GET_REG_LIST", error);
  for (size_t i = 0; i < G_N_ELEMENTS (features); i++)
    if (((had ^ has) & features[i]) != 0)
      return cpr_throw (error, CPR_ERROR_MISMATCH, "KVM VM '%s': vCPU %u: it %s %s in the state, and %s here",
                        vcpu->vm->name, vcpu->index, (had & features[i]) != 0 ? "has" : "hasn't got",
                        cpr_kvm_features_get_name (features[i]), (has & features[i]) != 0 ? "has" : "hasn't");
  return true;
}

bool
cpr_kvm_registers_set (CprKvmVcpu *vcpu, GError **error)
{
  bool done;

  if (!cpr_kvm_registers_check (vcpu))
    return cpr_throw (error, CPR_ERROR_CORRUPT,
                      "KVM VM '%s': vCPU %u: its registers have other sizes than their values", vcpu->vm->name,
                      vcpu->index);
  done = check_features (vcpu, error);
  for (Rank rank = 0; done && rank < N_RANKS; rank++)
    done = set_rank (vcpu, rank, error);
  return done;
}
