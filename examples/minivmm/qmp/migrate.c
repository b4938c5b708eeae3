/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* QMP's commands about an update, for the table in commands.c; server.c begins the update when the
 * answer has gone out. */
#include <string.h>

#include "monitor/commands.h"
#include "qmp/commands.h"
#include "qmp/server.h"
#include "support/error.h"

/* ---- What stands in the way. */

static json_t *
list_modes (unsigned modes)
{
  json_t *list = json_array ();
  for (CprMode mode = CPR_MODE_EXEC; mode <= CPR_MODE_REBOOT; mode++)
    if (modes >> mode & 1)
      json_array_append_new (list, json_string (update_get_mode_name (mode)));
  return list;
}

static void
add_blocker (uint64_t blocker, unsigned modes, const char *reason, void *user_data)
{
  json_array_append_new (user_data, json_pack ("{s:s, s:o}", "reason", reason, "modes", list_modes (modes)));
}

static void
add_reason (uint64_t blocker, unsigned modes, const char *reason, void *user_data)
{
  json_array_append_new (user_data, json_string (reason));
}

static json_t *
list_reasons (const Machine *machine)
{
  json_t *reasons = json_array ();
  cpr_blocker_foreach (machine->session, 1u << machine->update.mode, add_reason, reasons);
  return reasons;
}

json_t *
qmp_query_blockers (const QmpCall *call, GError **error)
{
  json_t *blockers = json_array ();
  cpr_blocker_foreach (call->machine->session, CPR_MODES_ALL, add_blocker, blockers);
  return blockers;
}

/* ---- The update. */

static bool
is_blocked (const Machine *machine, GError **error)
{
  json_t *reasons = list_reasons (machine);
  bool blocked = json_array_size (reasons) > 0;
  if (blocked)
    throw_error (error, "%s isn't possible: %s", update_get_mode_name (machine->update.mode),
                 json_string_value (json_array_get (reasons, 0)));
  json_decref (reasons);
  return blocked;
}

/* Like QEMU's it answers at once: query-migrate and events tell how it goes on. */
json_t *
qmp_migrate (const QmpCall *call, GError **error)
{
  const Machine *machine = call->machine;
  const char *uri = json_string_value (json_object_get (call->arguments, "uri"));
  if (is_blocked (machine, error))
    return NULL;
  if (!uri && machine->update.mode != CPR_MODE_EXEC)
    {
      throw_error (error, "argument 'uri' is missing: %s needs it", update_get_mode_name (machine->update.mode));
      return NULL;
    }
  call->qmp->migrate_to = g_strdup (uri ? uri : "");
  return json_object ();
}

json_t *
qmp_migrate_incoming (const QmpCall *call, GError **error)
{
  const char *uri = json_string_value (json_object_get (call->arguments, "uri"));
  return command_accept_guest (call->machine, uri, error) ? json_object () : NULL;
}

/* Of one that takes its time, or waits for an operator: others are over before it can be read. */
json_t *
qmp_migrate_cancel (const QmpCall *call, GError **error)
{
  if (call->qmp->updating)
    call->qmp->cancelled = true;
  if (monitor_is_waiting (call->machine->monitor))
    call->machine->quit = true;
  return json_object ();
}

/* ---- How it went. */

static json_int_t
to_ms (uint64_t ns)
{
  return (json_int_t) ((ns + 500000) / 1000000);
}

static json_int_t
to_us (uint64_t ns)
{
  return (json_int_t) ((ns + 500) / 1000);
}

/* All members that QEMU's MigrationStats must have; most are about precopy. */
static json_t *
make_ram (const CprUpdateInfo *info)
{
  static const char *const zeros[] = {
    "duplicate",        "skipped",
    "normal",           "normal-bytes",
    "dirty-pages-rate", "mbps",
    "dirty-sync-count", "postcopy-requests",
    "multifd-bytes",    "pages-per-second",
    "precopy-bytes",    "downtime-bytes",
    "postcopy-bytes",   "dirty-sync-missed-zero-copy",
  };
  json_t *ram = json_pack ("{s:I, s:I, s:I, s:i}", "total", (json_int_t) info->ram_total, "transferred",
                           (json_int_t) info->ram_done, "remaining", (json_int_t) (info->ram_total - info->ram_done),
                           "page-size", 4096);
  for (size_t i = 0; i < G_N_ELEMENTS (zeros); i++)
    json_object_set_new (ram, zeros[i], json_integer (0));
  return ram;
}

/* What QEMU has no member for: how the library says that it ended, and each step in µs. */
static json_t *
make_details (const CprUpdateInfo *info)
{
  json_t *steps = json_object ();
  for (CprStep step = 0; step < CPR_N_STEPS; step++)
    json_object_set_new (steps, cpr_step_get_name (step), json_integer (to_us (info->step_ns[step])));
  return json_pack ("{s:s, s:I, s:I, s:I, s:I, s:o}", "outcome", cpr_update_status_get_name (info->status),
                    "generation", (json_int_t) info->generation, "wait-us", to_us (info->wait_ns), "pause-us",
                    to_us (info->pause_ns), "recover-us", to_us (info->recover_ns), "steps-us", steps);
}

static void
add_end (const Qmp *qmp, const CprUpdateInfo *info, json_t *answer)
{
  bool completed = info->status == CPR_UPDATE_COMPLETED;
  json_object_set_new (answer, "status",
                       json_string (completed        ? "completed"
                                    : qmp->cancelled ? "cancelled"
                                                     : "failed"));
  if (info->error)
    json_object_set_new (answer, "error-desc", json_string (info->error));
  json_object_set_new (answer, "total-time", json_integer (to_ms (info->total_ns)));
  if (completed)
    json_object_set_new (answer, "downtime", json_integer (to_ms (info->pause_ns)));
  uint64_t setup_ns =
      info->step_ns[CPR_STEP_CHECK] + info->step_ns[CPR_STEP_PREFLIGHT] + info->step_ns[CPR_STEP_GUARDIAN];
  json_object_set_new (answer, "setup-time", json_integer (to_ms (setup_ns)));
  json_object_set_new (answer, "x-cpr", make_details (info));
}

json_t *
qmp_query_migrate (const QmpCall *call, GError **error)
{
  CprUpdateInfo info = { .size = sizeof info };
  cpr_session_get_update_info (call->machine->session, &info);
  json_t *answer = json_object ();

  if (call->qmp->updating)
    json_object_set_new (answer, "status", json_string (call->qmp->cancelled ? "cancelling" : "active"));
  else if (info.status != CPR_UPDATE_NONE)
    add_end (call->qmp, &info, answer);
  if (info.ram_total)
    json_object_set_new (answer, "ram", make_ram (&info));
  json_t *reasons = call->qmp->updating ? NULL : list_reasons (call->machine);
  if (json_array_size (reasons))
    json_object_set (answer, "blocked-reasons", reasons);
  json_decref (reasons);
  return answer;
}
