/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The KVM VM, for main.c and cpus.c. It is made anew after an update, because a KVM VM belongs
 * to the address space that made it; the library hands over what KVM keeps for it. */
#include "kvm.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

#include "boot/layout.h"
#include "cpuid.h"
#include "support/error.h"

#define VM "kvm"

#define CR0_LONG_MODE  0x80000033 /* PG, NE, ET, MP, PE */
#define CR4_LONG_MODE  0x00000020 /* PAE */
#define EFER_LONG_MODE 0x00000500 /* LMA, LME */

#define MSR_MTRR_DEFAULT  0x2ff
#define MTRR_WRITE_BACK   0x806 /* enabled, and all memory is write-back unless said otherwise */
#define MSR_MISC_ENABLE   0x1a0
#define MISC_FAST_STRINGS 0x1

struct _Kvm
{
  int fd, vm_fd;
  CprKvmVm *vm;
  const Bus *bus;
  Power *power;
  bool ahead; /* the guest doesn't stand still meanwhile */
  unsigned n_cpus;
  int cpu_fds[];
};

/* ---- Building it. */

/* Memory comes before the irqchip: with an irqchip each change of memory takes the kernel
 * milliseconds. */
static bool
create_vm (Kvm *kvm, CprSession *session, const GuestRam *ram, GError **error)
{
  const struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };

  kvm->fd = open ("/dev/kvm", O_RDWR | O_CLOEXEC);
  if (kvm->fd < 0)
    return throw_errno (error, "/dev/kvm");
  kvm->vm_fd = cpr_kvm_create_vm (session, kvm->fd, 0, error);
  if (kvm->vm_fd < 0)
    return false;
  if (ioctl (kvm->vm_fd, KVM_SET_TSS_ADDR, TSS_ADDRESS) < 0)
    return throw_errno (error, "KVM_SET_TSS_ADDR");
  kvm->vm = cpr_kvm_vm_new (session, VM, kvm->fd, kvm->vm_fd, 0, error);
  if (!kvm->vm || !cpr_kvm_slot_add (kvm->vm, 0, 0, ram->block, 0, ram->low_size, 0, error) ||
      (ram->high_size && !cpr_kvm_slot_add (kvm->vm, 1, RAM_HIGH, ram->block, ram->low_size, ram->high_size, 0, error)))
    return false;
  if (ioctl (kvm->vm_fd, KVM_CREATE_IRQCHIP, 0) < 0)
    return throw_errno (error, "KVM_CREATE_IRQCHIP");
  return ioctl (kvm->vm_fd, KVM_CREATE_PIT2, &pit) == 0 || throw_errno (error, "KVM_CREATE_PIT2");
}

/* In exec mode the guest waits for all of this. */
static bool
is_ahead (CprSession *session)
{
  CprUpdateInfo info = { .size = sizeof info };

  cpr_session_get_update_info (session, &info);
  return !cpr_session_is_incoming (session) || info.mode != CPR_MODE_EXEC;
}

/* The CPUID, which takes long, goes along in the state, and is needed here only by a program
 * that has time. */
static bool
create_cpu (Kvm *kvm, unsigned index, GError **error)
{
  int fd = ioctl (kvm->vm_fd, KVM_CREATE_VCPU, index);

  if (fd < 0)
    return throw_errno (error, "KVM_CREATE_VCPU %u", index);
  kvm->cpu_fds[index] = fd;
  return (!kvm->ahead || cpuid_set (kvm->fd, fd, index, kvm->n_cpus, error)) &&
         cpr_kvm_vcpu_add (kvm->vm, index, fd, error);
}

Kvm *
kvm_new (CprSession *session, const GuestRam *ram, unsigned n_cpus, GError **error)
{
  Kvm *kvm = g_malloc0 (sizeof *kvm + n_cpus * sizeof *kvm->cpu_fds);

  kvm->n_cpus = n_cpus;
  kvm->ahead = is_ahead (session);
  bool ok = create_vm (kvm, session, ram, error);
  for (unsigned i = 0; ok && i < n_cpus; i++)
    ok = create_cpu (kvm, i, error);
  return ok ? kvm : NULL; /* the process ends then, and with it the VM */
}

CprKvmVm *
kvm_get_vm (const Kvm *kvm)
{
  return kvm->vm;
}

