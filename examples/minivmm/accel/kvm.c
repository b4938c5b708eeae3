/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The accelerator KVM, for vm.c. The VM is built anew after an update, because a KVM VM belongs to
 * the address space that made it; the library hands over what KVM keeps for it. */
#include "accel/accel.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "accel/kvm-vfio.h"
#include "support/error.h"

/* Three pages for the kernel's own use on some CPUs; its identity map is by default the page
 * below. Far from RAM. */
#define TSS_ADDRESS 0xfffbd000

#define VM "kvm"

#define CR0_LONG_MODE  0x80000033 /* PG, NE, ET, MP, PE */
#define CR4_LONG_MODE  0x00000620 /* OSXMMEXCPT, OSFXSR, PAE */
#define EFER_LONG_MODE 0x00000500 /* LMA, LME */

#define CPUID_MAX 256

typedef struct
{
  int fd;
  struct kvm_run *run;
} KvmVcpu;

typedef struct
{
  AccelConfig config;
  int fd;
  int vm_fd;
  CprKvmVm *vm;
  bool has_irqchip;
  size_t run_size;
  uint64_t tsc_khz;
  KvmVfio *vfio; /* NULL: none */
  KvmVcpu vcpus[];
} Kvm;

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

static bool
create_vm (Kvm *kvm, GError **error)
{
  const struct kvm_pit_config pit = { 0 };

  kvm->fd = open ("/dev/kvm", O_RDWR | O_CLOEXEC);
  if (kvm->fd < 0)
    return throw_errno (error, "/dev/kvm");
  kvm->vm_fd = cpr_kvm_create_vm (kvm->config.session, kvm->fd, 0, error);
  if (kvm->vm_fd < 0)
    return false;
  kvm->vm = cpr_kvm_vm_new (kvm->config.session, VM, kvm->fd, kvm->vm_fd, 0, error);
  if (!kvm->vm)
    return false;

  if (ioctl (kvm->vm_fd, KVM_SET_TSS_ADDR, TSS_ADDRESS) < 0)
    return throw_errno (error, "KVM VM: KVM_SET_TSS_ADDR");
  if (!add_memory (kvm, error))
    return false;
  kvm->has_irqchip = ioctl (kvm->vm_fd, KVM_CREATE_IRQCHIP, 0) == 0;
  if (kvm->vfio && !kvm->has_irqchip)
    return throw_errno (error, "KVM_CREATE_IRQCHIP");
  if (kvm->has_irqchip)
    ioctl (kvm->vm_fd, KVM_CREATE_PIT2, &pit); /* no guest needs it */
  return true;
}

/* The guest gets all that the kernel can do, except nested virtualization. The CPUID also holds the
 * vCPU's number. KVM takes a third of a millisecond for it, and it goes along in the state. */
static bool
choose_cpuid (const Kvm *kvm, unsigned index, GError **error)
{
  g_autofree struct kvm_cpuid2 *cpuid = g_malloc0 (sizeof *cpuid + CPUID_MAX * sizeof cpuid->entries[0]);
  cpuid->nent = CPUID_MAX;
  if (ioctl (kvm->fd, KVM_GET_SUPPORTED_CPUID, cpuid) < 0)
    return throw_errno (error, "KVM_GET_SUPPORTED_CPUID");

  for (unsigned i = 0; i < cpuid->nent; i++)
    {
      struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];
      if (entry->function == 1)
        {
          entry->ebx = (entry->ebx & 0x00ffffff) | index << 24;
          entry->ecx &= ~(1U << 5); /* VMX */
        }
      else if (entry->function == 0xb || entry->function == 0x1f)
        entry->edx = index;
      else if (entry->function == 0x80000001)
        entry->ecx &= ~(1U << 2); /* SVM */
    }
  return ioctl (kvm->vcpus[index].fd, KVM_SET_CPUID2, cpuid) == 0 ||
         throw_errno (error, "vCPU %u: KVM_SET_CPUID2", index);
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
  return (!kvm->config.ahead || choose_cpuid (kvm, index, error)) && cpr_kvm_vcpu_add (kvm->vm, index, vcpu->fd, error);
}

static void
kvm_free (void *data)
{
  Kvm *kvm = data;

  kvm_vfio_free (kvm->vfio);
  if (kvm->vm)
    cpr_kvm_vm_remove (kvm->vm, NULL);
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
  kvm->fd = kvm->vm_fd = -1;
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
  if (!ok)
    {
      kvm_free (kvm);
      return NULL;
    }
  /* Now, because a vCPU that runs doesn't answer. */
  int khz = ioctl (kvm->vcpus[0].fd, KVM_GET_TSC_KHZ, 0);
  kvm->tsc_khz = khz > 0 ? khz : 1000000;
  return kvm;
}

