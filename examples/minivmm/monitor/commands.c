/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The monitor's commands: a table, and a function for each. */
#include "monitor/commands.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "guests/guests.h"
#include "release.h"
#include "support/error.h"

/* After an update it is another program's guest, or nobody's. */
static bool
has_guest (const Machine *machine)
{
  return cpr_session_get_state (machine->session) == CPR_SESSION_STATE_ACTIVE;
}

const char *
command_get_status (const Machine *machine)
{
  static const char *const names[] = {
    [CPR_RUN_STATE_RUNNING] = "running",
    [CPR_RUN_STATE_PAUSED] = "paused",
    [CPR_RUN_STATE_SUSPENDED] = "suspended",
    [CPR_RUN_STATE_PAUSED_SUSPENDED] = "paused", /* the owner's wish comes first: cont shows the sleep */
  };
  if (monitor_is_waiting (machine->monitor))
    return "inmigrate";
  return has_guest (machine) ? names[cpr_session_get_run_state (machine->session)] : "postmigrate";
}

static bool
info_status (const Call *call)
{
  const char *status = command_get_status (call->machine);
  bool plain = !strcmp (status, "running") || !strcmp (status, "paused");
  g_string_append_printf (call->answer, plain ? "VM status: %s\n" : "VM status: paused (%s)\n", status);
  return true;
}

static bool
info_stops (const Call *call)
{
  g_string_append_printf (call->answer, "stops: %u\n", call->machine->n_stops);
  return true;
}

static bool
info_guest (const Call *call)
{
  GuestReport report;
  guest_get_report (&call->machine->ram, vm_get_n_vcpus (call->machine->vm), &report);
  double gap_us = (double) report.longest_gap * 1000 / (double) vm_get_counter_khz (call->machine->vm);

  g_string_append_printf (call->answer, "reports: %" PRIu64 "\n", report.n_reports);
  g_string_append_printf (call->answer, "ticks: %" PRIu64 "\n", report.ticks);
  g_string_append_printf (call->answer, "passes: %" PRIu64 "\n", report.passes);
  g_string_append_printf (call->answer, "progress: %" PRIu64 "\n", report.progress);
  g_string_append_printf (call->answer, "memory errors: %" PRIu64 "\n", report.errors);
  if (report.errors)
    g_string_append_printf (call->answer, "first bad page: %#" PRIx64 "\n", report.first_bad);
  if (report.doubled)
    g_string_append_printf (call->answer, "run by two programs: %" PRIu64 " times\n", report.doubled);
  g_string_append_printf (call->answer, "longest gap: %.0f us\n", gap_us);
  return true;
}

static bool
info_migrate (const Call *call)
{
  update_describe (call->machine, call->answer);
  return true;
}

static bool
info_blockers (const Call *call)
{
  update_describe_blockers (call->machine, call->answer);
  return true;
}

static bool
info_version (const Call *call)
{
  g_string_append_printf (call->answer, "minivmm build %u, pid %d, accel %s\n", release.number, (int) getpid (),
                          release.get_accel ()->name);
  return true;
}

static bool
info_serial (const Call *call)
{
  serial_describe (call->machine->serial, call->answer);
  return true;
}

static void
describe_fd (const char *name, int index, int fd, bool claimed, void *user_data)
{
  g_string_append_printf (user_data, "%s/%d: %d\n", name, index, fd);
}

static bool
info_vfio (const Call *call)
{
  if (!call->machine->vfio)
    return throw_error (call->error, "there is none");
  vfio_describe (call->machine->vfio, call->answer);
  return true;
}

static bool
info_dma (const Call *call)
{
  GuestDmaReport report;
  guest_get_dma_report (&call->machine->ram, &report);
  g_string_append_printf (call->answer, "begun: %" PRIu64 "\nmsis: %" PRIu64 "\nunexplained: %" PRIu64 "\n",
                          report.begun, report.msis, report.unexplained);
  return true;
}

static bool
info_fds (const Call *call)
{
  cpr_fd_foreach (call->machine->session, describe_fd, call->answer);
  return true;
}

static bool
reset_gap (const Call *call)
{
  guest_reset_gaps (&call->machine->ram, vm_get_n_vcpus (call->machine->vm));
  return true;
}

