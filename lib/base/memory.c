/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Two questions about plain memory that several floors have: whether it is all zero, and how
 * to get its pages before they are needed. */
#include "base/memory.h"

#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/sys.h"

/* The compiler makes of it what the machine has; four at a time hide the latency of the loads. */
typedef uint64_t Vector __attribute__ ((vector_size (32), aligned (32), may_alias));

bool
cpr_is_zero (const void *data, size_t len)
{
  const Vector *at = data;

  for (size_t i = 0; i < len / sizeof *at; i += 4)
    {
      Vector all = (at[i] | at[i + 1]) | (at[i + 2] | at[i + 3]);

      if ((all[0] | all[1] | all[2] | all[3]) != 0)
        return false;
    }
  return true;
}

void
cpr_populate (void *data, size_t len)
{
  uintptr_t mask = (uintptr_t) sysconf (_SC_PAGESIZE) - 1, begin = (uintptr_t) data & ~mask;

  if (len > 0)
    cpr_sys->madvise ((void *) begin, (size_t) ((((uintptr_t) data + len + mask) & ~mask) - begin),
                      MADV_POPULATE_WRITE);
}
