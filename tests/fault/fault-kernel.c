/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Turns minivmm into minivmm-fault: every system call of the library goes by here, is counted,
 * and one of them fails, ends or stops the program as the test says. CPR_FAULT names a file that
 * test and programs have mapped: what the test orders, what was counted, and who has the baton.
 *
 * A call belongs to a side: "old" is the program that calls cpr_session_update(), "new" the one
 * that takes its state up, "back" those that take it up after that; all of them until the guest
 * runs. "finish" is what their threads do afterwards. "asked" is the new program in a preflight,
 * "asked-old" the old one: each a process of its own. A program that was started with an
 * `incoming` is "new" from cpr_session_new() on; "helper" are the threads that fill page tables
 * and copy RAM before the commit. */
#include "fault-kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <libcpr/libcpr.h>

#include "ask/child.h"
#include "ask/question.h"
#include "handoff/baton.h"
#include "process/program.h"
#include "process/raw.h"

typedef enum
{
  SIDE_NONE,
  SIDE_OLD,
  SIDE_NEW,
  SIDE_BACK,
  SIDE_FINISH,
  SIDE_ASKED,
  SIDE_ASKED_OLD,
  SIDE_HELPER,
  N_SIDES
} Side;

#define CALLS_MAX 4096
#define NAME_SIZE 20

/* tests/integration/faultvmm.py knows the layout of this page, too. */
typedef struct
{
  _Atomic uint32_t side, at, action, argument; /* the order: at 0 there is none */
  _Atomic uint32_t hit, go_on;
  _Atomic uint32_t incarnation; /* 0: the old program; then counting */
  _Atomic int32_t mappings;     /* of the program that has the guest, made by the library */
  _Atomic uint64_t word;        /* the baton's last state << 56 | attempt << 48 | pid; 0: not offered yet */
  _Atomic uint64_t word_at_hit;
  _Atomic uint32_t storm; /* this program gets SIGALRM all the time */
  _Atomic uint32_t n_calls[N_SIDES];
  _Atomic uint32_t n_wanted;
  _Atomic uint32_t keep;  /* an update begins before cpr_session_update(): the test has made this page ready for it */
  char wanted[NAME_SIZE]; /* of the order: only calls of this name are counted; empty: all */
  char calls[N_SIDES][CALLS_MAX][NAME_SIZE];
} Page;

static Page *page;
static Side side; /* of the main thread */
static bool took_up;
static bool has_guest;
static _Atomic int32_t mappings; /* of this program */
static __thread bool is_main;

/* All threads but the main one are helpers, or finish an update. */
static Side
get_side (void)
{
  char name[16] = "";

  if (is_main)
    return side;
  if ((side == SIDE_OLD || side == SIDE_NEW) && pthread_getname_np (pthread_self (), name, sizeof name) == 0 &&
      (strcmp (name, "cpr-fill") == 0 || strcmp (name, "cpr-ram") == 0))
    return SIDE_HELPER;
  return took_up && side != SIDE_OLD ? SIDE_FINISH : SIDE_NONE;
}

static bool
obey (Action action, uint32_t argument)
{
  page->word_at_hit = page->word;
  page->hit = 1;
  switch (action)
    {
    case ACTION_FAIL:
      errno = (int) argument;
      return true;
    case ACTION_RAISE:
      raise ((int) argument);
      return false;
    case ACTION_MEET:
      while (page->go_on == 0)
        usleep (100);
      page->go_on = 2; /* seen */
      return false;
    default:
      return false;
    }
}

Action
fault_pass (const char *call)
{
  Side at = get_side ();
  uint32_t n;

  if (page == NULL || at == SIDE_NONE)
    return ACTION_NONE;
  n = atomic_fetch_add (&page->n_calls[at], 1) + 1;
  if (n <= CALLS_MAX)
    strncpy (page->calls[at][n - 1], call, NAME_SIZE - 1);
  if (page->side != at || page->hit != 0)
    return ACTION_NONE;
  if (page->wanted[0] != '\0')
    {
      if (strncmp (page->wanted, call, NAME_SIZE) != 0)
        return ACTION_NONE;
      n = ++page->n_wanted;
    }
  if (page->at != n)
    return ACTION_NONE;
  if (page->action == ACTION_SHORT)
    page->hit = 1;
  return page->action == ACTION_SHORT || obey (page->action, page->argument) ? (Action) page->action : ACTION_NONE;
}

bool
fault_fails (const char *call)
{
  return fault_pass (call) == ACTION_FAIL;
}

void
fault_count_mapping (int change)
{
  mappings += change;
  if (page != NULL && has_guest)
    page->mappings = mappings;
}

/* ---- Where a side begins and ends: the functions of the library and of GLib that the linker
 * gives us (--wrap). */

