/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The update, for the monitor's commands: the only file that starts one. */
#include "update.h"

#include <inttypes.h>
#include <string.h>

#include "machine.h"
#include "support/error.h"

static const CprField update_fields[] = {
  CPR_FIELD_COUNTED (Update, command, command_len),
  CPR_FIELD_END,
};

const CprDeviceType update_type = {
  .size = sizeof (CprDeviceType),
  .name = "update",
  .version = 1,
  .minimum_version = 1,
  .state = { "Update", sizeof (Update), update_fields },
};

/* Where a VMM would hold back what must not happen in an update, such as hot-plug, and let it go
 * again. */
static bool
notice_event (CprSession *session, CprEvent event, CprMode mode, void *user_data, GError **error)
{
  Update *update = user_data;
  if (event == CPR_EVENT_SETUP)
    update->events = 0;
  update->events |= 1u << event;
  return true;
}

bool
update_add (Machine *machine, GError **error)
{
  machine->update.mode = CPR_MODE_EXEC;
  return cpr_notifier_add (machine->session, CPR_MODES_ALL, 0, notice_event, &machine->update, error) &&
         cpr_device_add (machine->session, "update", &update_type, &machine->update, error);
}

static const char *const mode_names[] = {
  [CPR_MODE_EXEC] = "cpr-exec", [CPR_MODE_TRANSFER] = "cpr-transfer", [CPR_MODE_REBOOT] = "cpr-reboot"
};

bool
update_set_mode (Update *update, const char *mode, GError **error)
{
  for (size_t i = 0; i < G_N_ELEMENTS (mode_names); i++)
    if (mode_names[i] && !strcmp (mode, mode_names[i]))
      {
        update->mode = (CprMode) i;
        return true;
      }
  return throw_error (error, "mode '%s': there are cpr-exec, cpr-transfer and cpr-reboot", mode);
}

bool
update_set_command (Update *update, const char *command, GError **error)
{
  size_t len = strlen (command);
  if (len > UPDATE_COMMAND_MAX)
    return throw_error (error, "the command has %zu bytes, at most %d fit", len, UPDATE_COMMAND_MAX);
  if (!g_shell_parse_argv (command, NULL, NULL, error))
    return false;
  memcpy (update->command, command, len);
  update->command_len = (uint32_t) len;
  return true;
}

/* *argv NULL: there is no command. */
static bool
get_argv (const Update *update, char ***argv, GError **error)
{
  *argv = NULL;
  g_autofree char *command = g_strndup ((const char *) update->command, update->command_len);
  return !update->command_len || g_shell_parse_argv (command, NULL, argv, error);
}

static CprUpdate
make_update (const Machine *machine, char **argv, const char *uri)
{
  const Options *options = &machine->options;
  return (CprUpdate){
    .size = sizeof (CprUpdate),
    .mode = machine->update.mode,
    .flags = (options->no_guardian ? CPR_UPDATE_NO_GUARDIAN : 0) |
             (options->no_preflight ? CPR_UPDATE_NO_PREFLIGHT : 0) |
             (options->no_way_back ? CPR_UPDATE_NO_WAY_BACK : 0) |
             (options->run_through ? CPR_UPDATE_RUN_THROUGH : 0),
    .argv = argv,
    .program = argv ? NULL : "/proc/self/exe", /* this very program, even when its file was replaced */
    .uri = uri,
    .preflight_timeout_ms = options->preflight_timeout_ms,
    .deadline_ms = options->deadline_ms,
    .pause_budget_ms = options->pause_budget_ms,
  };
}

/* ---- Reboot mode. */

static bool
report_progress (uint64_t done, uint64_t total, void *user_data, GError **error)
{
  const Machine *machine = user_data;
  return monitor_serve (machine->monitor) || throw_error (error, "it was cancelled");
}

/* True: the command at the other end has read all that it was sent. */
static bool
confirm_pipe (void *user_data, GError **error)
{
  Machine *machine = user_data;
  return pipe_close (&machine->update.pipe, error);
}

static bool
save_to (Machine *machine, const char *uri, GError **error)
{
  const CprUpdate cpr_update = {
    .size = sizeof cpr_update,
    .mode = CPR_MODE_REBOOT,
    .flags = machine->update.in_place ? CPR_UPDATE_RAM_IN_PLACE : 0,
    .uri = uri,
    .pause_budget_ms = machine->options.pause_budget_ms,
    .progress = report_progress,
    .confirm = confirm_pipe,
    .callback_data = machine,
  };
  return cpr_session_update (machine->session, &cpr_update, error);
}

static bool
save (Machine *machine, const char *uri, GError **error)
{
  static const char exec[] = "exec:";
  Pipe *pipe = &machine->update.pipe;
  if (!g_str_has_prefix (uri, exec))
    return save_to (machine, uri, error);
  if (!pipe_open (pipe, uri + strlen (exec), true, error))
    return false;
  g_autofree char *fd_uri = g_strdup_printf ("fd:%d", pipe->fd);
  bool ok = save_to (machine, fd_uri, error);
  pipe_close (pipe, NULL);
  return ok;
}

char *
update_name_incoming (const char *where)
{
  static const char exec[] = "exec:";
  if (where && g_str_has_prefix (where, exec))
    return g_strconcat ("pipe:", where + strlen (exec), NULL);
  return g_strdup (where);
}

