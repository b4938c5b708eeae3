/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The script that reads a vCPU's state from KVM, and what comes back. Called as pre_save of its
 * device type, and beforehand by vcpu.c and probe.c. */
#include <string.h>

#include "kvm/vm.h"
#include "kvm/x86/x86.h"

/* All arguments but the four that have a size of their own. */
#define FIXED_ROOM 4096

#define ADD(script, request, type) cpr_kvm_script_add (script, request, #request, sizeof (type))

typedef struct
{
  struct kvm_one_reg reg;
  uint64_t value;
} SspCall;

/* ---- The script. */

static void
add_sregs (const CprKvmVcpu *vcpu, CprKvmScript *script)
{
  if (vcpu->vm->can.has_sregs2)
    ADD (script, KVM_GET_SREGS2, struct kvm_sregs2);
  else
    ADD (script, KVM_GET_SREGS, struct kvm_sregs);
}

static void
add_fpu (const CprKvmVcpu *vcpu, CprKvmScript *script)
{
  const CprKvmAbilities *can = &vcpu->vm->can;

  if (can->has_xcrs)
    ADD (script, KVM_GET_XCRS, struct kvm_xcrs);
  if (can->has_xsave2)
    cpr_kvm_script_add (script, KVM_GET_XSAVE2, "KVM_GET_XSAVE2", can->xsave_size);
  else if (can->xsave_size > 0)
    cpr_kvm_script_add (script, KVM_GET_XSAVE, "KVM_GET_XSAVE", can->xsave_size);
  else
    ADD (script, KVM_GET_FPU, struct kvm_fpu);
}

/* EINVAL says that the interrupt controller isn't in the kernel. */
static void
add_lapic (const CprKvmVcpu *vcpu, CprKvmScript *script)
{
  if (!vcpu->knows_config)
    cpr_kvm_script_add_part (script, KVM_GET_LAPIC, "KVM_GET_LAPIC", sizeof vcpu->lapic, EINVAL, ENXIO);
  else if (vcpu->has_lapic)
    ADD (script, KVM_GET_LAPIC, struct kvm_lapic_state);
}

static void
add_nested (const CprKvmVcpu *vcpu, CprKvmScript *script)
{
  uint32_t size = vcpu->vm->can.nested_size;
  struct kvm_nested_state *nested;

  if (size == 0)
    return;
  nested = cpr_kvm_script_add (script, KVM_GET_NESTED_STATE, "KVM_GET_NESTED_STATE", size);
  nested->size = size;
}

/* EINVAL says that the guest's CPU hasn't got it. */
static void
add_ssp (const CprKvmVcpu *vcpu, CprKvmScript *script)
{
  bool is_sure = vcpu->knows_config;
  SspCall *call;

  if (is_sure ? !vcpu->has_ssp : !vcpu->vm->can.has_one_reg)
    return;
  call = cpr_kvm_script_add_part (script, KVM_GET_ONE_REG, "KVM_GET_ONE_REG", sizeof *call, is_sure ? 0 : EINVAL,
                                  is_sure ? 0 : ENOENT);
  call->reg = (struct kvm_one_reg){ .id = CPR_KVM_REG_SSP, .addr = (uintptr_t) &call->value };
}

static void
begin (const CprKvmVcpu *vcpu, CprKvmScript *script)
{
  cpr_kvm_script_init (script, vcpu->fd,
                       FIXED_ROOM + CPR_KVM_SCRIPT_ROOM (vcpu->vm->can.xsave_size) +
                           CPR_KVM_SCRIPT_ROOM (vcpu->vm->can.nested_size) + cpr_kvm_msrs_get_room (vcpu));
}

/* KVM_GET_MP_STATE first: it takes pending INITs and SIPIs in, which changes all the rest. Then the
 * events: what a pending exception does to CR2 and DR6 is done when they are read. */
