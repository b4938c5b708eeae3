/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A vCPU's MSRs: which there are, reading them, and setting them in the order that KVM wants.
 * Called by vcpu.c. */
#include <string.h>

#include "kvm/x86/x86.h"

#define MSR_TSC             0x10
#define MSR_WALL_CLOCK      0x11
#define MSR_SYSTEM_TIME     0x12
#define MSR_FEATURE_CONTROL 0x3a
#define MSR_UCODE_REV       0x8b
#define MSR_ARCH_CAPS       0x10a
#define MSR_MCG_CAP         0x179
#define MSR_MC0_CTL2        0x280
#define MSR_PERF_CAPS       0x345
#define MSR_MC0_CTL         0x400
#define MSR_VMX_FIRST       0x480
#define MSR_VMX_LAST        0x493
#define MSR_TSC_DEADLINE    0x6e0
#define MSR_HV_TIME         0x40000020
#define MSR_HV_SCONTROL     0x40000080
#define MSR_HV_STIMER0      0x400000b0
#define MSR_WALL_CLOCK_NEW  0x4b564d00
#define MSR_SYSTEM_TIME_NEW 0x4b564d01

#define MCG_CMCI_P          (1u << 10)
#define MCG_BANKS           0xffu
#define SYSTEM_TIME_ENABLED 1u
#define N_VAR_MTRRS         8
#define BATCH               255u /* the most that KVM takes at once */

bool
cpr_kvm_msr_read (const CprKvmVcpu *vcpu, uint32_t index, uint64_t *data, bool *there, GError **error)
{
  struct
  {
    uint32_t count, pad;
    struct kvm_msr_entry entry;
  } one = { .count = 1, .entry.index = index }; /* laid out as struct kvm_msrs */
  int done = cpr_sys->ioctl (vcpu->fd, KVM_GET_MSRS, &one);

  *there = done == 1;
  *data = *there ? one.entry.data : 0;
  return done >= 0 || cpr_throw_errno (error, errno, "KVM VM '%s': vCPU %u: KVM_GET_MSRS of MSR 0x%x", vcpu->vm->name,
                                       vcpu->index, index);
}

/* ---- The list. */

static bool
is_listed (const GArray *msrs, uint32_t index)
{
  for (guint i = 0; i < msrs->len; i++)
    if (g_array_index (msrs, uint32_t, i) == index)
      return true;
  return false;
}

static void
list (GArray *msrs, uint32_t first, uint32_t n)
{
  for (uint32_t index = first; index < first + n; index++)
    if (!is_listed (msrs, index))
      g_array_append_val (msrs, index);
}

/* KVM keeps some MSRs that it doesn't list. These are MTRRs, and the synthetic interrupt controller
 * and timers of Hyper-V. KVM lists one register of each of the latter two if it has them. */
static void
list_more (GArray *msrs)
{
  list (msrs, 0x2ff, 1); /* the default type of memory */
  list (msrs, 0x250, 1);
  list (msrs, 0x258, 2);
  list (msrs, 0x268, 8);
  list (msrs, 0x200, 2 * N_VAR_MTRRS);
  if (is_listed (msrs, MSR_HV_SCONTROL))
    {
      list (msrs, 0x40000082, 2);
      list (msrs, 0x40000090, 16);
    }
  if (is_listed (msrs, MSR_HV_STIMER0))
    list (msrs, MSR_HV_STIMER0, 8);
}

/* Writing the address of the guest's wall clock makes KVM fill it in, at that moment: a guest does
 * so each time that it wants to know, and may use the memory for something else by now. Hyper-V's
 * time is that of KVM's clock. */
static bool
is_state (uint32_t index, bool has_tsc_offset)
{
  return index != MSR_WALL_CLOCK && index != MSR_WALL_CLOCK_NEW && index != MSR_MCG_CAP && index != MSR_HV_TIME &&
         (index != MSR_TSC || !has_tsc_offset);
}

