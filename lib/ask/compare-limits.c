/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Compares the resource limits of the asked program with the needs of the update there. Called by
 * ask/exchange.c, and for the way back of a transfer by lib/session/ask.c. */
#include <linux/capability.h>

#include "ask/compare.h"
#include "base/sys.h"

/* The fds that a program needs beside those that it is handed: the library's own, some for the
 * repair of fds on a way back, and a few for its start-up. */
#define SPARE_FDS 16

/* The fds of the table keep their numbers, and the limit is on numbers: those below the highest may
 * be free or not. */
static void
compare_files (const CprFdTable *fds, GPtrArray *findings)
{
  const CprFdEntry *highest = NULL;
  uint64_t needed = fds->entries->len + SPARE_FDS;
  struct rlimit limit;

  for (guint i = 0; i < fds->entries->len; i++)
    {
      const CprFdEntry *entry = fds->entries->pdata[i];

      if (highest == NULL || entry->fd > highest->fd)
        highest = entry;
    }
  if (highest == NULL || cpr_sys->getrlimit (RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
    return;
  if ((rlim_t) highest->fd >= limit.rlim_cur)
    cpr_findings_add (findings, CPR_SEVERITY_REFUSAL, CPR_SUBJECT_LIMIT, "RLIMIT_NOFILE",
                      "limit on open files: it is %" G_GUINT64_FORMAT " here, fd '%s' %d is number %d",
                      (uint64_t) limit.rlim_cur, highest->name, highest->index, highest->fd);
  else if (needed > limit.rlim_cur)
    cpr_findings_add (findings, CPR_SEVERITY_REFUSAL, CPR_SUBJECT_LIMIT, "RLIMIT_NOFILE",
                      "limit on open files: it is %" G_GUINT64_FORMAT
                      " here, %u are in the state and %d more are needed",
                      (uint64_t) limit.rlim_cur, fds->entries->len, SPARE_FDS);
}

static bool
may_lock_all (void)
{
  uint64_t effective;

  return cpr_capabilities_get (0, &effective) && (effective >> CAP_IPC_LOCK & 1) != 0;
}

static uint64_t
sum_locked_blocks (const CprRamTable *ram)
{
  uint64_t locked = 0;

  for (guint i = 0; i < ram->blocks->len; i++)
    {
      const CprRamBlock *block = ram->blocks->pdata[i];

      if ((block->flags & CPR_RAM_LOCKED) != 0)
        locked += MIN (block->size, UINT64_MAX - locked);
    }
  return locked;
}

/* type1 adds its mappings to the memory that the process has locked, whether that is the old
 * program or the new one. IOMMUFD adds up the memory that the user has pinned, and counts the new
 * program's before it forgets the old one's. */
void
cpr_compare_locked (const CprFdTable *fds, const CprRamTable *ram, const CprVfioTable *vfio, GPtrArray *findings)
{
  uint64_t blocks = sum_locked_blocks (ram);
  uint64_t type1 = cpr_vfio_table_get_locked (vfio, fds, CPR_VFIO_TYPE1);
  uint64_t iommufd = cpr_vfio_table_get_locked (vfio, fds, CPR_VFIO_IOMMUFD);
  uint64_t both = iommufd + MIN (iommufd, UINT64_MAX - iommufd);
  g_autofree char *mapped = NULL, *pinned = NULL;
  struct rlimit limit;

  if (cpr_sys->getrlimit (RLIMIT_MEMLOCK, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
    return;
  if ((blocks <= limit.rlim_cur && type1 <= limit.rlim_cur - blocks && both <= limit.rlim_cur) || may_lock_all ())
    return;
  if (type1 > 0)
    mapped = g_strdup_printf (", mappings for DMA %" G_GUINT64_FORMAT, type1);
  if (iommufd > 0)
    pinned = g_strdup_printf (", mappings for DMA in an iommufd %" G_GUINT64_FORMAT ", which counts for either program",
                              iommufd);
  cpr_findings_add (findings, CPR_SEVERITY_REFUSAL, CPR_SUBJECT_LIMIT, "RLIMIT_MEMLOCK",
                    "limit on locked memory: it is %" G_GUINT64_FORMAT
                    " bytes here, locked RAM blocks have %" G_GUINT64_FORMAT "%s%s",
                    (uint64_t) limit.rlim_cur, blocks, mapped != NULL ? mapped : "", pinned != NULL ? pinned : "");
}

void
cpr_compare_limits (const CprQuestion *question, GPtrArray *findings)
{
  compare_files (&question->manifest.fds, findings);
  cpr_compare_locked (&question->manifest.fds, &question->manifest.ram, &question->manifest.vfio, findings);
}
