/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The guest's counters, virtual and physical, and how time goes on for the guest: on the same host,
 * and on a host that was restarted. KVM has one offset of each for the whole VM, so they are set
 * once, by way of any vCPU. KVM compares them with the timers when a vCPU runs, not before: so they
 * are set last, close to the start. Called by machine.c. */
#include "kvm/arm64/arm64.h"

/* How much may lie between two readings of what is one clock, in parts of a second. */
#define CLOSE_PARTS 10000
#define WRONG_PARTS 100

/* ---- The host's counter. Linux lets every program read it. */

static uint64_t
read_host (void)
{
  uint64_t ticks;

  __asm__ volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(ticks) : : "memory");
  return ticks;
}

uint32_t
cpr_kvm_counters_get_hz (void)
{
  uint64_t hz;

  __asm__ volatile("mrs %0, cntfrq_el0" : "=r"(hz));
  return (uint32_t) hz;
}

static const CprKvmVcpu *
get_vcpu (const CprKvmVm *vm)
{
  return vm->vcpus->pdata[0];
}

static const char *
get_name (uint64_t id)
{
  return id == KVM_REG_ARM_TIMER_CNT ? "virtual counter (KVM_REG_ARM_TIMER_CNT)"
                                     : "physical counter (KVM_REG_ARM_PTIMER_CNT)";
}

/* ---- Reading. */

/* A counter and the host's at the same instant, which is between two readings of the latter. */
static bool
read_both (const CprKvmVm *vm, uint64_t id, uint64_t *counter, uint64_t *host, uint64_t *half)
{
  uint64_t before = read_host ();
  bool done = cpr_kvm_register_read (get_vcpu (vm)->fd, id, counter) >= 0;

  *half = (read_host () - before) / 2;
  *host = before + *half;
  return done;
}

static bool
is_missing (int errnum)
{
  return errnum == ENOENT || errnum == EINVAL;
}

static bool
is_within (uint64_t a, uint64_t b, uint64_t ticks)
{
  return a - b <= ticks || b - a <= ticks;
}

/* A counter that has kept its distance from the host's has it as it was aimed at. Otherwise each of
 * many updates would add the time that one reading takes. */
static uint64_t
settle (uint64_t counter, uint64_t host, uint64_t aimed_distance, uint32_t hz)
{
  return is_within (host - counter, aimed_distance, hz / CLOSE_PARTS) ? host - aimed_distance : counter;
}

bool
cpr_kvm_counters_get (CprKvmVm *vm, GError **error)
{
  uint64_t counter = 0, host = 0, half, aimed = vm->host_counter - vm->counter;
  uint64_t physical = 0, physical_host = 0;
  uint32_t hz = cpr_kvm_counters_get_hz ();

  if (!read_both (vm, KVM_REG_ARM_TIMER_CNT, &counter, &host, &half))
    return cpr_kvm_vcpu_throw (get_vcpu (vm), errno, "KVM_GET_ONE_REG of the virtual counter", error);
  vm->counter = vm->has_counters ? settle (counter, host, aimed, hz) : counter;
  vm->physical_counter = 0;
  if (read_both (vm, KVM_REG_ARM_PTIMER_CNT, &physical, &physical_host, &half))
    vm->physical_counter = settle (physical, physical_host, 0, hz) + host - physical_host;
  else if (!is_missing (errno))
    return cpr_kvm_vcpu_throw (get_vcpu (vm), errno, "KVM_GET_ONE_REG of the physical counter", error);
  vm->host_counter = host;
  vm->counter_hz = hz;
  vm->has_counters = true;
  vm->taken_ns = vm->at_ns = cpr_now_ns ();
  return true;
}

/* ---- Setting. */

static uint64_t
get_ticks (uint64_t ns, uint32_t hz)
{
  return ns / 1000000000 * hz + ns % 1000000000 * hz / 1000000000;
}

static bool
goes_on (const CprKvmVm *vm)
{
  return (vm->flags & CPR_KVM_TIME_STOPS) == 0 && cpr_kvm_clock_is_same (vm->taken_ns, vm->at_ns);
}

/* How far a counter has gone on since it was saved. After a restart the host's has begun again. */
static uint64_t
get_passed (const CprKvmVm *vm, uint64_t host)
{
  return goes_on (vm) ? host - vm->host_counter : get_ticks (cpr_kvm_get_elapsed_ns (vm, vm->at_ns), vm->counter_hz);
}

static bool
refuse (const CprKvmVm *vm, uint64_t id, uint64_t value, uint64_t here, GError **error)
{
  return cpr_throw (error, CPR_ERROR_MISMATCH,
                    "KVM VM '%s': KVM_SET_ONE_REG: its %s should be 0x%" G_GINT64_MODIFIER
                    "x, and KVM keeps it at 0x%" G_GINT64_MODIFIER
                    "x: an offset of KVM_ARM_SET_COUNTER_OFFSET is fixed",
                    vm->name, get_name (id), value, here);
}

/* Where the VMM has fixed the offset KVM ignores the value, and may have the right one. */
static bool
set_counter (const CprKvmVm *vm, uint64_t id, uint64_t saved, GError **error)
{
  const CprKvmVcpu *vcpu = get_vcpu (vm);
  uint64_t value, here = 0, host, half, before;

  if (!read_both (vm, id, &here, &host, &half))
    return cpr_kvm_vcpu_throw (vcpu, errno, "KVM_GET_ONE_REG of a counter", error);
  before = read_host () + half; /* about when KVM takes it */
  value = saved + get_passed (vm, before);
  if (cpr_kvm_register_write (vcpu->fd, id, &value) < 0)
    return cpr_kvm_vcpu_throw (vcpu, errno, "KVM_SET_ONE_REG of a counter", error);
  if (!read_both (vm, id, &here, &host, &half))
    return cpr_kvm_vcpu_throw (vcpu, errno, "KVM_GET_ONE_REG of a counter", error);
  return is_within (here - value, host - before, vm->counter_hz / WRONG_PARTS) || refuse (vm, id, value, here, error);
}

/* A physical counter with an offset costs the guest an exit on many CPUs, and most have none. A
 * kernel before Linux 6.4 has the host's, and can't change it. */
static bool
set_physical (const CprKvmVm *vm, GError **error)
{
  uint64_t here = 0;

  if (vm->physical_counter == 0 ||
      (goes_on (vm) && is_within (vm->physical_counter, vm->host_counter, vm->counter_hz / CLOSE_PARTS)))
    return true;
  if (cpr_kvm_register_read (get_vcpu (vm)->fd, KVM_REG_ARM_PTIMER_CNT, &here) < 0 && is_missing (errno))
    return true;
  return set_counter (vm, KVM_REG_ARM_PTIMER_CNT, vm->physical_counter, error);
}

bool
cpr_kvm_counters_set (CprKvmVm *vm, GError **error)
{
  uint64_t host;

  if (!vm->has_counters)
    return true;
  if (vm->counter_hz != cpr_kvm_counters_get_hz ())
    return cpr_throw (error, CPR_ERROR_MISMATCH,
                      "KVM VM '%s': its counters have %u Hz in the state, %u Hz here, and no KVM scales them", vm->name,
                      vm->counter_hz, cpr_kvm_counters_get_hz ());
  if (!set_physical (vm, error) || !set_counter (vm, KVM_REG_ARM_TIMER_CNT, vm->counter, error))
    return false;
  host = read_host ();
  vm->counter += get_passed (vm, host); /* what was aimed at, for the next time */
  vm->host_counter = host;
  return true;
}
