/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MINIVMM_PARTS_H
#define MINIVMM_PARTS_H

#include "machine.h"

/* A part of the machine, as main() sees it. Each function may be NULL. */
typedef struct
{
  /* Creates the part, or takes it over; in a rehearsal without effect outside the process. */
  bool (*build) (Machine *machine, GError **error);
  /* Also for a part that wasn't built. */
  void (*clear) (Machine *machine);
} Part;

extern const Part ram_part;
/* Plugs memory in: the guest has @size bytes from now on. On failure it has what it had. */
bool grow_ram (Machine *machine, uint64_t size, GError **error);

extern const Part bus_part;
extern const Part serial_part;
extern const Part disk_part;
extern const Part monitor_part;
extern const Part qmp_part;
extern const Part vfio_part;
extern const Part vm_part;
extern const Part update_part;

#endif
