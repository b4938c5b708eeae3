/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The public functions that make RAM blocks, let them grow and remove them: a block that couldn't
 * survive becomes a blocker, or is refused. The VMM calls them. */
#include "base/versioned.h"
#include "session/core.h"
#include "session/parts/mode.h"

/* All modes but reboot: it alone can save a block that is a copy. */
#define ONWARD_MODES ((unsigned) CPR_MODES_ALL & ~(unsigned) CPR_MODES_REBOOT)

/* A new block. Where it can't survive and must, it isn't made. */
static CprRamBlock *
add (CprSession *session, const char *name, size_t size, const CprRamOptions *options, GError **error)
{
  g_autofree char *obstacle = cpr_ram_describe_obstacle (name, options);
  CprRamBlock *block;

  if (obstacle != NULL && !cpr_blockers_permit (session->blockers, CPR_MODES_WITH_FDS, obstacle, error))
    return NULL;
  block = cpr_ram_table_add (&session->ram, &session->fds, name, size, options, error);
  if (block != NULL && obstacle != NULL)
    cpr_blockers_add (session->blockers, block, CPR_MODES_WITH_FDS, obstacle, NULL);
  return block;
}

/* A block of a state in reboot mode. Where it couldn't survive the next update and must, it isn't
 * made. */
static CprRamBlock *
restore (CprSession *session, const char *name, size_t size, const CprRamOptions *options, GError **error)
{
  CprRamStore *store = cpr_session_get_store (session);
  g_autofree char *obstacle = cpr_ram_describe_obstacle (name, options);
  CprRamBlock *block;

  if (obstacle != NULL && !cpr_blockers_permit (session->blockers, ONWARD_MODES, obstacle, error))
    return NULL;
  block = cpr_ram_table_restore (&session->ram, &session->fds, store, name, size, options, error);
  if (block != NULL && block->copy_of != NULL)
    {
      g_free (obstacle);
      obstacle = g_strdup_printf ("RAM block '%s': it is mapped copy-on-write from %s", name, block->copy_of);
      if (!cpr_blockers_permit (session->blockers, ONWARD_MODES, obstacle, error))
        {
          cpr_ram_block_unmake (block);
          return NULL;
        }
    }
  if (block != NULL && obstacle != NULL)
    cpr_blockers_add (session->blockers, block, ONWARD_MODES, obstacle, NULL);
  return block;
}

/* Memory that nobody else has and that isn't touched. A block that can grow has the size that it
 * would be claimed with. */
static CprRamBlock *
rehearse (CprSession *session, const char *name, size_t size, const CprRamOptions *options, GError **error)
{
  const CprRamOptions own = { .size = sizeof own, .max_size = options->max_size };
  const CprRamBlock *block = cpr_ram_table_get (&session->rehearsal->question.manifest.ram, name);

  if (block != NULL && block->size <= own.max_size)
    size = block->size;
  return add (session, name, size, &own, error);
}

CprRamBlock *
cpr_ram_new (CprSession *session, const char *name, size_t size, const CprRamOptions *options, GError **error)
{
  CprRamOptions own = { .size = sizeof own };

  g_return_val_if_fail (session != NULL && name != NULL, NULL);

  if (!cpr_session_check_call (session, CPR_CALL_RAM_NEW, error))
    return NULL;
  if (options != NULL && !cpr_versioned_read (CPR_VERSIONED_RAM_OPTIONS, &own, options, error))
    {
      g_prefix_error (error, "RAM block '%s': ", name);
      return NULL;
    }
  if (session->rehearsal != NULL)
    return rehearse (session, name, size, &own, error);
  if (cpr_session_takes_over (session))
    return cpr_ram_table_take (&session->ram, name, size, &own, error);
  if (session->state == CPR_SESSION_STATE_INCOMING)
    return restore (session, name, size, &own, error);
  return add (session, name, size, &own, error);
}

bool
cpr_ram_grow (CprSession *session, CprRamBlock *block, size_t size, GError **error)
{
  g_return_val_if_fail (session != NULL && block != NULL, false);

  return cpr_session_check_call (session, CPR_CALL_RAM_GROW, error) &&
         cpr_ram_table_grow (&session->ram, block, size, error);
}

bool
cpr_ram_remove (CprSession *session, CprRamBlock *block, GError **error)
{
  g_return_val_if_fail (session != NULL && block != NULL, false);

  if (!cpr_session_check_call (session, CPR_CALL_RAM_REMOVE, error))
    return false;
  if (session->finish != NULL)
    cpr_finish_forget (session->finish, block->vaddr);
  if (!cpr_ram_table_remove (&session->ram, &session->fds, block, error))
    return false;
  cpr_blockers_remove_owned (session->blockers, block);
  return true;
}
