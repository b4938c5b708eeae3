/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kvm-machine.h"

#ifdef __x86_64__

#  include <errno.h>
#  include <fcntl.h>
#  include <stdio.h>
#  include <stdlib.h>
#  include <string.h>
#  include <sys/ioctl.h>
#  include <sys/mman.h>
#  include <unistd.h>

#  define TSS_ADDRESS 0xfffbd000

/* ---- Making a VM. */

static void
make_irqchip (KvmMachine *machine)
{
  struct kvm_enable_cap split = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { 24 } };
  struct kvm_pit_config pit = { 0 };

  if (machine->irqchip == IRQCHIP_SPLIT)
    kvm_do (machine->vm, KVM_ENABLE_CAP, &split);
  if (machine->irqchip != IRQCHIP_FULL)
    return;
  kvm_do (machine->vm, KVM_CREATE_IRQCHIP, 0);
  kvm_do (machine->vm, KVM_CREATE_PIT2, &pit);
}

static void
make_vcpu (KvmMachine *machine, unsigned i)
{
  machine->vcpus[i] = kvm_do (machine->vm, KVM_CREATE_VCPU, i);
  machine->runs[i] = mmap (NULL, machine->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, machine->vcpus[i], 0);
  ck_assert_ptr_ne (machine->runs[i], MAP_FAILED);
}

