/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A watchdog card, known since build 2. The guest writes 1 to port 0 to say that it is alive,
 * and 0 to be watched no more; reading the port tells whether it is watched. Where it doesn't
 * say so in time, that is noted as an event. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "cards.h"
#include "support/clock.h"
#include "support/error.h"
#include "support/log.h"

#define EVENTS_MAX 64
#define OWNER_MAX  255
#define FD_LOG     "watchdog-log"

/* Each build begins new machines with another timeout. */
#define TIMEOUT_MS (RELEASE < 3 ? 30000 : 60000)

/* Its name in build 2. */
#if RELEASE < 3
#  define owner label
#endif

typedef struct _Event Event;
struct _Event
{
  Event *next;
  int64_t at_ns;
#if RELEASE >= 3
  uint32_t timeout_ms;
#endif
};

typedef struct
{
  CprSession *session;
  Slots *slots;
  pthread_mutex_t mutex;
  int timer_fd;

  uint32_t timeout_ms;
  int64_t deadline_ns; /* 0: the guest isn't watched */
  char *owner;         /* who wanted it; or NULL */
  int log_fd;          /* where events are written, too; or -1 */
  Event *events;       /* the oldest first */
} Watchdog;

/* ---- What of it is state. */

static void *
get_next_event (const void *container, const void *element)
{
  Event *const *first = container;
  const Event *event = element;
  return event ? event->next : *first;
}

static void *
append_event (void *container)
{
  Event **end = container;
  while (*end)
    end = &(*end)->next;
  *end = g_new0 (Event, 1);
  return *end;
}

static void
clear_events (void *container)
{
  for (Event **first = container; *first;)
    {
      Event *event = *first;
      *first = event->next;
      g_free (event);
    }
}

static const CprList event_list = { get_next_event, append_event, clear_events };

static const CprField event_fields[] = {
  CPR_FIELD_TIME (Event, at_ns),
#if RELEASE >= 3
  /* Nice to know, but nothing that the guest can see: build 2 may drop it. */
  CPR_FIELD_IGNORABLE (Event, timeout_ms, 0),
#endif
  CPR_FIELD_END,
};
static const CprStruct event_struct = { "Event", sizeof (Event), event_fields };

static const CprField watchdog_fields[] = {
  /* The default differs, and nothing goes wrong: a field that isn't in the state has what was
   * the default where the state was saved. That holds as every build that has this device has
   * this field. */
  CPR_FIELD_OPTIONAL (Watchdog, timeout_ms, TIMEOUT_MS),
  CPR_FIELD_TIME (Watchdog, deadline_ns, CPR_OPTIONAL),
  CPR_FIELD_FD (Watchdog, log_fd, CPR_OPTIONAL),
  CPR_FIELD_LIST (Watchdog, events, Event, event_struct, EVENTS_MAX, event_list),
#if RELEASE < 3
  /* It was known by then that it would be renamed, so build 2 can go both ways. See lcr in
   * serial.c, where it wasn't. */
  CPR_FIELD_HEAP_STRING (Watchdog, label, OWNER_MAX, CPR_ALIASES ("owner")),
#else
  CPR_FIELD_HEAP_STRING (Watchdog, owner, OWNER_MAX, CPR_ALIASES ("label")),
#endif
  CPR_FIELD_END,
};

