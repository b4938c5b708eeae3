/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MINIVMM_PARTS_H
#define MINIVMM_PARTS_H

#include "machine.h"

#define PART_TYPES_MAX 4

/* A part of the machine, as main() sees it. Each function may be NULL. */
typedef struct
{
  const CprDeviceType *types[PART_TYPES_MAX]; /* which devices' state it can load, whatever the options are */

  /* In a preflight: what build() would take over, and nothing else. Without effect outside the
   * process. */
  void (*declare) (CprInventory *inventory, const Options *options);
  /* Creates the part, or takes it over. */
  bool (*build) (Machine *machine, GError **error);
  /* All state is there: what is left to do before the start, and can fail. */
  bool (*loaded) (Machine *machine, GError **error);
  /* The guest runs here now, and there is no way back. */
  bool (*started) (Machine *machine, GError **error);
  /* Also for a part that wasn't built. */
  void (*clear) (Machine *machine);
} Part;

extern const Part ram_part;
extern const Part bus_part;
extern const Part serial_part;
extern const Part disk_part;
extern const Part monitor_part;
extern const Part vfio_part;
extern const Part vm_part;
extern const Part update_part;

#endif
