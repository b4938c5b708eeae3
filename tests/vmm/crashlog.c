/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A crash log card, known since build 3: a ring of 1 MiB that the guest writes its last words
 * to, a byte at a time, for somebody to read who comes too late. Too much for a field: it goes
 * along as bulk data. */
#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <xxhash.h>

#include "cards.h"
#include "support/error.h"

#define RING_SIZE (1u << 20)

typedef struct
{
  CprSession *session;
  Slots *slots;
  pthread_mutex_t mutex;

  uint32_t next; /* where the next byte goes */
  bool full;     /* what follows `next` is the oldest */
  uint8_t *ring;
} Crashlog;

static const CprField crashlog_fields[] = {
#if RELEASE == 4
  /* For a test: what must not be done. A number doesn't become something else. */
  CPR_FIELD_BYTES (Crashlog, next),
#else
  CPR_FIELD (Crashlog, next),
#endif
  CPR_FIELD (Crashlog, full),
  CPR_FIELD_END,
};

static uint32_t
get_used (const Crashlog *crashlog)
{
  return crashlog->full ? RING_SIZE : crashlog->next;
}

/* Only what is used: of a guest that never wrote there is nothing. */
static bool
crashlog_save_bulk (void *device, CprBulk *bulk, GError **error)
{
  const Crashlog *crashlog = device;
  return cpr_bulk_write (bulk, crashlog->ring, get_used (crashlog), error);
}

static bool
crashlog_load_bulk (void *device, CprBulk *bulk, GError **error)
{
  const Crashlog *crashlog = device;
  uint64_t size = cpr_bulk_get_left (bulk);
  if (crashlog->next >= RING_SIZE || size != get_used (crashlog))
    return throw_error (error, "crashlog: %" PRIu64 " bytes are in the state, and its fields say %u", size,
                        get_used (crashlog));
  return cpr_bulk_read (bulk, crashlog->ring, size, error);
}

static const BusDevice crashlog_ports;

static bool
crashlog_post_load (void *device, uint32_t version, GError **error)
{
  Crashlog *crashlog = device;
  return slots_insert_again (crashlog->slots, "crashlog", &crashlog_ports, crashlog, error);
}

const CprDeviceType crashlog_type = {
  .size = sizeof (CprDeviceType),
  .name = "crashlog",
  .version = 1,
  .minimum_version = 1,
  .state = { "Crashlog", sizeof (Crashlog), crashlog_fields },
  .post_load = crashlog_post_load,
  .load_after = (const char *const[]){ "bus", NULL },
  .save_bulk = crashlog_save_bulk,
  .load_bulk = crashlog_load_bulk,
  .trial_save = true, /* numbers only */
};

static void
append (Crashlog *crashlog, uint8_t byte)
{
  crashlog->ring[crashlog->next++] = byte;
  if (crashlog->next == RING_SIZE)
    {
      crashlog->next = 0;
      crashlog->full = true;
    }
}

static void
crashlog_out (void *device, unsigned port, uint8_t value)
{
  Crashlog *crashlog = device;
  if (port != 0)
    return;
  pthread_mutex_lock (&crashlog->mutex);
  append (crashlog, value);
  pthread_mutex_unlock (&crashlog->mutex);
}

/* The last byte that was written. */
static uint8_t
crashlog_in (void *device, unsigned port)
{
  Crashlog *crashlog = device;
  pthread_mutex_lock (&crashlog->mutex);
  uint8_t value = get_used (crashlog) ? crashlog->ring[(crashlog->next - 1) % RING_SIZE] : 0;
  pthread_mutex_unlock (&crashlog->mutex);
  return value;
}

static const BusDevice crashlog_ports = { crashlog_out, crashlog_in };

static void
crashlog_describe (void *card, GString *text)
{
  Crashlog *crashlog = card;
  pthread_mutex_lock (&crashlog->mutex);
  g_string_append_printf (text, "bytes: %u\nnext: %u\nhash: %016" PRIx64 "\n", get_used (crashlog), crashlog->next,
                          (uint64_t) XXH3_64bits (crashlog->ring, get_used (crashlog)));
  pthread_mutex_unlock (&crashlog->mutex);
}

/* text TEXT: writes it, as the guest would; fill N: writes N bytes that are all different
 * things. */
static bool
crashlog_set (void *card, const char *field, const char *value, GError **error)
{
  Crashlog *crashlog = card;
  guint64 n = strlen (value);
  bool fill = !strcmp (field, "fill");
  if (!fill && strcmp (field, "text") != 0)
    return throw_error (error, "crashlog: '%s' can't be set", field);
  if (fill && !g_ascii_string_to_unsigned (value, 10, 1, 2 * RING_SIZE, &n, error))
    return false;
  pthread_mutex_lock (&crashlog->mutex);
  for (uint32_t i = 0; i < n; i++)
    append (crashlog, fill ? (uint8_t) ((i * 2654435761u) >> 24) : (uint8_t) value[i]);
  pthread_mutex_unlock (&crashlog->mutex);
  return true;
}

static void
crashlog_free (void *card)
{
  Crashlog *crashlog = card;
  slots_remove (crashlog->slots, "crashlog");
  cpr_device_remove (crashlog->session, "crashlog", NULL);
  pthread_mutex_destroy (&crashlog->mutex);
  g_free (crashlog->ring);
  g_free (crashlog);
}

static void *
crashlog_new (CprSession *session, Slots *slots, GError **error)
{
  Crashlog *crashlog = g_new0 (Crashlog, 1);
  crashlog->session = session;
  crashlog->slots = slots;
  crashlog->ring = g_malloc0 (RING_SIZE);
  pthread_mutex_init (&crashlog->mutex, NULL);

  bool ok = cpr_session_get_state (session) == CPR_SESSION_STATE_INCOMING ||
            slots_insert (slots, "crashlog", &crashlog_ports, crashlog, error);
  if (ok && cpr_device_add (session, "crashlog", &crashlog_type, crashlog, error))
    return crashlog;
  crashlog_free (crashlog);
  return NULL;
}

const Card crashlog_card = {
  .name = "crashlog",
  .type = &crashlog_type,
  .new = crashlog_new,
  .free = crashlog_free,
  .describe = crashlog_describe,
  .set = crashlog_set,
};
