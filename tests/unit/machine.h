/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_UNIT_MACHINE_H
#define TESTS_UNIT_MACHINE_H

#include "guest.h"

/* The tables that a session fills, with two fds, a RAM block and two devices. */
typedef struct
{
  CprFdTable fds;
  CprRamTable ram;
  CprVfioTable vfio; /* empty */
  CprDeviceTable devices;
  CprProgram program;
  int pipe[2];
  CprRamBlock *block;
  Serial serial;
  Disk disk;
} Machine;

void machine_init (Machine *machine);
void machine_clear (Machine *machine);
void machine_head (CprManifest *head);
/* Its state, as cpr_session_update() writes it: to @fd, still without its end, or all of it. */
void machine_write (Machine *machine, const CprManifest *head, int fd, CprWriter *writer);
void machine_write_to_memory (Machine *machine, const CprManifest *head, CprWriter *writer);

/* A state that was handed to this process: it is sealed in a memfd, and its baton is offered. The
 * fds belong to the session that takes it up, or to offer_clear(). */
typedef struct
{
  CprExecve *exec;
  int state_fd, baton_fd, release_fd, exe_fd;
} Offer;

void offer_make (Offer *offer, Machine *machine, const CprManifest *head);
/* Closes those of its fds that are still open. */
void offer_clear (Offer *offer, Machine *machine);

#endif
