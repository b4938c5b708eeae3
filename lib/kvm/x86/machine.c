/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The state that KVM keeps for the VM and not for a vCPU: its clock, the irqchip, the PIT and the
 * routing. Also finds out what KVM can do. Called as pre_save and post_load of the VM's device
 * type. */
#include <string.h>

#include "kvm/ask.h"
#include "kvm/vm.h"
#include "kvm/x86/x86.h"

#define ROOM 4096 /* of the script's arguments */

/* ---- The abilities of KVM. */

#define ASK(capability, answer) cpr_kvm_vm_ask (vm, capability, #capability, answer, error)

static bool
learn_sizes (CprKvmVm *vm, GError **error)
{
  uint32_t xsave, xsave2, nested;

  if (!ASK (KVM_CAP_XSAVE, &xsave) || !ASK (KVM_CAP_XSAVE2, &xsave2) || !ASK (KVM_CAP_NESTED_STATE, &nested))
    return false;
  vm->can.has_xsave2 = xsave2 > 0;
  vm->can.xsave_size = xsave2 > 0 ? MAX (xsave2, CPR_KVM_XSAVE_MIN) : xsave > 0 ? CPR_KVM_XSAVE_MIN : 0;
  vm->can.nested_size = nested;
  if (vm->can.xsave_size > CPR_KVM_XSAVE_MAX || nested > CPR_KVM_NESTED_MAX)
    return cpr_throw (error, CPR_ERROR_VERSION,
                      "KVM VM '%s': a vCPU's state has %u and %u bytes, more than libcpr takes", vm->name,
                      vm->can.xsave_size, nested);
  return true;
}

static bool
learn_features (CprKvmVm *vm, GError **error)
{
  uint32_t sregs2, xcrs, attributes, kvmclock_ctrl, one_reg, clock;

  if (!ASK (KVM_CAP_SREGS2, &sregs2) || !ASK (KVM_CAP_XCRS, &xcrs) || !ASK (KVM_CAP_VCPU_ATTRIBUTES, &attributes) ||
      !ASK (KVM_CAP_KVMCLOCK_CTRL, &kvmclock_ctrl) || !ASK (KVM_CAP_ONE_REG, &one_reg) ||
      !ASK (KVM_CAP_ADJUST_CLOCK, &clock))
    return false;
  vm->can.has_sregs2 = sregs2 > 0;
  vm->can.has_xcrs = xcrs > 0;
  vm->can.has_tsc_offset = attributes > 0; /* the first one there was */
  vm->can.has_kvmclock_ctrl = kvmclock_ctrl > 0;
  vm->can.has_one_reg = one_reg > 0;
  vm->can.has_set_realtime = (clock & KVM_CLOCK_REALTIME) != 0;
  return true;
}

static bool
learn_msrs (CprKvmVm *vm, GError **error)
{
  vm->can.msrs = cpr_kvm_msrs_list (vm->kvm_fd, vm->can.has_tsc_offset, error);
  if (vm->can.msrs != NULL)
    return true;
  g_prefix_error (error, "KVM VM '%s': ", vm->name);
  return false;
}

bool
cpr_kvm_vm_learn (CprKvmVm *vm, GError **error)
{
  if (!vm->can.is_known)
    vm->can.is_known = learn_sizes (vm, error) && learn_features (vm, error) && learn_msrs (vm, error);
  return vm->can.is_known;
}

/* ---- Reading. */

/* ENXIO says that there is none, ENOTTY that the kernel was built without. */
static bool
get_part (const CprKvmVm *vm, unsigned long request, const char *name, void *part, bool *there, GError **error)
{
  *there = cpr_sys->ioctl (vm->fd, request, part) >= 0;
  return *there || errno == ENXIO || errno == ENOTTY ||
         cpr_throw_errno (error, errno, "KVM VM '%s': %s", vm->name, name);
}

bool
cpr_kvm_vm_lacks_irqchip (const CprKvmVm *vm)
{
  struct kvm_irqchip irqchip = { .chip_id = 0 };
  bool there = false;

  return get_part (vm, KVM_GET_IRQCHIP, "KVM_GET_IRQCHIP", &irqchip, &there, NULL) && !there;
}

bool
cpr_kvm_vm_lacks_pit (const CprKvmVm *vm)
{
  struct kvm_pit_state2 pit;
  bool there = false;

  return get_part (vm, KVM_GET_PIT2, "KVM_GET_PIT2", &pit, &there, NULL) && !there;
}

