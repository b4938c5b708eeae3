/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The work that is left once the guest runs in the new program, on a thread of its own: the
 * guardians' end, fds to close, and page tables to fill. The order of steps starts and ends it. */
#include "session/parts/finish.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/populate.h"
#include "base/signals.h"
#include "base/sys.h"
#include "handoff/exec/guardian.h"
#include "handoff/exec/teardown.h"

/* How often to look where no event says that something has changed. */
#define LOOK_AGAIN_MS 20

#define CANCEL_TRIES 3

/* How long the next update waits for fds to be closed, or for the guardians of the many updates
 * right before it. */
#define SUSPEND_NS (UINT64_C (60) * 1000000000)
/* For so long the next update doesn't tell the guardians to hurry: their teardown after the closing
 * would be without rests. */
#define GENTLE_NS (UINT64_C (40) * 1000000)
/* How long the end of the session waits for the end of the guardians. */
#define FREE_NS (UINT64_C (10) * 1000000000)

#define GUARDIANS_MAX (CPR_BATON_GUARDIANS + CPR_BATON_ENDING)

typedef struct
{
  uint8_t *vaddr;
  size_t size;
  size_t at; /* what comes before is done */
} Area;

typedef struct
{
  pid_t pid;
  int slot;      /* in the page; -1: it is of an earlier update, and has closed its fds */
  bool is_child; /* else there is nothing to reap, and its pid isn't certain to stay its own */
  int pidfd;     /* or -1 */
  bool gone;
} Guardian;

struct _CprFinish
{
  GThread *thread; /* NULL: none could be made, or it is suspended */
  _Atomic bool cancelled;
  GMutex lock;   /* of what follows */
  int cancel_fd; /* an eventfd that is readable then, as long as there are guardians; or -1 */

  /* The thread's, while there is one. */
  bool begun;
  CprIncoming *incoming; /* NULL once all guardians are gone, and its page with it */
  Guardian guardians[GUARDIANS_MAX];
  int n_guardians;
  GArray *areas; /* Area */
  GArray *unclaimed;

  _Atomic uint64_t end_ns; /* when the guardians were gone */
};

/* ---- Guardians. */

static void
set_gone (Guardian *guardian)
{
  guardian->gone = true;
  cpr_fd_clear (&guardian->pidfd);
}

/* A pid is its guardian's until it is reaped: nobody may signal it afterwards. */
static void
reap (Guardian *guardian, bool readable)
{
  if (guardian->is_child ? cpr_guardian_reap (guardian->pid) != CPR_GUARDIAN_THERE : readable)
    set_gone (guardian);
  else if (readable)
    cpr_fd_clear (&guardian->pidfd); /* it can't be reaped just now; that must not be tried all the time */
}

/* Waits for something to happen to a guardian, or the cancelling; -1: however long that takes. */
static void
await_guardians (CprFinish *finish, int timeout_ms)
{
  struct pollfd fds[GUARDIANS_MAX + 1];
  int n = finish->n_guardians;
  bool denied;

  fds[n] = (struct pollfd){ finish->cancel_fd, POLLIN, 0 };
  for (int i = 0; i < n; i++)
    {
      fds[i] = (struct pollfd){ finish->guardians[i].pidfd, POLLIN, 0 };
      if (!finish->guardians[i].gone && fds[i].fd < 0 && timeout_ms < 0)
        timeout_ms = LOOK_AGAIN_MS;
    }
  if (finish->cancel_fd < 0 && timeout_ms < 0)
    timeout_ms = LOOK_AGAIN_MS;
  denied = cpr_sys->poll (fds, (nfds_t) n + 1, timeout_ms) < 0 && errno != EINTR;
  if (denied)
    g_usleep (LOOK_AGAIN_MS * 1000);
  for (int i = 0; i < n; i++)
    if (!finish->guardians[i].gone && (denied || fds[i].fd < 0 || fds[i].revents != 0))
      reap (&finish->guardians[i], fds[i].revents != 0);
}

static int
count_left (const CprFinish *finish, bool only_children)
{
  int n = 0;

  for (int i = 0; i < finish->n_guardians; i++)
    if (!finish->guardians[i].gone && (finish->guardians[i].is_child || !only_children))
      n++;
  return n;
}

/* Whether a guardian is there that hasn't closed its fds. */
static bool
is_any_open (const CprFinish *finish)
{
  for (int i = 0; i < finish->n_guardians; i++)
    {
      const Guardian *guardian = &finish->guardians[i];

      if (!guardian->gone && guardian->slot >= 0 && !cpr_baton_is_closed (finish->incoming->baton.page, guardian->slot))
        return true;
    }
  return false;
}