CprSession *__real_cpr_session_new (const CprSessionConfig *config, GError **error);
CprSession *__wrap_cpr_session_new (const CprSessionConfig *config, GError **error);
bool __real_cpr_session_update (CprSession *session, const CprUpdate *update, GError **error);
bool __wrap_cpr_session_update (CprSession *session, const CprUpdate *update, GError **error);
bool __real_cpr_session_start (CprSession *session, GError **error);
bool __wrap_cpr_session_start (CprSession *session, GError **error);
bool __real_cpr_baton_move (CprBatonPage *baton, CprBatonWord from, CprBatonWord to);
bool __wrap_cpr_baton_move (CprBatonPage *baton, CprBatonWord from, CprBatonWord to);
GThread *__real_g_thread_try_new (const char *name, GThreadFunc run, void *data, GError **error);
GThread *__wrap_g_thread_try_new (const char *name, GThreadFunc run, void *data, GError **error);

CprSession *
__wrap_cpr_session_new (const CprSessionConfig *config, GError **error)
{
  if (config->incoming != NULL && !took_up && side == SIDE_NONE)
    {
      side = SIDE_NEW;
      took_up = true;
    }
  return __real_cpr_session_new (config, error);
}

bool
__wrap_cpr_session_update (CprSession *session, const CprUpdate *update, GError **error)
{
  bool ok;

  if (page != NULL && page->keep == 0)
    {
      memset (page->calls, 0, sizeof page->calls);
      for (int i = 0; i < N_SIDES; i++)
        page->n_calls[i] = 0;
      page->incarnation = 0;
      page->word = 0;
    }
  side = SIDE_OLD;
  ok = __real_cpr_session_update (session, update, error);
  side = SIDE_NONE;
  if (ok)
    has_guest = false;
  return ok;
}

bool
__wrap_cpr_session_start (CprSession *session, GError **error)
{
  bool ok = __real_cpr_session_start (session, error);

  if (ok)
    {
      side = SIDE_NONE;
      has_guest = true;
      fault_count_mapping (0);
    }
  return ok;
}

static inline __attribute__ ((always_inline)) uint64_t
page_word (CprBatonWord word)
{
  return (uint64_t) word.state << 56 | (uint64_t) word.attempt << 48 | (uint32_t) word.pid;
}

/* Guardians and signal handlers call it, too. The word is written down first: an owner that dies in
 * between must not look as if it had never been one. */
CPR_RAW_CODE bool
__wrap_cpr_baton_move (CprBatonPage *baton, CprBatonWord from, CprBatonWord to)
{
  uint64_t last = page != NULL ? page->word : 0, next = page_word (to);
  bool moved;

  if (page != NULL)
    page->word = next;
  moved = __real_cpr_baton_move (baton, from, to);
  if (!moved && page != NULL)
    atomic_compare_exchange_strong (&page->word, &next, last);
  return moved;
}

GThread *
__wrap_g_thread_try_new (const char *name, GThreadFunc run, void *data, GError **error)
{
  return fault_fails ("thread") ? NULL : __real_g_thread_try_new (name, run, data, error);
}

/* ---- The start of the program. */

static void
ignore_signal (int number)
{
}

/* The handlers are there from the first instruction on, as cpr_session_new() demands. */
static void
start_storm (void)
{
  static const struct itimerval timer = { { 0, 700 }, { 0, 700 } };
  const struct sigaction action = { .sa_handler = ignore_signal, .sa_flags = SA_RESTART };

  sigaction (SIGALRM, &action, NULL);
  sigaction (SIGUSR1, &action, NULL);
  sigaction (SIGCHLD, &action, NULL);
  setitimer (ITIMER_REAL, &timer, NULL);
}

/* An asked program has its question as a fixed fd. The old program is started by its fd, and so has
 * one more. */
static Side
get_asked_side (const char *state)
{
  int fd = (int) g_ascii_strtoll (state, NULL, 10);

  if (fd != CPR_ASK_FD_QUESTION || !cpr_question_is_one (fd))
    return SIDE_NONE;
  return fcntl (CPR_ASK_FD_EXECUTABLE, F_GETFD) >= 0 ? SIDE_ASKED_OLD : SIDE_ASKED;
}

static __attribute__ ((constructor)) void
begin (void)
{
  const char *path = getenv ("CPR_FAULT");
  const char *state = getenv (CPR_STATE_VARIABLE);
  Side asked = state != NULL ? get_asked_side (state) : SIDE_NONE;
  int fd = path != NULL ? open (path, O_RDWR | O_CLOEXEC) : -1;
  void *mapped;

  if (fd < 0)
    return;
  mapped = mmap (NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close (fd);
  if (mapped == MAP_FAILED)
    abort ();
  page = mapped;
  is_main = true;
  took_up = state != NULL && asked == SIDE_NONE;
  if (asked != SIDE_NONE)
    side = asked;
  if (took_up)
    side = ++page->incarnation == 1 ? SIDE_NEW : SIDE_BACK;
  if (page->storm != 0 && asked == SIDE_NONE)
    start_storm ();
  fault_calls.futex_wait = cpr_sys_kernel.futex_wait; /* not counted: it is called or not, depending on who is faster */
  cpr_sys = &fault_calls;
}
