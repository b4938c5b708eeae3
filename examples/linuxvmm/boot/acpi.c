/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ACPI's tables, for the boot loader: which CPUs there are, where interrupts go, and how the
 * machine is switched off and reset. The section numbers are those of the ACPI specification
 * 6.5. */
#include "boot/acpi.h"

#include <string.h>

#include "boot/aml.h"
#include "boot/layout.h"

#define OEM     "LIBCPR"
#define PROGRAM "LINUXVMM"

typedef struct __attribute__ ((packed))
{
  char signature[4];
  uint32_t length;
  uint8_t revision, checksum;
  char oem[6], oem_table[8];
  uint32_t oem_revision;
  char creator[4];
  uint32_t creator_revision;
} Header; /* 5.2.6 */

typedef struct __attribute__ ((packed))
{
  char signature[8];
  uint8_t checksum;
  char oem[6];
  uint8_t revision;
  uint32_t rsdt, length;
  uint64_t xsdt;
  uint8_t extended_checksum, reserved[3];
} Rsdp; /* 5.2.5 */

typedef struct __attribute__ ((packed))
{
  uint8_t space, bits, offset, access;
  uint64_t address;
} Register; /* 5.2.3.2 */

typedef struct __attribute__ ((packed))
{
  Header header;
  uint32_t facs, dsdt;
  uint8_t reserved, profile;
  uint16_t sci;
  uint32_t smi_command;
  uint8_t enable, disable, s4, pstate;
  uint32_t pm1a_event, pm1b_event, pm1a_control, pm1b_control, pm2_control, timer, gpe0, gpe1;
  uint8_t event_length, control_length, pm2_length, timer_length, gpe0_length, gpe1_length, gpe1_base, cst;
  uint16_t c2_latency, c3_latency, flush_size, flush_stride;
  uint8_t duty_offset, duty_width, day_alarm, month_alarm, century;
  uint16_t boot_flags;
  uint8_t reserved_2;
  uint32_t flags;
  Register reset;
  uint8_t reset_value;
  uint16_t arm_flags;
  uint8_t minor;
  uint64_t x_facs, x_dsdt;
  Register x_blocks[8]; /* zeros: those above count */
} Fadt;                 /* 5.2.9 */

/* The firmware's part of a sleep: where a CPU that wakes up begins. */
typedef struct __attribute__ ((packed))
{
  char signature[4];
  uint32_t length, hardware, waking_vector, lock, flags;
  uint64_t x_waking_vector;
  uint8_t version, reserved[31];
} Facs; /* 5.2.10 */

typedef struct __attribute__ ((packed))
{
  Header header;
  uint32_t lapic_address, flags;
} Madt; /* 5.2.12 */

enum
{
  FADT_BOOT_LEGACY = 1 << 0, /* there are devices at the ports of a PC */
  FADT_BOOT_NO_VGA = 1 << 2,
  FADT_BOOT_NO_RTC = 1 << 5,

  FADT_WBINVD = 1 << 0,
  FADT_C1 = 1 << 2,
  FADT_NO_SLEEP_BUTTON = 1 << 5,
  FADT_NO_RTC_WAKE = 1 << 6,
  FADT_RESET = 1 << 10,
  FADT_HEADLESS = 1 << 12,

  MADT_PIC = 1,
  SPACE_PORTS = 1,
  RESET_VALUE = 6
};

/* Tables lie one behind the other. */
typedef struct
{
  const GuestRam *ram;
  uint64_t next;
} Place;

static void *
reserve (Place *place, uint64_t size, uint64_t *address)
{
  *address = place->next;
  place->next = (place->next + size + 63) & ~63ULL; /* as the FACS needs it */
  g_assert (place->next <= ACPI_TABLES + ACPI_TABLES_SIZE);
  return memset (ram_at (place->ram, *address, size), 0, size);
}

static uint8_t
sum_up (const void *data, size_t size)
{
  uint8_t sum = 0;

  for (size_t i = 0; i < size; i++)
    sum += ((const uint8_t *) data)[i];
  return (uint8_t) -sum;
}

