/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The list of this VMM's parts, which main() goes through. */
#include "release.h"

static const Part *const parts[] = {
  &ram_part, &bus_part, &serial_part, &disk_part, &monitor_part, &qmp_part, &vfio_part, &vm_part, &update_part, NULL,
};

static const Accel *
get_accel (void)
{
  return &accel_kvm;
}

const Release release = { .number = 1, .parts = parts, .get_accel = get_accel };
