/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VMM_SOFT_H
#define VMM_SOFT_H

#include "accel/accel.h"
#include "parts.h"

/* An accelerator for machines without /dev/kvm. */
extern const Accel accel_soft;

/* Its device type. */
extern const Part soft_part;

#endif
