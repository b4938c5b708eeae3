/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LINUXVMM_LAYOUT_H
#define LINUXVMM_LAYOUT_H

/* Where the guest has what: memory, ports, interrupts. A new program must not change any of it:
 * the guest has read the tables that say so. */

/* RAM is below the hole for devices, and goes on at 4 GiB. */
#define RAM_MIN     (64ULL << 20)
#define RAM_MAX     (64ULL << 30)
#define RAM_LOW_MAX (3ULL << 30)
#define RAM_HIGH    (4ULL << 30)

/* What the boot loader, which is this program, leaves in RAM. */
#define BOOT_GDT     0x500
#define BOOT_PARAMS  0x1000
#define BOOT_PML4    0x9000 /* and the pages behind it: 6 in all */
#define BOOT_STACK   0x8ff0
#define BOOT_CMDLINE 0x20000
#define BOOT_KERNEL  0x1000000
#define LOW_RAM_END  0x9fc00

/* ACPI's tables, where a BIOS would have them. */
#define ACPI_TABLES      0xe0000
#define ACPI_TABLES_SIZE 0x10000
#define HIGH_RAM         0x100000

#define IOAPIC_ADDRESS 0xfec00000
#define LAPIC_ADDRESS  0xfee00000
#define TSS_ADDRESS    0xfffbd000 /* for the kernel's own use on some CPUs */

/* Virtio devices: a page of registers for each slot. */
#define VIRTIO_ADDRESS 0xd0000000ULL
#define VIRTIO_SIZE    0x1000

/* Ports. */
#define SERIAL_PORT     0x3f8
#define KEYBOARD_PORT   0x64
#define PM_EVENT_PORT   0x600
#define PM_CONTROL_PORT 0x604
#define RESET_PORT      0xcf9

/* Interrupts: the IOAPIC's pins. */
#define SERIAL_IRQ 4
#define VIRTIO_IRQ 16 /* and those behind it: one for each slot */
#define SCI_IRQ    9

#define SLEEP_TYPE_S5 5 /* in PM1a's control register: off */

#endif