GArray *
cpr_kvm_msrs_list (int kvm_fd, bool has_tsc_offset, GError **error)
{
  g_autofree struct kvm_msr_list *listed = g_malloc0 (sizeof *listed + CPR_KVM_MSRS_MAX * sizeof listed->indices[0]);
  bool has_deadline = false;
  GArray *msrs;

  listed->nmsrs = CPR_KVM_MSRS_MAX;
  if (cpr_sys->ioctl (kvm_fd, KVM_GET_MSR_INDEX_LIST, listed) < 0)
    {
      cpr_throw_errno (error, errno, "KVM_GET_MSR_INDEX_LIST");
      return NULL;
    }
  msrs = g_array_new (FALSE, FALSE, sizeof (uint32_t));
  list (msrs, MSR_TSC, is_state (MSR_TSC, has_tsc_offset)); /* before its deadline, and before what starts timers */
  for (uint32_t i = 0; i < listed->nmsrs; i++)
    if (listed->indices[i] == MSR_TSC_DEADLINE)
      has_deadline = true;
    else if (is_state (listed->indices[i], has_tsc_offset))
      list (msrs, listed->indices[i], 1);
  list_more (msrs);
  list (msrs, MSR_TSC_DEADLINE, has_deadline);
  return msrs;
}

static uint32_t
count_banks (const CprKvmVcpu *vcpu)
{
  return (uint32_t) (vcpu->mcg_cap & MCG_BANKS);
}

bool
cpr_kvm_msr_is_of_bank (const CprKvmVcpu *vcpu, uint32_t index)
{
  return (index >= MSR_MC0_CTL && index - MSR_MC0_CTL < 4 * count_banks (vcpu)) ||
         (index >= MSR_MC0_CTL2 && index - MSR_MC0_CTL2 < count_banks (vcpu));
}

static void
add_entry (CprKvmMsrs *msrs, uint32_t index)
{
  if (msrs->count < CPR_KVM_MSRS_MAX)
    msrs->entries[msrs->count++] = (struct kvm_msr_entry){ .index = index };
}

static bool
add_banks (CprKvmVcpu *vcpu, GError **error)
{
  uint32_t n_banks;
  bool there;

  if ((!vcpu->knows_config || vcpu->mcg_cap == 0) &&
      !cpr_kvm_msr_read (vcpu, MSR_MCG_CAP, &vcpu->mcg_cap, &there, error))
    return false;
  n_banks = count_banks (vcpu);
  for (uint32_t i = 0; i < 4 * n_banks; i++)
    add_entry (&vcpu->msrs, MSR_MC0_CTL + i);
  for (uint32_t i = 0; (vcpu->mcg_cap & MCG_CMCI_P) != 0 && i < n_banks; i++)
    add_entry (&vcpu->msrs, MSR_MC0_CTL2 + i);
  return true;
}

static bool
is_skipped (const CprKvmVcpu *vcpu, uint32_t index)
{
  for (uint32_t i = 0; i < vcpu->n_skipped; i++)
    if (vcpu->skipped[i] == index)
      return true;
  return false;
}

static bool
choose (CprKvmVcpu *vcpu, GError **error)
{
  const GArray *msrs = vcpu->vm->can.msrs;

  vcpu->msrs.count = 0;
  if (!add_banks (vcpu, error))
    return false;
  for (guint i = 0; i < msrs->len; i++)
    if (!is_skipped (vcpu, g_array_index (msrs, uint32_t, i)))
      add_entry (&vcpu->msrs, g_array_index (msrs, uint32_t, i));
  return true;
}

/* ---- Reading. */

static void
take_out (CprKvmMsrs *msrs, uint32_t at, uint32_t n)
{
  msrs->count -= n;
  memmove (&msrs->entries[at], &msrs->entries[at + n], (msrs->count - at) * sizeof msrs->entries[0]);
}

/* An MSR that can't be read is left out from then on, also by later programs: the guest can't read
 * the MSR either. */
static void
skip (CprKvmVcpu *vcpu, uint32_t at)
{
  if (vcpu->n_skipped < CPR_KVM_MSRS_MAX)
    vcpu->skipped[vcpu->n_skipped++] = vcpu->msrs.entries[at].index;
  take_out (&vcpu->msrs, at, 1);
}

