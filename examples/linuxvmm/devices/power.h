/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LINUXVMM_POWER_H
#define LINUXVMM_POWER_H

#include <libcpr/libcpr.h>

#include "devices/bus.h"

/* ACPI's fixed registers, and the ports by which a PC is reset. */
typedef struct _Power Power;

typedef enum
{
  POWER_ON,
  POWER_OFF,
  POWER_RESET
} PowerWish;

Power *power_new (CprSession *session, Bus *bus, GError **error);

/* A vCPU had a triple fault. */
void power_reset (Power *power);

/* What the guest wants. The fd is readable when that has changed. */
PowerWish power_get_wish (const Power *power);
int power_get_fd (const Power *power);

#endif
