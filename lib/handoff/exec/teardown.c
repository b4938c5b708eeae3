/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Takes the old address space apart in small steps while the guest runs in the new program.
 * guardian.c prepares this, and the guardian runs it, without libc. */
#include "handoff/exec/teardown.h"

#include <errno.h>
#include <linux/time_types.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "base/uapi.h"
#include "process/raw.h"

/* A step takes 0.1 to 0.2 ms from a CPU that the guest may need; the CPU is free during the rest
 * after it. */
#define STEP    (1024u * 1024)
#define REST_NS (1000 * 1000)

/* The priority for the end of all memory but guest RAM. */
#define LOW_PRIORITY 19

typedef struct
{
  uint8_t *vaddr;
  size_t size;
} Area;

struct _CprTeardown
{
  Area *areas;
  guint n_areas;
};

/* ---- In the program that makes the guardian. */

CprTeardown *
cpr_teardown_new (const CprRamTable *ram)
{
  CprTeardown *teardown = g_new (CprTeardown, 1);
  GArray *areas = g_array_new (FALSE, FALSE, sizeof (Area));

  for (guint i = 0; i < ram->blocks->len; i++)
    {
      const CprRamBlock *block = ram->blocks->pdata[i];
      Area area = { block->vaddr, block->size };

      /* Only a shared mapping has its contents elsewhere: a private one would lose them. */
      if (block->vaddr != NULL && block->backend != CPR_RAM_PRIVATE && block->copy_of == NULL)
        g_array_append_val (areas, area);
    }
  teardown->n_areas = areas->len;
  teardown->areas = (Area *) (void *) g_array_free (areas, FALSE);
  return teardown;
}

void
cpr_teardown_free (CprTeardown *teardown)
{
  if (teardown == NULL)
    return;
  g_free (teardown->areas);
  g_free (teardown);
}

/* ---- In the guardian: system calls only, no errno, no malloc, no locks, nothing of libc. */

/* Rests. False if a process waits for the end: then this was the last rest. */
CPR_RAW_CODE static bool
rest (const CprBatonPage *page)
{
  struct __kernel_timespec limit;
  const uint64_t hurry = 1ull << (CPR_TEARDOWN_HURRY - 1);

  limit.tv_sec = 0;
  limit.tv_nsec = REST_NS;
  return atomic_load (&page->hurry) == 0 &&
         cpr_raw (SYS_rt_sigtimedwait, (long) &hurry, 0, (long) &limit, sizeof hurry) != CPR_TEARDOWN_HURRY;
}

/* Locked pages need the second call (Linux 5.18). */
CPR_RAW_CODE static bool
take_out (const uint8_t *vaddr, size_t size)
{
  return cpr_raw (SYS_madvise, (long) vaddr, (long) size, MADV_DONTNEED, 0) >= 0 ||
         cpr_raw (SYS_madvise, (long) vaddr, (long) size, MADV_DONTNEED_LOCKED, 0) >= 0;
}

CPR_RAW_CODE void
cpr_teardown_run (const CprTeardown *teardown, const CprBatonPage *page)
{
  bool resting = true;

  for (guint i = 0; teardown != NULL && i < teardown->n_areas; i++)
    for (size_t at = 0, size = teardown->areas[i].size; at < size; at += STEP)
      {
        if (!take_out (teardown->areas[i].vaddr + at, size - at < STEP ? size - at : STEP))
          break; /* huge pages refuse it; the end of the process frees them, and they are few */
        resting = resting && rest (page);
      }
  if (resting) /* the end of the process frees all other memory in one go */
    cpr_raw (SYS_setpriority, PRIO_PROCESS, 0, LOW_PRIORITY, 0);
}