static void
hurry_guardians (CprFinish *finish)
{
  finish->incoming->baton.page->hurry = 1;
  for (int i = 0; i < finish->n_guardians; i++)
    if (finish->guardians[i].gone)
      continue;
    else if (finish->guardians[i].is_child)
      cpr_guardian_hurry (finish->guardians[i].pid);
    else if (finish->guardians[i].pidfd >= 0)
      cpr_signals_send (finish->guardians[i].pid, finish->guardians[i].pidfd, SIGCONT);
}

static void
note_end (CprFinish *finish)
{
  if (!finish->begun || finish->end_ns != 0 || count_left (finish, false) > 0)
    return;
  g_clear_pointer (&finish->incoming, cpr_incoming_free);
  g_mutex_lock (&finish->lock);
  cpr_fd_clear (&finish->cancel_fd);
  g_mutex_unlock (&finish->lock);
  finish->end_ns = cpr_now_ns ();
}

/* Called before a guardian is told to go: so its pid can't be another process's yet. */
static void
identify (Guardian *guardian)
{
  guardian->is_child = cpr_guardian_look (guardian->pid) != CPR_GUARDIAN_OTHERS;
  if (guardian->slot < 0 && !guardian->is_child)
    {
      set_gone (guardian); /* they were children of the process that failed: init's now */
      return;
    }
  guardian->pidfd = cpr_fd_above_std (cpr_sys->pidfd_open (guardian->pid));
  if (guardian->pidfd < 0 && !guardian->is_child)
    set_gone (guardian);
  else if (guardian->slot < 0)
    cpr_signals_send (guardian->pid, guardian->pidfd, SIGCONT); /* a guardian that somebody stopped would never end */
}

/* ---- The thread. */

static void
begin (CprFinish *finish)
{
  for (int i = 0; i < finish->n_guardians; i++)
    identify (&finish->guardians[i]);
  /* The guardians come first: a device that they hold is busy until they have closed it. */
  finish->incoming->carrier->finish (finish->incoming);
  for (guint i = 0; finish->unclaimed != NULL && i < finish->unclaimed->len; i++)
    cpr_fd_clear (&g_array_index (finish->unclaimed, int, i));
  finish->begun = true;
}

/* False: there is no more to fill. */
static bool
fill_step (CprFinish *finish)
{
  Area *area;
  size_t step;

  if (finish->areas->len == 0)
    return false;
  area = &g_array_index (finish->areas, Area, finish->areas->len - 1);
  step = MIN (CPR_POPULATE_STEP, area->size - area->at);
  if (!cpr_populate (area->vaddr + area->at, step))
    step = area->size - area->at; /* an optimisation; the pages are there */
  area->at += step;
  if (area->at == area->size)
    g_array_set_size (finish->areas, finish->areas->len - 1);
  return true;
}

/* At ordinary priority: at idle priority a busy machine would stop the thread while it holds the
 * lock of the address space. */
static void *
finish_thread (void *data)
{
  CprFinish *finish = data;

  if (!finish->begun)
    begin (finish);
  note_end (finish);
  while (!finish->cancelled)
    {
      bool filled = fill_step (finish);

      if (!filled && finish->end_ns != 0)
        break;
      if (finish->end_ns == 0)
        await_guardians (finish, filled ? 0 : -1);
      note_end (finish);
      if (filled)
        cpr_populate_rest ();
    }
  return NULL;
}

static void
start_thread (CprFinish *finish)
{
  sigset_t old;

  /* The VMM's signals are for the VMM's threads. */
  cpr_signals_block_all (&old);
  finish->thread = g_thread_try_new ("cpr-finish", finish_thread, finish, NULL);
  cpr_signals_restore (&old);
}

static void
stop_thread (CprFinish *finish)
{
  static const uint64_t one = 1;
  uint64_t count;

  if (finish->thread == NULL)
    return;
  finish->cancelled = true;
  g_mutex_lock (&finish->lock);
  for (int i = 0; finish->cancel_fd >= 0 && i < CANCEL_TRIES; i++)
    if (cpr_sys->write (finish->cancel_fd, &one, sizeof one) > 0)
      break;
  g_mutex_unlock (&finish->lock);
  g_thread_join (g_steal_pointer (&finish->thread));
  finish->cancelled = false;
  if (finish->cancel_fd >= 0 && cpr_sys->read (finish->cancel_fd, &count, sizeof count) < 0)
    cpr_fd_clear (&finish->cancel_fd); /* without it the thread looks by itself, now and then */
}

/* ---- The session's thread. */

static GArray *
collect_areas (const CprRamTable *ram)
{
  GArray *areas = g_array_new (FALSE, FALSE, sizeof (Area));

  for (guint i = 0; i < ram->blocks->len; i++)
    {
      const CprRamBlock *block = ram->blocks->pdata[ram->blocks->len - 1 - i];
      Area area = { block->vaddr, block->size, 0 };

      if ((block->flags & CPR_RAM_PREALLOC) != 0 && !block->filled)
        g_array_append_val (areas, area);
    }
  return areas;
}