bool
cpr_kvm_msrs_get (CprKvmVcpu *vcpu, GError **error)
{
  if (!vcpu->knows_msrs && !choose (vcpu, error))
    return false;
  for (uint32_t at = 0; at < vcpu->msrs.count;)
    {
      CprKvmMsrs *batch = &vcpu->vm->batch;
      uint32_t n = MIN (vcpu->msrs.count - at, BATCH - 1), n_read;
      int done;

      memcpy (batch->entries, &vcpu->msrs.entries[at], n * sizeof batch->entries[0]);
      batch->entries[n] = (struct kvm_msr_entry){ .index = MSR_TSC };
      batch->count = n + 1;
      done = cpr_sys->ioctl (vcpu->fd, KVM_GET_MSRS, batch);
      if (done < 0)
        return cpr_kvm_vcpu_throw (vcpu, errno, "KVM_GET_MSRS", error);
      vcpu->tsc = batch->entries[n].data;
      n_read = MIN ((uint32_t) done, n);
      memcpy (&vcpu->msrs.entries[at], batch->entries, n_read * sizeof batch->entries[0]);
      at += n_read;
      if (n_read < n)
        skip (vcpu, at);
    }
  vcpu->tsc_taken_ns = vcpu->tsc_at_ns = cpr_now_ns ();
  vcpu->knows_msrs = true;
  return true;
}

static uint32_t
get_batch_size (uint32_t n)
{
  return (uint32_t) (offsetof (CprKvmMsrs, entries) + n * sizeof (struct kvm_msr_entry));
}

uint32_t
cpr_kvm_msrs_get_room (const CprKvmVcpu *vcpu)
{
  uint32_t n_batches = vcpu->msrs.count / (BATCH - 1) + 1;

  return n_batches * CPR_KVM_SCRIPT_ROOM (get_batch_size (BATCH));
}

/* The TSC is the last one of each batch, and its time is right after it. */
void
cpr_kvm_msrs_add (const CprKvmVcpu *vcpu, CprKvmScript *script)
{
  for (uint32_t at = 0, n; vcpu->knows_msrs && at < vcpu->msrs.count; at += n)
    {
      CprKvmMsrs *batch;

      n = MIN (vcpu->msrs.count - at, BATCH - 1);
      batch = cpr_kvm_script_add (script, KVM_GET_MSRS, "KVM_GET_MSRS", get_batch_size (n + 1));
      memcpy (batch->entries, &vcpu->msrs.entries[at], n * sizeof batch->entries[0]);
      batch->entries[n] = (struct kvm_msr_entry){ .index = MSR_TSC };
      batch->count = n + 1;
    }
  cpr_kvm_script_add_time (script);
}

static bool
take_batches (CprKvmVcpu *vcpu, const CprKvmScript *script)
{
  for (uint32_t at = 0, n, i = 0; at < vcpu->msrs.count; at += n, i++)
    {
      const CprKvmCall *call = cpr_kvm_script_find (script, KVM_GET_MSRS, i);
      const CprKvmMsrs *batch;

      n = MIN (vcpu->msrs.count - at, BATCH - 1);
      if (call == NULL || call->size != get_batch_size (n + 1) || (uint32_t) call->result < n)
        return false;
      batch = cpr_kvm_script_get (script, call);
      for (uint32_t k = 0; k < n; k++)
        if (batch->entries[k].index != vcpu->msrs.entries[at + k].index)
          return false;
      memcpy (&vcpu->msrs.entries[at], batch->entries, n * sizeof batch->entries[0]);
      vcpu->tsc = batch->entries[n].data;
    }
  return true;
}

bool
cpr_kvm_msrs_take_late (CprKvmVcpu *vcpu, const CprKvmScript *script, GError **error)
{
  if (!take_batches (vcpu, script) || !cpr_kvm_script_copy (script, 0, &vcpu->tsc_taken_ns, sizeof vcpu->tsc_taken_ns))
    return cpr_throw (error, CPR_ERROR_CORRUPT, "KVM VM '%s': vCPU %u: its late state has other MSRs", vcpu->vm->name,
                      vcpu->index);
  vcpu->tsc_at_ns = vcpu->tsc_taken_ns;
  return true;
}

bool
cpr_kvm_msrs_take (CprKvmVcpu *vcpu, const CprKvmScript *script, GError **error)
{
  if (!vcpu->knows_msrs || !take_batches (vcpu, script))
    return cpr_kvm_msrs_get (vcpu, error);
  cpr_kvm_script_copy (script, 0, &vcpu->tsc_taken_ns, sizeof vcpu->tsc_taken_ns);
  vcpu->tsc_at_ns = vcpu->tsc_taken_ns;
  return true;
}

/* ---- Setting. */

/* Those that say what the CPU is. KVM doesn't change the ones of VMX once the guest has executed
 * VMXON, which nested state brings, and CR4 depends on one. */
static bool
is_early (uint32_t index)
{
  return index == MSR_FEATURE_CONTROL || index == MSR_UCODE_REV || index == MSR_ARCH_CAPS || index == MSR_PERF_CAPS ||
         (index >= MSR_VMX_FIRST && index <= MSR_VMX_LAST);
}