void
cpr_kvm_vcpu_write_script (const CprKvmVcpu *vcpu, CprKvmScript *script)
{
  begin (vcpu, script);
  ADD (script, KVM_GET_MP_STATE, struct kvm_mp_state);
  ADD (script, KVM_GET_VCPU_EVENTS, struct kvm_vcpu_events);
  ADD (script, KVM_GET_REGS, struct kvm_regs);
  add_sregs (vcpu, script);
  ADD (script, KVM_GET_DEBUGREGS, struct kvm_debugregs);
  add_fpu (vcpu, script);
  add_lapic (vcpu, script);
  add_nested (vcpu, script);
  cpr_kvm_msrs_add (vcpu, script);
  add_ssp (vcpu, script);
  cpr_kvm_tsc_add (vcpu, script);
}

/* ---- What comes back. */

#define TAKE(vcpu, script, request, member) \
  cpr_kvm_script_copy (script, request, &(vcpu)->member, sizeof (vcpu)->member)

static void
take_sregs (CprKvmVcpu *vcpu, const CprKvmScript *script)
{
  struct kvm_sregs sregs;

  /* They begin alike; the interrupt that ends the shorter one is among the events, too. */
  G_STATIC_ASSERT (offsetof (struct kvm_sregs, interrupt_bitmap) == offsetof (struct kvm_sregs2, flags));
  if (TAKE (vcpu, script, KVM_GET_SREGS2, sregs) || !cpr_kvm_script_copy (script, KVM_GET_SREGS, &sregs, sizeof sregs))
    return;
  memset (&vcpu->sregs, 0, sizeof vcpu->sregs);
  memcpy (&vcpu->sregs, &sregs, offsetof (struct kvm_sregs, interrupt_bitmap));
}

static void
take_bytes (const CprKvmScript *script, const CprKvmCall *call, uint32_t size, uint8_t **bytes, uint32_t *bytes_size)
{
  g_free (*bytes);
  *bytes = size > 0 ? g_memdup2 (cpr_kvm_script_get (script, call), size) : NULL;
  *bytes_size = size;
}

static void
take_fpu (CprKvmVcpu *vcpu, const CprKvmScript *script)
{
  const CprKvmCall *call = cpr_kvm_script_find (script, KVM_GET_XSAVE2, 0);

  if (call == NULL)
    call = cpr_kvm_script_find (script, KVM_GET_XSAVE, 0);
  take_bytes (script, call, call != NULL ? call->size : 0, &vcpu->xsave, &vcpu->xsave_size);
  TAKE (vcpu, script, KVM_GET_XCRS, xcrs);
  if (!TAKE (vcpu, script, KVM_GET_FPU, fpu))
    memset (&vcpu->fpu, 0, sizeof vcpu->fpu);
}

static void
take_lapic (CprKvmVcpu *vcpu, const CprKvmScript *script)
{
  vcpu->has_lapic = TAKE (vcpu, script, KVM_GET_LAPIC, lapic);
  if (!vcpu->has_lapic)
    memset (&vcpu->lapic, 0, sizeof vcpu->lapic);
}

/* Most often there is only the header. */
static void
take_nested (CprKvmVcpu *vcpu, const CprKvmScript *script)
{
  const CprKvmCall *call = cpr_kvm_script_find (script, KVM_GET_NESTED_STATE, 0);
  const struct kvm_nested_state *nested = call != NULL ? cpr_kvm_script_get (script, call) : NULL;

  take_bytes (script, call, call != NULL ? MIN (call->size, nested->size) : 0, &vcpu->nested, &vcpu->nested_size);
}

static void
take_ssp (CprKvmVcpu *vcpu, const CprKvmScript *script)
{
  const SspCall *call = cpr_kvm_script_get_sized (script, KVM_GET_ONE_REG, 0, sizeof *call);

  vcpu->has_ssp = call != NULL;
  vcpu->ssp = call != NULL ? call->value : 0;
}

