/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VMM_RAM_HASH_H
#define VMM_RAM_HASH_H

#include "parts.h"

/* --verify-ram: a device whose state is a hash of all of RAM. An update that loses a byte fails
 * in the new program's load. */
extern const Part ram_hash_part;
extern const CprDeviceType ram_hash_type; /* of the device `ram-hash` */

/* The hash of RAM as it is now; the guest must be paused. */
uint64_t ram_hash_compute (const GuestRam *ram);

#endif
