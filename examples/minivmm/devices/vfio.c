/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A function of the host that the guest has, for parts.c; kvm-vfio.c does KVM's part of it. */
#include "devices/vfio.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/vfio.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guests/guests.h"
#include "support/error.h"

#define CONTAINER "vfio"
#define DEVICE    "vfio0"
#define PCI_STATE "vfio0-pci"

#define CONFIG_BASE (GUEST_PCI_CONFIG + (GUEST_PCI_SLOT << 15))

typedef struct
{
  uint64_t size;
  uint64_t offset; /* in the device's fd */
  void *vaddr;     /* NULL: can't be mapped, or isn't to be */
} Region;

struct _Vfio
{
  CprSession *session;
  CprVfioContainer *container;
  CprVfioDevice *device;
  int fd;
  int irq_fd;
  Region config;
  Region bars[PCI_N_BARS];
  PciFunction function;

  pthread_mutex_t mutex; /* of what vCPUs change: the emulated configuration space */
  const VfioListener *listener;
  void *listener_data;
};

/* ---- The function: regions, configuration space, MSI. */

static bool
find_region (Vfio *vfio, unsigned index, Region *region, bool *can_map, GError **error)
{
  struct vfio_region_info info = { .argsz = sizeof info, .index = index };
  if (ioctl (vfio->fd, VFIO_DEVICE_GET_REGION_INFO, &info) < 0)
    return throw_errno (error, "VFIO region %u", index);
  /* Where only parts of it can be mapped the kernel has more to say, and we map nothing. */
  *can_map = info.flags & VFIO_REGION_INFO_FLAG_MMAP && !(info.flags & VFIO_REGION_INFO_FLAG_CAPS);
  region->size = info.size;
  region->offset = info.offset;
  return true;
}

static bool
open_bar (Vfio *vfio, unsigned bar, bool trap, GError **error)
{
  Region *region = &vfio->bars[bar];
  bool can_map;
  if (!find_region (vfio, VFIO_PCI_BAR0_REGION_INDEX + bar, region, &can_map, error))
    return false;
  if (!region->size || !can_map || trap)
    return true;
  void *vaddr = mmap (NULL, region->size, PROT_READ | PROT_WRITE, MAP_SHARED, vfio->fd, (off_t) region->offset);
  if (vaddr == MAP_FAILED)
    return throw_errno (error, "BAR %u: mmap", bar);
  region->vaddr = vaddr;
  return true;
}

static bool
read_hardware (const Vfio *vfio, unsigned offset, unsigned len, void *data, GError **error)
{
  return pread (vfio->fd, data, len, (off_t) (vfio->config.offset + offset)) == (ssize_t) len ||
         throw_errno (error, "configuration space: read at %#x", offset);
}

static bool
open_regions (Vfio *vfio, bool trap, GError **error)
{
  uint8_t hardware[PCI_CONFIG_SIZE];
  uint64_t sizes[PCI_N_BARS];
  bool can_map;

  if (!find_region (vfio, VFIO_PCI_CONFIG_REGION_INDEX, &vfio->config, &can_map, error))
    return false;
  for (unsigned bar = 0; bar < PCI_N_BARS; bar++)
    {
      if (!open_bar (vfio, bar, trap, error))
        return false;
      sizes[bar] = vfio->bars[bar].size;
    }
  if (!read_hardware (vfio, 0, sizeof hardware, hardware, error))
    return false;
  /* Each program begins with the same addresses. A guest that leaves the BARs there has its
   * memory slots right when the new program makes its KVM VM, which is when they cost nothing;
   * what it has moved is put right once the state is loaded. */
  pci_function_init (&vfio->function, hardware, sizes, GUEST_PCI_MEMORY, GUEST_PCI_MEMORY_END);
  return true;
}

/* The function's one MSI is connected with its eventfd for good, whatever the guest has enabled:
 * that only decides whether KVM injects what is counted. So nothing but the main thread changes
 * the session. */
static bool
open_irq (Vfio *vfio, GError **error)
{
  if (!vfio->function.msi)
    return true;
  vfio->irq_fd = cpr_vfio_irq_open (vfio->device, VFIO_PCI_MSI_IRQ_INDEX, 0, CPR_VFIO_IRQ_TRIGGER, error);
  if (vfio->irq_fd < 0)
    return false;
  return cpr_vfio_irq_is_enabled (vfio->device, VFIO_PCI_MSI_IRQ_INDEX, 0, CPR_VFIO_IRQ_TRIGGER) ||
         cpr_vfio_irq_enable (vfio->device, VFIO_PCI_MSI_IRQ_INDEX, 0, 1, CPR_VFIO_IRQ_TRIGGER, error);
}

static bool
add_state (Vfio *vfio, GError **error)
{
  const CprVfioPciOptions options = {
    .size = sizeof options,
    .config = vfio->function.config,
    .config_size = sizeof vfio->function.config,
    .emulated = vfio->function.emulated,
  };
  return cpr_vfio_pci_add (vfio->device, PCI_STATE, &options, error);
}

/* ---- DMA. */