/* The time is right after the clock's. */
static void
add_clock (CprKvmScript *script)
{
  cpr_kvm_script_add (script, KVM_GET_CLOCK, "KVM_GET_CLOCK", sizeof (struct kvm_clock_data));
  cpr_kvm_script_add_time (script);
}

static void
add_chips (CprKvmScript *script)
{
  for (uint32_t i = 0; i < CPR_KVM_N_IRQCHIPS; i++)
    {
      struct kvm_irqchip *chip =
          cpr_kvm_script_add_part (script, KVM_GET_IRQCHIP, "KVM_GET_IRQCHIP", sizeof *chip, ENXIO, ENOTTY);

      chip->chip_id = i;
    }
  cpr_kvm_script_add_part (script, KVM_GET_PIT2, "KVM_GET_PIT2", sizeof (struct kvm_pit_state2), ENXIO, ENOTTY);
}

static void
take_clock (CprKvmVm *vm, const CprKvmScript *script)
{
  struct kvm_clock_data clock;

  if (!cpr_kvm_script_copy (script, KVM_GET_CLOCK, &clock, sizeof clock))
    return;
  vm->clock_ns = clock.clock;
  vm->clock_flags = clock.flags;
  vm->clock_realtime_ns = clock.realtime;
  cpr_kvm_script_copy (script, 0, &vm->taken_ns, sizeof vm->taken_ns);
  vm->at_ns = vm->taken_ns;
}

static void
take_chips (CprKvmVm *vm, const CprKvmScript *script)
{
  memset (vm->irqchips, 0, sizeof vm->irqchips);
  memset (&vm->pit, 0, sizeof vm->pit);
  vm->has_irqchip = true;
  for (uint32_t i = 0; i < CPR_KVM_N_IRQCHIPS; i++)
    {
      const struct kvm_irqchip *chip = cpr_kvm_script_get_sized (script, KVM_GET_IRQCHIP, i, sizeof *chip);

      if (chip != NULL)
        vm->irqchips[i] = *chip;
      vm->has_irqchip = vm->has_irqchip && chip != NULL;
    }
  vm->has_pit = cpr_kvm_script_copy (script, KVM_GET_PIT2, &vm->pit, sizeof vm->pit);
}

void
cpr_kvm_vm_write_script (const CprKvmVm *vm, CprKvmScript *script)
{
  cpr_kvm_script_init (script, vm->fd, ROOM);
  add_clock (script);
  for (uint32_t i = 0; vm->has_irqchip && i < CPR_KVM_N_IRQCHIPS; i++)
    {
      struct kvm_irqchip *chip = cpr_kvm_script_add (script, KVM_GET_IRQCHIP, "KVM_GET_IRQCHIP", sizeof *chip);

      chip->chip_id = i;
    }
  if (vm->has_pit)
    cpr_kvm_script_add (script, KVM_GET_PIT2, "KVM_GET_PIT2", sizeof (struct kvm_pit_state2));
}

bool
cpr_kvm_vm_take_late (CprKvmVm *vm, const CprKvmScript *script, GError **error)
{
  bool had_irqchip = vm->has_irqchip, had_pit = vm->has_pit;

  take_clock (vm, script);
  take_chips (vm, script);
  return (vm->has_irqchip == had_irqchip && vm->has_pit == had_pit) ||
         cpr_throw (error, CPR_ERROR_CORRUPT, "KVM VM '%s': its late state has other parts", vm->name);
}

/* @with_clock: else only what doesn't come and go. */
static bool
run_script (CprKvmVm *vm, bool with_clock, GError **error)
{
  const CprKvmCall *failed;
  CprKvmScript script;

  cpr_kvm_script_init (&script, vm->fd, ROOM);
  if (with_clock)
    add_clock (&script);
  add_chips (&script);
  failed = cpr_kvm_script_run (&script);
  if (failed != NULL)
    cpr_throw_errno (error, -failed->result, "KVM VM '%s': %s", vm->name, failed->name);
  else
    {
      take_clock (vm, &script);
      take_chips (vm, &script);
    }
  cpr_kvm_script_clear (&script);
  return failed == NULL;
}

