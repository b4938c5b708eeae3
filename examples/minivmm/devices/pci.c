/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The configuration space of a PCI function, for vfio.c. */
#include "devices/pci.h"

#include <string.h>

#define STATUS          0x06
#define STATUS_HAS_CAPS 0x10 /* in the first byte */
#define BAR(n)          (0x10 + 4 * (n))
#define BAR_IO          0x1
#define BAR_TYPE        0x6
#define BAR_TYPE_64     0x4
#define BAR_FLAGS       0xf
#define ROM_BAR         0x30
#define CAPABILITIES    0x34
#define INTERRUPT_PIN   0x3d

#define CAP_MSI 0x05

#define MSI_CONTROL 2
#define MSI_ENABLE  0x0001
#define MSI_64_BIT  0x0080
#define MSI_ADDRESS 4
#define MSI_UPPER   8

static uint32_t
get (const uint8_t *bytes, unsigned size)
{
  uint32_t value = 0;
  memcpy (&value, bytes, size); /* little endian, as this machine is */
  return value;
}

static void
put (uint8_t *bytes, unsigned size, uint32_t value)
{
  memcpy (bytes, &value, size);
}

/* From now on the guest has a value of its own there. */
static void
emulate (PciFunction *function, unsigned offset, unsigned size, uint32_t value)
{
  put (function->config + offset, size, value);
  memset (function->emulated + offset, 0xff, size);
}

static unsigned
find_capability (const uint8_t *hardware, uint8_t id)
{
  if (!(hardware[STATUS] & STATUS_HAS_CAPS))
    return 0;
  unsigned at = hardware[CAPABILITIES] & ~3U;
  /* Not more often than there is room for: a broken list may be a ring. */
  for (unsigned n = 0; at >= 0x40 && n < PCI_CONFIG_SIZE / 4; n++, at = hardware[at + 1] & ~3U)
    if (hardware[at] == id)
      return at;
  return 0;
}

static unsigned
get_msi_data_offset (const PciFunction *function)
{
  return function->msi + (function->msi_is_64_bit ? 12 : 8);
}

/* One vector, unmaskable, and no other capability beside it. */
static void
init_msi (PciFunction *function, const uint8_t *hardware)
{
  function->msi = find_capability (hardware, CAP_MSI);
  emulate (function, CAPABILITIES, 1, function->msi);
  if (!function->msi)
    return;
  uint32_t control = get (hardware + function->msi + MSI_CONTROL, 2) & MSI_64_BIT;
  function->msi_is_64_bit = control != 0;
  emulate (function, function->msi + 1, 1, 0); /* it is the last one */
  emulate (function, function->msi + MSI_CONTROL, 2, control);
  emulate (function, function->msi + MSI_ADDRESS, 4, 0);
  if (function->msi_is_64_bit)
    emulate (function, function->msi + MSI_UPPER, 4, 0);
  emulate (function, get_msi_data_offset (function), 2, 0);
}

/* The BARs' addresses in the function itself are the host's affair. */
static void
init_bar (PciFunction *function, unsigned bar, uint32_t hardware, uint64_t size, uint64_t *memory, uint64_t end)
{
  uint64_t address = (*memory + size - 1) & ~(size - 1);
  bool fits = address < end && size <= end - address;

  function->bars[bar] = (PciBar){ size, (hardware & BAR_TYPE) == BAR_TYPE_64 };
  if (fits)
    *memory = address + size;
  put (function->config + BAR (bar), 4, (hardware & BAR_FLAGS) | (fits ? (uint32_t) address : 0));
  if (function->bars[bar].is_64_bit)
    put (function->config + BAR (bar + 1), 4, fits ? (uint32_t) (address >> 32) : 0);
}

