/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The VMM's callbacks for what happens in an update. The order of steps calls them. */
#include "session/parts/notifiers.h"

#include "base/error.h"
#include "session/parts/mode.h"

typedef struct
{
  uint64_t id;
  unsigned modes;
  int priority;
  CprNotifierFunc func;
  void *user_data;
  bool told;    /* of SETUP, and not yet of the end */
  bool removed; /* by a callback, while others are called */
} Notifier;

struct _CprNotifiers
{
  GPtrArray *all; /* Notifier, in the order in which they are told */
  uint64_t last_id;
  bool telling;
};

CprNotifiers *
cpr_notifiers_new (void)
{
  CprNotifiers *notifiers = g_new0 (CprNotifiers, 1);

  notifiers->all = g_ptr_array_new_with_free_func (g_rc_box_release);
  return notifiers;
}

void
cpr_notifiers_free (CprNotifiers *notifiers)
{
  if (notifiers == NULL)
    return;
  g_ptr_array_unref (notifiers->all);
  g_free (notifiers);
}

uint64_t
cpr_notifiers_add (CprNotifiers *notifiers, unsigned modes, int priority, CprNotifierFunc func, void *user_data)
{
  Notifier *notifier = g_rc_box_new0 (Notifier);
  guint at = 0;

  *notifier = (Notifier){
    .id = ++notifiers->last_id, .modes = modes, .priority = priority, .func = func, .user_data = user_data
  };
  while (at < notifiers->all->len && ((Notifier *) notifiers->all->pdata[at])->priority <= priority)
    at++;
  g_ptr_array_insert (notifiers->all, (int) at, notifier);
  return notifier->id;
}

bool
cpr_notifiers_remove (CprNotifiers *notifiers, uint64_t id, GError **error)
{
  for (guint i = 0; i < notifiers->all->len; i++)
    {
      Notifier *notifier = notifiers->all->pdata[i];

      if (notifier->id == id)
        {
          notifier->removed = true;
          g_ptr_array_remove_index (notifiers->all, i);
          return true;
        }
    }
  return cpr_throw (error, CPR_ERROR_NOT_FOUND, "notifier %" G_GUINT64_FORMAT ": there is none", id);
}

/* Callbacks add and remove notifiers: a list of those to call is made before. */
static GPtrArray *
snapshot (const CprNotifiers *notifiers, CprMode mode)
{
  GPtrArray *some = g_ptr_array_new_with_free_func (g_rc_box_release);

  for (guint i = 0; i < notifiers->all->len; i++)
    {
      Notifier *notifier = notifiers->all->pdata[i];

      if (cpr_modes_include (notifier->modes, mode))
        g_ptr_array_add (some, g_rc_box_acquire (notifier));
    }
  return some;
}

static bool
call (CprNotifiers *notifiers,
      const Notifier *notifier,
      CprSession *session,
      CprMode mode,
      CprEvent event,
      GError **error)
{
  bool ok;

  notifiers->telling = true;
  ok = notifier->func (session, event, mode, notifier->user_data, error);
  notifiers->telling = false;
  return ok;
}

bool
cpr_notifiers_set_up (CprNotifiers *notifiers, CprSession *session, CprMode mode, GError **error)
{
  g_autoptr (GPtrArray) some = snapshot (notifiers, mode);

  for (guint i = 0; i < some->len; i++)
    {
      Notifier *notifier = some->pdata[i];
      GError *reason = NULL;

      if (notifier->removed)
        continue;
      notifier->told = true;
      if (!call (notifiers, notifier, session, mode, CPR_EVENT_SETUP, &reason))
        return cpr_throw_callback (error, reason, "notifier %" G_GUINT64_FORMAT ": it vetoed", notifier->id);
      g_clear_error (&reason);
    }
  return true;
}

void
cpr_notifiers_inherit (CprNotifiers *notifiers, CprMode mode)
{
  for (guint i = 0; i < notifiers->all->len; i++)
    {
      Notifier *notifier = notifiers->all->pdata[i];

      notifier->told = cpr_modes_include (notifier->modes, mode);
    }
}

/* Between the stop and the handing over nothing may be allocated. No list is needed there: a
 * session that is updating permits nobody to add or remove. */
static GPtrArray *
list (const CprNotifiers *notifiers, CprMode mode, CprEvent event)
{
  bool between = event == CPR_EVENT_STOPPED || event == CPR_EVENT_SAVED;

  return between ? g_ptr_array_ref (notifiers->all) : snapshot (notifiers, mode);
}

void
cpr_notifiers_tell (CprNotifiers *notifiers, CprSession *session, CprMode mode, CprEvent event)
{
  g_autoptr (GPtrArray) some = list (notifiers, mode, event);
  bool is_end = event == CPR_EVENT_FAILED || event == CPR_EVENT_DONE;

  for (guint i = 0; i < some->len; i++)
    {
      Notifier *notifier = some->pdata[event == CPR_EVENT_FAILED ? some->len - 1 - i : i];
      GError *ignored = NULL;

      if (!notifier->told || notifier->removed || !cpr_modes_include (notifier->modes, mode))
        continue;
      if (is_end)
        notifier->told = false;
      call (notifiers, notifier, session, mode, event, &ignored);
      g_clear_error (&ignored);
    }
}

bool
cpr_notifiers_are_told (const CprNotifiers *notifiers)
{
  return notifiers->telling;
}
