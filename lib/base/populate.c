/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The one place that drives MADV_POPULATE_WRITE. Called wherever pages are wanted before they are
 * touched: by the writer, by RAM blocks, by transfer mode and after an update's commit. */
#include "base/populate.h"

#include <glib.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/sys.h"
#include "base/uapi.h"

#define REST_US 500
/* A thread that yields and gets the CPU back only after CROWDED_NS shares the CPU with a vCPU. The
 * thread then rests after each of the next steps: without these rests it would keep the vCPU
 * waiting for a whole time slice, 3 or 4 ms. */
#define CROWDED_NS    (200 * 1000)
#define CROWDED_STEPS 64

bool
cpr_populate (void *data, size_t len)
{
  uintptr_t mask = (uintptr_t) sysconf (_SC_PAGESIZE) - 1, begin = (uintptr_t) data & ~mask;
  uintptr_t end = ((uintptr_t) data + len + mask) & ~mask;

  return len == 0 || cpr_sys->madvise ((void *) begin, (size_t) (end - begin), MADV_POPULATE_WRITE) == 0;
}

void
cpr_populate_rest (void)
{
  g_usleep (REST_US);
}

void
cpr_populate_yield (unsigned *n_rests)
{
  uint64_t before;

  if (*n_rests > 0)
    {
      --*n_rests;
      cpr_populate_rest ();
      return;
    }
  before = cpr_now_ns ();
  g_thread_yield ();
  if (cpr_now_ns () - before > CROWDED_NS)
    *n_rests = CROWDED_STEPS;
}
