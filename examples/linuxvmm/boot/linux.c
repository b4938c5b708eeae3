/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The boot loader, for a fresh VM: Linux's 64-bit boot protocol for x86, version 2.12 or later, see
 * Documentation/arch/x86/boot.rst of Linux. */
#include "boot/linux.h"

#include <asm/bootparam.h>
#include <inttypes.h>
#include <string.h>

#include "boot/acpi.h"
#include "boot/layout.h"
#include "support/error.h"

#define SECTOR        512
#define HEADER        0x1f1 /* where the setup header is in the file */
#define MAGIC         0x53726448
#define VERSION_LEAST 0x020c
#define LOADER_OTHER  0xff
#define ENTRY_64      0x200 /* after the beginning of the loaded kernel */
#define PAGE          4096ULL

#define E820_RAM      1
#define E820_RESERVED 2
#define E820_ACPI     3

#define PTE_PRESENT_WRITABLE 0x3
#define PTE_LARGE            0x80

static bool
read_file (const char *path, char **data, gsize *size, GError **error)
{
  g_autoptr (GError) cause = NULL;

  return g_file_get_contents (path, data, size, &cause) || throw_error (error, "%s", cause->message);
}

/* ---- What lies in RAM where. */

static void
add_range (struct boot_params *params, uint64_t begin, uint64_t end, uint32_t type)
{
  if (begin < end)
    params->e820_table[params->e820_entries++] = (struct boot_e820_entry){ begin, end - begin, type };
}

static void
describe_memory (const GuestRam *ram, struct boot_params *params)
{
  add_range (params, 0, LOW_RAM_END, E820_RAM);
  add_range (params, LOW_RAM_END, ACPI_TABLES, E820_RESERVED);
  add_range (params, ACPI_TABLES, ACPI_TABLES + ACPI_TABLES_SIZE, E820_ACPI);
  add_range (params, ACPI_TABLES + ACPI_TABLES_SIZE, HIGH_RAM, E820_RESERVED);
  add_range (params, HIGH_RAM, ram->low_size, E820_RAM);
  add_range (params, RAM_HIGH, RAM_HIGH + ram->high_size, E820_RAM);
}

/* ---- Kernel, initramfs, command line. */

static bool
load_kernel (const GuestRam *ram, const char *path, struct boot_params *params, GError **error)
{
  g_autofree char *file = NULL;
  gsize size, setup_size;
  struct setup_header *header = &params->hdr;
  void *place;

  if (!read_file (path, &file, &size, error))
    return false;
  if (size < HEADER + sizeof *header)
    return throw_error (error, "%s: it isn't a Linux kernel: it has %zu bytes", path, size);
  memcpy (header, file + HEADER, sizeof *header);
  if (header->header != MAGIC || header->version < VERSION_LEAST || !(header->xloadflags & XLF_KERNEL_64) ||
      !header->relocatable_kernel)
    return throw_error (error, "%s: it isn't a relocatable 64-bit bzImage", path);

  setup_size = (header->setup_sects ? header->setup_sects + 1 : 5) * SECTOR;
  place = setup_size < size ? ram_at (ram, BOOT_KERNEL, MAX (size - setup_size, header->init_size)) : NULL;
  if (!place)
    return throw_error (error, "%s: %" PRIu64 " MiB of RAM are too little for it", path, ram->low_size >> 20);
  memcpy (place, file + setup_size, size - setup_size);
  header->type_of_loader = LOADER_OTHER;
  header->loadflags |= LOADED_HIGH;
  header->code32_start = BOOT_KERNEL;
  return true;
}

/* As high as the kernel wants to see it. */
static bool
load_initrd (const GuestRam *ram, const char *path, struct boot_params *params, GError **error)
{
  g_autofree char *file = NULL;
  gsize size;
  uint64_t end = MIN (ram->low_size, (uint64_t) params->hdr.initrd_addr_max + 1), begin;

  if (!path)
    return true;
  if (!read_file (path, &file, &size, error))
    return false;
  begin = size < end ? (end - size) & ~(PAGE - 1) : 0;
  if (begin < BOOT_KERNEL + (uint64_t) params->hdr.init_size)
    return throw_error (error, "%s: %" PRIu64 " MiB of RAM are too little for it", path, ram->low_size >> 20);
  memcpy (ram_at (ram, begin, size), file, size);
  params->hdr.ramdisk_image = (uint32_t) begin;
  params->hdr.ramdisk_size = (uint32_t) size;
  return true;
}

static bool
load_cmdline (const GuestRam *ram, const char *text, struct boot_params *params, GError **error)
{
  size_t len = strlen (text);

  if (len > params->hdr.cmdline_size)
    return throw_error (error, "--append: it has %zu bytes, and the kernel takes %u", len, params->hdr.cmdline_size);
  memcpy (ram_at (ram, BOOT_CMDLINE, len + 1), text, len + 1);
  params->hdr.cmd_line_ptr = BOOT_CMDLINE;
  return true;
}

/* ---- What the CPU needs in 64-bit mode. */

/* The first 4 GiB, in pages of 2 MiB. */
static void
make_page_tables (const GuestRam *ram)
{
  uint64_t *pml4 = ram_at (ram, BOOT_PML4, 6 * PAGE), *pdpt = pml4 + 512, *pd = pdpt + 512;

  pml4[0] = (BOOT_PML4 + PAGE) | PTE_PRESENT_WRITABLE;
  for (uint64_t i = 0; i < 4; i++)
    pdpt[i] = (BOOT_PML4 + (2 + i) * PAGE) | PTE_PRESENT_WRITABLE;
  for (uint64_t i = 0; i < 4 * 512ULL; i++)
    pd[i] = i << 21 | PTE_LARGE | PTE_PRESENT_WRITABLE;
}

/* The protocol wants code at selector 0x10 and data at 0x18. */
static void
make_gdt (const GuestRam *ram)
{
  uint64_t *gdt = ram_at (ram, BOOT_GDT, 4 * sizeof *gdt);

  gdt[2] = 0x00af9b000000ffff;
  gdt[3] = 0x00cf93000000ffff;
}

bool
linux_load (const GuestRam *ram, const Options *options, BootEntry *entry, GError **error)
{
  struct boot_params *params = ram_at (ram, BOOT_PARAMS, sizeof *params);

  memset (params, 0, sizeof *params);
  if (!load_kernel (ram, options->kernel, params, error) || !load_initrd (ram, options->initrd, params, error) ||
      !load_cmdline (ram, options->append, params, error))
    return false;
  describe_memory (ram, params);
  params->acpi_rsdp_addr = acpi_make_tables (ram, options->n_cpus, options_count_virtio (options));
  make_page_tables (ram);
  make_gdt (ram);
  *entry = (BootEntry){ BOOT_KERNEL + ENTRY_64, BOOT_STACK, BOOT_PARAMS, BOOT_PML4, BOOT_GDT };
  return true;
}