/* An area of RAM in @n parts of whole pages, more or less equal. */
static bool
map_area (Vfio *vfio, const GuestRam *ram, uint64_t gpa, uint64_t offset, uint64_t size, unsigned n, GError **error)
{
  for (unsigned i = 0; size && i < n; i++)
    {
      uint64_t begin = size / GUEST_RAM_UNIT * i / n * GUEST_RAM_UNIT;
      uint64_t end = size / GUEST_RAM_UNIT * (i + 1) / n * GUEST_RAM_UNIT;
      if (begin < end && !cpr_dma_map (vfio->container, gpa + begin, ram->block, offset + begin, end - begin,
                                       CPR_DMA_READ | CPR_DMA_WRITE, error))
        return false;
    }
  return true;
}

static bool
map_ram (Vfio *vfio, const GuestRam *ram, unsigned n_parts, GError **error)
{
  return map_area (vfio, ram, 0, 0, ram->low_size, n_parts, error) &&
         map_area (vfio, ram, GUEST_RAM_HIGH, ram->low_size, ram->high_size, n_parts, error);
}

/* ---- Begin and end. */

static bool
open_all (Vfio *vfio, const GuestRam *ram, const Options *options, GError **error)
{
  const CprVfioContainerOptions container = { .size = sizeof container, .backend = options->vfio_backend };

  vfio->container = cpr_vfio_container_new (vfio->session, CONTAINER, &container, error);
  if (!vfio->container)
    return false;
  vfio->device = cpr_vfio_device_new (vfio->container, DEVICE, options->vfio, NULL, error);
  if (!vfio->device)
    return false;
  vfio->fd = cpr_vfio_device_get_fd (vfio->device);
  /* A rehearsal has no function to look at. */
  return map_ram (vfio, ram, options->dma_parts, error) &&
         (cpr_session_is_rehearsal (vfio->session) ||
          (open_regions (vfio, options->vfio_trap, error) && open_irq (vfio, error))) &&
         add_state (vfio, error);
}

Vfio *
vfio_new (CprSession *session, const GuestRam *ram, const Options *options, GError **error)
{
  Vfio *vfio = g_new0 (Vfio, 1);
  vfio->session = session;
  vfio->fd = vfio->irq_fd = -1;
  pthread_mutex_init (&vfio->mutex, NULL);
  if (open_all (vfio, ram, options, error))
    return vfio;
  vfio_free (vfio);
  return NULL;
}

/* The device and its container are the session's and end with it. */
void
vfio_free (Vfio *vfio)
{
  if (!vfio)
    return;
  for (unsigned bar = 0; bar < PCI_N_BARS; bar++)
    if (vfio->bars[bar].vaddr)
      munmap (vfio->bars[bar].vaddr, vfio->bars[bar].size);
  if (vfio->device)
    cpr_vfio_device_remove (vfio->device, NULL);
  pthread_mutex_destroy (&vfio->mutex);
  g_free (vfio);
}

void
vfio_set_listener (Vfio *vfio, const VfioListener *listener, void *data)
{
  vfio->listener = listener;
  vfio->listener_data = data;
}

/* ---- What the guest does with it. */

static bool
reads_memory (const Vfio *vfio)
{
  uint16_t command;
  return read_hardware (vfio, PCI_COMMAND, sizeof command, &command, NULL) && command & PCI_COMMAND_MEMORY;
}

unsigned
vfio_get_windows (const Vfio *vfio, VfioWindow windows[PCI_N_BARS])
{
  unsigned n = 0;
  for (unsigned bar = 0; bar < PCI_N_BARS && reads_memory (vfio); bar++)
    {
      uint64_t gpa = pci_function_get_bar (&vfio->function, bar);
      if (gpa)
        windows[n++] = (VfioWindow){ gpa, vfio->bars[bar].size, vfio->bars[bar].vaddr };
    }
  return n;
}

bool
vfio_get_msi (const Vfio *vfio, PciMsi *msi)
{
  return pci_function_get_msi (&vfio->function, msi);
}

int
vfio_get_irq_fd (const Vfio *vfio)
{
  return vfio->irq_fd;
}

CprVfioDevice *
vfio_get_device (const Vfio *vfio)
{
  return vfio->device;
}

static bool
read_config (Vfio *vfio, unsigned offset, unsigned len, uint8_t *data, GError **error)
{
  uint8_t hardware[8];
  if (!read_hardware (vfio, offset, len, hardware, error))
    return false;
  pci_function_read (&vfio->function, offset, len, hardware, data);
  return true;
}

/* Emulated bits are written as they are in the function. */
static bool
write_hardware (Vfio *vfio, unsigned offset, unsigned len, const uint8_t *data, GError **error)
{
  const uint8_t *emulated = vfio->function.emulated + offset;
  uint8_t bytes[8];

  if (pci_function_is_emulated (&vfio->function, offset, len))
    return true;
  if (!read_hardware (vfio, offset, len, bytes, error))
    return false;
  for (unsigned i = 0; i < len; i++)
    bytes[i] = (bytes[i] & emulated[i]) | (data[i] & ~emulated[i]);
  return pwrite (vfio->fd, bytes, len, (off_t) (vfio->config.offset + offset)) == (ssize_t) len ||
         throw_errno (error, "configuration space: write at %#x", offset);
}

