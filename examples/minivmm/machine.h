/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MINIVMM_MACHINE_H
#define MINIVMM_MACHINE_H

#include "disk.h"
#include "monitor.h"
#include "options.h"
#include "ram-hash.h"
#include "ram.h"
#include "serial.h"
#include "update.h"
#include "vm.h"

/* Everything, in the order in which main() makes it. */
struct _Machine
{
  Options options;
  CprSession *session;
  GuestRam ram;
  Serial *serial;
  Disk *disk; /* NULL: none */
  Update *update;
  Monitor *monitor;
  Vm *vm;
  RamHash *ram_hash;
  bool quit;
};

#endif
