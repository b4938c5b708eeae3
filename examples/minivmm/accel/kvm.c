/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The accelerator KVM, for vm.c. The VM is built anew after an update, because a KVM VM belongs to
 * the address space that made it; the library hands over what KVM keeps for it. What differs from
 * one architecture to another is in kvm-x86.c and kvm-arm64.c. */
#include "accel/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "support/error.h"

#define VM "kvm"

bool
accel_kvm_is_there (void)
{
  int fd = open ("/dev/kvm", O_RDWR | O_CLOEXEC);
  if (fd < 0)
    return false;
  close (fd);
  return true;
}

/* Memory comes before the irqchip: with an irqchip the kernel waits for a grace period, which
 * takes milliseconds, at each change of memory. */
static bool
add_memory (Kvm *kvm, GError **error)
{
  const GuestRam *ram = kvm->config.ram;
  return cpr_kvm_slot_add (kvm->vm, 0, 0, ram->block, 0, ram->low_size, 0, error) &&
         (!ram->high_size ||
          cpr_kvm_slot_add (kvm->vm, 1, GUEST_RAM_HIGH, ram->block, ram->low_size, ram->high_size, 0, error)) &&
         (!kvm->config.vfio || (kvm->vfio = kvm_vfio_new (kvm->config.vfio, kvm->vm, kvm->vm_fd, 2, error)));
}

/* Memory that was plugged in gets slots behind those of the start. In the next program it is in
 * theirs. */
static bool
kvm_add_ram (void *data, uint64_t gpa, uint64_t offset, uint64_t size, GError **error)
{
  Kvm *kvm = data;
  return cpr_kvm_slot_add (kvm->vm, 2 + PCI_N_BARS + kvm->n_added++, gpa, kvm->config.ram->block, offset, size, 0,
                           error);
}

static bool
create_vm (Kvm *kvm, GError **error)
{
  kvm->fd = open ("/dev/kvm", O_RDWR | O_CLOEXEC);
  if (kvm->fd < 0)
    return throw_errno (error, "/dev/kvm");
  kvm->vm_fd = cpr_kvm_create_vm (kvm->config.session, kvm->fd, 0, error);
  if (kvm->vm_fd < 0)
    return false;
  kvm->vm = cpr_kvm_vm_new (kvm->config.session, VM, kvm->fd, kvm->vm_fd, 0, error);
  if (!kvm->vm)
    return false;

  return kvm_arch_begin (kvm, error) && add_memory (kvm, error) && kvm_arch_add_irqchip (kvm, error);
}

