/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MINIVMM_GUEST_ABI_H
#define MINIVMM_GUEST_ABI_H

/* The VMM and a guest agree on these. The assembler reads this file too, so it has macros only.
 *
 * A guest is a flat binary, loaded and entered at GUEST_CODE on every vCPU, in 64-bit mode with
 * all of RAM mapped one to one. On x86-64 rdi is the vCPU's number, rsi how many there are, rdx
 * GUEST_BOOT_INFO, rsp the top of a stack of GUEST_STACK_SIZE bytes. On AArch64 these are x0, x1,
 * x2 and sp, at EL1 with interrupts masked. */

#define GUEST_PML4       0x1000
#define GUEST_PDPT       0x2000
#define GUEST_GDT        0x3000
#define GUEST_BOOT_INFO  0x4000
#define GUEST_REPORTS    0x5000
#define GUEST_IDT        0x6000
#define GUEST_DMA_REPORT 0x7000
#define GUEST_STACKS_TOP 0x10000
#define GUEST_STACK_SIZE 0x200
#define GUEST_CODE       0x10000
#define GUEST_CODE_MAX   0xf0000
#define GUEST_TABLES     0x100000 /* what else the CPU needs; the guest has the RAM after that */

#define GUEST_SERIAL_PORT 0x3f8

/* AArch64 has no ports: there they are bytes of memory from GUEST_PORTS on. Its interrupt
 * controller is a GICv3 with an ITS; each vCPU has GUEST_GIC_REDIST_SIZE bytes of redistributor. */
#define GUEST_GIC_DIST        0xf0000000
#define GUEST_GIC_ITS         0xf0080000
#define GUEST_GIC_REDIST      0xf00a0000
#define GUEST_GIC_REDIST_SIZE 0x20000
#define GUEST_GIC_IRQS        96
#define GUEST_PORTS           0xf1000000
#define GUEST_PORTS_SIZE      0x10000

/* The piece of RAM from GUEST_TABLES to here is for the tables of the GIC and its ITS. */
#define GUEST_GIC_TABLES_END 0x200000

/* With --vfio: the configuration space of the PCI bus, 4 KiB for each function (ECAM). The one
 * function of slot 1 is the host's, with its BARs in the area after that. */
#define GUEST_PCI_CONFIG     0xe0000000
#define GUEST_PCI_SLOT       1
#define GUEST_PCI_MEMORY     0xd0000000
#define GUEST_PCI_MEMORY_END 0xe0000000

/* The boot info: which RAM the guest may use, as [start, end) below 3 GiB and from 4 GiB on. The
 * ends may grow. */
#define BOOT_INFO_LOW_START  0
#define BOOT_INFO_LOW_END    8
#define BOOT_INFO_HIGH_START 16
#define BOOT_INFO_HIGH_END   24

/* Behind it, for the VMM: how many programs run the guest, and how often one began while another
 * did. They are in the guest's RAM because that is all that two such programs are sure to share. */
#define BOOT_INFO_OWNERS  32
#define BOOT_INFO_DOUBLED 40

/* In place of ACPI: a guest that has a device to see to before it sleeps says so. It is asked to
 * sleep with 1, has nothing under way and its device off when it says that it does, and sets the
 * device up anew when it isn't asked any more: as if the device had had no power. */
#define BOOT_INFO_KNOWS_SLEEP 48
#define BOOT_INFO_SLEEP       56
#define BOOT_INFO_ASLEEP      64

/* The reports, one for each vCPU, of a cache line each, so that vCPUs don't disturb each other. */
#define REPORT_SHIFT     6
#define REPORT_MAGIC     0
#define REPORT_TICKS     8
#define REPORT_ERRORS    16
#define REPORT_PASSES    24
#define REPORT_PROGRESS  32
#define REPORT_GAP       40
#define REPORT_FIRST_BAD 48

/* A guest that has a function with DMA counts these beside its report: DMAs that it began, MSIs
 * that it got, and MSIs that it can't explain, as nothing was under way. While all is well the
 * first two differ by at most 1. */
#define DMA_REPORT_BEGUN       0
#define DMA_REPORT_MSIS        8
#define DMA_REPORT_UNEXPLAINED 16

#define REPORT_MAGIC_VALUE 0x54524f5045524d56

/* Guests print at most once in 2 to the power of this many units of the TSC, or on AArch64 of its
 * counter: about a second. */
#define PRINT_SHIFT       30
#define PRINT_SHIFT_ARM64 26

#endif
