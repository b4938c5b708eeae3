/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The gate that keeps a VMM's threads out while the guest stands still. The VMM calls it.
 *
 * A thread that enters writes `inside` and then reads `state`; one that closes writes `state` and
 * then reads each `inside`. All of that is sequentially consistent, so that at least one of the two
 * sees the other. Leaving does the same with `inside` and `awaited`: either the closing thread sees
 * that the member is outside, or the member sees that it is waited for.
 *
 * Locks and conditions are pthread's: a wait for GLib's can't be cancelled. Everything that waits
 * here does so with the lock, and a function whose name ends in _locked is called with it. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/name.h"
#include "base/sys.h"

#define NS_PER_MS     UINT64_C (1000000)
#define NS_PER_S      (1000 * NS_PER_MS)
#define FIRST_REST_NS (1 * NS_PER_MS) /* between two kicks; each is twice as long as the one before */
#define LAST_REST_NS  (64 * NS_PER_MS)
#define FOR_EVER      UINT64_MAX
#define CACHE_LINE    64
#define COMM_SIZE     16 /* a thread's name in the kernel */

typedef struct
{
  uint8_t before[CACHE_LINE]; /* nothing else lies where the member writes all the time */
  _Atomic unsigned inside;    /* how often the member has entered; only its own thread writes it */
  uint8_t after[CACHE_LINE];

  CprGate *gate;
  char *name;
  pid_t tid;
  CprGateKickFunc kick;
  void *user_data;
  bool kicked;         /* just now, without the lock: the member stays in the list */
  uint64_t outside_in; /* the last round in which the member was seen outside */
  GList link;
} Member;

enum
{
  WIPED = 0, /* by the kernel, in a forked child */
  CLOSED,
  OPEN,
  DISMISSED
};

/* All threads read it, and it seldom changes. It has a page of its own. */
typedef struct
{
  _Atomic unsigned state;
  Member *_Atomic awaited; /* wakes the closing thread when it leaves; NULL: nobody does */
} Front;

struct _CprGate
{
  int refs; /* the owner's, and one of each member */
  Front *front;
  pthread_key_t key; /* the thread's Member */
  pthread_mutex_t lock;
  pthread_cond_t opened; /* the state is no longer CLOSED */
  pthread_cond_t moved;  /* a member has left, a kick is over, a thread has closed */
  bool closing;
  bool reopened;  /* by another thread, while it was being closed */
  uint64_t round; /* of closing */
  GQueue members;
};

static unsigned
get_state (const CprGate *gate)
{
  return atomic_load (&gate->front->state);
}

static bool
check_process (const CprGate *gate, GError **error)
{
  return get_state (gate) != WIPED ||
         cpr_throw (error, CPR_ERROR_STATE, "gate: it isn't this process's, but its parent's");
}

static void
unref (CprGate *gate)
{
  if (!g_atomic_int_dec_and_test (&gate->refs))
    return;
  pthread_key_delete (gate->key);
  pthread_cond_destroy (&gate->moved);
  pthread_cond_destroy (&gate->opened);
  pthread_mutex_destroy (&gate->lock);
  cpr_sys->munmap (gate->front, sizeof *gate->front);
  g_free (gate);
}

static uint64_t
end_of (unsigned timeout_ms)
{
  return cpr_now_ns () + timeout_ms * NS_PER_MS;
}

static struct timespec
to_timespec (uint64_t ns)
{
  return (struct timespec){ .tv_sec = (time_t) (ns / NS_PER_S), .tv_nsec = (long) (ns % NS_PER_S) };
}

/* @end: NULL for no end. Nothing on the stack here: AddressSanitizer doesn't see that a cancelled
 * thread leaves the function. */
static void
wait_locked (CprGate *gate, pthread_cond_t *cond, const struct timespec *end)
{
  if (end == NULL)
    pthread_cond_wait (cond, &gate->lock);
  else
    pthread_cond_timedwait (cond, &gate->lock, end);
}

/* ---- A member goes in and out. */

static bool
is_inside (Member *member)
{
  return atomic_load (&member->inside) > 0;
}

static void
step_out (CprGate *gate, Member *member)
{
  atomic_store (&member->inside, atomic_load_explicit (&member->inside, memory_order_relaxed) - 1);
  if (atomic_load (&gate->front->awaited) != member)
    return;
  pthread_mutex_lock (&gate->lock);
  pthread_cond_broadcast (&gate->moved);
  pthread_mutex_unlock (&gate->lock);
}

