/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_UNIT_SIM_VFIO_H
#define TESTS_UNIT_SIM_VFIO_H

#include "helpers.h"

/* A kernel with VFIO type1, groups, devices of their own and IOMMUFD, as Linux 6.1 to 7.3 answer; behind the library's table of system
 * calls. Its fds are real ones. Two devices in group 26 (0000:00:04.0 and .1) and one in group 27 (0000:00:05.0); the folder in sysfs
 * is a real one. */

typedef struct
{
  uint64_t iova, size, vaddr;
  unsigned prot;
  int mm;     /* whose address it is */
  bool valid; /* the address */
  bool file;  /* IOMMUFD: by file */
} SimMapping;

typedef struct
{
  /* What it is. */
  bool has_update_vaddr, has_type1v2, has_change_process, has_map_file, has_iommufd;
  bool group_is_viable;
  int api_version;
  uint64_t memlock; /* bytes; 0: no limit */
  uint8_t config[256];
  uint64_t bar_size;

  /* The n-th call that it answers fails. */
  unsigned fail_at, calls;
  int fail_errno;
  unsigned long failed; /* the ioctl, or 0 for another call */
  bool failed_any;
  unsigned lie_at_unmap; /* the n-th UNMAP answers another size */
  unsigned unmaps;

  /* What it holds. */
  int mm;                /* of the present program */
  GArray *mappings;      /* SimMapping; of the one container */
  uint64_t locked[1024]; /* by mm */
  unsigned set_irqs, ioctls, maps, vaddr_maps, change_process;
  int iommufd_mm;
  bool has_iommu;
  int n_groups, open_containers, open_groups, open_devices;
  int irq_fds[5][8];
  char *folder;
} Sim;

extern Sim sim;

void sim_begin (void);
void sim_end (void); /* nothing of it is open any more */
/* Another program begins: another address space. */
void sim_exec (void);
/* The path of a device in the simulated sysfs; valid until sim_end(). */
const char *sim_path (const char *address);
void sim_fail (unsigned at, int errnum);

#endif