static bool
skip_word (const char **text, const char *word)
{
  size_t len = strlen (word);
  if (strncmp (*text, word, len) != 0 || (*text)[len] != ' ')
    return false;
  *text += len + strspn (*text + len, " ");
  return true;
}

static bool
set_parameter (const Call *call)
{
  const char *value = call->arguments;
  if (skip_word (&value, "mode"))
    return update_set_mode (&call->machine->update, value, call->error);
  if (skip_word (&value, "cpr-exec-command") || skip_word (&value, "cpr-exec-args")) /* its former name */
    return update_set_command (&call->machine->update, value, call->error);
  return throw_error (call->error, "unknown parameter '%s'", call->arguments);
}

static bool
set_capability (const Call *call)
{
  if (!strcmp (call->arguments, "x-ignore-shared on"))
    call->machine->update.in_place = true;
  else if (!strcmp (call->arguments, "x-ignore-shared off"))
    call->machine->update.in_place = false;
  else
    return throw_error (call->error, "unknown capability '%s'", call->arguments);
  return true;
}

/* "-d" before the URI: whoever asks doesn't wait for the end. */
static const char *
skip_detach (const Call *call)
{
  const char *uri = call->arguments;
  if (skip_word (&uri, "-d") || !strcmp (uri, "-d"))
    monitor_detach (call->machine->monitor);
  return strcmp (uri, "-d") ? uri : "";
}

/* The answer to success comes from the new program: the monitor's state says who asked. */
static bool
migrate (const Call *call)
{
  const char *uri = skip_detach (call);
  if (!update_run (call->machine, uri, call->error))
    return false;
  return monitor_leave (call->machine->monitor, call->error);
}

/* Of a program that waits for an operator. An update that takes its time is cancelled in
 * monitor_serve(). */
static bool
migrate_cancel (const Call *call)
{
  call->machine->quit = monitor_is_waiting (call->machine->monitor);
  return true;
}

bool
command_accept_guest (Machine *machine, const char *uri, GError **error)
{
  if (!monitor_is_waiting (machine->monitor))
    return throw_error (error, "this program doesn't wait for a guest: see --incoming defer");
  if (!*uri)
    return throw_error (error, "migrate_incoming URI");
  monitor_accept_guest (machine->monitor, uri);
  return true;
}

static bool
migrate_incoming (const Call *call)
{
  return command_accept_guest (call->machine, call->arguments, call->error);
}

static bool
migrate_check (const Call *call)
{
  return update_check (call->machine, call->answer, call->error);
}

static bool
stop (const Call *call)
{
  return cpr_session_pause (call->machine->session, call->error);
}

static bool
cont (const Call *call)
{
  return cpr_session_resume (call->machine->session, call->error);
}

/* In place of the guest's own wish: the built-in guests know no ACPI. */
static bool
system_suspend (const Call *call)
{
  const Machine *machine = call->machine;
  CprRunState state = cpr_session_get_run_state (machine->session);
  if ((state == CPR_RUN_STATE_RUNNING || state == CPR_RUN_STATE_PAUSED) &&
      !guest_put_to_sleep (&machine->ram, state == CPR_RUN_STATE_RUNNING, call->error))
    return false;
  return cpr_session_suspend (machine->session, call->error);
}

bool
command_wake (Machine *machine, GError **error)
{
  if (cpr_session_get_run_state (machine->session) != CPR_RUN_STATE_SUSPENDED)
    return throw_error (error, "Unable to wake up: guest is not in suspended state");
  guest_wake (&machine->ram);
  return cpr_session_wakeup (machine->session, error);
}

static bool
system_wakeup (const Call *call)
{
  return command_wake (call->machine, call->error);
}

static bool
ram_grow (const Call *call)
{
  uint64_t size;
  return options_parse_size ("ram_grow", call->arguments, &size, call->error) &&
         grow_ram (call->machine, size, call->error);
}

static bool
quit (const Call *call)
{
  call->machine->quit = true;
  return true;
}

static bool help (const Call *call);

