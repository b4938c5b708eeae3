/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How much time has passed for a guest, on the same host and on one that was restarted. Called by
 * the architecture's room. */
#include "base/sys.h"
#include "kvm/state.h"

bool
cpr_kvm_clock_is_same (uint64_t taken_ns, uint64_t at_ns)
{
  return taken_ns == at_ns;
}

/* An instant from before this boot is below 0, which `at_ns` wraps. */
uint64_t
cpr_kvm_get_elapsed_ns (const CprKvmVm *vm, uint64_t at_ns)
{
  int64_t elapsed_ns = (int64_t) (cpr_now_ns () - at_ns);

  return (vm->flags & CPR_KVM_TIME_STOPS) != 0 || elapsed_ns < 0 ? 0 : (uint64_t) elapsed_ns;
}

uint64_t
cpr_kvm_get_elapsed_ticks (const CprKvmVm *vm, uint64_t at_ns, uint32_t ticks, uint64_t unit_ns)
{
  uint64_t ns = cpr_kvm_get_elapsed_ns (vm, at_ns);

  return ns / unit_ns * ticks + ns % unit_ns * ticks / unit_ns;
}
