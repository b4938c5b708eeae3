/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_UNIT_VFIO_PROGRAMS_H
#define TESTS_UNIT_VFIO_PROGRAMS_H

#include "guest.h"
#include "session/vfio.h"
#include "sim-vfio.h"
#include "vfio/container.h"

#define RAM_PAGES 64
#define RAM_SIZE  (RAM_PAGES * PAGE)

/* A VMM with a device. Several run one after the other in this process, and hand over the real
 * fds. */
typedef struct
{
  Guest guest;
  CprSession *session;
  CprRamBlock *ram;
  CprVfioContainer *container;
  CprVfioDevice *device;
} VfioProgram;

/* Makes a fresh, empty session, with @required modes. */
void vfio_program_init (VfioProgram *program, unsigned required);
/* Adds RAM, container "c" and device "d". */
void vfio_program_start (VfioProgram *program, CprVfioBackend backend);
void vfio_program_clear (VfioProgram *program);

/* Writes its manifest as an update does. */
void vfio_program_save (VfioProgram *program, CprWriter *writer);
/* Ends the program as an execve does: its fds stay open, and its memory is gone. */
void vfio_program_leave (VfioProgram *program);
/* Takes a manifest up as the next program, and claims nothing of it yet. */
void vfio_program_take_up (VfioProgram *program, const CprWriter *writer);
/* Claims RAM, container and device. */
void vfio_program_claim (VfioProgram *program);

#define MAP_RW (CPR_DMA_READ | CPR_DMA_WRITE)
bool vfio_map (VfioProgram *program, uint64_t page, uint64_t ram_page, uint64_t n_pages, GError **error);
/* Mappings of different sizes, not in the order of their pages. */
#define N_MAPS  5
#define N_PAGES 59
bool vfio_map_all (VfioProgram *program, GError **error);
/* The kernel loses the mapping that begins at @page. */
void vfio_lose (uint64_t page);
/* All mappings are in the kernel, at the addresses of this program. */
void vfio_assert_attached (VfioProgram *program);

#endif
