/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VMM_SOFT_H
#define VMM_SOFT_H

#include "accel/accel.h"
#include "parts.h"

/* An accelerator for machines without /dev/kvm. */
extern const Accel accel_soft;

/* The type of its vCPUs, which are the devices soft-vcpu/0 and so on. */
extern const CprDeviceType soft_vcpu_type;

#endif
