/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The state of a character device: the bytes on their way, and what its terminal was before. Used
 * by api.c. */
#include "base/error.h"
#include "chardev/device.h"

static const CprField fields[] = {
  CPR_FIELD (CprChardev, kind),
  CPR_FIELD_STRUCT (CprChardev, terminal, CprTerminal, cpr_terminal_struct),
  CPR_FIELD_COUNTED (CprChardev, input, n_input),
  CPR_FIELD_COUNTED (CprChardev, output, n_output),
  CPR_FIELD_END,
};

/* From here on nothing is read or written: the new program has the bytes, too. If the update fails,
 * the next cpr_chardev_serve() goes on. */
static bool
pre_save (void *device, GError **error G_GNUC_UNUSED)
{
  CprChardev *chardev = device;

  chardev->is_live = false;
  return true;
}

static bool
post_load (void *device, uint32_t version G_GNUC_UNUSED, GError **error)
{
  CprChardev *chardev = device;
  CprChardevKind kind = chardev->kind;

  chardev->kind = chardev->spec.kind;
  return kind == chardev->spec.kind ||
         cpr_throw (error, CPR_ERROR_MISMATCH, "chardev '%s': it is %s in the state, %s here", chardev->name,
                    cpr_chardev_kind_get_name (kind), cpr_chardev_kind_get_name (chardev->spec.kind));
}

static const CprDeviceType type = {
  .size = sizeof (CprDeviceType),
  .name = "libcpr.chardev",
  .version = 1,
  .minimum_version = 1,
  .state = { "Chardev", sizeof (CprChardev), fields },
  .pre_save = pre_save,
  .post_load = post_load,
};

const CprDeviceType *
cpr_chardev_get_state_type (void)
{
  return &type;
}
