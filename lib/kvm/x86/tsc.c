/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A vCPU's TSC, and how time goes on for the guest: on the same host, and on a host that was
 * restarted. Called by vcpu.c and machine.c. */
#include "kvm/x86/x86.h"

#define MSR_TSC       0x10
#define NS_PER_MS     1000000
#define TOLERANCE_PPM 250 /* two measurements of the same clock differ by that at most */

static struct kvm_device_attr
attribute_for (uint64_t *offset)
{
  return (
      struct kvm_device_attr){ .group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (uintptr_t) offset };
}

static bool
get_offset (const CprKvmVcpu *vcpu, uint64_t *offset, GError **error)
{
  struct kvm_device_attr attribute = attribute_for (offset);

  return cpr_sys->ioctl (vcpu->fd, KVM_GET_DEVICE_ATTR, &attribute) >= 0 ||
         cpr_kvm_vcpu_throw (vcpu, errno, "KVM_GET_DEVICE_ATTR of the TSC offset", error);
}

/* EIO: the host's TSC isn't stable, and has no frequency. */
static bool
get_khz (const CprKvmVcpu *vcpu, uint32_t *khz, GError **error)
{
  int found = cpr_sys->ioctl (vcpu->fd, KVM_GET_TSC_KHZ, NULL);

  *khz = found > 0 ? (uint32_t) found : 0;
  return found >= 0 || errno == EIO || cpr_kvm_vcpu_throw (vcpu, errno, "KVM_GET_TSC_KHZ", error);
}

static bool
read_tsc (const CprKvmVcpu *vcpu, uint64_t *tsc, GError **error)
{
  bool there;

  return cpr_kvm_msr_read (vcpu, MSR_TSC, tsc, &there, error);
}

bool
cpr_kvm_tsc_get_khz (CprKvmVcpu *vcpu, GError **error)
{
  return get_khz (vcpu, &vcpu->tsc_khz, error);
}

typedef struct
{
  struct kvm_device_attr attribute;
  uint64_t offset;
} OffsetCall;

void
cpr_kvm_tsc_add (const CprKvmVcpu *vcpu, CprKvmScript *script)
{
  OffsetCall *call;

  if (!vcpu->vm->can.has_tsc_offset)
    return;
  call = cpr_kvm_script_add (script, KVM_GET_DEVICE_ATTR, "KVM_GET_DEVICE_ATTR of the TSC offset", sizeof *call);
  call->attribute = attribute_for (&call->offset);
}

void
cpr_kvm_tsc_take (CprKvmVcpu *vcpu, const CprKvmScript *script)
{
  const OffsetCall *call = cpr_kvm_script_get_sized (script, KVM_GET_DEVICE_ATTR, 0, sizeof *call);

  vcpu->has_tsc_offset = call != NULL;
  vcpu->tsc_offset = call != NULL ? call->offset : 0;
}

static bool
is_about (uint32_t khz, uint32_t other)
{
  uint64_t difference = khz > other ? khz - other : other - khz;

  return difference * 1000000 <= (uint64_t) other * TOLERANCE_PPM;
}

/* A CPU that can't scale it has to have it. */
static bool
set_khz (CprKvmVcpu *vcpu, GError **error)
{
  uint32_t here;

  if (vcpu->tsc_khz == 0 || (vcpu->known != NULL && vcpu->known->tsc_khz == vcpu->tsc_khz))
    return true;
  if (!get_khz (vcpu, &here, error))
    return false;
  if (here == vcpu->tsc_khz || cpr_sys->ioctl (vcpu->fd, KVM_SET_TSC_KHZ, GUINT_TO_POINTER (vcpu->tsc_khz)) >= 0 ||
      is_about (here, vcpu->tsc_khz))
    return true;
  return cpr_throw_errno (error, errno,
                          "KVM VM '%s': vCPU %u: KVM_SET_TSC_KHZ: its TSC has %u kHz in the state, %u kHz here",
                          vcpu->vm->name, vcpu->index, vcpu->tsc_khz, here);
}

/* On another host, or where time stands still, all vCPUs are shifted alike: their TSCs differ by
 * exactly what they differed by. */
static bool
shift_offset (CprKvmVcpu *vcpu, GError **error)
{
  CprKvmVm *vm = vcpu->vm;
  uint64_t offset = 0, tsc = 0;

  if (!vm->has_tsc_shift)
    {
      if (!get_offset (vcpu, &offset, error) || !read_tsc (vcpu, &tsc, error))
        return false;
      vm->tsc_shift = vcpu->tsc + cpr_kvm_get_elapsed_ticks (vm, vcpu->tsc_at_ns, vcpu->tsc_khz, NS_PER_MS) - tsc +
                      offset - vcpu->tsc_offset;
      vm->has_tsc_shift = true;
    }
  vcpu->tsc_offset += vm->tsc_shift;
  return true;
}

/* While the host's TSC goes on, the guest's goes on without a seam where it keeps its offset. */
static bool
set_offset (CprKvmVcpu *vcpu, GError **error)
{
  struct kvm_device_attr attribute = attribute_for (&vcpu->tsc_offset);
  bool goes_on = (vcpu->vm->flags & CPR_KVM_TIME_STOPS) == 0;

  if ((!goes_on || !cpr_kvm_clock_is_same (vcpu->tsc_taken_ns, vcpu->tsc_at_ns)) && !shift_offset (vcpu, error))
    return false;
  return cpr_sys->ioctl (vcpu->fd, KVM_SET_DEVICE_ATTR, &attribute) >= 0 ||
         cpr_kvm_vcpu_throw (vcpu, errno, "KVM_SET_DEVICE_ATTR of the TSC offset", error);
}

/* Without an offset the TSC is an MSR among others: KVM makes those of several vCPUs one where they
 * are written within a second and are about the same. */
static void
set_value (CprKvmVcpu *vcpu)
{
  uint64_t tsc = vcpu->tsc + cpr_kvm_get_elapsed_ticks (vcpu->vm, vcpu->tsc_at_ns, vcpu->tsc_khz, NS_PER_MS);

  for (uint32_t i = 0; i < vcpu->msrs.count; i++)
    if (vcpu->msrs.entries[i].index == MSR_TSC)
      vcpu->msrs.entries[i].data = tsc;
}

bool
cpr_kvm_tsc_set (CprKvmVcpu *vcpu, GError **error)
{
  if (!set_khz (vcpu, error))
    return false;
  if (vcpu->has_tsc_offset && vcpu->vm->can.has_tsc_offset)
    return set_offset (vcpu, error);
  set_value (vcpu);
  return true;
}
