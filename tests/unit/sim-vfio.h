/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_UNIT_SIM_VFIO_H
#define TESTS_UNIT_SIM_VFIO_H

#include "helpers.h"

#include <signal.h>

/* A kernel with VFIO type1, groups, devices of their own and IOMMUFD, as Linux 6.1 to 7.3
 * answer; behind the library's table of system calls. Its fds are real ones. Two devices in
 * group 26 (0000:00:04.0 and .1) and one in group 27 (0000:00:05.0); the folder in sysfs is a
 * real one. A process that is forked talks to the same kernel, and what it is sent over a socket
 * is the same object there. */

#define SIM_MAPPINGS 64
#define SIM_OBJECTS  64

typedef struct
{
  uint64_t iova, size, vaddr;
  unsigned prot;
  int mm;     /* whose address it is */
  bool valid; /* the address */
  bool file;  /* IOMMUFD: by file */
} SimMapping;

/* The object behind an fd of any process. */
typedef struct
{
  int kind;
  int number; /* of the group or device */
  ino_t inode;
  int refs; /* fds, but for those of forked processes */
  bool joined, bound;
} SimObject;

/* The simulation lies in pages of its own. */
typedef struct __attribute__ ((aligned (4096)))
{
  /* The properties of this kernel. */
  bool has_update_vaddr, has_type1v2, has_change_process, has_map_file, has_iommufd;
  bool group_is_viable;
  int api_version;
  uint64_t memlock;        /* bytes; 0: no limit */
  uint64_t forked_memlock; /* of forked processes */
  uint8_t config[256];
  uint64_t bar_size;

  /* The n-th call that it answers fails. */
  unsigned fail_at, calls;
  unsigned fail_until; /* so do those up to here */
  bool fail_forked;    /* of the forked process, not of this one */
  int fail_errno;
  unsigned long failed; /* the ioctl, or 0 for another call */
  bool failed_any;
  unsigned lie_at_unmap; /* the n-th UNMAP answers another size */
  unsigned unmaps;

  /* The state of this kernel. */
  int n_mms;
  SimMapping mappings[SIM_MAPPINGS]; /* of the one container */
  guint n_mappings;
  SimObject objects[SIM_OBJECTS];
  uint64_t locked[1024]; /* by mm */
  unsigned set_irqs, ioctls, maps, vaddr_maps, change_process;
  int iommufd_mm;
  bool has_iommu;
  int n_groups, open_containers, open_groups, open_devices;
  int irq_fds[5][8];
  char *folder;
} Sim;

extern Sim sim;
/* The address space of the present program. */
extern int sim_mm;

void sim_begin (void);
void sim_end (void); /* nothing of it is open any more */
/* Another program begins: another address space. */
void sim_exec (void);
/* This process was forked, and is another program. */
void sim_forked (void);
/* The path of a device in the simulated sysfs; valid until sim_end(). */
const char *sim_path (const char *address);
void sim_fail (unsigned at, int errnum);
/* The forked process's n-th call fails, or is its last one. */
#define SIM_DIES 0
void sim_fail_forked (unsigned at, int errnum);
void sim_remove_mapping (guint i);

#endif
