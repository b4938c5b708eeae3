/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The properties of a PCI function, as a device with fields of its own in the table of devices.
 * Called by lib/session. */
#include "vfio/pci-state.h"

#include <errno.h>
#include <string.h>

#include <linux/vfio.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/sys.h"

#define CONFIG_MIN  64
#define CONFIG_MAX  4096
#define REGIONS_MAX 64

typedef struct
{
  uint32_t index;
  uint64_t offset;
  uint64_t size;
} Region;

static const CprField region_fields[] = { CPR_FIELD (Region, index), CPR_FIELD (Region, offset),
                                          CPR_FIELD (Region, size), CPR_FIELD_END };
static const CprStruct region_struct = { "VfioRegion", sizeof (Region), region_fields };

/* A function's properties: as they are now, and in the state. Masks and values have `size`
 * bytes. */
struct _CprPciState
{
  CprVfioDevice *device;
  char *name;
  uint8_t *config; /* the VMM's */
  uint32_t size;
  uint8_t *own_emulated, *own_compared, *own_original;
  GArray *own_regions; /* Region */

  /* The fields: filled before they are written, and by loading. */
  uint8_t *emulated, *values;   /* bits that are the VMM's, and what they are */
  uint8_t *compared, *original; /* bits of the device, and what they are */
  uint32_t n_emulated, n_values, n_compared, n_original;
  Region regions[REGIONS_MAX];
  uint32_t n_regions;
};

static bool pre_save (void *data, GError **error);
static bool post_load (void *data, uint32_t version, GError **error);

static const CprField pci_fields[] = { CPR_FIELD_HEAP_BYTES (CprPciState, emulated, n_emulated, CONFIG_MAX),
                                       CPR_FIELD_HEAP_BYTES (CprPciState, values, n_values, CONFIG_MAX),
                                       CPR_FIELD_HEAP_BYTES (CprPciState, compared, n_compared, CONFIG_MAX),
                                       CPR_FIELD_HEAP_BYTES (CprPciState, original, n_original, CONFIG_MAX),
                                       CPR_FIELD_STRUCT_COUNTED (
                                           CprPciState, regions, n_regions, Region, region_struct),
                                       CPR_FIELD_END };

static const CprDeviceType pci_type = { .size = sizeof (CprDeviceType),
                                        .name = "libcpr.vfio-pci",
                                        .version = 1,
                                        .minimum_version = 1,
                                        .state = { "VfioPci", sizeof (CprPciState), pci_fields },
                                        .pre_save = pre_save,
                                        .post_load = post_load };

const CprDeviceType *
cpr_vfio_pci_get_type (void)
{
  return &pci_type;
}

const char *
cpr_pci_state_get_name (const CprPciState *state)
{
  return state->name;
}

static void
state_free (void *data)
{
  CprPciState *state = data;

  g_free (state->name);
  g_free (state->own_emulated);
  g_free (state->own_compared);
  g_free (state->own_original);
  g_clear_pointer (&state->own_regions, g_array_unref);
  g_free (state->emulated);
  g_free (state->values);
  g_free (state->compared);
  g_free (state->original);
  g_free (state);
}

static bool
check_options (const char *name, const CprVfioPciOptions *options, GError **error)
{
  if (options->config_size < CONFIG_MIN || options->config_size > CONFIG_MAX || options->config_size % 4 != 0)
    return cpr_throw (error, CPR_ERROR_INVALID,
                      "PCI function '%s': its configuration space has %zu bytes, not %d to %d", name,
                      options->config_size, CONFIG_MIN, CONFIG_MAX);
  if (options->config == NULL || options->emulated == NULL)
    return cpr_throw (error, CPR_ERROR_INVALID, "PCI function '%s': config and emulated are needed", name);
  return true;
}

/* The bytes that no device changes: vendor and device, revision and class, header type,
 * subsystem. */
static uint8_t *
make_default_compared (size_t size)
{
  static const struct
  {
    uint8_t at, len;
  } parts[] = { { 0x00, 4 }, { 0x08, 4 }, { 0x0e, 1 }, { 0x2c, 4 } };
  uint8_t *mask = g_malloc0 (size);

  for (size_t i = 0; i < G_N_ELEMENTS (parts); i++)
    memset (mask + parts[i].at, 0xff, parts[i].len);
  return mask;
}

/* ---- Looking at the device. */

/* The regions that there are: one without a size isn't. */
static bool
read_regions (CprPciState *state, GError **error)
{
  struct vfio_device_info info = { .argsz = sizeof info };
  int fd = state->device->fd;

  if (cpr_sys->ioctl (fd, VFIO_DEVICE_GET_INFO, &info) < 0)
    return cpr_throw_errno (error, errno, "PCI function '%s': VFIO_DEVICE_GET_INFO", state->name);
  for (uint32_t i = 0; i < MIN (info.num_regions, REGIONS_MAX); i++)
    {
      struct vfio_region_info region = { .argsz = sizeof region, .index = i };
      Region found = { .index = i };

      if (cpr_sys->ioctl (fd, VFIO_DEVICE_GET_REGION_INFO, &region) < 0)
        {
          if (errno == EINVAL) /* a VGA region where there is no VGA */
            continue;
          return cpr_throw_errno (error, errno, "PCI function '%s': VFIO_DEVICE_GET_REGION_INFO of region %u",
                                  state->name, i);
        }
      found.offset = region.offset;
      found.size = region.size;
      if (found.size > 0)
        g_array_append_val (state->own_regions, found);
    }
  return true;
}

static const Region *
find_region (const Region *regions, guint n, uint32_t index)
{
  for (guint i = 0; i < n; i++)
    if (regions[i].index == index)
      return &regions[i];
  return NULL;
}

