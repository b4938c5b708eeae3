/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_UNIT_VFIO_PROGRAMS_H
#define TESTS_UNIT_VFIO_PROGRAMS_H

#include "guest.h"
#include "session/vfio.h"
#include "sim-vfio.h"
#include "vfio/container.h"

#define RAM_PAGES 64
#define RAM_SIZE  (RAM_PAGES * PAGE)

/* A VMM with a device, one after the other in this process: what is handed over are the real
 * fds. */
typedef struct
{
  Guest guest;
  CprSession *session;
  CprRamBlock *ram;
  CprVfioContainer *container;
  CprVfioDevice *device;
} VfioProgram;

/* A fresh session without anything, with @required modes. */
void vfio_program_init (VfioProgram *program, unsigned required);
/* And RAM, container "c", device "d". */
void vfio_program_start (VfioProgram *program, CprVfioBackend backend);
void vfio_program_clear (VfioProgram *program);

/* Its manifest as an update would write it. */
void vfio_program_save (VfioProgram *program, CprWriter *writer);
/* It is replaced: what it has stays open, its memory is gone. */
void vfio_program_leave (VfioProgram *program);
/* The next one takes a manifest up, and takes nothing of it yet. */
void vfio_program_take_up (VfioProgram *program, const CprWriter *writer);
/* RAM, container and device. */
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
