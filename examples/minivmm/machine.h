/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MINIVMM_MACHINE_H
#define MINIVMM_MACHINE_H

#include "devices/bus.h"
#include "devices/disk.h"
#include "devices/serial.h"
#include "devices/vfio.h"
#include "monitor/monitor.h"
#include "options.h"
#include "qmp/qmp.h"
#include "ram.h"
#include "update.h"
#include "vm.h"

/* Everything, in the order in which main() builds it. */
struct _Machine
{
  Options options;
  CprGate *gate; /* closed while the guest stands still */
  CprSession *session;
  unsigned n_stops; /* how often libcpr had this program stop the guest */
  GuestRam ram;
  Bus *bus;
  Serial *serial;
  Disk *disk; /* NULL: none */
  Monitor *monitor;
  Qmp *qmp;   /* NULL: none */
  Vfio *vfio; /* NULL: none */
  Vm *vm;
  Update update;
  bool quit;
};

#endif
