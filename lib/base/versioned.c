/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads and writes public structs that begin with their size, for programs that were built
 * with another version of the header. Every public function with such a parameter calls it. */
#include "base/versioned.h"

#include <string.h>

#include "base/error.h"

/* Bytes beyond aren't looked at: such a size was never set. */
#define MAX_UNKNOWN 4096
/* Every sizeof is a multiple of it, and no member that can be missing is larger: so none is cut
 * in two. */
#define ALIGN _Alignof(void *)

static size_t
get_size (const void *given)
{
  size_t size;

  memcpy (&size, given, sizeof size);
  return size;
}

static bool
check_size (const CprVersioned *versioned, size_t size, GError **error)
{
  if (size >= versioned->least_end && size <= versioned->known + MAX_UNKNOWN && size % ALIGN == 0)
    return true;
  return cpr_throw (error, CPR_ERROR_INVALID,
                    "%s: its size is %zu; it has to be sizeof (%s), %zu in this version of libcpr", versioned->name,
                    size, versioned->name, versioned->known);
}

bool
cpr_versioned_check (const CprVersioned *versioned, const void *given, GError **error)
{
  size_t size = get_size (given);

  if (!check_size (versioned, size, error))
    return false;
  for (size_t i = versioned->known; i < size; i++)
    if (((const uint8_t *) given)[i] != 0)
      return cpr_throw (
          error, CPR_ERROR_INVALID,
          "%s: this version of libcpr knows %zu bytes of it, and byte %zu is set: the program was built with "
          "a later libcpr and needs that one",
          versioned->name, versioned->known, i);
  return true;
}

bool
cpr_versioned_read (const CprVersioned *versioned, void *own, const void *given, GError **error)
{
  size_t size = get_size (given), first = (versioned->first_end + ALIGN - 1) / ALIGN * ALIGN;

  memset (own, 0, versioned->known);
  if (!check_size (versioned, size, error))
    return false;
  memcpy (own, given, size == first ? versioned->first_end : MIN (size, versioned->known));
  memcpy (own, &versioned->known, sizeof versioned->known); /* now all its members can be read */
  return cpr_versioned_check (versioned, given, error);
}

void
cpr_versioned_write (const CprVersioned *versioned, void *to, const void *own)
{
  size_t size = get_size (to);

  memcpy (to, own, MIN (size, versioned->known));
  if (size > versioned->known && size <= versioned->known + MAX_UNKNOWN)
    memset ((uint8_t *) to + versioned->known, 0, size - versioned->known);
  memcpy (to, &size, sizeof size);
}
