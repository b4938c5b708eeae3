/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_UNIT_SIM_VFIO_FDS_H
#define TESTS_UNIT_SIM_VFIO_FDS_H

#include "sim-vfio.h"

/* sim-vfio.c and sim-vfio-ioctl.c share this. No test needs it. */

typedef enum
{
  NOTHING,
  CONTAINER,
  GROUP,
  DEVICE,
  CDEV,
  IOMMUFD
} Kind;

#define SIM_DEVICES 3

typedef struct
{
  const char *address;
  int group;
} SimDevice;

extern const SimDevice sim_devices[SIM_DEVICES];
/* This process was forked after sim_begin(). */
extern bool sim_is_forked;

/* True: this is the call that fails, and errno is set. @request: the ioctl, or 0. */
bool sim_fails (unsigned long request);
/* The object behind @fd, or NULL. */
SimObject *sim_object (int fd);
/* An fd with a new object behind it. */
int sim_new_fd (Kind kind, int number);
void sim_leave_container (SimObject *group);

int sim_ioctl (int fd, unsigned long request, void *argument);

#endif
