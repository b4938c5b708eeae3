/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_BASE_CHECKSUM_H
#define CPR_BASE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* XXH3 with 64 bits, by the widest vector instructions that this machine has where the system's
 * xxHash can choose. */
uint64_t cpr_checksum (const void *data, size_t len);

/* The same over pieces that don't lie together. */
typedef struct _CprChecksum CprChecksum;

CprChecksum *cpr_checksum_new (void);
void cpr_checksum_free (CprChecksum *checksum);
void cpr_checksum_begin (CprChecksum *checksum);
void cpr_checksum_add (CprChecksum *checksum, const void *data, size_t len);
uint64_t cpr_checksum_end (const CprChecksum *checksum);

#endif
