/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The guest's counters, virtual and physical, and how time goes on for the guest: on the same host,
 * and on a host that was restarted. KVM has one offset of each for the whole VM, so they are set
 * once, by way of any vCPU. KVM compares them with the timers when a vCPU runs, not before: so they
 * are set last, close to the start. Called by machine.c. */
#include "kvm/arm64/arm64.h"

/* How far apart two readings of one clock may be, in parts of a second: those of a thread that the
 * scheduler left alone, and those of one that it didn't. */
#define CLOSE_PARTS 10000
#define FAR_PARTS   10
#define TRIES       8

#define NS_PER_S 1000000000

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

typedef struct
{
  uint64_t counter, host; /* at the same instant */
  uint64_t error;         /* by how much that can be wrong */
} Reading;

/* The instant is between two readings of the host's counter. Where a thread had to wait in between,
 * another try is better. */
static bool
read_both (const CprKvmVm *vm, uint64_t id, Reading *best)
{
  best->error = UINT64_MAX;
  for (unsigned i = 0; i < TRIES && best->error > cpr_kvm_counters_get_hz () / CLOSE_PARTS / 2; i++)
    {
      uint64_t counter = 0, before = read_host (), half;

      if (cpr_kvm_register_read (get_vcpu (vm)->fd, id, &counter) < 0)
        return false;
      half = (read_host () - before) / 2;
      if (half < best->error)
        *best = (Reading){ counter, before + half, half };
    }
  return true;
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
  uint64_t aimed = vm->host_counter - vm->counter;
  uint32_t hz = cpr_kvm_counters_get_hz ();
  Reading counter, physical;

  if (!read_both (vm, KVM_REG_ARM_TIMER_CNT, &counter))
    return cpr_kvm_vcpu_throw (get_vcpu (vm), errno, "KVM_GET_ONE_REG of the virtual counter", error);
  vm->counter = vm->has_counters ? settle (counter.counter, counter.host, aimed, hz) : counter.counter;
  vm->physical_counter = 0;
  if (read_both (vm, KVM_REG_ARM_PTIMER_CNT, &physical))
    vm->physical_counter = settle (physical.counter, physical.host, 0, hz) + counter.host - physical.host;
  else if (!is_missing (errno))
    return cpr_kvm_vcpu_throw (get_vcpu (vm), errno, "KVM_GET_ONE_REG of the physical counter", error);
  vm->host_counter = counter.host;
  vm->counter_hz = hz;
  vm->has_counters = true;
  vm->taken_ns = vm->at_ns = cpr_now_ns ();
  return true;
}

/* ---- Setting. */

static bool
goes_on (const CprKvmVm *vm)
{
  return (vm->flags & CPR_KVM_TIME_STOPS) == 0 && cpr_kvm_clock_is_same (vm->taken_ns, vm->at_ns);
}

/* How far a counter shall be behind the host's. After a restart that one has begun again, and where
 * time stops it has gone on. */
static uint64_t
get_distance (const CprKvmVm *vm, uint64_t saved)
{
  return goes_on (vm) ? vm->host_counter - saved
                      : read_host () - saved - cpr_kvm_get_elapsed_ticks (vm, vm->at_ns, vm->counter_hz, NS_PER_S);
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

/* Sets it once; *off: by how much it isn't at the value that it should have. The value is that of
 * the instant at which KVM takes it, which is as late as the reading was. */
static bool
try_counter (const CprKvmVm *vm, uint64_t id, uint64_t distance, Reading *now, uint64_t *off, GError **error)
{
  uint64_t late = MIN (now->error, vm->counter_hz / CLOSE_PARTS);
  uint64_t value = read_host () + late - distance;
  int fd = get_vcpu (vm)->fd;

  if (cpr_kvm_register_write (fd, id, &value) < 0)
    return cpr_kvm_vcpu_throw (get_vcpu (vm), errno, "KVM_SET_ONE_REG of a counter", error);
  if (!read_both (vm, id, now))
    return cpr_kvm_vcpu_throw (get_vcpu (vm), errno, "KVM_GET_ONE_REG of a counter", error);
  value = now->host - distance;
  *off = MIN (now->counter - value, value - now->counter);
  return true;
}

/* A thread that had to wait sets it too late. Where the VMM has fixed the offset KVM ignores the
 * value, and may have the right one. */
static bool
set_counter (const CprKvmVm *vm, uint64_t id, uint64_t distance, GError **error)
{
  uint64_t off = UINT64_MAX;
  Reading now;

  if (!read_both (vm, id, &now))
    return cpr_kvm_vcpu_throw (get_vcpu (vm), errno, "KVM_GET_ONE_REG of a counter", error);
  for (unsigned i = 0; i < TRIES && off > vm->counter_hz / CLOSE_PARTS; i++)
    if (!try_counter (vm, id, distance, &now, &off, error))
      return false;
  return off <= vm->counter_hz / FAR_PARTS + now.error || refuse (vm, id, now.host - distance, now.counter, error);
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
  return set_counter (vm, KVM_REG_ARM_PTIMER_CNT, get_distance (vm, vm->physical_counter), error);
}

bool
cpr_kvm_counters_set (CprKvmVm *vm, GError **error)
{
  uint64_t distance;

  if (!vm->has_counters)
    return true;
  if (vm->counter_hz != cpr_kvm_counters_get_hz ())
    return cpr_throw (error, CPR_ERROR_MISMATCH,
                      "KVM VM '%s': its counters have %u Hz in the state, %u Hz here, and no KVM scales them", vm->name,
                      vm->counter_hz, cpr_kvm_counters_get_hz ());
  distance = get_distance (vm, vm->counter);
  if (!set_physical (vm, error) || !set_counter (vm, KVM_REG_ARM_TIMER_CNT, distance, error))
    return false;
  vm->host_counter = read_host (); /* for the next time */
  vm->counter = vm->host_counter - distance;
  return true;
}