static uint64_t
add_table (Place *place, const char *signature, uint8_t revision, const void *body, uint32_t size)
{
  uint64_t address;
  Header *header = reserve (place, sizeof *header + size, &address);

  memcpy (header->signature, signature, sizeof header->signature);
  header->length = (uint32_t) sizeof *header + size;
  header->revision = revision;
  memcpy (header->oem, OEM, sizeof header->oem);
  memcpy (header->oem_table, PROGRAM, sizeof header->oem_table);
  header->oem_revision = header->creator_revision = 1;
  memcpy (header->creator, "CPR ", sizeof header->creator);
  memcpy (header + 1, body, size);
  header->checksum = sum_up (header, header->length);
  return address;
}

static uint64_t
add_facs (Place *place)
{
  uint64_t address;
  Facs *facs = reserve (place, sizeof *facs, &address);

  memcpy (facs->signature, "FACS", 4);
  facs->length = sizeof *facs;
  facs->version = 2;
  return address;
}

static uint64_t
add_fadt (Place *place, unsigned n_virtio)
{
  g_autoptr (GByteArray) aml = aml_make_dsdt (n_virtio);
  uint64_t facs = add_facs (place), dsdt = add_table (place, "DSDT", 2, aml->data, aml->len);
  const Fadt fadt = {
    .facs = (uint32_t) facs,
    .dsdt = (uint32_t) dsdt,
    .sci = SCI_IRQ,
    .pm1a_event = PM_EVENT_PORT,
    .pm1a_control = PM_CONTROL_PORT,
    .event_length = 4,
    .control_length = 2,
    .c2_latency = 0xffff, /* there is none */
    .c3_latency = 0xffff,
    .boot_flags = FADT_BOOT_LEGACY | FADT_BOOT_NO_VGA | FADT_BOOT_NO_RTC,
    .flags = FADT_WBINVD | FADT_C1 | FADT_NO_SLEEP_BUTTON | FADT_NO_RTC_WAKE | FADT_RESET | FADT_HEADLESS,
    .reset = { SPACE_PORTS, 8, 0, 1, RESET_PORT },
    .reset_value = RESET_VALUE,
    .x_dsdt = dsdt,
  };

  return add_table (place, "FACP", 4, &fadt.facs, sizeof fadt - sizeof fadt.header);
}

static void
append_entry (GByteArray *madt, const uint8_t *entry)
{
  g_byte_array_append (madt, entry, entry[1]);
}

static uint64_t
add_madt (Place *place, unsigned n_cpus)
{
  g_autoptr (GByteArray) madt = g_byte_array_new ();
  const uint32_t start[] = { LAPIC_ADDRESS, MADT_PIC };
  const uint32_t ioapic = IOAPIC_ADDRESS;
  const uint8_t levels = 0x0d; /* active high, level */

  g_byte_array_append (madt, (const uint8_t *) start, sizeof start);
  for (unsigned i = 0; i < n_cpus; i++)
    append_entry (madt, (const uint8_t[]){ 0, 8, (uint8_t) i, (uint8_t) i, 1, 0, 0, 0 });
  append_entry (madt, (const uint8_t[]){ 1, 12, 0, 0, (uint8_t) ioapic, (uint8_t) (ioapic >> 8),
                                         (uint8_t) (ioapic >> 16), (uint8_t) (ioapic >> 24), 0, 0, 0, 0 });
  append_entry (madt, (const uint8_t[]){ 2, 10, 0, SCI_IRQ, SCI_IRQ, 0, 0, 0, levels, 0 });
  append_entry (madt, (const uint8_t[]){ 4, 6, 0xff, 0, 0, 1 }); /* each CPU's LINT1 is the NMI */
  return add_table (place, "APIC", 4, madt->data, madt->len);
}

uint64_t
acpi_make_tables (const GuestRam *ram, unsigned n_cpus, unsigned n_virtio)
{
  Place place = { ram, ACPI_TABLES };
  uint64_t address;
  Rsdp *rsdp = reserve (&place, sizeof *rsdp, &address);
  const uint64_t tables[] = { add_fadt (&place, n_virtio), add_madt (&place, n_cpus) };

  memcpy (rsdp->signature, "RSD PTR ", 8);
  memcpy (rsdp->oem, OEM, sizeof rsdp->oem);
  rsdp->revision = 2;
  rsdp->length = sizeof *rsdp;
  rsdp->xsdt = add_table (&place, "XSDT", 1, tables, sizeof tables);
  rsdp->checksum = sum_up (rsdp, offsetof (Rsdp, length));
  rsdp->extended_checksum = sum_up (rsdp, sizeof *rsdp);
  return address;
}
