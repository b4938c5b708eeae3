/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bytecode in ACPI's DSDT, for acpi.c: chapter 20 of the ACPI specification 6.5. */
#include "boot/aml.h"

#include <stdint.h>
#include <string.h>

#include "boot/layout.h"

#define SCOPE  "\x10"
#define DEVICE "\x5b\x82"
#define BUFFER "\x11"

static void
append_text (GByteArray *aml, const char *text)
{
  g_byte_array_append (aml, (const uint8_t *) text, (guint) strlen (text));
}

static void
append_byte (GByteArray *aml, uint8_t byte)
{
  g_byte_array_append (aml, &byte, 1);
}

static void
append_u32 (GByteArray *aml, uint32_t value)
{
  g_byte_array_append (aml, (const uint8_t *) &value, sizeof value);
}

/* An operator, how long it is, and what belongs to it. The length counts itself, and has two
 * bytes as soon as it needs more than six bits. */
static void
append_package (GByteArray *aml, const char *operator, GByteArray * body)
{
  guint length = body->len + 1;

  append_text (aml, operator);
  if (length < 0x40)
    append_byte (aml, (uint8_t) length);
  else
    {
      length++;
      g_assert (length < 0x1000);
      append_byte (aml, (uint8_t) (0x40 | (length & 0xf)));
      append_byte (aml, (uint8_t) (length >> 4));
    }
  g_byte_array_append (aml, body->data, body->len);
  g_byte_array_unref (body);
}

static void
append_name (GByteArray *aml, const char *name)
{
  append_byte (aml, 0x08);
  append_text (aml, name);
}

/* Registers and an interrupt, which is an edge. */
static void
append_resources (GByteArray *aml, unsigned slot)
{
  GByteArray *buffer = g_byte_array_new ();

  append_byte (buffer, 0x0a);
  append_byte (buffer, 12 + 9 + 2);
  g_byte_array_append (buffer, (const uint8_t[]){ 0x86, 9, 0, 1 }, 4); /* Memory32Fixed (ReadWrite) */
  append_u32 (buffer, (uint32_t) (VIRTIO_ADDRESS + slot * VIRTIO_SIZE));
  append_u32 (buffer, VIRTIO_SIZE);
  g_byte_array_append (buffer, (const uint8_t[]){ 0x89, 6, 0, 0x03, 1 },
                       5); /* Interrupt (Consumer, Edge, ActiveHigh) */
  append_u32 (buffer, VIRTIO_IRQ + slot);
  g_byte_array_append (buffer, (const uint8_t[]){ 0x79, 0 }, 2);
  append_name (aml, "_CRS");
  append_package (aml, BUFFER, buffer);
}

static void
append_virtio (GByteArray *aml, unsigned slot)
{
  GByteArray *device = g_byte_array_new ();
  g_autofree char *name = g_strdup_printf ("VIO%X", slot);

  append_text (device, name);
  append_name (device, "_HID");
  append_byte (device, 0x0d);
  g_byte_array_append (device, (const uint8_t *) "LNRO0005", 9); /* with the zero */
  append_name (device, "_UID");
  append_byte (device, 0x0a);
  append_byte (device, (uint8_t) slot);
  append_resources (device, slot);
  append_package (aml, DEVICE, device);
}

GByteArray *
aml_make_dsdt (unsigned n_virtio)
{
  /* Package () { 5, 5, 0, 0 }: what the guest writes as SLP_TYP. */
  static const uint8_t s5[] = { 0x12, 8, 4, 0x0a, SLEEP_TYPE_S5, 0x0a, SLEEP_TYPE_S5, 0, 0 };
  GByteArray *aml = g_byte_array_new (), *bus = g_byte_array_new ();

  append_name (aml, "_S5_");
  g_byte_array_append (aml, s5, sizeof s5);
  append_text (bus, "\\_SB_");
  for (unsigned i = 0; i < n_virtio; i++)
    append_virtio (bus, i);
  append_package (aml, SCOPE, bus);
  return aml;
}
