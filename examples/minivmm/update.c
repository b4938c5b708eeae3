/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The update, for the monitor's commands: the only file that starts one. */
#include "update.h"

#include <inttypes.h>
#include <string.h>

#include "support/error.h"
#include "support/pipe.h"

#define COMMAND_MAX 4096

struct _Update
{
  CprSession *session;
  const Options *options;

  CprMode mode;
  bool in_place;
  Pipe pipe; /* while an update goes through one */
  bool (*serve) (void *user_data);
  void *serve_data;

  uint64_t notifier;
  unsigned events; /* of the last update, as far as this process was told: a bit each */

  uint32_t command_len; /* 0: this program again, with its own arguments */
  uint8_t command[COMMAND_MAX];
};

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

Update *
update_new (CprSession *session, const Options *options, GError **error)
{
  g_autoptr (Update) update = g_new0 (Update, 1);
  update->session = session;
  update->options = options;
  update->mode = CPR_MODE_EXEC;
  update->notifier = cpr_notifier_add (session, CPR_MODES_ALL, 0, notice_event, update, error);
  if (!update->notifier || !cpr_device_add (session, "update", &update_type, update, error))
    return NULL;
  return g_steal_pointer (&update);
}

void
update_free (Update *update)
{
  if (!update)
    return;
  cpr_device_remove (update->session, "update", NULL);
  cpr_notifier_remove (update->session, update->notifier, NULL);
  g_free (update);
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

void
update_set_in_place (Update *update, bool in_place)
{
  update->in_place = in_place;
}

void
update_set_serve (Update *update, bool (*serve) (void *user_data), void *user_data)
{
  update->serve = serve;
  update->serve_data = user_data;
}

bool
update_set_command (Update *update, const char *command, GError **error)
{
  size_t len = strlen (command);
  if (len > COMMAND_MAX)
    return throw_error (error, "the command has %zu bytes, at most %d fit", len, COMMAND_MAX);
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
make_update (const Update *update, char **argv, const char *uri)
{
  const Options *options = update->options;
  return (CprUpdate){
    .size = sizeof (CprUpdate),
    .mode = update->mode,
    .flags = (options->no_guardian ? CPR_UPDATE_NO_GUARDIAN : 0) |
             (options->no_preflight ? CPR_UPDATE_NO_PREFLIGHT : 0) |
             (options->no_way_back ? CPR_UPDATE_NO_WAY_BACK : 0),
    .argv = argv,
    .program = argv ? NULL : "/proc/self/exe", /* this very program, even when its file was replaced */
    .uri = uri,
    .preflight_timeout_ms = options->preflight_timeout_ms,
    .deadline_ms = options->deadline_ms,
    .pause_budget_ms = options->pause_budget_ms,
  };
}

static bool
report_progress (uint64_t done, uint64_t total, void *user_data, GError **error)
{
  const Update *update = user_data;
  return !update->serve || update->serve (update->serve_data) || throw_error (error, "it was cancelled");
}

/* True: the command at the other end has read all that it was sent. */
static bool
confirm_pipe (void *user_data, GError **error)
{
  Update *update = user_data;
  return pipe_close (&update->pipe, error);
}

static bool
save_to (Update *update, const char *uri, GError **error)
{
  const CprUpdate cpr_update = {
    .size = sizeof cpr_update,
    .mode = CPR_MODE_REBOOT,
    .flags = update->in_place ? CPR_UPDATE_RAM_IN_PLACE : 0,
    .uri = uri,
    .pause_budget_ms = update->options->pause_budget_ms,
    .progress = report_progress,
    .confirm = confirm_pipe,
    .callback_data = update,
  };
  return cpr_session_update (update->session, &cpr_update, error);
}

static bool
save (Update *update, const char *uri, GError **error)
{
  static const char exec[] = "exec:";
  if (!g_str_has_prefix (uri, exec))
    return save_to (update, uri, error);
  if (!pipe_open (&update->pipe, uri + strlen (exec), true, error))
    return false;
  g_autofree char *fd_uri = g_strdup_printf ("fd:%d", update->pipe.fd);
  bool ok = save_to (update, fd_uri, error);
  pipe_close (&update->pipe, NULL);
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

bool
update_run (Update *update, const char *uri, GError **error)
{
  if (update->mode == CPR_MODE_REBOOT)
    return save (update, uri, error);
  g_auto (GStrv) argv = NULL;
  if (!get_argv (update, &argv, error))
    return false;

  const CprUpdate cpr_update = make_update (update, argv, *uri ? uri : NULL);
  return cpr_session_update (update->session, &cpr_update, error);
}

bool
update_check (Update *update, GString *text, GError **error)
{
  g_auto (GStrv) argv = NULL;
  if (!get_argv (update, &argv, error))
    return false;

  const CprUpdate cpr_update = make_update (update, argv, NULL);
  g_autoptr (CprPreflight) preflight = NULL;
  g_autoptr (GError) refusal = NULL;
  if (cpr_session_preflight (update->session, &cpr_update, &preflight, &refusal))
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
update_has_left (const Update *update)
{
  return update->mode == CPR_MODE_TRANSFER && cpr_session_get_state (update->session) == CPR_SESSION_STATE_HANDED_OVER;
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
update_describe (const Update *update, GString *text)
{
  CprUpdateInfo info = { .size = sizeof info };
  cpr_session_get_update_info (update->session, &info);

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
update_describe_blockers (const Update *update, GString *text)
{
  cpr_blocker_foreach (update->session, 1u << update->mode, describe_blocker, text);
}

void
update_describe_end (const Update *update, GString *text)
{
  CprUpdateInfo info = { .size = sizeof info };
  cpr_session_get_update_info (update->session, &info);

  g_string_append_printf (text, "Migration status: %s\n", cpr_update_status_get_name (info.status));
  if (info.status == CPR_UPDATE_COMPLETED)
    g_string_append_printf (text, "pause: %" PRIu64 " us\n", to_us (info.pause_ns));
  else if (info.error)
    g_string_append_printf (text, "Error: %s\n", info.error);
}