static void
take_all (CprKvmVcpu *vcpu, const CprKvmScript *script)
{
  TAKE (vcpu, script, KVM_GET_MP_STATE, mp_state);
  TAKE (vcpu, script, KVM_GET_VCPU_EVENTS, events);
  TAKE (vcpu, script, KVM_GET_REGS, regs);
  take_sregs (vcpu, script);
  TAKE (vcpu, script, KVM_GET_DEBUGREGS, debugregs);
  take_fpu (vcpu, script);
  take_lapic (vcpu, script);
  take_nested (vcpu, script);
  take_ssp (vcpu, script);
  cpr_kvm_tsc_take (vcpu, script);
}

static bool
run (CprKvmVcpu *vcpu, CprKvmScript *script, GError **error)
{
  const CprKvmCall *failed = cpr_kvm_script_run (script);

  if (failed == NULL)
    take_all (vcpu, script);
  return failed == NULL || cpr_kvm_vcpu_throw (vcpu, -failed->result, failed->name, error);
}

bool
cpr_kvm_vcpu_take_late (CprKvmVcpu *vcpu, const CprKvmScript *script, GError **error)
{
  const CprKvmCall *xsave = cpr_kvm_script_find (script, KVM_GET_XSAVE2, 0),
                   *nested = cpr_kvm_script_find (script, KVM_GET_NESTED_STATE, 0);

  if ((xsave != NULL && (xsave->size < CPR_KVM_XSAVE_MIN || xsave->size > CPR_KVM_XSAVE_MAX)) ||
      (nested != NULL && (nested->size < sizeof (struct kvm_nested_state) || nested->size > CPR_KVM_NESTED_MAX)) ||
      cpr_kvm_script_get_sized (script, KVM_GET_REGS, 0, sizeof vcpu->regs) == NULL)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "KVM VM '%s': vCPU %u: its late state has parts of other sizes",
                      vcpu->vm->name, vcpu->index);
  take_all (vcpu, script);
  return cpr_kvm_msrs_take_late (vcpu, script, error);
}

/* ---- A vCPU is read. */

/* The parts that the VMM has given the vCPU. */
static bool
get_config (CprKvmVcpu *vcpu, GError **error)
{
  if (vcpu->knows_config)
    return true;
  vcpu->cpuid.count = CPR_KVM_CPUID_MAX;
  return cpr_kvm_vcpu_call (vcpu, KVM_GET_CPUID2, &vcpu->cpuid, error) && cpr_kvm_tsc_get_khz (vcpu, error);
}

bool
cpr_kvm_vcpu_probe (CprKvmVcpu *vcpu, const CprKvmCpuid *offered)
{
  CprKvmScript script;
  bool done;

  vcpu->knows_config = false;
  if (!get_config (vcpu, NULL))
    return false;
  cpr_kvm_cpuid_note_backed (vcpu, offered);
  begin (vcpu, &script);
  add_fpu (vcpu, &script);
  add_lapic (vcpu, &script);
  add_nested (vcpu, &script);
  add_ssp (vcpu, &script);
  cpr_kvm_tsc_add (vcpu, &script);
  done = run (vcpu, &script, NULL) && cpr_kvm_msrs_get (vcpu, NULL);
  cpr_kvm_script_clear (&script);
  return done;
}

/* Interrupts that come from the beginning on wait in their eventfds: after the LAPIC was read they
 * would be lost. */
bool
cpr_kvm_vcpu_get (void *data, GError **error)
{
  CprKvmVcpu *vcpu = data;
  CprKvmScript script;
  bool done;

  if (!cpr_kvm_vm_put_irqfds_off (vcpu->vm, error) || !cpr_kvm_vm_learn (vcpu->vm, error) || !get_config (vcpu, error))
    return false;
  cpr_kvm_vcpu_write_script (vcpu, &script);
  done = run (vcpu, &script, error) && cpr_kvm_msrs_take (vcpu, &script, error);
  cpr_kvm_script_clear (&script);
  return done;
}
