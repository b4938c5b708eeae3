/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The start-up of a program that took a state up, as far as threads may end it that don't call the
 * library: by exit(). The order of steps in the new program makes it, and ends it. */
#include "session/parts/start-up.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/sys.h"
#include "base/text.h"

struct _CprStartUp
{
  pid_t pid; /* a forked child has the exit handler too */
  pthread_t thread;
  CprStartUpLeave leave;
  void *session;

  GMutex lock;           /* for what follows */
  CprIncoming *incoming; /* NULL: it is over */
  bool is_leaving;       /* by an exit() in another thread than `thread` */
  pthread_t leaver;      /* that one */
};

/* The reason is in the page, where the old program finds it if this one is killed, too. A way back
 * has a reason already: why the new program failed. */
static char *
get_place (const CprIncoming *incoming)
{
  return incoming != NULL && incoming->attempt == CPR_BATON_WAY_THERE ? incoming->baton.page->reason : NULL;
}

void
cpr_start_up_set_reason (CprStartUp *start_up, const char *reason)
{
  g_autofree char *line = reason != NULL ? cpr_text_make_line (reason, strlen (reason)) : NULL;
  char *place;

  g_mutex_lock (&start_up->lock);
  place = get_place (start_up->incoming);
  if (place != NULL)
    g_strlcpy (place, line != NULL ? line : "", CPR_BATON_REASON_SIZE);
  g_mutex_unlock (&start_up->lock);
}

char *
cpr_start_up_get_reason (CprStartUp *start_up)
{
  const char *place;
  char *reason;

  g_mutex_lock (&start_up->lock);
  place = get_place (start_up->incoming);
  reason = place != NULL && place[0] != '\0' ? g_strndup (place, CPR_BATON_REASON_SIZE - 1) : NULL;
  g_mutex_unlock (&start_up->lock);
  return reason;
}

void
cpr_start_up_end (CprStartUp *start_up)
{
  bool is_too_late;

  g_mutex_lock (&start_up->lock);
  start_up->incoming = NULL;
  is_too_late = start_up->is_leaving && !pthread_equal (start_up->leaver, pthread_self ());
  g_mutex_unlock (&start_up->lock);
  while (is_too_late)
    cpr_sys->poll (NULL, 0, -1);
}

/* ---- The exit handler. */

static char *
describe (const CprIncoming *incoming, int status)
{
  CprStep step = cpr_baton_get_last_step (incoming->baton.page);

  return g_strdup_printf ("the new program exited with status %d in step %s", status & 0xff,
                          cpr_baton_get_step_name (step));
}

/* NULL if the start-up is over. After an exit() in another thread than the library's, the library's
 * gets no further: see cpr_start_up_end(). */
static CprIncoming *
begin_exit (CprStartUp *start_up, bool is_elsewhere, int status, char **how)
{
  CprIncoming *incoming;
  char *place;

  g_mutex_lock (&start_up->lock);
  incoming = start_up->incoming;
  start_up->is_leaving = incoming != NULL && is_elsewhere;
  start_up->leaver = pthread_self ();
  place = get_place (incoming);
  *how = incoming != NULL ? describe (incoming, status) : NULL;
  if (place != NULL && place[0] == '\0')
    g_strlcpy (place, *how, CPR_BATON_REASON_SIZE);
  g_mutex_unlock (&start_up->lock);
  return incoming;
}

/* In another thread the library may be in the middle of anything, so nothing is used there but what
 * the carrier has prepared for such a case. */
static void
handle_exit (int status, void *data)
{
  CprStartUp *start_up = data;
  bool is_elsewhere = !pthread_equal (start_up->thread, pthread_self ());
  g_autofree char *how = NULL;
  CprIncoming *incoming;

  if (start_up->pid != getpid ())
    return;
  incoming = begin_exit (start_up, is_elsewhere, status, &how);
  if (incoming == NULL)
    return;
  if (!is_elsewhere)
    start_up->leave (start_up->session, how);
  else if (incoming->carrier->leave != NULL)
    incoming->carrier->leave (incoming);
}

CprStartUp *
cpr_start_up_new (CprIncoming *incoming, CprStartUpLeave leave, void *session)
{
  CprStartUp *start_up = g_new0 (CprStartUp, 1);

  g_mutex_init (&start_up->lock);
  start_up->pid = getpid ();
  start_up->thread = pthread_self ();
  start_up->incoming = incoming;
  if (leave != NULL && on_exit (handle_exit, start_up) == 0)
    {
      start_up->leave = leave;
      start_up->session = session;
    }
  return start_up;
}

/* An exit handler can't be taken back, so what it looks at stays. */
void
cpr_start_up_free (CprStartUp *start_up, bool mine)
{
  if (start_up == NULL)
    return;
  if (mine) /* in a child, the lock may be another thread's for good */
    cpr_start_up_end (start_up);
  if (start_up->leave != NULL)
    return;
  if (mine)
    g_mutex_clear (&start_up->lock);
  g_free (start_up);
}