static bool
step_in (CprGate *gate, Member *member)
{
  unsigned depth = atomic_load_explicit (&member->inside, memory_order_relaxed);
  unsigned state;

  atomic_store (&member->inside, depth + 1);
  state = get_state (gate);
  if (state == OPEN || (depth > 0 && state != WIPED))
    return true;
  step_out (gate, member);
  return false;
}

static void
unlock (void *lock)
{
  pthread_mutex_unlock (lock);
}

/* Whether it makes sense to try again. A cancellation point. */
static bool
wait_until_open (CprGate *gate, uint64_t end_ns)
{
  const struct timespec end = to_timespec (end_ns);
  bool open;

  if (!check_process (gate, NULL))
    return false;
  pthread_mutex_lock (&gate->lock);
  pthread_cleanup_push (unlock, &gate->lock);
  while (get_state (gate) == CLOSED && (end_ns == FOR_EVER || cpr_now_ns () < end_ns))
    wait_locked (gate, &gate->opened, end_ns == FOR_EVER ? NULL : &end);
  open = get_state (gate) == OPEN;
  pthread_cleanup_pop (1);
  return open;
}

/* ---- Members come and go. */

static bool
add_member (CprGate *gate, const char *name, CprGateKickFunc kick, void *user_data, GError **error)
{
  Member *member = g_new0 (Member, 1);
  int errnum = pthread_setspecific (gate->key, member);

  if (errnum != 0)
    {
      g_free (member);
      return cpr_throw_errno (error, errnum, "gate: member '%s'", name);
    }
  g_atomic_int_inc (&gate->refs);
  member->gate = gate;
  member->name = g_strdup (name);
  member->tid = gettid ();
  member->kick = kick;
  member->user_data = user_data;
  member->link.data = member;
  pthread_mutex_lock (&gate->lock);
  g_queue_push_tail_link (&gate->members, &member->link);
  pthread_mutex_unlock (&gate->lock);
  return true;
}

static void
free_member (Member *member)
{
  g_free (member->name);
  g_free (member);
}

/* At the end of the thread, too, whatever ends it. */
static void
remove_member (void *data)
{
  Member *member = data;
  CprGate *gate = member->gate;

  if (!check_process (gate, NULL))
    return;
  pthread_mutex_lock (&gate->lock);
  while (member->kicked)
    wait_locked (gate, &gate->moved, NULL);
  g_queue_unlink (&gate->members, &member->link);
  pthread_cond_broadcast (&gate->moved); /* perhaps the member was inside */
  pthread_mutex_unlock (&gate->lock);
  free_member (member);
  unref (gate);
}

/* The calling thread, under its own name if it isn't a member yet. */
static Member *
get_member (CprGate *gate)
{
  char name[COMM_SIZE] = "";

  if (pthread_getspecific (gate->key) == NULL && check_process (gate, NULL))
    {
      pthread_getname_np (pthread_self (), name, sizeof name);
      add_member (gate, name, NULL, NULL, NULL);
    }
  return pthread_getspecific (gate->key);
}

bool
cpr_gate_join (CprGate *gate, const char *name, CprGateKickFunc kick, void *user_data, GError **error)
{
  const Member *member;

  g_return_val_if_fail (gate != NULL, false);

  if (!check_process (gate, error) || !cpr_name_check ("gate: member", name, error))
    return false;
  member = pthread_getspecific (gate->key);
  if (member != NULL)
    return cpr_throw (error, CPR_ERROR_EXISTS, "gate: member '%s': the thread is one already, as '%s'", name,
                      member->name);
  return add_member (gate, name, kick, user_data, error);
}

void
cpr_gate_quit (CprGate *gate)
{
  Member *member;
  int old;

  g_return_if_fail (gate != NULL);

  member = pthread_getspecific (gate->key);
  if (member == NULL || !check_process (gate, NULL))
    return;
  pthread_setcancelstate (PTHREAD_CANCEL_DISABLE, &old);
  pthread_setspecific (gate->key, NULL);
  remove_member (member);
  pthread_setcancelstate (old, NULL);
}

/* ---- The calling thread enters and leaves. */

static bool
enter_slowly (CprGate *gate, uint64_t end_ns)
{
  Member *member = get_member (gate);

  while (member != NULL && !step_in (gate, member))
    if (!wait_until_open (gate, end_ns))
      return false;
  return member != NULL;
}

bool
cpr_gate_enter (CprGate *gate)
{
  Member *member;

  g_return_val_if_fail (gate != NULL, false);

  member = pthread_getspecific (gate->key);
  return (member != NULL && step_in (gate, member)) || enter_slowly (gate, FOR_EVER);
}