/* Whether a write moves a window, or makes one come or go. */
static bool
moves_windows (const Vfio *vfio, const PciFunction *next, unsigned offset, unsigned len, const uint8_t *data)
{
  if (offset <= PCI_COMMAND && PCI_COMMAND < offset + len &&
      (bool) (data[PCI_COMMAND - offset] & PCI_COMMAND_MEMORY) != reads_memory (vfio))
    return true;
  for (unsigned bar = 0; bar < PCI_N_BARS; bar++)
    if (pci_function_get_bar (next, bar) != pci_function_get_bar (&vfio->function, bar))
      return true;
  return false;
}

static bool
changes_msi (const Vfio *vfio, const PciFunction *next)
{
  PciMsi old = { 0 }, new = { 0 };
  bool was_on = pci_function_get_msi (&vfio->function, &old), is_on = pci_function_get_msi (next, &new);
  return was_on != is_on || old.address != new.address || old.data != new.data;
}

/* A window that goes is taken from the guest first: the kernel forbids accesses to memory that
 * the function doesn't answer for. */
static bool
write_config (Vfio *vfio, unsigned offset, unsigned len, const uint8_t *data, GError **error)
{
  PciFunction next = vfio->function;
  pci_function_write (&next, offset, len, data);
  bool moves = moves_windows (vfio, &next, offset, len, data), changes = changes_msi (vfio, &next);

  if (moves && !vfio->listener->windows_change (vfio->listener_data, false, error))
    return false;
  vfio->function = next;
  return write_hardware (vfio, offset, len, data, error) &&
         (!moves || vfio->listener->windows_change (vfio->listener_data, true, error)) &&
         (!changes || vfio->listener->msi_changed (vfio->listener_data, error));
}

static bool
access_config (Vfio *vfio, unsigned offset, void *data, unsigned len, bool is_write, GError **error)
{
  /* The guest sees the first 256 bytes and no others. */
  if (offset + len > PCI_CONFIG_SIZE)
    {
      if (!is_write)
        memset (data, 0, len);
      return true;
    }
  pthread_mutex_lock (&vfio->mutex);
  bool ok = is_write ? write_config (vfio, offset, len, data, error) : read_config (vfio, offset, len, data, error);
  pthread_mutex_unlock (&vfio->mutex);
  return ok;
}

static bool
access_bar (const Vfio *vfio, unsigned bar, uint64_t offset, void *data, unsigned len, bool is_write, GError **error)
{
  off_t at = (off_t) (vfio->bars[bar].offset + offset);
  ssize_t done = is_write ? pwrite (vfio->fd, data, len, at) : pread (vfio->fd, data, len, at);
  return done == (ssize_t) len || throw_errno (error, "BAR %u: access at %#" PRIx64, bar, offset);
}

bool
vfio_access (Vfio *vfio, uint64_t gpa, void *data, unsigned len, bool is_write, bool *ours, GError **error)
{
  *ours = true;
  if (gpa >= CONFIG_BASE && gpa - CONFIG_BASE < 4096)
    return access_config (vfio, (unsigned) (gpa - CONFIG_BASE), data, len, is_write, error);
  for (unsigned bar = 0; bar < PCI_N_BARS; bar++)
    {
      uint64_t base = pci_function_get_bar (&vfio->function, bar), size = vfio->bars[bar].size;
      if (base && gpa >= base && gpa - base < size && len <= size - (gpa - base))
        return access_bar (vfio, bar, gpa - base, data, len, is_write, error);
    }
  *ours = false;
  return true;
}

/* ---- For the monitor. */

static void
describe_mapping (
    uint64_t iova, CprRamBlock *block, uint64_t offset, uint64_t size, unsigned flags, bool claimed, void *user_data)
{
  g_string_append_printf (user_data, "dma %#" PRIx64 ": %" PRIu64 "K of RAM from %#" PRIx64 "\n", iova, size >> 10,
                          offset);
}

void
vfio_describe (const Vfio *vfio, GString *text)
{
  static const char *const backends[] = { "auto", "type1", "iommufd", "none" };
  struct pollfd irq = { vfio->irq_fd, POLLIN, 0 };
  VfioWindow windows[PCI_N_BARS];
  PciMsi msi;
  unsigned n = vfio_get_windows (vfio, windows);

  g_string_append_printf (text, "backend: %s\n", backends[cpr_vfio_container_get_backend (vfio->container)]);
  for (unsigned i = 0; i < n; i++)
    g_string_append_printf (text, "window %u: %#" PRIx64 ", %" PRIu64 "K, %s\n", i, windows[i].gpa,
                            windows[i].size >> 10, windows[i].vaddr ? "mapped" : "trapped");
  g_string_append_printf (text, "msi: %s\n", vfio_get_msi (vfio, &msi) ? "on" : "off");
  g_string_append_printf (text, "interrupt waits: %s\n", poll (&irq, 1, 0) == 1 ? "yes" : "no");
  cpr_dma_foreach (vfio->container, describe_mapping, text);
}