static void
add_guardian (CprFinish *finish, pid_t pid, int slot)
{
  if (pid > 0)
    finish->guardians[finish->n_guardians++] = (Guardian){ .pid = pid, .slot = slot, .pidfd = -1 };
}

CprFinish *
cpr_finish_start (CprIncoming *incoming, const CprRamTable *ram, GArray *unclaimed)
{
  const CprBatonPage *page = incoming->baton.page;
  CprFinish *finish = g_new0 (CprFinish, 1);

  finish->incoming = incoming;
  g_mutex_init (&finish->lock);
  for (int i = 0; i < CPR_BATON_GUARDIANS; i++)
    add_guardian (finish, page->guardians[i], i);
  for (int i = 0; i < CPR_BATON_ENDING; i++)
    add_guardian (finish, page->ending[i], -1);
  finish->areas = collect_areas (ram);
  finish->unclaimed = unclaimed;
  finish->cancel_fd =
      finish->n_guardians > 0 ? cpr_fd_above_std (cpr_sys->eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK)) : -1;

  start_thread (finish);
  if (finish->thread == NULL)
    {
      begin (finish);
      note_end (finish);
    }
  return finish;
}

uint64_t
cpr_finish_get_end (CprFinish *finish)
{
  if (finish->thread == NULL && finish->end_ns == 0)
    {
      await_guardians (finish, 0);
      note_end (finish);
    }
  return finish->end_ns;
}

/* Whether the next update may begin: it waits until devices and locks are free. */
static bool
is_clear (const CprFinish *finish)
{
  return finish->end_ns != 0 || (!is_any_open (finish) && count_left (finish, true) <= CPR_BATON_ENDING);
}

/* A guardian that has closed its fds wakes this thread. A guardian that was killed doesn't: so
 * there is a limit to the wait. */
static void
await_closing (CprFinish *finish)
{
  static const struct timespec patience = { 0, LOOK_AGAIN_MS * 1000 * 1000 };
  const CprBatonPage *page = finish->incoming->baton.page;
  uint32_t closed = atomic_load (&page->closed);

  if (!is_any_open (finish))
    await_guardians (finish, LOOK_AGAIN_MS);
  else if (cpr_sys->futex_wait (&page->closed, closed, &patience) < 0 && errno == ETIMEDOUT)
    await_guardians (finish, 0);
}

bool
cpr_finish_suspend (CprFinish *finish, GError **error)
{
  uint64_t begin_ns = cpr_now_ns (), passed_ns;
  int n_left;

  stop_thread (finish);
  for (passed_ns = 0; !is_clear (finish) && passed_ns < SUSPEND_NS; passed_ns = cpr_now_ns () - begin_ns)
    {
      if (passed_ns >= GENTLE_NS || !is_any_open (finish))
        hurry_guardians (finish);
      await_closing (finish);
      note_end (finish);
    }
  n_left = count_left (finish, true);
  if (!is_clear (finish))
    {
      cpr_finish_resume (finish);
      return cpr_throw_errno (error, ETIMEDOUT, "guardian: %d of earlier updates, and they don't end", n_left);
    }
  if (n_left >= CPR_BATON_ENDING / 2)
    hurry_guardians (finish); /* before the updates come to wait for them */
  return true;
}

void
cpr_finish_hand_on (const CprFinish *finish, CprBatonPage *page)
{
  int n = 0;

  for (int i = 0; i < finish->n_guardians && n < CPR_BATON_ENDING; i++)
    if (!finish->guardians[i].gone && finish->guardians[i].is_child)
      page->ending[n++] = finish->guardians[i].pid;
}

void
cpr_finish_resume (CprFinish *finish)
{
  if (finish->end_ns == 0 || finish->areas->len > 0)
    start_thread (finish);
}

void
cpr_finish_forget (CprFinish *finish, const void *vaddr)
{
  stop_thread (finish);
  for (guint i = finish->areas->len; i-- > 0;)
    if (g_array_index (finish->areas, Area, i).vaddr == vaddr)
      g_array_remove_index (finish->areas, i);
  cpr_finish_resume (finish);
}

void
cpr_finish_free (CprFinish *finish)
{
  uint64_t end_ns = cpr_now_ns () + FREE_NS;

  if (finish == NULL)
    return;
  stop_thread (finish);
  while (finish->end_ns == 0 && cpr_now_ns () < end_ns)
    {
      hurry_guardians (finish);
      await_guardians (finish, LOOK_AGAIN_MS);
      note_end (finish);
    }
  for (int i = 0; i < finish->n_guardians; i++)
    cpr_fd_clear (&finish->guardians[i].pidfd);
  g_clear_pointer (&finish->incoming, cpr_incoming_free);
  cpr_fd_clear (&finish->cancel_fd);
  g_mutex_clear (&finish->lock);
  g_array_unref (finish->areas);
  if (finish->unclaimed != NULL)
    g_array_unref (finish->unclaimed);
  g_free (finish);
}