bool
cpr_gate_try_enter (CprGate *gate, unsigned timeout_ms)
{
  Member *member;

  g_return_val_if_fail (gate != NULL, false);

  member = pthread_getspecific (gate->key);
  return (member != NULL && step_in (gate, member)) || enter_slowly (gate, end_of (timeout_ms));
}

void
cpr_gate_leave (CprGate *gate)
{
  Member *member;

  g_return_if_fail (gate != NULL);

  member = pthread_getspecific (gate->key);
  g_return_if_fail (member != NULL && is_inside (member));
  step_out (gate, member);
}

/* ---- The gate opens and closes. */

static void
set_state_locked (CprGate *gate, unsigned state)
{
  atomic_store (&gate->front->state, state);
  if (state != CLOSED)
    pthread_cond_broadcast (&gate->opened);
}

void
cpr_gate_open (CprGate *gate)
{
  g_return_if_fail (gate != NULL);

  if (!check_process (gate, NULL))
    return;
  pthread_mutex_lock (&gate->lock);
  if (get_state (gate) == CLOSED)
    {
      set_state_locked (gate, OPEN);
      gate->reopened = true;
      pthread_cond_broadcast (&gate->moved);
    }
  pthread_mutex_unlock (&gate->lock);
}

/* A member that was once seen outside after the gate was closed can only look in again, for an
 * instant, and is done with. */
static bool
holds_up_locked (CprGate *gate, Member *member)
{
  if (member->outside_in != gate->round && !is_inside (member))
    member->outside_in = gate->round;
  return member->outside_in != gate->round;
}

static Member *
find_insider_locked (CprGate *gate)
{
  for (GList *link = gate->members.head; link != NULL; link = link->next)
    if (holds_up_locked (gate, link->data))
      return link->data;
  return NULL;
}

/* The lock isn't held while a member is kicked: others may leave, come and go. */
static void
kick_locked (CprGate *gate)
{
  for (GList *link = gate->members.head; link != NULL; link = link->next)
    {
      Member *member = link->data;

      if (member->kick == NULL || !holds_up_locked (gate, member))
        continue;
      member->kicked = true;
      pthread_mutex_unlock (&gate->lock);
      member->kick (member->user_data);
      pthread_mutex_lock (&gate->lock);
      member->kicked = false;
      pthread_cond_broadcast (&gate->moved);
    }
}

static void
wait_for_locked (CprGate *gate, Member *member, uint64_t end_ns)
{
  const struct timespec end = to_timespec (end_ns);

  atomic_store (&gate->front->awaited, member);
  if (is_inside (member))
    wait_locked (gate, &gate->moved, &end);
  atomic_store (&gate->front->awaited, NULL);
}

/* Until nobody is inside, the time is over, or another thread opens the gate. */
static void
empty_locked (CprGate *gate, uint64_t end_ns)
{
  uint64_t kick_ns = 0, rest_ns = FIRST_REST_NS;
  Member *member;

  gate->round++;
  while ((member = find_insider_locked (gate)) != NULL && !gate->reopened)
    {
      uint64_t now = cpr_now_ns ();

      if (kick_ns != 0 && now >= end_ns)
        return;
      if (now < kick_ns)
        {
          wait_for_locked (gate, member, MIN (kick_ns, end_ns));
          continue;
        }
      kick_locked (gate);
      kick_ns = cpr_now_ns () + rest_ns;
      rest_ns = MIN (2 * rest_ns, LAST_REST_NS);
    }
}

/* At the end of the time; who has left by now is no longer named. */
static bool
check_empty_locked (CprGate *gate, unsigned timeout_ms, GError **error)
{
  g_autoptr (GString) names = g_string_new (NULL);

  for (GList *link = gate->members.head; link != NULL; link = link->next)
    {
      Member *member = link->data;

      if (holds_up_locked (gate, member))
        g_string_append_printf (names, "%s'%s' (thread %d)", names->len > 0 ? ", " : "", member->name, member->tid);
    }
  return names->len == 0 ||
         cpr_throw (error, CPR_ERROR_BLOCKED, "gate: still inside after %u ms: %s", timeout_ms, names->str);
}

static bool
close_in_turn_locked (CprGate *gate, unsigned timeout_ms, uint64_t end_ns, GError **error)
{
  if (get_state (gate) == CLOSED)
    return true;
  if (get_state (gate) == OPEN)
    set_state_locked (gate, CLOSED);
  gate->reopened = false;
  empty_locked (gate, end_ns);
  if (gate->reopened)
    return cpr_throw (error, CPR_ERROR_STATE, "gate: another thread opened it before all had left");
  if (check_empty_locked (gate, timeout_ms, error))
    return true;
  if (get_state (gate) == CLOSED)
    set_state_locked (gate, OPEN);
  return false;
}

