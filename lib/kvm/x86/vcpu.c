/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The order in which a vCPU's state is given to KVM. Called as post_load of its device type, and
 * beforehand by vm.c. */
#include <string.h>

#include "kvm/vm.h"
#include "kvm/x86/x86.h"

#define XSTATE_BV_AT 512 /* in the area of XSAVE: which components there are */

/* ---- Asking for a part. */

/* EINVAL says that the interrupt controller isn't in the kernel. */
static bool
read_lapic (const CprKvmVcpu *vcpu, struct kvm_lapic_state *lapic, bool *there, GError **error)
{
  memset (lapic, 0, sizeof *lapic);
  *there = cpr_sys->ioctl (vcpu->fd, KVM_GET_LAPIC, lapic) >= 0;
  return *there || errno == EINVAL || errno == ENXIO || cpr_kvm_vcpu_throw (vcpu, errno, "KVM_GET_LAPIC", error);
}

bool
cpr_kvm_vcpu_lacks_lapic (const CprKvmVcpu *vcpu)
{
  struct kvm_lapic_state lapic;
  bool there = false;

  return read_lapic (vcpu, &lapic, &there, NULL) && !there;
}

/* ---- Setting. A value that the kernel has already isn't set: on some machines a call on a vCPU
 * takes as long as everything else. */

#define IS_KNOWN(vcpu, member) \
  ((vcpu)->known != NULL && memcmp (&(vcpu)->known->member, &(vcpu)->member, sizeof (vcpu)->member) == 0)
