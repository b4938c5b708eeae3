/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kvm-kernel.h"

#ifdef __x86_64__

#  include <errno.h>
#  include <sys/ioctl.h>

static const struct
{
  unsigned long request;
  const char *name;
} names[] = {
  { KVM_CHECK_EXTENSION, "KVM_CHECK_EXTENSION" },
  { KVM_GET_MSR_INDEX_LIST, "KVM_GET_MSR_INDEX_LIST" },
  { KVM_GET_CPUID2, "KVM_GET_CPUID2" },
  { KVM_SET_CPUID2, "KVM_SET_CPUID2" },
  { KVM_GET_REGS, "KVM_GET_REGS" },
  { KVM_SET_REGS, "KVM_SET_REGS" },
  { KVM_GET_SREGS2, "KVM_GET_SREGS2" },
  { KVM_SET_SREGS2, "KVM_SET_SREGS2" },
  { KVM_GET_SREGS, "KVM_GET_SREGS" },
  { KVM_SET_SREGS, "KVM_SET_SREGS" },
  { KVM_GET_XSAVE2, "KVM_GET_XSAVE2" },
  { KVM_GET_XSAVE, "KVM_GET_XSAVE" },
  { KVM_SET_XSAVE, "KVM_SET_XSAVE" },
  { KVM_GET_FPU, "KVM_GET_FPU" },
  { KVM_SET_FPU, "KVM_SET_FPU" },
  { KVM_GET_XCRS, "KVM_GET_XCRS" },
  { KVM_SET_XCRS, "KVM_SET_XCRS" },
  { KVM_GET_DEBUGREGS, "KVM_GET_DEBUGREGS" },
  { KVM_SET_DEBUGREGS, "KVM_SET_DEBUGREGS" },
  { KVM_GET_VCPU_EVENTS, "KVM_GET_VCPU_EVENTS" },
  { KVM_SET_VCPU_EVENTS, "KVM_SET_VCPU_EVENTS" },
  { KVM_GET_MP_STATE, "KVM_GET_MP_STATE" },
  { KVM_SET_MP_STATE, "KVM_SET_MP_STATE" },
  { KVM_GET_LAPIC, "KVM_GET_LAPIC" },
  { KVM_SET_LAPIC, "KVM_SET_LAPIC" },
  { KVM_GET_MSRS, "KVM_GET_MSRS" },
  { KVM_SET_MSRS, "KVM_SET_MSRS" },
  { KVM_X86_SETUP_MCE, "KVM_X86_SETUP_MCE" },
  { KVM_GET_ONE_REG, "KVM_GET_ONE_REG" },
  { KVM_GET_NESTED_STATE, "KVM_GET_NESTED_STATE" },
  { KVM_SET_NESTED_STATE, "KVM_SET_NESTED_STATE" },
  { KVM_GET_TSC_KHZ, "KVM_GET_TSC_KHZ" },
  { KVM_GET_DEVICE_ATTR, "KVM_GET_DEVICE_ATTR" },
  { KVM_SET_DEVICE_ATTR, "KVM_SET_DEVICE_ATTR" },
  { KVM_KVMCLOCK_CTRL, "KVM_KVMCLOCK_CTRL" },
  { KVM_GET_CLOCK, "KVM_GET_CLOCK" },
  { KVM_SET_CLOCK, "KVM_SET_CLOCK" },
  { KVM_GET_IRQCHIP, "KVM_GET_IRQCHIP" },
  { KVM_SET_IRQCHIP, "KVM_SET_IRQCHIP" },
  { KVM_GET_PIT2, "KVM_GET_PIT2" },
  { KVM_SET_PIT2, "KVM_SET_PIT2" },
  { KVM_SET_GSI_ROUTING, "KVM_SET_GSI_ROUTING" },
};

KvmKernel kvm_kernel;

static bool
lacks (unsigned long capability)
{
  return kvm_kernel.is_old && (capability == KVM_CAP_SREGS2 || capability == KVM_CAP_XSAVE2 ||
                               capability == KVM_CAP_XSAVE || capability == KVM_CAP_VCPU_ATTRIBUTES ||
                               capability == KVM_CAP_ONE_REG || capability == KVM_CAP_KVMCLOCK_CTRL);
}

/* KVM_SET_MSRS ends before the one that it refuses. */
static int
set_msrs (int fd, struct kvm_msrs *msrs)
{
  uint32_t n = msrs->nmsrs;
  int done;

  for (uint32_t i = 0; i < msrs->nmsrs; i++)
    if (msrs->entries[i].index == kvm_kernel.refused_msr)
      msrs->nmsrs = i;
  done = ioctl (fd, KVM_SET_MSRS, msrs);
  msrs->nmsrs = n;
  return done;
}

/* A TSC that has its offset: each machine's vCPUs in turn. */
static int
answer_tsc (int fd, unsigned long request, void *argument)
{
  const struct kvm_device_attr *attribute = argument;
  struct kvm_msrs *msrs = argument;
  unsigned i = fd == kvm_kernel.second[0] || fd == kvm_kernel.second[1];

  if (request == KVM_GET_DEVICE_ATTR)
    *(uint64_t *) (uintptr_t) attribute->addr = kvm_kernel.offsets[i];
  else if (request == KVM_SET_DEVICE_ATTR)
    kvm_kernel.offsets[i] = *(const uint64_t *) (uintptr_t) attribute->addr;
  else
    {
      int result = ioctl (fd, request, argument);

      if (request == KVM_GET_MSRS && (uint32_t) result == msrs->nmsrs && msrs->entries[result - 1].index == 0x10)
        msrs->entries[result - 1].data = kvm_kernel.tsc + kvm_kernel.offsets[i];
      return result;
    }
  return 0;
}

/* MSRs of no CPU. */
static int
list_msrs (int fd, struct kvm_msr_list *list)
{
  int result = ioctl (fd, KVM_GET_MSR_INDEX_LIST, list);

  for (unsigned i = 0; i < kvm_kernel.more_msrs; i++)
    list->indices[list->nmsrs++] = 0x12340000 + i;
  return result;
}

static int
answer (int fd, unsigned long request, void *argument)
{
  if (++kvm_kernel.calls == kvm_kernel.fail_at)
    {
      kvm_kernel.failed = request;
      kvm_kernel.on = fd;
      errno = ENOMEM;
      return -1;
    }
  if (request == kvm_kernel.missing)
    {
      errno = EINVAL;
      return -1;
    }
  if (request == KVM_CHECK_EXTENSION && lacks ((uintptr_t) argument))
    return 0;
  if (request == KVM_GET_MSR_INDEX_LIST)
    return list_msrs (fd, argument);
  if (request == KVM_SET_MSRS && kvm_kernel.refused_msr != 0)
    return set_msrs (fd, argument);
  return kvm_kernel.has_tsc ? answer_tsc (fd, request, argument) : ioctl (fd, request, argument);
}

void
kvm_kernel_begin (int second, int other_second)
{
  static CprSys sys;

  sys = cpr_sys_kernel;
  sys.ioctl = answer;
  cpr_sys = &sys;
  kvm_kernel = (KvmKernel){ .second = { second, other_second } };
}

const char *
kvm_name_of (unsigned long request)
{
  for (size_t i = 0; i < G_N_ELEMENTS (names); i++)
    if (names[i].request == request)
      return names[i].name;
  ck_abort_msg ("ioctl 0x%lx has no name", request);
  return NULL;
}

#endif