static bool
create_vcpu (Kvm *kvm, unsigned index, GError **error)
{
  KvmVcpu *vcpu = &kvm->vcpus[index];

  vcpu->fd = ioctl (kvm->vm_fd, KVM_CREATE_VCPU, index);
  if (vcpu->fd < 0)
    return throw_errno (error, "KVM_CREATE_VCPU %u", index);
  vcpu->run = mmap (NULL, kvm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
  if (vcpu->run == MAP_FAILED)
    return throw_errno (error, "vCPU %u: mmap", index);
  vcpu->run->immediate_exit = 1; /* also brings the page in, now and not in the pause of an update */
  return kvm_arch_set_up_vcpu (kvm, index, error) && cpr_kvm_vcpu_add (kvm->vm, index, vcpu->fd, error);
}

static void
kvm_free (void *data)
{
  Kvm *kvm = data;

  kvm_vfio_free (kvm->vfio);
  if (kvm->vm)
    cpr_kvm_vm_remove (kvm->vm, NULL);
  kvm_arch_clear (kvm);
  for (unsigned i = 0; i < kvm->config.n_vcpus; i++)
    {
      if (kvm->vcpus[i].run != MAP_FAILED)
        munmap (kvm->vcpus[i].run, kvm->run_size);
      if (kvm->vcpus[i].fd >= 0)
        close (kvm->vcpus[i].fd);
    }
  if (kvm->vm_fd >= 0)
    close (kvm->vm_fd);
  if (kvm->fd >= 0)
    close (kvm->fd);
  g_free (kvm);
}

static void *
kvm_new (const AccelConfig *config, GError **error)
{
  Kvm *kvm = g_malloc0 (sizeof *kvm + config->n_vcpus * sizeof *kvm->vcpus);
  kvm->config = *config;
  kvm->fd = kvm->vm_fd = kvm->gic_fd = kvm->its_fd = -1;
  for (unsigned i = 0; i < config->n_vcpus; i++)
    kvm->vcpus[i] = (KvmVcpu){ -1, MAP_FAILED };

  bool ok = create_vm (kvm, error);
  if (ok)
    {
      int size = ioctl (kvm->fd, KVM_GET_VCPU_MMAP_SIZE, 0);
      kvm->run_size = size > 0 ? size : 0;
    }
  for (unsigned i = 0; ok && i < config->n_vcpus; i++)
    ok = create_vcpu (kvm, i, error);
  if (!ok || !kvm_arch_complete (kvm, error))
    {
      kvm_free (kvm);
      return NULL;
    }
  /* Now, because a vCPU that runs doesn't answer. */
  kvm->counter_khz = kvm_arch_get_counter_khz (kvm);
  return kvm;
}

static bool
kvm_reset (void *data, unsigned index, const GuestEntry *entry, GError **error)
{
  return kvm_arch_reset (data, index, entry, error);
}

/* Memory that nobody answers at reads as all ones. */
static bool
handle_mmio (Kvm *kvm, struct kvm_run *run, GError **error)
{
  bool ours = false;
  if (kvm->config.vfio && !vfio_access (kvm->config.vfio, run->mmio.phys_addr, run->mmio.data, run->mmio.len,
                                        run->mmio.is_write, &ours, error))
    return false;
  if (!ours)
    memset (run->mmio.data, 0xff, sizeof run->mmio.data);
  return true;
}

static bool
throw_exit (const KvmVcpu *vcpu, GError **error)
{
  uint64_t pc = kvm_arch_get_pc (vcpu);
  switch (vcpu->run->exit_reason)
    {
    case KVM_EXIT_INTERNAL_ERROR:
      return throw_error (error, "KVM internal error %u at %#" PRIx64, vcpu->run->internal.suberror, pc);
    case KVM_EXIT_FAIL_ENTRY:
      return throw_error (error, "the CPU refuses to enter the guest: %#llx",
                          vcpu->run->fail_entry.hardware_entry_failure_reason);
    case KVM_EXIT_SHUTDOWN:
      return throw_error (error, "triple fault");
    case KVM_EXIT_HLT:
      return throw_error (error, "halted at %#" PRIx64, pc);
    default:
      return throw_error (error, "unexpected KVM exit %u at %#" PRIx64, vcpu->run->exit_reason, pc);
    }
}

static bool
handle_exit (Kvm *kvm, const KvmVcpu *vcpu, GError **error)
{
  if (kvm_arch_handle_exit (kvm, vcpu->run))
    return true;
  if (vcpu->run->exit_reason == KVM_EXIT_MMIO)
    return handle_mmio (kvm, vcpu->run, error);
  return throw_exit (vcpu, error);
}

/* The way out is an interrupted KVM_RUN and nothing else: the kernel completes a port or memory
 * access only in the next KVM_RUN, and the registers aren't right before that. It has to be done
 * here on the vCPU's own thread: KVM_RUN on another one costs a grace period. */
static bool
handle_parked (struct kvm_run *run, void *user_data, GError **error)
{
  Kvm *kvm = user_data;
  if (kvm_arch_handle_exit (kvm, run))
    return true;
  if (run->exit_reason == KVM_EXIT_MMIO)
    return handle_mmio (kvm, run, error);
  return throw_error (error, "unexpected KVM exit %u", run->exit_reason);
}

static bool
kvm_run (void *data, unsigned index, GError **error)
{
  Kvm *kvm = data;
  const KvmVcpu *vcpu = &kvm->vcpus[index];

  if (!cpr_kvm_vcpu_handle_parked (kvm->vm, index, handle_parked, kvm, error))
    return false;
  for (;;)
    if (ioctl (vcpu->fd, KVM_RUN, 0) == 0)
      {
        if (!handle_exit (kvm, vcpu, error))
          return false;
      }
    else if (errno != EINTR && errno != EAGAIN)
      return throw_errno (error, "KVM_RUN");
    else if (__atomic_load_n (&vcpu->run->immediate_exit, __ATOMIC_SEQ_CST))
      return true;
}

static void
kvm_set_stop (void *data, unsigned index, bool stop)
{
  Kvm *kvm = data;
  __atomic_store_n (&kvm->vcpus[index].run->immediate_exit, stop, __ATOMIC_SEQ_CST);
}

static uint64_t
kvm_get_counter_khz (void *data)
{
  const Kvm *kvm = data;
  return kvm->counter_khz;
}

static bool
kvm_loaded (void *data, GError **error)
{
  Kvm *kvm = data;
  return !kvm->vfio || kvm_vfio_loaded (kvm->vfio, error);
}

const Accel accel_kvm = {
  .name = "kvm",
  .get_guests = kvm_arch_get_guests,
  .new = kvm_new,
  .reset = kvm_reset,
  .loaded = kvm_loaded,
  .run = kvm_run,
  .add_ram = kvm_add_ram,
  .set_stop = kvm_set_stop,
  .get_counter_khz = kvm_get_counter_khz,
  .free = kvm_free,
};
