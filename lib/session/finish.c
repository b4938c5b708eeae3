/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session/finish.h"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>

#include "base/fd.h"
#include "base/signals.h"
#include "base/sys.h"
#include "base/uapi.h"

/* Filling page tables holds the lock of the address space, which the guest's own faults need: small steps with rests between
 * them, at ordinary priority. At idle priority a busy machine would stop the thread with the lock in its hand. 1 MiB takes
 * about 0.2 ms. */
#define FILL_STEP    (1024u * 1024)
#define FILL_REST_US 500

#define HURRY_US 20000

typedef struct
{
  uint8_t *vaddr;
  size_t size;
} Area;

struct _CprFinish
{
  GThread *thread; /* NULL: it was done at once */
  CprIncoming *incoming;
  GMutex lock;                          /* of what follows */
  GCond ended;                          /* end_ns was set */
  pid_t guardians[CPR_BATON_GUARDIANS]; /* 0: reaped, or none */
  CprBatonPage *page;                   /* NULL once they all are */
  GArray *areas;                        /* Area */
  GArray *leftovers;
  _Atomic bool cancelled;
  _Atomic uint64_t end_ns; /* when the guardians were gone */
};

static void
fill_page_tables (CprFinish *finish)
{
  for (guint i = 0; i < finish->areas->len; i++)
    {
      const Area *area = &g_array_index (finish->areas, Area, i);

      for (size_t at = 0; at < area->size && !finish->cancelled; at += FILL_STEP)
        {
          if (cpr_sys->madvise (area->vaddr + at, MIN (FILL_STEP, area->size - at), MADV_POPULATE_WRITE) < 0)
            return; /* an optimisation; the pages are there */
          g_usleep (FILL_REST_US);
        }
    }
}

/* A pid is its guardian's until it is reaped: nobody may signal it afterwards. */
static void
reap_guardians (CprFinish *finish)
{
  for (int i = 0; i < CPR_BATON_GUARDIANS; i++)
    if (finish->guardians[i] > 0)
      {
        cpr_guardian_await (finish->guardians[i]);
        g_mutex_lock (&finish->lock);
        cpr_guardian_reap (finish->guardians[i]);
        finish->guardians[i] = 0;
        g_mutex_unlock (&finish->lock);
      }
}

/* The priority needs RLIMIT_NICE or CAP_SYS_NICE. */
static void
hurry (pid_t guardian)
{
  static const struct sched_param param = { .sched_priority = 0 };

  cpr_sys->sched_setscheduler (guardian, SCHED_OTHER, &param);
  cpr_sys->kill (guardian, SIGCONT);
}

/* Returns when the guardians are gone. One may be on its way to idle priority just now, and then not get to see that it is to
 * hurry; or somebody stops it. So they are told again and again. */
static void
hurry_guardians (CprFinish *finish)
{
  g_mutex_lock (&finish->lock);
  if (finish->page != NULL)
    finish->page->hurry = 1;
  while (finish->end_ns == 0)
    {
      for (int i = 0; i < CPR_BATON_GUARDIANS; i++)
        if (finish->guardians[i] > 0)
          hurry (finish->guardians[i]);
      g_cond_wait_until (&finish->ended, &finish->lock, g_get_monotonic_time () + HURRY_US);
    }
  g_mutex_unlock (&finish->lock);
}

static void
clear_away (CprFinish *finish)
{
  /* The guardians first: what they hold is busy until they have closed it. */
  finish->incoming->carrier->finish (finish->incoming);
  for (guint i = 0; finish->leftovers != NULL && i < finish->leftovers->len; i++)
    cpr_fd_clear (&g_array_index (finish->leftovers, int, i));
  reap_guardians (finish);
  g_mutex_lock (&finish->lock);
  finish->page = NULL;
  g_clear_pointer (&finish->incoming, cpr_incoming_free);
  finish->end_ns = cpr_now_ns ();
  g_cond_broadcast (&finish->ended);
  g_mutex_unlock (&finish->lock);
}

static void *
finish_thread (void *data)
{
  CprFinish *finish = data;

  clear_away (finish);
  fill_page_tables (finish);
  return NULL;
}

static GArray *
collect_areas (const CprRamTable *ram)
{
  GArray *areas = g_array_new (FALSE, FALSE, sizeof (Area));

  for (guint i = 0; i < ram->blocks->len; i++)
    {
      const CprRamBlock *block = ram->blocks->pdata[i];
      Area area = { block->vaddr, block->size };

      if ((block->flags & CPR_RAM_PREALLOC) != 0)
        g_array_append_val (areas, area);
    }
  return areas;
}

CprFinish *
cpr_finish_start (CprIncoming *incoming, const CprRamTable *ram, GArray *leftovers)
{
  CprFinish *finish = g_new0 (CprFinish, 1);
  sigset_t old;

  finish->incoming = incoming;
  finish->page = incoming->baton.page;
  g_mutex_init (&finish->lock);
  g_cond_init (&finish->ended);
  for (int i = 0; i < CPR_BATON_GUARDIANS; i++)
    finish->guardians[i] = incoming->baton.page->guardians[i];
  finish->areas = collect_areas (ram);
  finish->leftovers = leftovers;

  /* The VMM's signals are for the VMM's threads. */
  cpr_signals_block_all (&old);
  finish->thread = g_thread_try_new ("cpr-finish", finish_thread, finish, NULL);
  cpr_signals_restore (&old);
  if (finish->thread == NULL)
    clear_away (finish);
  return finish;
}

uint64_t
cpr_finish_get_end (const CprFinish *finish)
{
  return finish->end_ns;
}

void
cpr_finish_wait (CprFinish *finish)
{
  finish->cancelled = true;
  hurry_guardians (finish);
}

void
cpr_finish_free (CprFinish *finish)
{
  if (finish == NULL)
    return;
  cpr_finish_wait (finish);
  if (finish->thread != NULL)
    g_thread_join (finish->thread);
  g_cond_clear (&finish->ended);
  g_mutex_clear (&finish->lock);
  g_array_unref (finish->areas);
  if (finish->leftovers != NULL)
    g_array_unref (finish->leftovers);
  g_free (finish);
}