static const Command commands[] = {
  { "info status", "", "running or paused, and why; inmigrate: it isn't here yet, postmigrate: it was handed over",
    COMMAND_ALWAYS, info_status },
  { "info stops", "", "how often an update, or its owner, has stopped the guest", COMMAND_AT_HOME, info_stops },
  { "info guest", "", "what the guest reports", COMMAND_AT_HOME, info_guest },
  { "info migrate", "", "how the last update went, with times", COMMAND_AT_HOME, info_migrate },
  { "info blockers", "", "why no update is possible now", COMMAND_AT_HOME, info_blockers },
  { "info version", "", "build, process and accelerator", COMMAND_ALWAYS, info_version },
  { "info serial", "", "the serial port's registers", COMMAND_AT_HOME, info_serial },
  { "info vfio", "", "the function of the host that the guest has", COMMAND_AT_HOME, info_vfio },
  { "info dma", "", "what a guest counts that has one", COMMAND_AT_HOME, info_dma },
  { "info fds", "", "the fds that survive an update", COMMAND_AT_HOME, info_fds },
  { "gap_reset", "", "forget the longest gap", COMMAND_WITH_GUEST, reset_gap },
  { "migrate_set_parameter", "mode cpr-exec | mode cpr-transfer | mode cpr-reboot | cpr-exec-command BINARY ARG...",
    "what to update to", COMMAND_ALWAYS, set_parameter },
  { "migrate_set_capability", "x-ignore-shared on | off", "cpr-reboot: RAM that is in a file stays there",
    COMMAND_ALWAYS, set_capability },
  { "migrate", "[-d] [URI]",
    "update: cpr-exec: by default to this very program; cpr-transfer: to the one at URI, or to one that is started "
    "now; "
    "cpr-reboot: save to file:PATH or exec:COMMAND",
    COMMAND_AT_HOME, migrate },
  { "migrate_incoming", "URI", "let the guest come from there, when this program waits for it", COMMAND_ALWAYS,
    migrate_incoming },
  { "migrate_cancel", "", "end that wait, or an update that takes its time: the guest goes back", COMMAND_ALWAYS,
    migrate_cancel },
  { "migrate_check", "", "ask whether an update would work, with the guest running", COMMAND_AT_HOME, migrate_check },
  { "stop", "", "pause the guest", COMMAND_AT_HOME, stop },
  { "cont", "", "let it run again", COMMAND_AT_HOME, cont },
  { "system_suspend", "", "send the guest to sleep", COMMAND_WITH_GUEST, system_suspend },
  { "system_wakeup", "", "wake it", COMMAND_WITH_GUEST, system_wakeup },
  { "ram_grow", "SIZE[K|M|G]", "plug in as much memory as is missing to SIZE, up to --ram-max", COMMAND_WITH_GUEST,
    ram_grow },
  { "quit", "", "end the VM", COMMAND_ALWAYS, quit },
  { "help", "", "show this", COMMAND_ALWAYS, help },
  { .name = NULL },
};

static void
list_commands (const Command *command, GString *text)
{
  for (; command && command->name; command++)
    g_string_append_printf (text, "%s%s%s -- %s\n", command->name, *command->arguments ? " " : "", command->arguments,
                            command->help);
}

static bool
help (const Call *call)
{
  list_commands (commands, call->answer);
  list_commands (release.commands, call->answer);
  return true;
}

static const Command *
find_command (const Command *command, const char *line, const char **arguments)
{
  for (; command && command->name; command++)
    {
      size_t len = strlen (command->name);
      if (strncmp (line, command->name, len) || (line[len] && line[len] != ' '))
        continue;
      *arguments = line + len + strspn (line + len, " ");
      return command;
    }
  return NULL;
}

void
command_execute (Machine *machine, const char *line, GString *answer)
{
  g_autofree char *stripped = g_strstrip (g_strdup (line));
  g_autoptr (GError) error = NULL;
  Call call = { .machine = machine, .answer = answer, .error = &error };

  if (!*stripped)
    return;
  const Command *command = find_command (release.commands, stripped, &call.arguments);
  if (!command)
    command = find_command (commands, stripped, &call.arguments);
  if (!command)
    g_string_append_printf (answer, "unknown command: '%s'\n", stripped);
  else if (command->when != COMMAND_ALWAYS && monitor_is_waiting (machine->monitor))
    g_string_append_printf (answer, "Error: %s: the guest isn't here yet; migrate_incoming URI lets it come\n",
                            command->name);
  else if (command->when == COMMAND_WITH_GUEST && !has_guest (machine))
    g_string_append_printf (answer, "Error: %s is not permitted in a session that is handed over\n", command->name);
  else if (!command->run (&call))
    g_string_append_printf (answer, "Error: %s\n", error->message);
}