/* 64-bit mode at once, with flat segments; the page tables and the GDT are in RAM already. */
static bool
enter_long_mode (const KvmVcpu *vcpu, unsigned index, const GuestEntry *entry, GError **error)
{
  struct kvm_sregs sregs;
  if (ioctl (vcpu->fd, KVM_GET_SREGS, &sregs) < 0)
    return throw_errno (error, "vCPU %u: KVM_GET_SREGS", index);

  const struct kvm_segment data = {
    .limit = 0xffffffff, .selector = 0x10, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1
  };
  sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
  sregs.cs =
      (struct kvm_segment){ .limit = 0xffffffff, .selector = 0x18, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1 };
  sregs.gdt = (struct kvm_dtable){ .base = GUEST_GDT, .limit = 4 * 8 - 1 };
  sregs.cr0 = CR0_LONG_MODE;
  sregs.cr3 = GUEST_PML4;
  sregs.cr4 = CR4_LONG_MODE;
  sregs.efer = EFER_LONG_MODE;
  if (ioctl (vcpu->fd, KVM_SET_SREGS, &sregs) < 0)
    return throw_errno (error, "vCPU %u: KVM_SET_SREGS", index);

  const struct kvm_regs regs = {
    .rip = entry->rip,
    .rsp = entry->rsp,
    .rdi = entry->rdi,
    .rsi = entry->rsi,
    .rdx = entry->rdx,
    .rflags = 2,
  };
  if (ioctl (vcpu->fd, KVM_SET_REGS, &regs) < 0)
    return throw_errno (error, "vCPU %u: KVM_SET_REGS", index);
  return true;
}

static bool
kvm_reset (void *data, unsigned index, const GuestEntry *entry, GError **error)
{
  Kvm *kvm = data;
  const KvmVcpu *vcpu = &kvm->vcpus[index];
  const struct kvm_mp_state runnable = { KVM_MP_STATE_RUNNABLE };

  /* All but the first would wait for a SIPI. */
  return enter_long_mode (vcpu, index, entry, error) &&
         (!kvm->has_irqchip || ioctl (vcpu->fd, KVM_SET_MP_STATE, &runnable) == 0 ||
          throw_errno (error, "vCPU %u: KVM_SET_MP_STATE", index));
}

static void
handle_io (Kvm *kvm, struct kvm_run *run)
{
  uint8_t *data = (uint8_t *) run + run->io.data_offset;
  for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size)
    if (run->io.direction == KVM_EXIT_IO_OUT)
      bus_out (kvm->config.bus, run->io.port, data[0]);
    else
      {
        memset (data, 0xff, run->io.size);
        data[0] = bus_in (kvm->config.bus, run->io.port);
      }
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
  struct kvm_regs regs = { 0 };
  ioctl (vcpu->fd, KVM_GET_REGS, &regs);
  uint64_t rip = regs.rip;
  switch (vcpu->run->exit_reason)
    {
    case KVM_EXIT_INTERNAL_ERROR:
      return throw_error (error, "KVM internal error %u at %#" PRIx64, vcpu->run->internal.suberror, rip);
    case KVM_EXIT_FAIL_ENTRY:
      return throw_error (error, "the CPU refuses to enter the guest: %#llx",
                          vcpu->run->fail_entry.hardware_entry_failure_reason);
    case KVM_EXIT_SHUTDOWN:
      return throw_error (error, "triple fault");
    case KVM_EXIT_HLT:
      return throw_error (error, "halted at %#" PRIx64, rip);
    default:
      return throw_error (error, "unexpected KVM exit %u at %#" PRIx64, vcpu->run->exit_reason, rip);
    }
}

static bool
handle_exit (Kvm *kvm, const KvmVcpu *vcpu, GError **error)
{
  switch (vcpu->run->exit_reason)
    {
    case KVM_EXIT_IO:
      handle_io (kvm, vcpu->run);
      return true;
    case KVM_EXIT_MMIO:
      return handle_mmio (kvm, vcpu->run, error);
    default:
      return throw_exit (vcpu, error);
    }
}

/* The way out is an interrupted KVM_RUN and nothing else: the kernel completes a port or memory
 * access only in the next KVM_RUN, and the registers aren't right before that. It has to be done
 * here on the vCPU's own thread: KVM_RUN on another one costs a grace period. */
static bool
kvm_run (void *data, unsigned index, GError **error)
{
  Kvm *kvm = data;
  const KvmVcpu *vcpu = &kvm->vcpus[index];

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
kvm_get_tsc_khz (void *data)
{
  const Kvm *kvm = data;
  return kvm->tsc_khz;
}

static bool
kvm_loaded (void *data, GError **error)
{
  Kvm *kvm = data;
  return !kvm->vfio || kvm_vfio_loaded (kvm->vfio, error);
}

const Accel accel_kvm = {
  .name = "kvm",
  .new = kvm_new,
  .reset = kvm_reset,
  .loaded = kvm_loaded,
  .run = kvm_run,
  .set_stop = kvm_set_stop,
  .get_tsc_khz = kvm_get_tsc_khz,
  .free = kvm_free,
};