int
update_open_incoming (const char *address, void *user_data, GError **error)
{
  Pipe pipe = { 0, -1 }; /* its command ends with what it says */
  return pipe_open (&pipe, address, false, error) ? pipe.fd : -1;
}

/* ---- The update. */

bool
update_run (Machine *machine, const char *uri, GError **error)
{
  if (machine->update.mode == CPR_MODE_REBOOT)
    return save (machine, uri, error);
  g_auto (GStrv) argv = NULL;
  if (!get_argv (&machine->update, &argv, error))
    return false;

  const CprUpdate cpr_update = make_update (machine, argv, *uri ? uri : NULL);
  return cpr_session_update (machine->session, &cpr_update, error);
}

bool
update_check (Machine *machine, GString *text, GError **error)
{
  g_auto (GStrv) argv = NULL;
  if (!get_argv (&machine->update, &argv, error))
    return false;

  const CprUpdate cpr_update = make_update (machine, argv, NULL);
  g_autoptr (CprPreflight) preflight = NULL;
  g_autoptr (GError) refusal = NULL;
  if (cpr_session_preflight (machine->session, &cpr_update, &preflight, &refusal))
    g_string_append (text, "would go through\n");
  else if (!preflight)
    {
      g_propagate_error (error, g_steal_pointer (&refusal));
      return false;
    }
  for (size_t i = 0; i < cpr_preflight_get_n_findings (preflight); i++)
    {
      const CprFinding *finding = cpr_preflight_get_finding (preflight, i);
      g_string_append_printf (text, "%s%s: %s\n", finding->way_back ? "way back: " : "",
                              finding->severity == CPR_SEVERITY_LOSS ? "loss" : "refused", finding->message);
    }
  return true;
}

bool
update_has_left (const Machine *machine)
{
  return machine->update.mode == CPR_MODE_TRANSFER &&
         cpr_session_get_state (machine->session) == CPR_SESSION_STATE_HANDED_OVER;
}

bool
update_is_transferred (CprSession *session)
{
  CprUpdateInfo info = { .size = sizeof info };
  cpr_session_get_update_info (session, &info);
  return cpr_session_is_incoming (session) && info.mode == CPR_MODE_TRANSFER;
}

static uint64_t
to_us (uint64_t ns)
{
  return (ns + 500) / 1000;
}

static void
describe_events (const Update *update, GString *text)
{
  static const char *const names[] = { NULL, "setup", "stopped", "saved", "failed", "done" };

  g_string_append (text, update->events ? "events:" : "events: none");
  for (CprEvent event = CPR_EVENT_SETUP; event <= CPR_EVENT_DONE; event++)
    if (update->events >> event & 1)
      g_string_append_printf (text, " %s", names[event]);
  g_string_append_c (text, '\n');
}

void
update_describe (const Machine *machine, GString *text)
{
  const Update *update = &machine->update;
  CprUpdateInfo info = { .size = sizeof info };
  cpr_session_get_update_info (machine->session, &info);

  g_string_append_printf (text, "status: %s\n", cpr_update_status_get_name (info.status));
  if (info.error)
    g_string_append_printf (text, "error: %s\n", info.error);
  describe_events (update, text);
  g_string_append_printf (text, "generation: %" PRIu64 "\nguardian: %s\nmode: %s\n", info.generation,
                          info.guardian ? "yes" : "no", mode_names[info.mode ? info.mode : update->mode]);
  if (info.ram_total)
    g_string_append_printf (text, "ram: %" PRIu64 " of %" PRIu64 " bytes\n", info.ram_done, info.ram_total);
  if (update->command_len)
    g_string_append_printf (text, "command: %.*s\n", (int) update->command_len, (const char *) update->command);
  g_string_append_printf (text, "step wait: %" PRIu64 " us\n", to_us (info.wait_ns));
  for (CprStep step = 0; step < CPR_N_STEPS; step++)
    g_string_append_printf (text, "step %s: %" PRIu64 " us\n", cpr_step_get_name (step), to_us (info.step_ns[step]));
  g_string_append_printf (text, "pause: %" PRIu64 " us\nrecover: %" PRIu64 " us\ntotal: %" PRIu64 " us\n",
                          to_us (info.pause_ns), to_us (info.recover_ns), to_us (info.total_ns));
}

static void
describe_blocker (uint64_t blocker, unsigned modes, const char *reason, void *user_data)
{
  g_string_append_printf (user_data, "%s\n", reason);
}

void
update_describe_blockers (const Machine *machine, GString *text)
{
  cpr_blocker_foreach (machine->session, 1u << machine->update.mode, describe_blocker, text);
}

void
update_describe_end (const Machine *machine, GString *text)
{
  CprUpdateInfo info = { .size = sizeof info };
  cpr_session_get_update_info (machine->session, &info);

  g_string_append_printf (text, "Migration status: %s\n", cpr_update_status_get_name (info.status));
  if (info.status == CPR_UPDATE_COMPLETED)
    g_string_append_printf (text, "pause: %" PRIu64 " us\n", to_us (info.pause_ns));
  else if (info.error)
    g_string_append_printf (text, "Error: %s\n", info.error);
}
