/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A VM with two types of devices, whose guest counts how often it is stopped and started. */
#include "faults.h"
#include "guest.h"

#include <errno.h>

static const CprField timer_fields[] = { CPR_FIELD (Timer, period), CPR_FIELD (Timer, drift), CPR_FIELD_END };
const CprStruct timer_struct = { "Timer", sizeof (Timer), timer_fields };

static const CprField serial_fields[] = {
  CPR_FIELD (Serial, enabled),
  CPR_FIELD (Serial, ier),
  CPR_FIELD (Serial, skew),
  CPR_FIELD (Serial, scale),
  CPR_FIELD_ARRAY (Serial, fifo),
  CPR_FIELD_STRUCT_COUNTED (Serial, queue, n_queue, Timer, timer_struct),
  CPR_FIELD_STRUCT (Serial, timer, Timer, timer_struct),
  CPR_FIELD_BYTES (Serial, blob),
  CPR_FIELD_OPTIONAL (Serial, depth, 16),
  CPR_FIELD_IGNORABLE (Serial, cache, -1),
  CPR_FIELD_END,
};
const CprDeviceType serial_type = {
  .size = sizeof (CprDeviceType),
  .name = "serial",
  .version = 3,
  .minimum_version = 2,
  .state = { "Serial", sizeof (Serial), serial_fields },
};

static const CprField disk_fields[] = { CPR_FIELD (Disk, sector), CPR_FIELD (Disk, dirty), CPR_FIELD_END };
const CprDeviceType disk_type = {
  .size = sizeof (CprDeviceType),
  .name = "disk",
  .version = 1,
  .minimum_version = 1,
  .state = { "Disk", sizeof (Disk), disk_fields },
};

const Serial serial_example = {
  .enabled = true,
  .ier = 0xa5,
  .skew = INT64_MIN + 7,
  .scale = 0.3,
  .fifo = { 1, 0xffffffff, 3, 0x01020304 },
  .n_queue = 2,
  .queue = { { 100, -5 }, { 200, 32767 } },
  .timer = { 4000000000u, -32768 },
  .blob = { 9, 8, 7, 6, 5 },
  .depth = 64,
  .cache = -1,
};
const Disk disk_example = { .sector = UINT64_C (0xfedcba9876543210), .dirty = true };

typedef struct
{
  uint32_t value;
} Leaf;

const CprStruct *
nest (Nest *nested, unsigned depth)
{
  static const CprField leaf = CPR_FIELD (Leaf, value);

  memset (nested, 0, sizeof *nested);
  for (unsigned i = 0; i < depth; i++)
    {
      nested->fields[i][0] = leaf;
      if (i > 0)
        {
          nested->fields[i][0].kind = CPR_KIND_STRUCT;
          nested->fields[i][0].type = &nested->structs[i - 1];
        }
      nested->structs[i] = (CprStruct){ "Nest", sizeof (Leaf), nested->fields[i] };
    }
  return &nested->structs[depth - 1];
}

static void
assert_timer_eq (const Timer *a, const Timer *b)
{
  ck_assert_uint_eq (a->period, b->period);
  ck_assert_int_eq (a->drift, b->drift);
}

void
assert_serial_eq (const Serial *a, const Serial *b)
{
  ck_assert_int_eq (a->enabled, b->enabled);
  ck_assert_uint_eq (a->ier, b->ier);
  ck_assert_int_eq (a->skew, b->skew);
  ck_assert_mem_eq (&a->scale, &b->scale, sizeof a->scale);
  ck_assert_mem_eq (a->fifo, b->fifo, sizeof a->fifo);
  ck_assert_uint_eq (a->n_queue, b->n_queue);
  for (unsigned i = 0; i < a->n_queue; i++)
    assert_timer_eq (&a->queue[i], &b->queue[i]);
  assert_timer_eq (&a->timer, &b->timer);
  ck_assert_mem_eq (a->blob, b->blob, sizeof a->blob);
  ck_assert_uint_eq (a->depth, b->depth);
  ck_assert_int_eq (a->cache, b->cache);
}

static bool
guest_stop (void *user_data, GError **error)
{
  Guest *guest = user_data;

  if (!guest->running) /* no ck_assert: it writes to a file, and a test may have limited that */
    g_error ("the guest is stopped twice");
  if (guest->stop == STOP_FAILS)
    g_set_error (error, g_quark_from_static_string ("unit-test"), 42, "vCPU 1 doesn't answer");
  if (guest->stop != STOP_WORKS)
    return false;
  guest->running = false;
  guest->stops++;
  return true;
}

static void
guest_start (void *user_data)
{
  Guest *guest = user_data;

  if (guest->running)
    g_error ("the guest is started while it runs");
  guest->running = true;
  guest->starts++;
}

static void
guest_log (CprLogLevel level, const char *message, void *user_data)
{
  g_string_append_printf (((Guest *) user_data)->log, "%u %s\n", level, message);
}

void
guest_init (Guest *guest)
{
  *guest = (Guest){ .log = g_string_new (NULL) };
}

void
guest_clear (Guest *guest)
{
  g_string_free (guest->log, TRUE);
}

CprSessionConfig
guest_config (Guest *guest, const char *name)
{
  return (CprSessionConfig){
    .size = sizeof (CprSessionConfig),
    .name = name,
    .stop = guest_stop,
    .start = guest_start,
    .log = guest_log,
    .user_data = guest,
  };
}

CprSession *
session_new (Guest *guest, const char *name)
{
  CprSessionConfig config = guest_config (guest, name);
  GError *error = NULL;
  CprSession *session = cpr_session_new (&config, &error);

  assert_no_error (error);
  ck_assert_ptr_nonnull (session);
  return session;
}

CprSession *
session_new_active (Guest *guest, const char *name)
{
  CprSession *session = session_new (guest, name);

  ck_assert (cpr_session_load (session, NULL));
  ck_assert (cpr_session_start (session, NULL));
  ck_assert (guest->running);
  return session;
}

bool
update_up_to_execve (CprSession *session, unsigned pause_budget_ms, GError **error)
{
  static char *argv[] = { (char *) "/bin/true", NULL };
  const CprUpdate update = { .size = sizeof update,
                             .mode = CPR_MODE_EXEC,
                             .flags = update_flags () | CPR_UPDATE_NO_PREFLIGHT,
                             .argv = argv,
                             .pause_budget_ms = pause_budget_ms };
  bool ok;

  faults_begin (0, 0, ENOEXEC);
  ok = cpr_session_update (session, &update, error);
  faults_end ();
  return ok;
}

uint64_t
block_exec (CprSession *session, const char *reason)
{
  GError *error = NULL;
  uint64_t blocker = cpr_blocker_add (session, CPR_MODES_EXEC, reason, &error);

  assert_no_error (error);
  ck_assert_uint_ne (blocker, 0);
  return blocker;
}

static void
collect_blocker (uint64_t blocker, unsigned modes, const char *reason, void *user_data)
{
  g_string_append_printf (user_data, "%s%s|", blocker == 0 ? "*" : "", reason);
}

void
assert_blockers (CprSession *session, unsigned modes, const char *expected)
{
  g_autoptr (GString) found = g_string_new (NULL);

  cpr_blocker_foreach (session, modes, collect_blocker, found);
  ck_assert_str_eq (found->str, expected);
}