static bool
is_known (const CprKvmVcpu *vcpu, uint32_t at)
{
  const CprKvmMsrs *known = vcpu->known != NULL ? &vcpu->known->msrs : NULL;
  const struct kvm_msr_entry *entry = &vcpu->msrs.entries[at];

  return known != NULL && at < known->count && known->entries[at].index == entry->index &&
         known->entries[at].data == entry->data;
}

static bool
refuse (const CprKvmVcpu *vcpu, const struct kvm_msr_entry *entry, bool is_here, uint64_t here, GError **error)
{
  if (!is_here)
    return cpr_throw (error, CPR_ERROR_MISMATCH,
                      "KVM VM '%s': vCPU %u: KVM_SET_MSRS: MSR 0x%x: it is 0x%" G_GINT64_MODIFIER
                      "x in the state, and KVM doesn't have it here",
                      vcpu->vm->name, vcpu->index, entry->index, (uint64_t) entry->data);
  return cpr_throw (
      error, CPR_ERROR_MISMATCH,
      "KVM VM '%s': vCPU %u: KVM_SET_MSRS: MSR 0x%x: it is 0x%" G_GINT64_MODIFIER
      "x in the state, 0x%" G_GINT64_MODIFIER "x here, and KVM refuses to change the bits 0x%" G_GINT64_MODIFIER "x",
      vcpu->vm->name, vcpu->index, entry->index, (uint64_t) entry->data, here, (uint64_t) (entry->data ^ here));
}

/* A value that is refused and is there all the same is of an MSR that can only be read. */
static bool
pass_over (const CprKvmVcpu *vcpu, const struct kvm_msr_entry *entry, GError **error)
{
  uint64_t here;
  bool is_here;

  if (!cpr_kvm_msr_read (vcpu, entry->index, &here, &is_here, error))
    return false;
  return (is_here && here == entry->data) || refuse (vcpu, entry, is_here, here, error);
}

static bool
set_all (const CprKvmVcpu *vcpu, CprKvmMsrs *msrs, GError **error)
{
  while (msrs->count > 0)
    {
      uint32_t all = msrs->count, n = MIN (all, BATCH);
      int done;

      msrs->count = n;
      done = cpr_sys->ioctl (vcpu->fd, KVM_SET_MSRS, msrs);
      msrs->count = all;
      if (done < 0)
        return cpr_kvm_vcpu_throw (vcpu, errno, "KVM_SET_MSRS", error);
      if ((uint32_t) done < n && !pass_over (vcpu, &msrs->entries[done++], error))
        return false;
      take_out (msrs, 0, (uint32_t) done);
    }
  return true;
}

static bool
set_some (CprKvmVcpu *vcpu, bool early, GError **error)
{
  CprKvmMsrs *batch = &vcpu->vm->batch;

  batch->count = 0;
  for (uint32_t i = 0; i < vcpu->msrs.count; i++)
    if (is_early (vcpu->msrs.entries[i].index) == early && !is_known (vcpu, i))
      batch->entries[batch->count++] = vcpu->msrs.entries[i];
  return set_all (vcpu, batch, error);
}

bool
cpr_kvm_msrs_set_early (CprKvmVcpu *vcpu, GError **error)
{
  /* It is no MSR that can be written; and it says how many banks there are. */
  if (vcpu->mcg_cap != 0 && (vcpu->known == NULL || vcpu->known->mcg_cap != vcpu->mcg_cap) &&
      !cpr_kvm_vcpu_call (vcpu, KVM_X86_SETUP_MCE, &vcpu->mcg_cap, error))
    return false;
  return set_some (vcpu, true, error);
}

bool
cpr_kvm_msrs_set (CprKvmVcpu *vcpu, GError **error)
{
  return set_some (vcpu, false, error);
}

bool
cpr_kvm_msrs_have_clock (const CprKvmVcpu *vcpu)
{
  for (uint32_t i = 0; i < vcpu->msrs.count; i++)
    {
      const struct kvm_msr_entry *entry = &vcpu->msrs.entries[i];

      if ((entry->index == MSR_SYSTEM_TIME || entry->index == MSR_SYSTEM_TIME_NEW) &&
          (entry->data & SYSTEM_TIME_ENABLED) != 0)
        return true;
    }
  return false;
}
