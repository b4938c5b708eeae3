/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MINIVMM_RAM_HASH_H
#define MINIVMM_RAM_HASH_H

#include "ram.h"

/* A device whose state is a hash of all of RAM: an update that loses a byte fails in the new
 * program's load. */
typedef struct _RamHash RamHash;

extern const CprDeviceType ram_hash_type;

/* In a preflight: what ram_hash_new() would add. */
void ram_hash_declare (CprInventory *inventory);

RamHash *ram_hash_new (CprSession *session, const GuestRam *ram, GError **error);
void ram_hash_free (RamHash *hash);

/* Of RAM as it is now; the guest must be paused. */
uint64_t ram_hash_compute (const GuestRam *ram);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RamHash, ram_hash_free)

#endif
