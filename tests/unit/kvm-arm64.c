/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kvm-arm64.h"

#ifdef __aarch64__

#  include <errno.h>
#  include <fcntl.h>
#  include <stdio.h>
#  include <stdlib.h>
#  include <string.h>
#  include <sys/ioctl.h>
#  include <sys/mman.h>
#  include <unistd.h>

/* ---- Making a VM. */

uint32_t
arm_get_features (void)
{
  int kvm = open ("/dev/kvm", O_RDWR | O_CLOEXEC);
  uint32_t features = (kvm_do (kvm, KVM_CHECK_EXTENSION, KVM_CAP_ARM_SVE) > 0 ? CPR_KVM_SVE : 0) |
                      (kvm_do (kvm, KVM_CHECK_EXTENSION, KVM_CAP_ARM_PMU_V3) > 0 ? CPR_KVM_PMU : 0) |
                      (kvm_do (kvm, KVM_CHECK_EXTENSION, KVM_CAP_ARM_PTRAUTH_ADDRESS) > 0 ? CPR_KVM_PTRAUTH : 0);

  close (kvm);
  return features;
}

static void
make_vcpu (ArmMachine *machine, unsigned i)
{
  struct kvm_vcpu_init init;
  int sve = KVM_ARM_VCPU_SVE;

  machine->vcpus[i] = kvm_do (machine->vm, KVM_CREATE_VCPU, i);
  kvm_do (machine->vm, KVM_ARM_PREFERRED_TARGET, &init);
  init.features[0] =
      1u << KVM_ARM_VCPU_PSCI_0_2 | machine->options.features | (i == 1 ? machine->options.second_more : 0);
  kvm_do (machine->vcpus[i], KVM_ARM_VCPU_INIT, &init);
  if ((machine->options.features & CPR_KVM_SVE) != 0)
    kvm_do (machine->vcpus[i], KVM_ARM_VCPU_FINALIZE, &sve);
}

static int
make_device (const ArmMachine *machine, uint32_t type)
{
  struct kvm_create_device device = { .type = type };

  kvm_do (machine->vm, KVM_CREATE_DEVICE, &device);
  return (int) device.fd;
}

static void
set_attribute (int fd, uint32_t group, uint64_t attr, uint64_t value)
{
  struct kvm_device_attr attribute = { .group = group, .attr = attr, .addr = (uintptr_t) &value };

  kvm_do (fd, KVM_SET_DEVICE_ATTR, &attribute);
}

static void
make_gic (ArmMachine *machine)
{
  machine->gic = make_device (machine, KVM_DEV_TYPE_ARM_VGIC_V3);
  set_attribute (machine->gic, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, machine->options.n_interrupts);
  set_attribute (machine->gic, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_DIST, machine->options.gicd);
  set_attribute (machine->gic, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_REDIST, ARM_GICR);
  set_attribute (machine->gic, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, 0);
  for (unsigned i = 0; i < machine->options.n_its; i++)
    {
      machine->its[i] = make_device (machine, KVM_DEV_TYPE_ARM_VGIC_ITS);
      set_attribute (machine->its[i], KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_ITS_ADDR_TYPE, ARM_ITS + 0x1000000 * i);
      set_attribute (machine->its[i], KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, 0);
    }
}