void
kvm_machine_init (KvmMachine *machine, Irqchip irqchip)
{
  struct kvm_userspace_memory_region region = { .memory_size = KVM_RAM };

  *machine = (KvmMachine){ .irqchip = irqchip };
  machine->kvm = open ("/dev/kvm", O_RDWR | O_CLOEXEC);
  ck_assert_int_ge (machine->kvm, 0);
  do /* a signal of the test's own timer */
    machine->vm = ioctl (machine->kvm, KVM_CREATE_VM, 0);
  while (machine->vm < 0 && errno == EINTR);
  ck_assert_int_ge (machine->vm, 0);
  machine->run_size = (size_t) kvm_do (machine->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
  machine->ram = mmap (NULL, KVM_RAM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ck_assert_ptr_ne (machine->ram, MAP_FAILED);
  region.userspace_addr = (uintptr_t) machine->ram;
  kvm_do (machine->vm, KVM_SET_TSS_ADDR, TSS_ADDRESS);
  kvm_do (machine->vm, KVM_SET_USER_MEMORY_REGION, &region);
  make_irqchip (machine);
  for (unsigned i = 0; i < KVM_VCPUS; i++)
    make_vcpu (machine, i);
}

void
kvm_machine_clear (KvmMachine *machine)
{
  for (unsigned i = 0; i < KVM_VCPUS; i++)
    {
      munmap (machine->runs[i], machine->run_size);
      close (machine->vcpus[i]);
    }
  close (machine->vm);
  close (machine->kvm);
  munmap (machine->ram, KVM_RAM);
}

/* ---- Reading it. */

/* Laid out as struct kvm_msrs. */
typedef struct
{
  uint32_t count, pad;
  struct kvm_msr_entry entry;
} OneMsr;

bool
kvm_read_msr (int vcpu, uint32_t index, uint64_t *data)
{
  OneMsr one = { .count = 1, .entry.index = index };

  if (ioctl (vcpu, KVM_GET_MSRS, &one) != 1)
    return false;
  *data = one.entry.data;
  return true;
}

bool
kvm_write_msr (int vcpu, uint32_t index, uint64_t data)
{
  OneMsr one = { .count = 1, .entry = { .index = index, .data = data } };

  return ioctl (vcpu, KVM_SET_MSRS, &one) == 1;
}

/* Not the clocks, nor the two that say where the wall clock is written. */
static bool
is_compared (uint32_t index)
{
  return index != 0x10 && index != 0x40000010 && index != 0x40000020 && index != 0x11 && index != 0x4b564d00;
}

static void
read_msrs (const KvmMachine *machine, unsigned vcpu, KvmSnapshot *snapshot)
{
  static const uint32_t more[] = { 0x2ff, 0x250, 0x268, 0x200, 0x201, 0x20e, 0x20f, 0x400, 0x401, 0x402, 0x47d };
  g_autofree struct kvm_msr_list *list = g_malloc0 (sizeof *list + KVM_MSRS * sizeof list->indices[0]);

  list->nmsrs = KVM_MSRS - G_N_ELEMENTS (more);
  kvm_do (machine->kvm, KVM_GET_MSR_INDEX_LIST, list);
  for (size_t i = 0; i < G_N_ELEMENTS (more); i++)
    list->indices[list->nmsrs++] = more[i];
  for (uint32_t i = 0; i < list->nmsrs; i++)
    {
      struct kvm_msr_entry *entry = &snapshot->msrs[snapshot->n_msrs];
      uint64_t data = 0;

      entry->index = list->indices[i];
      if (is_compared (entry->index) && kvm_read_msr (machine->vcpus[vcpu], entry->index, &data))
        snapshot->n_msrs++;
      entry->data = data;
    }
}

static struct kvm_device_attr
tsc_attribute (uint64_t *offset)
{
  return (
      struct kvm_device_attr){ .group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (uintptr_t) offset };
}

void
kvm_snapshot (const KvmMachine *machine, unsigned vcpu, KvmSnapshot *snapshot)
{
  struct kvm_device_attr tsc = tsc_attribute (&snapshot->tsc_offset);
  int fd = machine->vcpus[vcpu];

  memset (snapshot, 0, sizeof *snapshot);
  snapshot->cpuid.count = CPR_KVM_CPUID_MAX;
  kvm_do (fd, KVM_GET_CPUID2, &snapshot->cpuid);
  kvm_do (fd, KVM_GET_MP_STATE, &snapshot->mp_state);
  kvm_do (fd, KVM_GET_VCPU_EVENTS, &snapshot->events);
  kvm_do (fd, KVM_GET_REGS, &snapshot->regs);
  kvm_do (fd, KVM_GET_SREGS2, &snapshot->sregs);
  kvm_do (fd, KVM_GET_XSAVE, &snapshot->xsave);
  kvm_do (fd, KVM_GET_XCRS, &snapshot->xcrs);
  kvm_do (fd, KVM_GET_DEBUGREGS, &snapshot->debugregs);
  if (machine->irqchip != IRQCHIP_NONE)
    kvm_do (fd, KVM_GET_LAPIC, &snapshot->lapic);
  snapshot->tsc_khz = kvm_do (fd, KVM_GET_TSC_KHZ, 0);
  kvm_do (fd, KVM_GET_DEVICE_ATTR, &tsc);
  read_msrs (machine, vcpu, snapshot);
}

/* ---- Changing it. */

void
kvm_set_cpuid (const KvmMachine *machine, unsigned i)
{
  g_autofree CprKvmCpuid *cpuid = g_new0 (CprKvmCpuid, 1);

  cpuid->count = CPR_KVM_CPUID_MAX;
  kvm_do (machine->kvm, KVM_GET_SUPPORTED_CPUID, cpuid);
  for (uint32_t k = 0; k < cpuid->count; k++)
    if (cpuid->entries[k].function == 1)
      cpuid->entries[k].ebx = (cpuid->entries[k].ebx & 0x00ffffff) | i << 24;
  kvm_do (machine->vcpus[i], KVM_SET_CPUID2, cpuid);
}

static void
stir_registers (int fd, unsigned i)
{
  struct kvm_regs regs;
  struct kvm_sregs2 sregs;
  struct kvm_debugregs debugregs = { .db = { 0x1000 + i, 0x2000, 0x3000, 0x4000 }, .dr6 = 0xffff0ff1, .dr7 = 0x755 };
  uint64_t *all = (uint64_t *) &regs;

  for (size_t k = 0; k < sizeof regs / 8; k++)
    all[k] = 0x1111111111111111 * (k % 15 + 1) + i;
  regs.rip = 0x1234 + i;
  regs.rflags = 0x246;
  kvm_do (fd, KVM_SET_REGS, &regs);

  kvm_do (fd, KVM_GET_SREGS2, &sregs);
  sregs.cs =
      (struct kvm_segment){ .limit = 0xffffffff, .selector = 8, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1 };
  sregs.ds = (struct kvm_segment){
    .base = 0, .limit = 0xffffffff, .selector = 16, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1
  };
  sregs.es = sregs.ss = sregs.ds;
  sregs.fs = sregs.gs = sregs.ds;
  sregs.fs.base = 0x7000 + i;
  sregs.gs.base = 0xffff888000000000;
  sregs.gdt = (struct kvm_dtable){ .base = 0x2000, .limit = 0x7f };
  sregs.idt = (struct kvm_dtable){ .base = 0x3000, .limit = 0xfff };
  sregs.cr0 = 0x80050033;
  sregs.cr2 = 0xdeadbeef000 + i;
  sregs.cr3 = 0x4000;
  sregs.cr4 = 0x620;
  sregs.cr8 = 3;
  sregs.efer = 0x501;
  kvm_do (fd, KVM_SET_SREGS2, &sregs);
  kvm_do (fd, KVM_SET_DEBUGREGS, &debugregs);
}

static void
stir_fpu (int fd, unsigned i)
{
  struct kvm_xcrs xcrs;
  struct kvm_xsave xsave;
  uint64_t components = 3;

  kvm_do (fd, KVM_GET_XCRS, &xcrs);
  xcrs.nr_xcrs = 1;
  xcrs.xcrs[0] = (struct kvm_xcr){ .xcr = 0, .value = 3 };
  kvm_do (fd, KVM_SET_XCRS, &xcrs);
  kvm_do (fd, KVM_GET_XSAVE, &xsave);
  for (size_t k = 0; k < 16; k++) /* XMM */
    xsave.region[(160 + 16 * k) / 4] = (uint32_t) (0xabcd0000 + k + i);
  xsave.region[0] = 0x27f;  /* the control word */
  xsave.region[6] = 0x1fa0; /* MXCSR */
  memcpy (&xsave.region[128], &components, sizeof components);
  kvm_do (fd, KVM_SET_XSAVE, &xsave);
}

static void
stir_lapic (int fd, unsigned i)
{
  struct kvm_lapic_state lapic;
  struct kvm_mp_state halted = { KVM_MP_STATE_HALTED };

  kvm_do (fd, KVM_GET_LAPIC, &lapic);
  *(uint32_t *) (void *) &lapic.regs[0x80] = 0x30;            /* TPR: CR8 */
  *(uint32_t *) (void *) &lapic.regs[0xf0] = 0x1ff;           /* enabled */
  *(uint32_t *) (void *) &lapic.regs[0x320] = 0x400ec + i;    /* timer: TSC deadline */
  *(uint32_t *) (void *) &lapic.regs[0x350] = 0x700;          /* LINT0: ExtINT */
  *(uint32_t *) (void *) &lapic.regs[0x200 + 0x20] = 1u << i; /* IRR: vector 64 + i */
  kvm_do (fd, KVM_SET_LAPIC, &lapic);
  kvm_do (fd, KVM_SET_MP_STATE, &halted);
}

static void
stir_events (int fd)
{
  struct kvm_vcpu_events events;

  kvm_do (fd, KVM_GET_VCPU_EVENTS, &events);
  events.nmi.masked = 1;
  events.nmi.pending = 1;
  events.interrupt.shadow = KVM_X86_SHADOW_INT_STI;
  events.exception.injected = 1;
  events.exception.nr = 13;
  events.exception.has_error_code = 1;
  events.exception.error_code = 0x10;
  kvm_do (fd, KVM_SET_VCPU_EVENTS, &events);
}

static void
stir_msrs (int fd, unsigned i)
{
  static const struct
  {
    uint32_t index;
    uint64_t data;
  } msrs[] = {
    { 0x174, 0x10 },
    { 0x175, 0xffff1000 },
    { 0x176, 0xffff2000 },
    { 0xc0000081, 0x23001000000000 },
    { 0xc0000082, 0x5000 },
    { 0xc0000083, 0x6000 },
    { 0xc0000084, 0x47700 },
    { 0xc0000102, 0x7000 },
    { 0x277, 0x0007010600070106 },
    { 0x3b, 0x1234 },
    { 0x2ff, 0xc06 },
    { 0x250, 0x0606060606060606 },
    { 0x200, 0x80000000 },
    { 0x201, 0xff80000800 },
    { 0x401, 0xbe00000000800400 },
    { 0x402, 0x1000 },
    { 0x47d, 0x9000000000000001 },
    { 0x4b564d01, 0x8001 },
    { 0x4b564d03, 0x9001 },
  };
  uint64_t tsc = 0;

  for (size_t k = 0; k < G_N_ELEMENTS (msrs); k++)
    ck_assert_msg (kvm_write_msr (fd, msrs[k].index, msrs[k].data), "MSR 0x%x", msrs[k].index);
  ck_assert (kvm_read_msr (fd, 0x10, &tsc));
  kvm_write_msr (fd, 0x6e0, tsc + ((uint64_t) 1 << 42) + i); /* a deadline in a long time */
}

static void
stir_irqchip (const KvmMachine *machine)
{
  struct kvm_irqchip chip = { .chip_id = 0 };
  struct kvm_pit_state2 pit;

  kvm_do (machine->vm, KVM_GET_IRQCHIP, &chip);
  chip.chip.pic.imr = 0xfa;
  chip.chip.pic.irq_base = 0x20;
  kvm_do (machine->vm, KVM_SET_IRQCHIP, &chip);
  chip.chip_id = 1;
  kvm_do (machine->vm, KVM_GET_IRQCHIP, &chip);
  chip.chip.pic.imr = 0xef;
  chip.chip.pic.irq_base = 0x28;
  kvm_do (machine->vm, KVM_SET_IRQCHIP, &chip);
  chip.chip_id = 2;
  kvm_do (machine->vm, KVM_GET_IRQCHIP, &chip);
  chip.chip.ioapic.id = 5;
  chip.chip.ioapic.redirtbl[4].bits = 0x10031 | (uint64_t) 1 << 56;
  kvm_do (machine->vm, KVM_SET_IRQCHIP, &chip);

  kvm_do (machine->vm, KVM_GET_PIT2, &pit);
  pit.channels[2].count = 0x4a9;
  pit.channels[2].mode = 3;
  pit.channels[0].count = 0x1234;
  pit.channels[0].mode = 5; /* has no timer: nothing changes by itself */
  kvm_do (machine->vm, KVM_SET_PIT2, &pit);
}

void
kvm_stir (const KvmMachine *machine)
{
  struct kvm_clock_data clock = { .clock = 3600000000000 };

  for (unsigned i = 0; i < KVM_VCPUS; i++)
    {
      uint64_t offset = (uint64_t) -123456789 - i;
      struct kvm_device_attr tsc = tsc_attribute (&offset);
      int fd = machine->vcpus[i];

      kvm_set_cpuid (machine, i);
      stir_registers (fd, i);
      stir_fpu (fd, i);
      kvm_do (fd, KVM_SET_DEVICE_ATTR, &tsc);
      if (machine->irqchip != IRQCHIP_NONE)
        stir_lapic (fd, i);
      stir_msrs (fd, i);
      stir_events (fd);
    }
  if (machine->irqchip == IRQCHIP_FULL)
    stir_irqchip (machine);
  kvm_do (machine->vm, KVM_SET_CLOCK, &clock);
}

/* ---- Comparing it. */

#  define PART(member)                                                          \
    {                                                                           \
#      member, offsetof(KvmSnapshot, member), sizeof((KvmSnapshot *) 0)->member \
    }
static const struct
{
  const char *name;
  size_t offset, size;
} parts[] = { PART (cpuid),  PART (regs),     PART (sregs), PART (xsave), PART (xcrs),      PART (debugregs),
              PART (events), PART (mp_state), PART (lapic), PART (msrs),  PART (tsc_offset) };

static void
assert_msrs_same (const KvmSnapshot *a, const KvmSnapshot *b)
{
  ck_assert_uint_eq (a->n_msrs, b->n_msrs);
  for (uint32_t i = 0; i < a->n_msrs; i++)
    ck_assert_msg (memcmp (&a->msrs[i], &b->msrs[i], sizeof a->msrs[i]) == 0, "MSR 0x%x: 0x%llx, 0x%llx",
                   a->msrs[i].index, a->msrs[i].data, b->msrs[i].data);
}

static void
assert_irqchips_same (const KvmMachine *a, const KvmMachine *b)
{
  struct kvm_pit_state2 pits[2];

  for (uint32_t i = 0; i < CPR_KVM_N_IRQCHIPS; i++)
    {
      struct kvm_irqchip chips[2] = { { .chip_id = i }, { .chip_id = i } };

      kvm_do (a->vm, KVM_GET_IRQCHIP, &chips[0]);
      kvm_do (b->vm, KVM_GET_IRQCHIP, &chips[1]);
      ck_assert_mem_eq (&chips[0], &chips[1], sizeof chips[0]);
    }
  kvm_do (a->vm, KVM_GET_PIT2, &pits[0]);
  kvm_do (b->vm, KVM_GET_PIT2, &pits[1]);
  for (int i = 0; i < 2; i++) /* when they were loaded */
    for (int k = 0; k < 3; k++)
      pits[i].channels[k].count_load_time = 0;
  ck_assert_mem_eq (&pits[0], &pits[1], sizeof pits[0]);
}

/* Where the host's TSC isn't stable KVM changes the offset by itself, at each call. */
static bool
is_kept (const KvmMachine *machine, size_t offset)
{
  uint64_t tsc_offsets[2];

  for (int i = 0; i < 2; i++)
    {
      struct kvm_device_attr tsc = tsc_attribute (&tsc_offsets[i]);

      kvm_do (machine->vcpus[0], KVM_GET_DEVICE_ATTR, &tsc);
    }
  return offset != offsetof (KvmSnapshot, tsc_offset) || tsc_offsets[0] == tsc_offsets[1];
}

void
kvm_assert_same (const KvmMachine *a, const KvmMachine *b)
{
  g_autofree KvmSnapshot *shots = g_new0 (KvmSnapshot, 2);

  for (unsigned i = 0; i < KVM_VCPUS; i++)
    {
      kvm_snapshot (a, i, &shots[0]);
      kvm_snapshot (b, i, &shots[1]);
      assert_msrs_same (&shots[0], &shots[1]);
      for (size_t k = 0; k < G_N_ELEMENTS (parts); k++)
        ck_assert_msg (memcmp ((uint8_t *) &shots[0] + parts[k].offset, (uint8_t *) &shots[1] + parts[k].offset,
                               parts[k].size) == 0 ||
                           !is_kept (a, parts[k].offset),
                       "vCPU %u: %s isn't the same", i, parts[k].name);
    }
  if (a->irqchip == IRQCHIP_FULL)
    assert_irqchips_same (a, b);
}

/* A LAPIC needs to be there, and MP state one; and some KVMs ignore the TSC's offset. */
static bool
can_differ (const KvmMachine *machine, size_t offset)
{
  uint64_t tsc_offset = 0;
  struct kvm_device_attr tsc = tsc_attribute (&tsc_offset);

  kvm_do (machine->vcpus[0], KVM_GET_DEVICE_ATTR, &tsc);
  if (offset == offsetof (KvmSnapshot, tsc_offset))
    return tsc_offset != 0;
  return machine->irqchip != IRQCHIP_NONE ||
         (offset != offsetof (KvmSnapshot, lapic) && offset != offsetof (KvmSnapshot, mp_state));
}

void
kvm_assert_stirred (const KvmMachine *machine)
{
  g_autofree KvmSnapshot *shots = g_new0 (KvmSnapshot, 2);
  KvmMachine fresh;

  kvm_machine_init (&fresh, machine->irqchip);
  for (unsigned i = 0; i < KVM_VCPUS; i++)
    {
      kvm_snapshot (machine, i, &shots[0]);
      kvm_snapshot (&fresh, i, &shots[1]);
      for (size_t k = 0; k < G_N_ELEMENTS (parts); k++)
        ck_assert_msg (!can_differ (machine, parts[k].offset) ||
                           memcmp ((uint8_t *) &shots[0] + parts[k].offset, (uint8_t *) &shots[1] + parts[k].offset,
                                   parts[k].size) != 0,
                       "vCPU %u: %s is as it was", i, parts[k].name);
    }
  kvm_machine_clear (&fresh);
}

/* ---- Guests. */

void
kvm_boot (const KvmMachine *on, const uint8_t *code, size_t size, uint64_t base)
{
  struct kvm_sregs sregs;
  struct kvm_regs regs = { .rip = KVM_CODE, .rflags = 2 };

  memcpy (on->ram + KVM_CODE, code, size);
  kvm_set_cpuid (on, 0);
  kvm_do (on->vcpus[0], KVM_GET_SREGS, &sregs);
  sregs.cs.base = sregs.cs.selector = 0;
  sregs.ds.base = base;
  kvm_do (on->vcpus[0], KVM_SET_SREGS, &sregs);
  kvm_do (on->vcpus[0], KVM_SET_REGS, &regs);
}

CprKvmVm *
kvm_make_next (const KvmMachine *machine, KvmMachine *next, CprDeviceTable *devices)
{
  GError *error = NULL;
  CprKvmVm *vm;

  kvm_machine_init (next, machine->irqchip);
  memcpy (next->ram, machine->ram, KVM_RAM);
  cpr_device_table_init (devices);
  vm = cpr_kvm_vm_create (NULL, devices, "kvm", next->kvm, next->vm, 0, &error);
  for (unsigned i = 0; i < KVM_VCPUS; i++)
    ck_assert (cpr_kvm_vcpu_create (vm, i, next->vcpus[i], &error) != NULL);
  return vm;
}

void
kvm_carry (CprKvmVm *saved, CprKvmVm *loaded)
{
  Programs programs;

  programs_init (&programs);
  for (guint i = 0; i < KVM_VCPUS; i++)
    {
      CprKvmVcpu *was = saved->vcpus->pdata[i], *is = loaded->vcpus->pdata[i];

      ck_assert (cpr_device_table_add (&programs.saved, was->name, cpr_kvm_vcpu_get_type (), was, NULL));
      ck_assert (cpr_device_table_add (&programs.loaded, is->name, cpr_kvm_vcpu_get_type (), is, NULL));
    }
  ck_assert (cpr_device_table_add (&programs.saved, "kvm", cpr_kvm_vm_get_type (), saved, NULL));
  ck_assert (cpr_device_table_add (&programs.loaded, "kvm", cpr_kvm_vm_get_type (), loaded, NULL));
  programs_carry (&programs);
  programs_clear (&programs);
}

#endif