bool
cpr_kvm_vm_get (void *data, GError **error)
{
  CprKvmVm *vm = data;

  cpr_kvm_vm_get_routes (vm);
  return cpr_kvm_vm_put_irqfds_off (vm, error) && cpr_kvm_vm_put_vfio_off (vm, error) && run_script (vm, true, error);
}

void
cpr_kvm_machine_probe (CprKvmVm *vm)
{
  run_script (vm, false, NULL);
}

/* ---- Setting. */

/* After the LAPICs: what waits in the IOAPIC goes to them. */
static bool
set_irqchip (CprKvmVm *vm, GError **error)
{
  struct kvm_irqchip here = { .chip_id = 0 };
  bool is_here = false;

  if (!get_part (vm, KVM_GET_IRQCHIP, "KVM_GET_IRQCHIP", &here, &is_here, error) ||
      !cpr_kvm_check_part (vm, vm->has_irqchip, is_here, "an irqchip with PIC and IOAPIC", "", error))
    return false;
  for (uint32_t i = 0; vm->has_irqchip && i < CPR_KVM_N_IRQCHIPS; i++)
    if (!cpr_kvm_vm_call (vm, KVM_SET_IRQCHIP, &vm->irqchips[i], error))
      return false;
  return true;
}

static bool
set_pit (CprKvmVm *vm, GError **error)
{
  struct kvm_pit_state2 here;
  bool is_here = false;

  return get_part (vm, KVM_GET_PIT2, "KVM_GET_PIT2", &here, &is_here, error) &&
         cpr_kvm_check_part (vm, vm->has_pit, is_here, "a PIT", "", error) &&
         (!vm->has_pit || cpr_kvm_vm_call (vm, KVM_SET_PIT2, &vm->pit, error));
}

/* After a restart of the host, KVM knows best how much time has passed. */
static bool
set_clock (CprKvmVm *vm, GError **error)
{
  struct kvm_clock_data clock = { .clock = vm->clock_ns };

  if ((vm->flags & CPR_KVM_TIME_STOPS) == 0 && !cpr_kvm_clock_is_same (vm->taken_ns, vm->at_ns) &&
      (vm->clock_flags & KVM_CLOCK_REALTIME) != 0 && vm->can.has_set_realtime)
    {
      clock.flags = KVM_CLOCK_REALTIME;
      clock.realtime = vm->clock_realtime_ns;
    }
  else
    clock.clock += cpr_kvm_get_elapsed_ns (vm, vm->at_ns);
  return cpr_kvm_vm_call (vm, KVM_SET_CLOCK, &clock, error);
}

bool
cpr_kvm_vm_set (void *data, uint32_t version G_GNUC_UNUSED, GError **error)
{
  CprKvmVm *vm = data;

  if (vm->is_deferred)
    return true;
  vm->has_tsc_shift = false; /* of this load */
  return cpr_kvm_vm_learn (vm, error) && cpr_kvm_vm_set_routes (vm, error) && set_irqchip (vm, error) &&
         set_pit (vm, error) && set_clock (vm, error);
}

void
cpr_kvm_vm_clear (CprKvmVm *vm)
{
  g_clear_pointer (&vm->can.msrs, g_array_unref);
}

/* ---- What only other architectures have. */

void
cpr_kvm_vm_init (CprKvmVm *vm G_GNUC_UNUSED)
{
}

bool
cpr_kvm_vcpu_check (const CprKvmVcpu *vcpu G_GNUC_UNUSED, GError **error G_GNUC_UNUSED)
{
  return true;
}

char *
cpr_kvm_vcpu_describe_obstacle (const CprKvmVcpu *vcpu G_GNUC_UNUSED, unsigned *modes G_GNUC_UNUSED)
{
  return NULL;
}

void
cpr_kvm_vm_learn_state (CprKvmVm *vm G_GNUC_UNUSED)
{
}

static bool
throw_unsupported (const CprKvmVm *vm, const char *what, GError **error)
{
  return cpr_throw_errno (error, ENOTSUP, "KVM VM '%s': %s is a part of AArch64 machines", vm->name, what);
}

bool
cpr_kvm_vm_add_gic (CprKvmVm *vm, int fd G_GNUC_UNUSED, GError **error)
{
  return throw_unsupported (vm, "a GIC", error);
}

bool
cpr_kvm_vm_add_its (CprKvmVm *vm, int fd G_GNUC_UNUSED, GError **error)
{
  return throw_unsupported (vm, "an ITS", error);
}
