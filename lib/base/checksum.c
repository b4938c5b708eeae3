/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The one checksum of the library, XXH3 from xxHash, over one piece of memory or over
 * several. */
#ifdef HAVE_CONFIG_H
#  include "config.h"
#endif

#include "base/checksum.h"

#include <xxhash.h>

#ifdef HAVE_XXH3_DISPATCH
#  include <xxh_x86dispatch.h>
#  undef XXH3_64bits
#  undef XXH3_64bits_update
/* Weak: a static xxHash may lack them where the shared one has them. */
#  pragma weak XXH3_64bits_dispatch
#  pragma weak XXH3_64bits_update_dispatch
#endif

uint64_t
cpr_checksum (const void *data, size_t len)
{
#ifdef HAVE_XXH3_DISPATCH
  if (XXH3_64bits_dispatch != NULL)
    return XXH3_64bits_dispatch (data, len);
#endif
  return XXH3_64bits (data, len);
}

CprChecksum *
cpr_checksum_new (void)
{
  return (CprChecksum *) XXH3_createState ();
}

void
cpr_checksum_free (CprChecksum *checksum)
{
  XXH3_freeState ((XXH3_state_t *) checksum);
}

void
cpr_checksum_begin (CprChecksum *checksum)
{
  XXH3_64bits_reset ((XXH3_state_t *) checksum);
}

void
cpr_checksum_add (CprChecksum *checksum, const void *data, size_t len)
{
#ifdef HAVE_XXH3_DISPATCH
  if (XXH3_64bits_update_dispatch != NULL)
    {
      XXH3_64bits_update_dispatch ((XXH3_state_t *) checksum, data, len);
      return;
    }
#endif
  XXH3_64bits_update ((XXH3_state_t *) checksum, data, len);
}

uint64_t
cpr_checksum_end (const CprChecksum *checksum)
{
  return XXH3_64bits_digest ((const XXH3_state_t *) checksum);
}
