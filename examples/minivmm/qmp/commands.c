/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* QMP's commands: the table that dispatch.c looks into, and those that aren't about an update. */
#include "qmp/commands.h"

#include "guests/guests.h"
#include "qmp/server.h"
#include "release.h"
#include "support/error.h"

json_t *
qmp_make_version (void)
{
  g_autofree char *package = g_strdup_printf ("minivmm build %u, libcpr " CPR_VERSION_STRING, release.number);
  return json_pack ("{s:{s:i, s:i, s:i}, s:s}", "qemu", "major", (int) release.number, "minor", 0, "micro", 0,
                    "package", package);
}

const char *
qmp_get_status (const Machine *machine)
{
  static const char *const names[] = {
    [CPR_RUN_STATE_RUNNING] = "running",
    [CPR_RUN_STATE_PAUSED] = "paused",
    [CPR_RUN_STATE_SUSPENDED] = "suspended",
    [CPR_RUN_STATE_PAUSED_SUSPENDED] = "paused", /* the owner's wish comes first: cont shows the sleep */
  };
  CprSessionState state = cpr_session_get_state (machine->session);
  if (monitor_is_waiting (machine->monitor))
    return "inmigrate";
  if (state >= CPR_SESSION_STATE_LOST)
    return "postmigrate";
  return state == CPR_SESSION_STATE_ACTIVE ? names[cpr_session_get_run_state (machine->session)] : "finish-migrate";
}

/* Most commands return an empty object, and NULL after a failure. */
static json_t *
return_nothing (bool ok)
{
  return ok ? json_object () : NULL;
}

static json_t *
capabilities (const QmpCall *call, GError **error)
{
  const json_t *wanted = json_object_get (call->arguments, "enable");
  for (size_t i = 0; i < json_array_size (wanted); i++)
    {
      const char *name = json_string_value (json_array_get (wanted, i));
      throw_error (error, "capability '%s' isn't in the greeting", name ? name : "?");
      return NULL;
    }
  call->client->negotiated = true;
  return json_object ();
}

static json_t *
query_status (const QmpCall *call, GError **error)
{
  const char *status = qmp_get_status (call->machine);
  return json_pack ("{s:b, s:s}", "running", g_str_equal (status, "running"), "status", status);
}

static json_t *
query_version (const QmpCall *call, GError **error)
{
  return qmp_make_version ();
}

static json_t *
query_name (const QmpCall *call, GError **error)
{
  return json_pack ("{s:s}", "name", call->machine->options.name);
}

static json_t *
query_commands (const QmpCall *call, GError **error)
{
  json_t *list = json_array ();
  for (const QmpCommand *command = qmp_commands; command->name; command++)
    json_array_append_new (list, json_pack ("{s:s}", "name", command->name));
  return list;
}

static json_t *
stop (const QmpCall *call, GError **error)
{
  bool ok = cpr_session_pause (call->machine->session, error);
  qmp_send_run_state (call->qmp);
  return return_nothing (ok);
}

static json_t *
cont (const QmpCall *call, GError **error)
{
  bool ok = cpr_session_resume (call->machine->session, error);
  qmp_send_run_state (call->qmp);
  return return_nothing (ok);
}

static json_t *
system_wakeup (const QmpCall *call, GError **error)
{
  Machine *machine = call->machine;
  if (cpr_session_get_run_state (machine->session) != CPR_RUN_STATE_SUSPENDED)
    {
      throw_error (error, "system_wakeup: the guest doesn't sleep, or is paused");
      return NULL;
    }
  guest_wake (&machine->ram);
  bool ok = cpr_session_wakeup (machine->session, error);
  qmp_send_run_state (call->qmp);
  return return_nothing (ok);
}

static json_t *
quit (const QmpCall *call, GError **error)
{
  call->qmp->quitting = true;
  return json_object ();
}

/* clang-format off */
#define QUERY QMP_ALWAYS
const QmpCommand qmp_commands[] = {
  { "qmp_capabilities", QMP_ALWAYS | QMP_NEGOTIATES, capabilities, { { "enable", JSON_ARRAY, true } } },
  { "query-commands", QUERY, query_commands, { { 0 } } },
  { "query-name", QUERY, query_name, { { 0 } } },
  { "query-status", QUERY, query_status, { { 0 } } },
  { "query-version", QUERY, query_version, { { 0 } } },
  { "query-migrate", QUERY, qmp_query_migrate, { { 0 } } },
  { "query-migrate-capabilities", QUERY, qmp_query_capabilities, { { 0 } } },
  { "query-migrate-parameters", QUERY, qmp_query_parameters, { { 0 } } },
  { "x-query-cpr-blockers", QUERY, qmp_query_blockers, { { 0 } } },
  { "migrate-set-capabilities", 0, qmp_set_capabilities, { { "capabilities", JSON_ARRAY, false } } },
  { "migrate-set-parameters", 0, qmp_set_parameters,
    { { "mode", JSON_STRING, true }, { "cpr-exec-command", JSON_ARRAY, true } } },
  { "migrate", QMP_HOME, qmp_migrate, { { "uri", JSON_STRING, true }, { "detach", JSON_TRUE, true } } },
  { "migrate-incoming", QMP_ALWAYS, qmp_migrate_incoming, { { "uri", JSON_STRING, false } } },
  { "migrate_cancel", QMP_ALWAYS, qmp_migrate_cancel, { { 0 } } },
  { "stop", QMP_HOME, stop, { { 0 } } },
  { "cont", QMP_HOME, cont, { { 0 } } },
  { "system_wakeup", QMP_HOME, system_wakeup, { { 0 } } },
  { "quit", 0, quit, { { 0 } } },
  { .name = NULL },
};
/* clang-format on */
