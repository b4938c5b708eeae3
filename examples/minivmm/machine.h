/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MINIVMM_MACHINE_H
#define MINIVMM_MACHINE_H

#include "devices/bus.h"
#include "devices/cards.h"
#include "devices/disk.h"
#include "monitor/monitor.h"
#include "options.h"
#include "ram-hash.h"
#include "ram.h"
#include "devices/serial.h"
#include "update.h"
#include "devices/vfio.h"
#include "vm.h"

/* Everything, in the order in which main() makes it. */
struct _Machine
{
  Options options;
  char **argv; /* what the options have become since, by what was plugged in; NULL: nothing was */
  CprSession *session;
  unsigned n_stops; /* how often libcpr had this program stop the guest */
  GuestRam ram;
  Bus *bus;
  Serial *serial;
  Cards *cards;
  Disk *disk; /* NULL: none */
  Update *update;
  Monitor *monitor;
  Vfio *vfio; /* NULL: none */
  Vm *vm;
  RamHash *ram_hash;
  bool quit;
};

#endif
