/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LINUXVMM_ACPI_H
#define LINUXVMM_ACPI_H

#include "ram.h"

/* Puts ACPI's tables into RAM; returns where the first one, the RSDP, is. */
uint64_t acpi_make_tables (const GuestRam *ram, unsigned n_cpus, unsigned n_virtio);

#endif