void
pci_function_init (PciFunction *function,
                   const uint8_t hardware[PCI_CONFIG_SIZE],
                   const uint64_t sizes[PCI_N_BARS],
                   uint64_t memory,
                   uint64_t memory_end)
{
  memset (function, 0, sizeof *function);
  for (unsigned bar = 0; bar < PCI_N_BARS; bar++)
    emulate (function, BAR (bar), 4, 0);
  for (unsigned bar = 0; bar < PCI_N_BARS; bar++)
    {
      uint32_t value = get (hardware + BAR (bar), 4);
      bool is_64_bit = (value & (BAR_IO | BAR_TYPE)) == BAR_TYPE_64;
      if (sizes[bar] && !(value & BAR_IO) && !(is_64_bit && bar + 1 == PCI_N_BARS))
        init_bar (function, bar, value, sizes[bar], &memory, memory_end);
      if (is_64_bit)
        bar++;
    }
  emulate (function, ROM_BAR, 4, 0);
  emulate (function, INTERRUPT_PIN, 1, 0);
  init_msi (function, hardware);
}

void
pci_function_read (const PciFunction *function, unsigned offset, unsigned len, const uint8_t *hardware, uint8_t *data)
{
  for (unsigned i = 0; i < len; i++)
    {
      uint8_t mask = function->emulated[offset + i];
      data[i] = (hardware[i] & ~mask) | (function->config[offset + i] & mask);
    }
}

bool
pci_function_is_emulated (const PciFunction *function, unsigned offset, unsigned len)
{
  for (unsigned i = 0; i < len; i++)
    if (function->emulated[offset + i] != 0xff)
      return false;
  return true;
}

static bool
is_within (unsigned offset, unsigned first, unsigned size)
{
  return offset >= first && offset - first < size;
}

/* A BAR's lower bits don't stick: that is how the guest learns its size. */
static uint8_t
get_writable_bar_bits (const PciFunction *function, unsigned offset)
{
  unsigned bar = (offset - BAR (0)) / 4, shift = (offset - BAR (0)) % 4 * 8;
  if (function->bars[bar].size)
    return (uint8_t) (~(function->bars[bar].size - 1) >> shift);
  if (bar > 0 && function->bars[bar - 1].size && function->bars[bar - 1].is_64_bit)
    return (uint8_t) (~(function->bars[bar - 1].size - 1) >> (32 + shift));
  return 0;
}

static uint8_t
get_writable_bits (const PciFunction *function, unsigned offset)
{
  if (is_within (offset, BAR (0), 4 * PCI_N_BARS))
    return get_writable_bar_bits (function, offset);
  if (!function->msi)
    return 0;
  if (offset == function->msi + MSI_CONTROL)
    return MSI_ENABLE;
  if (offset == function->msi + MSI_ADDRESS)
    return 0xfc;
  if (is_within (offset, function->msi + MSI_ADDRESS, 4) || is_within (offset, get_msi_data_offset (function), 2))
    return 0xff;
  return function->msi_is_64_bit && is_within (offset, function->msi + MSI_UPPER, 4) ? 0xff : 0;
}

void
pci_function_write (PciFunction *function, unsigned offset, unsigned len, const uint8_t *data)
{
  for (unsigned i = 0; i < len; i++)
    {
      uint8_t mask = get_writable_bits (function, offset + i) & function->emulated[offset + i];
      uint8_t *byte = &function->config[offset + i];
      *byte = (*byte & ~mask) | (data[i] & mask);
    }
}

uint64_t
pci_function_get_bar (const PciFunction *function, unsigned bar)
{
  if (!function->bars[bar].size)
    return 0;
  uint64_t address = get (function->config + BAR (bar), 4) & ~(uint32_t) BAR_FLAGS;
  if (function->bars[bar].is_64_bit)
    address |= (uint64_t) get (function->config + BAR (bar + 1), 4) << 32;
  return address;
}

bool
pci_function_get_msi (const PciFunction *function, PciMsi *msi)
{
  const uint8_t *capability = function->config + function->msi;
  if (!function->msi || !(get (capability + MSI_CONTROL, 2) & MSI_ENABLE))
    return false;
  msi->address = get (capability + MSI_ADDRESS, 4);
  if (function->msi_is_64_bit)
    msi->address |= (uint64_t) get (capability + MSI_UPPER, 4) << 32;
  msi->data = get (function->config + get_msi_data_offset (function), 2);
  return true;
}
