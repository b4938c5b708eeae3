/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether memory is all zero. Called where RAM is copied, by registry/ram/copy.c. */
#include "base/memory.h"

#include <stdint.h>

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
