/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LINUXVMM_LINUX_H
#define LINUXVMM_LINUX_H

#include <stdbool.h>
#include <stdint.h>

#include "options.h"
#include "ram.h"

/* Where the first CPU begins, in 64-bit mode. */
typedef struct
{
  uint64_t rip, rsp, rsi, cr3, gdt;
} BootEntry;

/* Puts kernel, initramfs, command line, ACPI tables and page tables into RAM, as a boot loader
 * does. */
bool linux_load (const GuestRam *ram, const Options *options, BootEntry *entry, GError **error);

#endif