#define SET(vcpu, request, member, error)                                                   \
  (IS_KNOWN (vcpu, member) || cpr_sys->ioctl ((vcpu)->fd, request, &(vcpu)->member) >= 0 || \
   cpr_kvm_vcpu_throw (vcpu, errno, #request, error))

static bool
same_cpuid (const CprKvmCpuid *a, const CprKvmCpuid *b)
{
  return a->count == b->count && memcmp (a->entries, b->entries, a->count * sizeof a->entries[0]) == 0;
}

/* It says which values the registers can have, so it comes first, and changes some. */
static bool
set_cpuid (CprKvmVcpu *vcpu, GError **error)
{
  if (vcpu->known != NULL && same_cpuid (&vcpu->known->cpuid, &vcpu->cpuid))
    return true;
  g_clear_pointer (&vcpu->known, cpr_kvm_vcpu_forget);
  return cpr_kvm_vcpu_call (vcpu, KVM_SET_CPUID2, &vcpu->cpuid, error);
}

static bool
set_sregs (CprKvmVcpu *vcpu, GError **error)
{
  struct kvm_sregs sregs = { 0 };
  bool done;

  memcpy (&sregs, &vcpu->sregs, offsetof (struct kvm_sregs, interrupt_bitmap));
  done = vcpu->vm->can.has_sregs2 ? cpr_kvm_vcpu_call (vcpu, KVM_SET_SREGS2, &vcpu->sregs, error)
                                  : cpr_kvm_vcpu_call (vcpu, KVM_SET_SREGS, &sregs, error);
  if (!done && error != NULL)
    g_prefix_error (error, "cr0 0x%llx, cr4 0x%llx, efer 0x%llx, apic_base 0x%llx: ", vcpu->sregs.cr0, vcpu->sregs.cr4,
                    vcpu->sregs.efer, vcpu->sregs.apic_base);
  return done;
}

/* Whether the CPU has been in the mode at all. */
static bool
is_nested (const struct kvm_nested_state *nested)
{
  if (nested->format == KVM_STATE_NESTED_FORMAT_VMX)
    return nested->hdr.vmx.vmxon_pa != UINT64_MAX;
  return (nested->flags & ~KVM_STATE_NESTED_GIF_SET) != 0;
}

static bool
set_nested (CprKvmVcpu *vcpu, GError **error)
{
  const struct kvm_nested_state *nested = (const struct kvm_nested_state *) (const void *) vcpu->nested;

  if (vcpu->nested_size == 0)
    return true;
  if (vcpu->nested_size < sizeof *nested || nested->size < sizeof *nested || nested->size > vcpu->nested_size)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "KVM VM '%s': vCPU %u: its nested state has %u bytes", vcpu->vm->name,
                      vcpu->index, vcpu->nested_size);
  if (vcpu->vm->can.nested_size > 0)
    return cpr_kvm_vcpu_call (vcpu, KVM_SET_NESTED_STATE, nested, error);
  return !is_nested (nested) || cpr_throw (error, CPR_ERROR_MISMATCH,
                                           "KVM VM '%s': vCPU %u: it has VMs of its own, and KVM can't take that here "
                                           "(KVM_CAP_NESTED_STATE)",
                                           vcpu->vm->name, vcpu->index);
}

static bool
refuse_xsave (const CprKvmVcpu *vcpu, int errnum, GError **error)
{
  uint64_t components = 0;

  if (vcpu->xsave_size >= XSTATE_BV_AT + sizeof components)
    memcpy (&components, vcpu->xsave + XSTATE_BV_AT, sizeof components);
  return cpr_throw_errno (error, errnum,
                          "KVM VM '%s': vCPU %u: KVM_SET_XSAVE: %u bytes with the components 0x%" G_GINT64_MODIFIER
                          "x, %u bytes here",
                          vcpu->vm->name, vcpu->index, vcpu->xsave_size, components, vcpu->vm->can.xsave_size);
}

/* KVM reads as much as it has here. */
static bool
set_xsave (CprKvmVcpu *vcpu, GError **error)
{
  uint32_t here = vcpu->vm->can.xsave_size;

  if (vcpu->known != NULL && vcpu->known->xsave_size == vcpu->xsave_size &&
      memcmp (vcpu->known->xsave, vcpu->xsave, vcpu->xsave_size) == 0)
    return true;
  for (uint32_t i = here; i < vcpu->xsave_size; i++)
    if (vcpu->xsave[i] != 0)
      return refuse_xsave (vcpu, E2BIG, error);
  if (vcpu->xsave_size < MAX (here, CPR_KVM_XSAVE_MIN))
    {
      vcpu->xsave = g_realloc (vcpu->xsave, MAX (here, CPR_KVM_XSAVE_MIN));
      memset (vcpu->xsave + vcpu->xsave_size, 0, MAX (here, CPR_KVM_XSAVE_MIN) - vcpu->xsave_size);
    }
  return cpr_sys->ioctl (vcpu->fd, KVM_SET_XSAVE, vcpu->xsave) >= 0 || refuse_xsave (vcpu, errno, error);
}

static bool
set_fpu (CprKvmVcpu *vcpu, GError **error)
{
  if (vcpu->xcrs.nr_xcrs > 0 && !SET (vcpu, KVM_SET_XCRS, xcrs, error))
    return false;
  return vcpu->xsave_size > 0 ? set_xsave (vcpu, error) : SET (vcpu, KVM_SET_FPU, fpu, error);
}

static bool
throw_lapic (const CprKvmVcpu *vcpu, const char *what, GError **error)
{
  return cpr_throw (error, CPR_ERROR_MISMATCH, "KVM VM '%s': vCPU %u: it has %s", vcpu->vm->name, vcpu->index, what);
}

/* Its base, which came with the special registers, may have reset it. */
static bool
set_lapic (CprKvmVcpu *vcpu, GError **error)
{
  int errnum;

  if ((IS_KNOWN (vcpu, lapic) && IS_KNOWN (vcpu, sregs.apic_base)) ||
      cpr_sys->ioctl (vcpu->fd, KVM_SET_LAPIC, &vcpu->lapic) >= 0)
    return true;
  errnum = errno;
  if (errnum == EINVAL && cpr_kvm_vcpu_lacks_lapic (vcpu))
    return throw_lapic (vcpu, "a LAPIC in the kernel in the state, and none here: " CPR_KVM_LAPIC_HINT, error);
  return cpr_kvm_vcpu_throw (vcpu, errnum, "KVM_SET_LAPIC", error);
}

/* Where the state has none, KVM must have none either: the guest's interrupts would go nowhere. */
static bool
check_no_lapic (const CprKvmVcpu *vcpu, GError **error)
{
  struct kvm_lapic_state lapic;
  bool is_here = false;

  return read_lapic (vcpu, &lapic, &is_here, error) &&
         (!is_here || throw_lapic (vcpu, "no LAPIC in the kernel in the state, and has one here (irqchip)", error));
}

static bool
set_ssp (CprKvmVcpu *vcpu, GError **error)
{
  struct kvm_one_reg reg = { .id = CPR_KVM_REG_SSP, .addr = (uintptr_t) &vcpu->ssp };

  return !vcpu->has_ssp || IS_KNOWN (vcpu, ssp) || cpr_kvm_vcpu_call (vcpu, KVM_SET_ONE_REG, &reg, error);
}

/* The guest's watchdogs learn that it was the guest that stood, and not its CPU. EINVAL says that
 * it doesn't use the clock. */
static bool
tell_guest (CprKvmVcpu *vcpu, GError **error)
{
  return !vcpu->vm->can.has_kvmclock_ctrl || !cpr_kvm_msrs_have_clock (vcpu) ||
         cpr_sys->ioctl (vcpu->fd, KVM_KVMCLOCK_CTRL, NULL) >= 0 || errno == EINVAL ||
         cpr_kvm_vcpu_throw (vcpu, errno, "KVM_KVMCLOCK_CTRL", error);
}

/* Nested state comes after EFER and the MSRs that it depends on, and outside SMM unless the vCPU is
 * in SMM, which the events say; when that changes afterwards, KVM drops it. */
static bool
set_cpu (CprKvmVcpu *vcpu, GError **error)
{
  return cpr_kvm_msrs_set_early (vcpu, error) && set_sregs (vcpu, error) &&
         (!vcpu->events.smi.smm || cpr_kvm_vcpu_call (vcpu, KVM_SET_VCPU_EVENTS, &vcpu->events, error)) &&
         set_nested (vcpu, error) && cpr_kvm_vcpu_call (vcpu, KVM_SET_REGS, &vcpu->regs, error) &&
         set_fpu (vcpu, error);
}

/* The LAPIC comes after its base and before the MSRs: a TSC deadline is only taken by a LAPIC whose
 * timer is in that mode; and the TSC before it. KVM_SET_REGS drops exceptions that are pending, so
 * the events come after it. */
static bool
set_rest (CprKvmVcpu *vcpu, GError **error)
{
  return cpr_kvm_tsc_set (vcpu, error) && (vcpu->has_lapic ? set_lapic (vcpu, error) : check_no_lapic (vcpu, error)) &&
         cpr_kvm_msrs_set (vcpu, error) && set_ssp (vcpu, error) && SET (vcpu, KVM_SET_VCPU_EVENTS, events, error) &&
         SET (vcpu, KVM_SET_DEBUGREGS, debugregs, error) &&
         (!vcpu->has_lapic || SET (vcpu, KVM_SET_MP_STATE, mp_state, error)) && tell_guest (vcpu, error);
}

bool
cpr_kvm_vcpu_set (void *data, uint32_t version G_GNUC_UNUSED, GError **error)
{
  CprKvmVcpu *vcpu = data;
  bool is_same_host = cpr_kvm_clock_is_same (vcpu->tsc_taken_ns, vcpu->tsc_at_ns), done;

  if (vcpu->vm->is_deferred)
    return true;
  vcpu->knows_msrs = false;
  vcpu->knows_config = is_same_host;
  if (!is_same_host)
    vcpu->n_skipped = 0; /* another kernel may have them */
  done = cpr_kvm_vm_learn (vcpu->vm, error) && (is_same_host || cpr_kvm_cpuid_check (vcpu, error)) &&
         set_cpuid (vcpu, error) && set_cpu (vcpu, error) && set_rest (vcpu, error);
  g_clear_pointer (&vcpu->known, cpr_kvm_vcpu_forget);
  return done;
}

/* ---- What is known beforehand. */

void
cpr_kvm_vcpu_forget (CprKvmVcpu *known)
{
  cpr_kvm_vcpu_clear (known);
  g_free (known);
}

/* Most vCPUs are runnable; one that isn't is set again. */
bool
cpr_kvm_vcpu_learn (CprKvmVcpu *vcpu, GError **error)
{
  static const struct kvm_mp_state runnable = { KVM_MP_STATE_RUNNABLE };

  if (!cpr_kvm_vcpu_get (vcpu, error))
    return false;
  if (vcpu->has_lapic && vcpu->mp_state.mp_state != runnable.mp_state)
    {
      if (!cpr_kvm_vcpu_call (vcpu, KVM_SET_MP_STATE, &runnable, error))
        return false;
      vcpu->mp_state = runnable;
    }
  vcpu->known = g_memdup2 (vcpu, sizeof *vcpu);
  vcpu->known->known = NULL;
  vcpu->known->xsave = g_memdup2 (vcpu->xsave, vcpu->xsave_size);
  vcpu->known->nested = g_memdup2 (vcpu->nested, vcpu->nested_size);
  return true;
}

void
cpr_kvm_vcpu_clear (CprKvmVcpu *vcpu)
{
  g_free (vcpu->xsave);
  g_free (vcpu->nested);
}