static bool
read_original (CprPciState *state, GError **error)
{
  const Region *config = find_region ((const Region *) (void *) state->own_regions->data, state->own_regions->len,
                                      VFIO_PCI_CONFIG_REGION_INDEX);

  if (config == NULL)
    return cpr_throw (error, CPR_ERROR_INVALID, "PCI function '%s': VFIO device '%s' has no configuration space",
                      state->name, state->device->name);
  if (!cpr_fd_read_at (state->device->fd, state->own_original, MIN (state->size, config->size), config->offset))
    return cpr_throw_errno (error, errno, "PCI function '%s': reading its configuration space", state->name);
  return true;
}

CprPciState *
cpr_pci_state_new (CprVfioDevice *device, const char *name, const CprVfioPciOptions *options, GError **error)
{
  CprPciState *state;

  if (!check_options (name, options, error))
    return NULL;
  state = g_new0 (CprPciState, 1);
  state->device = device;
  state->name = g_strdup (name);
  state->config = options->config;
  state->size = (uint32_t) options->config_size;
  state->own_emulated = g_memdup2 (options->emulated, state->size);
  state->own_compared =
      options->compared != NULL ? g_memdup2 (options->compared, state->size) : make_default_compared (state->size);
  state->own_original = g_malloc0 (state->size);
  state->own_regions = g_array_new (FALSE, FALSE, sizeof (Region));
  if (device->fd >= 0 && (!read_regions (state, error) || !read_original (state, error)))
    {
      state_free (state);
      return NULL;
    }
  for (uint32_t i = 0; i < state->size; i++)
    state->own_original[i] &= state->own_compared[i];
  if (device->pcis == NULL)
    device->pcis = g_ptr_array_new_with_free_func (state_free);
  g_ptr_array_add (device->pcis, state);
  return state;
}

void
cpr_pci_state_drop (CprVfioDevice *device, CprPciState *state)
{
  g_ptr_array_remove (device->pcis, state);
}

/* ---- Saving and loading. */

static void
set_bytes (uint8_t **bytes, uint32_t *n, const uint8_t *from, uint32_t size)
{
  g_free (*bytes);
  *bytes = g_memdup2 (from, size);
  *n = size;
}

static bool
pre_save (void *data, GError **error G_GNUC_UNUSED)
{
  CprPciState *state = data;

  set_bytes (&state->emulated, &state->n_emulated, state->own_emulated, state->size);
  set_bytes (&state->values, &state->n_values, state->config, state->size);
  for (uint32_t i = 0; i < state->size; i++)
    state->values[i] &= state->emulated[i];
  set_bytes (&state->compared, &state->n_compared, state->own_compared, state->size);
  set_bytes (&state->original, &state->n_original, state->own_original, state->size);
  state->n_regions = state->own_regions->len;
  for (uint32_t i = 0; i < state->n_regions; i++)
    state->regions[i] = g_array_index (state->own_regions, Region, i);
  return true;
}

static bool
compare_region (const CprPciState *state, const Region *was, const Region *is, GError **error)
{
  uint32_t index = was != NULL ? was->index : is->index;

  if (was == NULL || is == NULL)
    return cpr_throw (error, CPR_ERROR_MISMATCH, "PCI function '%s': region %u %s", state->name, index,
                      is == NULL ? "isn't there any more" : "wasn't there");
  if (was->size != is->size || was->offset != is->offset)
    return cpr_throw (error, CPR_ERROR_MISMATCH,
                      "PCI function '%s': region %u has %" G_GUINT64_FORMAT " bytes at offset 0x%" G_GINT64_MODIFIER
                      "x in the state, %" G_GUINT64_FORMAT " at 0x%" G_GINT64_MODIFIER "x here",
                      state->name, index, was->size, was->offset, is->size, is->offset);
  return true;
}

static bool
compare_regions (const CprPciState *state, GError **error)
{
  const Region *own = (const Region *) (void *) state->own_regions->data;
  guint n = state->own_regions->len;

  for (guint i = 0; i < state->n_regions; i++)
    if (!compare_region (state, &state->regions[i], find_region (own, n, state->regions[i].index), error))
      return false;
  for (guint i = 0; i < n; i++)
    if (!compare_region (state, find_region (state->regions, state->n_regions, own[i].index), &own[i], error))
      return false;
  return true;
}

/* Compares the bytes that both programs want to be the same. */
static bool
compare_original (const CprPciState *state, GError **error)
{
  for (uint32_t i = 0; i < MIN (state->size, state->n_original); i++)
    {
      uint8_t mask = state->compared[i] & state->own_compared[i];

      if (((state->original[i] ^ state->own_original[i]) & mask) != 0)
        return cpr_throw (error, CPR_ERROR_MISMATCH,
                          "PCI function '%s': the configuration space at 0x%02x has 0x%02x in the state, 0x%02x here",
                          state->name, i, state->original[i] & mask, state->own_original[i] & mask);
    }
  return true;
}

static bool
post_load (void *data, uint32_t version G_GNUC_UNUSED, GError **error)
{
  CprPciState *state = data;

  if (state->n_values != state->n_emulated || state->n_original != state->n_compared)
    return cpr_throw (error, CPR_ERROR_CORRUPT,
                      "PCI function '%s': %u bytes of masks and %u of values, %u to compare and %u of them",
                      state->name, state->n_emulated, state->n_values, state->n_compared, state->n_original);
  if (!compare_regions (state, error) || !compare_original (state, error))
    return false;
  for (uint32_t i = 0; i < MIN (state->size, state->n_values); i++)
    {
      uint8_t mask = state->emulated[i] & state->own_emulated[i];

      state->config[i] = (uint8_t) ((state->config[i] & ~mask) | (state->values[i] & mask));
    }
  return true;
}
