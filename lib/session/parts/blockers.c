/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The reasons for which a mode isn't possible at the moment. The VMM adds and removes blockers from
 * any thread; the order of steps asks before each update. */
#include "session/parts/blockers.h"

#include "base/error.h"
#include "base/text.h"
#include "session/parts/mode.h"

typedef struct
{
  uint64_t id;
  const void *owner;
  unsigned modes;
  char *reason;
  bool unless_suspended;
} Blocker;

struct _CprBlockers
{
  unsigned required; /* or-ed CprModes */
  GMutex lock;       /* of what follows */
  GPtrArray *all;    /* Blocker, in the order of adding */
  uint64_t last_id;
  bool closed; /* an update has looked at them for the last time */
};

static void
blocker_free (void *data)
{
  Blocker *blocker = data;

  g_free (blocker->reason);
  g_free (blocker);
}

static Blocker *
blocker_copy (const Blocker *blocker)
{
  Blocker *copy = g_memdup2 (blocker, sizeof *blocker);

  copy->reason = g_strdup (blocker->reason);
  return copy;
}

CprBlockers *
cpr_blockers_new (unsigned required)
{
  CprBlockers *blockers = g_new0 (CprBlockers, 1);

  blockers->required = required;
  g_mutex_init (&blockers->lock);
  blockers->all = g_ptr_array_new_with_free_func (blocker_free);
  return blockers;
}

void
cpr_blockers_free (CprBlockers *blockers, bool locked)
{
  if (blockers == NULL)
    return;
  if (!locked)
    g_mutex_clear (&blockers->lock);
  g_ptr_array_unref (blockers->all);
  g_free (blockers);
}

bool
cpr_blockers_permit (CprBlockers *blockers, unsigned modes, const char *reason, GError **error)
{
  unsigned both = blockers->required & modes;

  return both == 0 || cpr_throw (error, CPR_ERROR_BLOCKED, "mode %s: it is required here, and this would block it: %s",
                                 cpr_mode_get_name (cpr_modes_get_first (both)), reason);
}

uint64_t
cpr_blockers_add (CprBlockers *blockers, const void *owner, unsigned modes, const char *reason, GError **error)
{
  g_autofree char *line = cpr_text_make_line (reason, strlen (reason)); /* all reasons together are one line */
  uint64_t id = 0;

  if (!cpr_blockers_permit (blockers, modes, line, error))
    return 0;
  g_mutex_lock (&blockers->lock);
  if (!blockers->closed)
    {
      Blocker *blocker = g_new0 (Blocker, 1);

      id = ++blockers->last_id;
      *blocker = (Blocker){ id, owner, modes, g_steal_pointer (&line), false };
      g_ptr_array_add (blockers->all, blocker);
    }
  g_mutex_unlock (&blockers->lock);
  if (id == 0)
    cpr_throw (error, CPR_ERROR_STATE, "blocker: an update is under way: %s", line);
  return id;
}

void
cpr_blockers_add_unless_suspended (CprBlockers *blockers, const void *owner, unsigned modes, const char *reason)
{
  Blocker *blocker = g_new0 (Blocker, 1);

  *blocker = (Blocker){ 0, owner, modes, cpr_text_make_line (reason, strlen (reason)), true };
  g_mutex_lock (&blockers->lock);
  g_ptr_array_add (blockers->all, blocker);
  g_mutex_unlock (&blockers->lock);
}

bool
cpr_blockers_remove (CprBlockers *blockers, uint64_t blocker, GError **error)
{
  bool found = false;

  g_mutex_lock (&blockers->lock);
  for (guint i = 0; i < blockers->all->len && !found; i++)
    {
      const Blocker *other = blockers->all->pdata[i];

      found = other->id == blocker && other->owner == NULL;
      if (found)
        g_ptr_array_remove_index (blockers->all, i);
    }
  g_mutex_unlock (&blockers->lock);
  return found || cpr_throw (error, CPR_ERROR_NOT_FOUND, "blocker %" G_GUINT64_FORMAT ": there is none", blocker);
}

void
cpr_blockers_remove_owned (CprBlockers *blockers, const void *owner)
{
  g_mutex_lock (&blockers->lock);
  for (guint i = blockers->all->len; i-- > 0;)
    if (((Blocker *) blockers->all->pdata[i])->owner == owner)
      g_ptr_array_remove_index (blockers->all, i);
  g_mutex_unlock (&blockers->lock);
}

/* The callback may add and remove: it is called without the lock. */
void
cpr_blockers_foreach (CprBlockers *blockers, unsigned modes, CprBlockerFunc func, void *user_data)
{
  g_autoptr (GPtrArray) found = g_ptr_array_new_with_free_func (blocker_free);
  bool closed;

  g_mutex_lock (&blockers->lock);
  closed = blockers->closed;
  for (guint i = 0; i < blockers->all->len; i++)
    {
      const Blocker *blocker = blockers->all->pdata[i];

      if ((blocker->modes & modes) != 0 && !blocker->unless_suspended)
        g_ptr_array_add (found, blocker_copy (blocker));
    }
  g_mutex_unlock (&blockers->lock);
  for (guint i = 0; i < found->len; i++)
    {
      const Blocker *blocker = found->pdata[i];

      func (blocker->owner == NULL ? blocker->id : 0, blocker->modes, blocker->reason, user_data);
    }
  if (closed)
    func (0, CPR_MODES_ALL, "update: one is under way", user_data);
}

/* The reasons of all that block @mode, in one line; NULL if there are none. With the lock held. */
static char *
collect_reasons (const CprBlockers *blockers, CprMode mode, bool suspended)
{
  GString *reasons = NULL;

  for (guint i = 0; i < blockers->all->len; i++)
    {
      const Blocker *blocker = blockers->all->pdata[i];

      if (!cpr_modes_include (blocker->modes, mode) || (blocker->unless_suspended && suspended))
        continue;
      if (reasons == NULL)
        reasons = g_string_new (NULL);
      g_string_append_printf (reasons, "%s%s", reasons->len > 0 ? "; " : "", blocker->reason);
    }
  return reasons != NULL ? g_string_free (reasons, FALSE) : NULL;
}

static bool
check (CprBlockers *blockers, CprMode mode, CprRunState run_state, bool close, GError **error)
{
  bool suspended = run_state == CPR_RUN_STATE_SUSPENDED || run_state == CPR_RUN_STATE_PAUSED_SUSPENDED;
  g_autofree char *reasons = NULL;

  g_mutex_lock (&blockers->lock);
  reasons = collect_reasons (blockers, mode, suspended);
  if (reasons == NULL && close)
    blockers->closed = true;
  g_mutex_unlock (&blockers->lock);
  return reasons == NULL ||
         cpr_throw (error, CPR_ERROR_BLOCKED, "mode %s: it is blocked: %s", cpr_mode_get_name (mode), reasons);
}

bool
cpr_blockers_check (CprBlockers *blockers, CprMode mode, CprRunState run_state, GError **error)
{
  return check (blockers, mode, run_state, false, error);
}

bool
cpr_blockers_close (CprBlockers *blockers, CprMode mode, CprRunState run_state, GError **error)
{
  return check (blockers, mode, run_state, true, error);
}

void
cpr_blockers_open (CprBlockers *blockers)
{
  g_mutex_lock (&blockers->lock);
  blockers->closed = false;
  g_mutex_unlock (&blockers->lock);
}