void
kvm_connect (Kvm *kvm, const Bus *bus, Power *power)
{
  kvm->bus = bus;
  kvm->power = power;
}

/* ---- The beginning: the first CPU as the boot protocol wants it. The others wait for it to
 * start them, as they do after power-on. */

static bool
enter_long_mode (int cpu_fd, const BootEntry *entry, GError **error)
{
  const struct kvm_regs regs = { .rip = entry->rip, .rsp = entry->rsp, .rsi = entry->rsi, .rflags = 2 };
  const struct kvm_segment code = {
    .limit = 0xffffffff, .selector = 0x10, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1
  };
  const struct kvm_segment data = {
    .limit = 0xffffffff, .selector = 0x18, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1
  };
  struct kvm_sregs sregs;

  if (ioctl (cpu_fd, KVM_GET_SREGS, &sregs) < 0)
    return throw_errno (error, "KVM_GET_SREGS");
  sregs.cs = code;
  sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
  sregs.gdt = (struct kvm_dtable){ .base = entry->gdt, .limit = 4 * 8 - 1 };
  sregs.cr0 = CR0_LONG_MODE;
  sregs.cr3 = entry->cr3;
  sregs.cr4 = CR4_LONG_MODE;
  sregs.efer = EFER_LONG_MODE;
  return (ioctl (cpu_fd, KVM_SET_SREGS, &sregs) == 0 && ioctl (cpu_fd, KVM_SET_REGS, &regs) == 0) ||
         throw_errno (error, "KVM_SET_REGS");
}

/* As a firmware leaves them. A CPU that lacks one of them does without. */
static void
set_msrs (int cpu_fd)
{
  static const struct kvm_msr_entry entries[] = {
    { .index = MSR_MTRR_DEFAULT, .data = MTRR_WRITE_BACK },
    { .index = MSR_MISC_ENABLE, .data = MISC_FAST_STRINGS },
  };
  g_autofree struct kvm_msrs *msrs = g_malloc0 (sizeof *msrs + sizeof entries);

  msrs->nmsrs = G_N_ELEMENTS (entries);
  memcpy (msrs->entries, entries, sizeof entries);
  ioctl (cpu_fd, KVM_SET_MSRS, msrs);
}

bool
kvm_reset (Kvm *kvm, const BootEntry *entry, GError **error)
{
  for (unsigned i = 0; i < kvm->n_cpus; i++)
    set_msrs (kvm->cpu_fds[i]);
  return enter_long_mode (kvm->cpu_fds[0], entry, error);
}

/* ---- Running it. */

static void
handle_io (const Kvm *kvm, struct kvm_run *run)
{
  uint8_t *data = (uint8_t *) run + run->io.data_offset;

  for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size)
    if (run->io.direction == KVM_EXIT_IO_OUT)
      bus_write (kvm->bus, BUS_PORTS, run->io.port, run->io.size, data);
    else
      bus_read (kvm->bus, BUS_PORTS, run->io.port, run->io.size, data);
}

static void
handle_mmio (const Kvm *kvm, struct kvm_run *run)
{
  if (run->mmio.is_write)
    bus_write (kvm->bus, BUS_MEMORY, run->mmio.phys_addr, run->mmio.len, run->mmio.data);
  else
    bus_read (kvm->bus, BUS_MEMORY, run->mmio.phys_addr, run->mmio.len, run->mmio.data);
}

static bool
throw_exit (const struct kvm_run *run, GError **error)
{
  if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
    return throw_error (error, "KVM internal error %u", run->internal.suberror);
  if (run->exit_reason == KVM_EXIT_FAIL_ENTRY)
    return throw_error (error, "the CPU refuses to enter the guest: %#llx",
                        run->fail_entry.hardware_entry_failure_reason);
  return throw_error (error, "KVM gives up");
}

bool
kvm_handle_exit (struct kvm_run *run, void *data, GError **error)
{
  const Kvm *kvm = data;

  switch (run->exit_reason)
    {
    case KVM_EXIT_IO:
      handle_io (kvm, run);
      return true;
    case KVM_EXIT_MMIO:
      handle_mmio (kvm, run);
      return true;
    case KVM_EXIT_SHUTDOWN: /* a triple fault, by which a PC is reset, too */
      power_reset (kvm->power);
      return throw_error (error, "triple fault");
    default:
      return throw_exit (run, error);
    }
}