static bool
close_locked (CprGate *gate, unsigned timeout_ms, GError **error)
{
  uint64_t end_ns = end_of (timeout_ms);
  const struct timespec end = to_timespec (end_ns);
  bool ok;

  while (gate->closing && cpr_now_ns () < end_ns)
    wait_locked (gate, &gate->moved, &end);
  if (gate->closing)
    return cpr_throw (error, CPR_ERROR_BLOCKED, "gate: another thread was still closing it after %u ms", timeout_ms);
  gate->closing = true;
  ok = close_in_turn_locked (gate, timeout_ms, end_ns, error);
  gate->closing = false;
  pthread_cond_broadcast (&gate->moved);
  return ok;
}

static bool
close_it (CprGate *gate, bool for_ever, unsigned timeout_ms, GError **error)
{
  Member *member = pthread_getspecific (gate->key);
  bool ok;
  int old;

  if (!check_process (gate, error))
    return false;
  if (member != NULL && is_inside (member))
    return cpr_throw (error, CPR_ERROR_STATE, "gate: member '%s' is inside, and would wait for itself", member->name);
  pthread_setcancelstate (PTHREAD_CANCEL_DISABLE, &old);
  pthread_mutex_lock (&gate->lock);
  if (for_ever)
    set_state_locked (gate, DISMISSED);
  ok = close_locked (gate, timeout_ms, error);
  pthread_mutex_unlock (&gate->lock);
  pthread_setcancelstate (old, NULL);
  return ok;
}

bool
cpr_gate_close (CprGate *gate, unsigned timeout_ms, GError **error)
{
  g_return_val_if_fail (gate != NULL, false);

  return close_it (gate, false, timeout_ms, error);
}

bool
cpr_gate_dismiss (CprGate *gate, unsigned timeout_ms, GError **error)
{
  g_return_val_if_fail (gate != NULL, false);

  return close_it (gate, true, timeout_ms, error);
}

/* ---- The gate itself. */

static bool
make_front (CprGate *gate, GError **error)
{
  gate->front = cpr_sys->mmap (NULL, sizeof *gate->front, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (gate->front == MAP_FAILED)
    return cpr_throw_errno (error, errno, "gate: its memory");
  if (cpr_sys->madvise (gate->front, sizeof *gate->front, MADV_WIPEONFORK) == 0)
    return true;
  cpr_throw_errno (error, errno, "gate: its memory, to be cleared in a child");
  cpr_sys->munmap (gate->front, sizeof *gate->front);
  return false;
}

static void
init_locks (CprGate *gate)
{
  pthread_condattr_t attributes;

  pthread_condattr_init (&attributes);
  pthread_condattr_setclock (&attributes, CLOCK_MONOTONIC);
  pthread_mutex_init (&gate->lock, NULL);
  pthread_cond_init (&gate->opened, &attributes);
  pthread_cond_init (&gate->moved, &attributes);
  pthread_condattr_destroy (&attributes);
}

CprGate *
cpr_gate_new (GError **error)
{
  g_autofree CprGate *gate = g_new0 (CprGate, 1);
  int errnum;

  if (!make_front (gate, error))
    return NULL;
  errnum = pthread_key_create (&gate->key, remove_member);
  if (errnum != 0)
    {
      cpr_throw_errno (error, errnum, "gate: its key for data of threads");
      cpr_sys->munmap (gate->front, sizeof *gate->front);
      return NULL;
    }
  init_locks (gate);
  gate->refs = 1;
  atomic_store (&gate->front->state, CLOSED);
  return g_steal_pointer (&gate);
}

/* In a forked child: threads that don't exist there hold the locks and wait. */
static void
free_in_child (CprGate *gate)
{
  GList *link;

  pthread_key_delete (gate->key);
  while ((link = g_queue_pop_head_link (&gate->members)) != NULL)
    free_member (link->data);
  cpr_sys->munmap (gate->front, sizeof *gate->front);
  g_free (gate);
}

void
cpr_gate_free (CprGate *gate)
{
  if (gate == NULL)
    return;
  if (!check_process (gate, NULL))
    {
      free_in_child (gate);
      return;
    }
  cpr_gate_quit (gate);
  pthread_mutex_lock (&gate->lock);
  set_state_locked (gate, DISMISSED);
  pthread_mutex_unlock (&gate->lock);
  unref (gate);
}