void
arm_machine_init (ArmMachine *machine, ArmOptions options)
{
  struct kvm_userspace_memory_region region = { .guest_phys_addr = ARM_RAM, .memory_size = ARM_RAM_SIZE };

  *machine = (ArmMachine){ .options = options, .gic = -1, .ram = options.ram, .owns_ram = options.ram == NULL };
  machine->kvm = open ("/dev/kvm", O_RDWR | O_CLOEXEC);
  ck_assert_int_ge (machine->kvm, 0);
  do /* a signal of the test's own timer */
    machine->vm = ioctl (machine->kvm, KVM_CREATE_VM, 0);
  while (machine->vm < 0 && errno == EINTR);
  ck_assert_int_ge (machine->vm, 0);
  if (machine->owns_ram)
    machine->ram = mmap (NULL, ARM_RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ck_assert_ptr_ne (machine->ram, MAP_FAILED);
  region.userspace_addr = (uintptr_t) machine->ram;
  kvm_do (machine->vm, KVM_SET_USER_MEMORY_REGION, &region);
  for (unsigned i = 0; i < ARM_VCPUS; i++)
    make_vcpu (machine, i);
  if (options.n_interrupts > 0)
    make_gic (machine);
}

void
arm_machine_clear (ArmMachine *machine)
{
  for (unsigned i = 0; i < machine->options.n_its; i++)
    close (machine->its[i]);
  if (machine->gic >= 0)
    close (machine->gic);
  for (unsigned i = 0; i < ARM_VCPUS; i++)
    close (machine->vcpus[i]);
  close (machine->vm);
  close (machine->kvm);
  if (machine->owns_ram)
    munmap (machine->ram, ARM_RAM_SIZE);
}

CprKvmVm *
arm_add (const ArmMachine *machine, CprDeviceTable *devices, unsigned flags)
{
  GError *error = NULL;
  CprKvmVm *vm = cpr_kvm_vm_create (NULL, devices, "kvm", machine->kvm, machine->vm, flags, &error);

  assert_no_error (error);
  for (unsigned i = 0; i < ARM_VCPUS; i++)
    ck_assert_msg (cpr_kvm_vcpu_create (vm, i, machine->vcpus[i], &error) != NULL, "%s", error->message);
  ck_assert_msg (machine->gic < 0 || cpr_kvm_vm_add_gic (vm, machine->gic, &error), "%s",
                 error != NULL ? error->message : "");
  for (unsigned i = 0; i < machine->options.n_its; i++)
    ck_assert_msg (cpr_kvm_vm_add_its (vm, machine->its[i], &error), "%s", error->message);
  return vm;
}

/* ---- Reading and changing it. */

void
arm_pair_init (ArmPair *pair, ArmOptions was, ArmOptions is, unsigned flags)
{
  programs_init (&pair->programs);
  arm_machine_init (&pair->from, was);
  is.ram = pair->from.ram;
  arm_machine_init (&pair->to, is);
  pair->saved = arm_add (&pair->from, &pair->programs.saved, flags);
  pair->loaded = arm_add (&pair->to, &pair->programs.loaded, flags);
}

void
arm_pair_clear (ArmPair *pair)
{
  cpr_sys = &cpr_sys_kernel;
  cpr_kvm_vm_destroy (pair->saved);
  cpr_kvm_vm_destroy (pair->loaded);
  programs_clear (&pair->programs);
  arm_machine_clear (&pair->to);
  arm_machine_clear (&pair->from);
}

uint64_t
arm_get (int vcpu, uint64_t id)
{
  uint64_t value = 0;
  struct kvm_one_reg reg = { .id = id, .addr = (uintptr_t) &value };

  kvm_do (vcpu, KVM_GET_ONE_REG, &reg);
  return value;
}

void
arm_set (int vcpu, uint64_t id, uint64_t value)
{
  struct kvm_one_reg reg = { .id = id, .addr = (uintptr_t) &value };

  kvm_do (vcpu, KVM_SET_ONE_REG, &reg);
}

uint64_t
arm_gic_get (const ArmMachine *machine, uint32_t group, uint64_t attr)
{
  uint64_t value = 0;
  struct kvm_device_attr attribute = { .group = group, .attr = attr, .addr = (uintptr_t) &value };

  kvm_do (group == KVM_DEV_ARM_VGIC_GRP_ITS_REGS ? machine->its[0] : machine->gic, KVM_GET_DEVICE_ATTR, &attribute);
  return value;
}

void
arm_gic_set (const ArmMachine *machine, uint32_t group, uint64_t attr, uint64_t value)
{
  set_attribute (group == KVM_DEV_ARM_VGIC_GRP_ITS_REGS ? machine->its[0] : machine->gic, group, attr, value);
}

uint64_t
arm_get_affinity (const ArmMachine *machine, unsigned vcpu)
{
  return (arm_get (machine->vcpus[vcpu], CPR_KVM_MPIDR) & 0xffffff) << 32;
}

/* ---- Another kernel. */

ArmKernel arm_kernel;

static bool
is_asked (int fd)
{
  return arm_kernel.changed_fd < 0 || arm_kernel.changed_fd == fd;
}

static int
give (int errnum)
{
  errno = errnum;
  return -1;
}

static void
take_out (struct kvm_reg_list *list)
{
  uint64_t n = 0;

  for (uint64_t i = 0; i < list->n; i++)
    if (list->reg[i] != arm_kernel.unlisted_id)
      list->reg[n++] = list->reg[i];
  list->n = n;
}

static int
answer (int fd, unsigned long request, void *argument)
{
  const struct kvm_one_reg *reg = argument;
  const struct kvm_create_device *device = argument;
  bool is_reg = (request == KVM_GET_ONE_REG || request == KVM_SET_ONE_REG) && is_asked (fd);
  int result;

  arm_kernel.n_counted += request == arm_kernel.counted;
  if (++arm_kernel.calls == arm_kernel.fail_at)
    return give (ENOMEM);
  if (is_reg && arm_kernel.unlisted_id != 0 && reg->id == arm_kernel.unlisted_id)
    return give (ENOENT);
  if (request == KVM_CREATE_DEVICE && (int) device->type == arm_kernel.missing_device)
    return give (ENODEV);
  if (request == KVM_CHECK_EXTENSION && arm_kernel.capability != 0 && (intptr_t) argument == arm_kernel.capability)
    return arm_kernel.capability_is;
  if (is_reg && request == KVM_GET_ONE_REG && arm_kernel.changed_id != 0 && reg->id == arm_kernel.changed_id)
    {
      *(uint64_t *) (uintptr_t) reg->addr = arm_kernel.changed_value;
      return 0;
    }
  result = ioctl (fd, request, argument);
  if (result >= 0 && request == KVM_GET_REG_LIST && is_asked (fd))
    take_out (argument);
  return result;
}

void
arm_kernel_begin (void)
{
  static CprSys sys;

  sys = cpr_sys_kernel;
  sys.ioctl = answer;
  cpr_sys = &sys;
  arm_kernel = (ArmKernel){ .changed_fd = -1 };
}

#endif