static void
set_timer (Watchdog *watchdog)
{
  const int64_t ns_per_s = 1000000000;
  const struct itimerspec at = {
    .it_value = { .tv_sec = watchdog->deadline_ns / ns_per_s, .tv_nsec = watchdog->deadline_ns % ns_per_s },
  };
  timerfd_settime (watchdog->timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
}

static const BusDevice watchdog_ports;

/* The bus has its state by now: see load_after. */
static bool
watchdog_post_load (void *device, uint32_t version, GError **error)
{
  Watchdog *watchdog = device;
  if (watchdog->deadline_ns < 0)
    return throw_error (error, "watchdog: its deadline is %" PRId64, watchdog->deadline_ns);
  set_timer (watchdog);
  return slots_insert_again (watchdog->slots, "watchdog", &watchdog_ports, watchdog, error);
}

const CprDeviceType watchdog_type = {
  .size = sizeof (CprDeviceType),
  .name = "watchdog",
#if RELEASE == 4
  /* For a test: as if the timeout's meaning had changed, and this build didn't know any more
   * what it was before. A build that does has 1 here and looks at post_load's version. */
  .version = 2,
  .minimum_version = 2,
#else
  .version = 1,
  .minimum_version = 1,
#endif
  .state = { "Watchdog", sizeof (Watchdog), watchdog_fields },
  .post_load = watchdog_post_load,
  .load_after = (const char *const[]){ "bus", NULL },
  /* A vCPU may change the numbers at any time, but the string and the list only change on the
   * thread that updates. */
  .trial_save = true,
};

/* ---- What it does. */

static void
watch (Watchdog *watchdog, bool on)
{
  watchdog->deadline_ns = on ? (int64_t) get_monotonic_ns () + watchdog->timeout_ms * INT64_C (1000000) : 0;
  set_timer (watchdog);
}

static void
watchdog_out (void *device, unsigned port, uint8_t value)
{
  Watchdog *watchdog = device;
  if (port != 0)
    return;
  pthread_mutex_lock (&watchdog->mutex);
  watch (watchdog, value & 1);
  pthread_mutex_unlock (&watchdog->mutex);
}

static uint8_t
watchdog_in (void *device, unsigned port)
{
  Watchdog *watchdog = device;
  pthread_mutex_lock (&watchdog->mutex);
  uint8_t value = port == 0 ? watchdog->deadline_ns != 0 : 0xff;
  pthread_mutex_unlock (&watchdog->mutex);
  return value;
}

static const BusDevice watchdog_ports = { watchdog_out, watchdog_in };

static void
forget_oldest_event (Watchdog *watchdog)
{
  Event *oldest = watchdog->events;
  watchdog->events = oldest->next;
  g_free (oldest);
}

static void
note_event (Watchdog *watchdog)
{
  unsigned n = 0;
  for (const Event *event = watchdog->events; event; event = event->next)
    n++;
  if (n == EVENTS_MAX)
    forget_oldest_event (watchdog);

  Event *event = append_event (&watchdog->events);
  event->at_ns = watchdog->deadline_ns;
#if RELEASE >= 3
  event->timeout_ms = watchdog->timeout_ms;
#endif
  if (watchdog->log_fd < 0)
    return;
  g_autofree char *line = g_strdup_printf ("build %d: the guest is silent at %" PRId64 "\n", RELEASE, event->at_ns);
  write_at_once (watchdog->log_fd, line, strlen (line));
}

static int
watchdog_get_fd (const void *card)
{
  const Watchdog *watchdog = card;
  return watchdog->timer_fd;
}

static void
watchdog_handle (void *card)
{
  Watchdog *watchdog = card;
  uint64_t n_expired;
  pthread_mutex_lock (&watchdog->mutex);
  if (read (watchdog->timer_fd, &n_expired, sizeof n_expired) == sizeof n_expired)
    {
      note_event (watchdog);
      watch (watchdog, false);
    }
  pthread_mutex_unlock (&watchdog->mutex);
}

/* ---- The monitor's view of it. */

static void
watchdog_describe (void *card, GString *text)
{
  Watchdog *watchdog = card;
  unsigned i = 0;
  pthread_mutex_lock (&watchdog->mutex);
  g_string_append_printf (text, "timeout: %u ms\ndeadline: %" PRId64 "\nowner: %s\nlog: %d\n", watchdog->timeout_ms,
                          watchdog->deadline_ns, watchdog->owner ? watchdog->owner : "nobody", watchdog->log_fd);
  for (const Event *event = watchdog->events; event; event = event->next)
    {
      g_string_append_printf (text, "event %u: %" PRId64, i++, event->at_ns);
#if RELEASE >= 3
      g_string_append_printf (text, " after %u ms", event->timeout_ms);
#endif
      g_string_append_c (text, '\n');
    }
  pthread_mutex_unlock (&watchdog->mutex);
}

static void
close_log (Watchdog *watchdog)
{
  if (watchdog->log_fd < 0)
    return;
  cpr_fd_remove (watchdog->session, FD_LOG, 0, NULL);
  close (watchdog->log_fd);
  watchdog->log_fd = -1;
}

/* An fd that is in the state of a device must be in the fd table. The new program needn't open
 * or take it: the field does. */
static bool
open_log (Watchdog *watchdog, const char *path, GError **error)
{
  int fd = open (path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0666); /* a FIFO may have no reader */
  if (fd < 0)
    return throw_errno (error, "watchdog: %s", path);
  close_log (watchdog);
  if (!cpr_fd_add (watchdog->session, FD_LOG, 0, fd, error))
    {
      close (fd);
      return false;
    }
  watchdog->log_fd = fd;
  return true;
}

static bool
set_timeout (Watchdog *watchdog, const char *value, GError **error)
{
  guint64 timeout;
  if (!g_ascii_string_to_unsigned (value, 10, 1, UINT32_MAX, &timeout, error))
    return false;
  pthread_mutex_lock (&watchdog->mutex);
  watchdog->timeout_ms = (uint32_t) timeout;
  pthread_mutex_unlock (&watchdog->mutex);
  return true;
}

static bool
set_owner (Watchdog *watchdog, const char *value, GError **error)
{
  if (strlen (value) > OWNER_MAX)
    return throw_error (error, "watchdog: the owner has more than %d bytes", OWNER_MAX);
  g_free (watchdog->owner);
  watchdog->owner = g_strdup (value);
  return true;
}

static bool
watchdog_set (void *card, const char *field, const char *value, GError **error)
{
  if (!strcmp (field, "timeout"))
    return set_timeout (card, value, error);
  if (!strcmp (field, "owner"))
    return set_owner (card, value, error);
  if (!strcmp (field, "log"))
    return open_log (card, value, error);
  return throw_error (error, "watchdog: '%s' can't be set", field);
}

static void
watchdog_free (void *card)
{
  Watchdog *watchdog = card;
  slots_remove (watchdog->slots, "watchdog");
  cpr_device_remove (watchdog->session, "watchdog", NULL);
  close_log (watchdog);
  clear_events (&watchdog->events);
  if (watchdog->timer_fd >= 0)
    close (watchdog->timer_fd);
  pthread_mutex_destroy (&watchdog->mutex);
  g_free (watchdog->owner);
  g_free (watchdog);
}

static void *
watchdog_new (CprSession *session, Slots *slots, GError **error)
{
  Watchdog *watchdog = g_new0 (Watchdog, 1);
  watchdog->session = session;
  watchdog->slots = slots;
  watchdog->timeout_ms = TIMEOUT_MS;
  watchdog->log_fd = -1;
  pthread_mutex_init (&watchdog->mutex, NULL);

  /* Not in the fd table: the deadline is the state, and a timer is made from it. */
  watchdog->timer_fd = timerfd_create (CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  bool ok = watchdog->timer_fd >= 0 || throw_errno (error, "watchdog: timerfd");
  if (ok && cpr_session_get_state (session) != CPR_SESSION_STATE_INCOMING)
    ok = slots_insert (slots, "watchdog", &watchdog_ports, watchdog, error);
  if (ok && cpr_device_add (session, "watchdog", &watchdog_type, watchdog, error))
    return watchdog;
  watchdog_free (watchdog);
  return NULL;
}

const Card watchdog_card = {
  .name = "watchdog",
  .type = &watchdog_type,
  .fd_name = FD_LOG,
  .new = watchdog_new,
  .free = watchdog_free,
  .describe = watchdog_describe,
  .set = watchdog_set,
  .get_fd = watchdog_get_fd,
  .handle = watchdog_handle,
};
